"""The report of `pathline forecast`: the verdict, the forecast, the methods compared, and how far to trust them."""

import math
from pathlib import Path

import numpy as np

from pathline.data import Series
from pathline.forecast import Comparison, Forecast
from pathline.report.blocks import Block, Table
from pathline.report.evaluation_figures import calibration_figure, last_complete, origins_figure, skill_figure
from pathline.report.forecast_figures import forecast_figure
from pathline.report.html import write_report
from pathline.report.panels import PANELS, in_words, moment, time_span

_ROWS = 24
_SCORES = {"rmse": "RMSE", "mase": "MASE", "smape": "sMAPE", "crps": "CRPS"}


def write_forecast_report(
    run: Path, series: Series, forecast: Forecast, comparison: Comparison | None = None, *, command: str = ""
) -> Path:
    """Write the report of a forecast.

    Arguments:
        run: the run directory.
        series: the data.
        forecast: of what follows it.
        comparison: from `pathline.forecast.compare`; without one (a saved model was applied) the forecast stands alone.
        command: what to type to get this report again.

    Returns:
        The path of `report.html`; the figures lie beside it in `figures/`.

    Raises:
        InputError: the directory cannot be written.
    """
    blocks: list[Block] = [
        forecast_figure(series, forecast, held_out=comparison and last_complete(comparison.evaluation))
    ]
    if comparison is not None:
        blocks += [
            comparison_table(comparison),
            skill_figure(comparison.evaluations, best=comparison.best),
            calibration_figure(comparison.evaluation),
            origins_figure(comparison.evaluation),
        ]
    return write_report(
        run,
        title=f"{series.title}: the next {time_span(series, len(forecast.times))}",
        subtitle=about(series),
        verdict=expectation(series, forecast) if comparison is None else forecast_verdict(comparison),
        blocks=[*blocks, forecast_table(series, forecast)],
        command=command,
    )


def forecast_verdict(comparison: Comparison) -> str:
    """Which method was kept, how it did against persistence on held-out data, and whether its intervals held."""
    row = next(row for row in comparison.rows if row["method"] == comparison.best)
    level = comparison.evaluation.levels[-1]
    covered = f"its {_percent(level)} intervals held {_percent(row[f'coverage_{level:g}'])} of what came"
    name, skill = in_words(comparison.best), row["skill"]
    if comparison.best == "persistence" and len(comparison.evaluations) > 1:
        return f"No method was better than repeating the last value; {covered}."
    if comparison.best == "persistence" or math.isnan(skill):
        return f"Forecast by {name}: on held-out data {covered}."
    side = "below" if skill >= 0 else "above"
    return (
        f"Forecast by {name}: on held-out data its error is {_percent(abs(skill))} {side} that of persistence, "
        f"and {covered}."
    )


def expectation(series: Series, forecast: Forecast) -> str:
    """The last step of the forecast of the first column, with the widest interval, in one sentence."""
    low, high = forecast.lower[-1, -1, 0], forecast.upper[-1, -1, 0]
    when = moment(series, float(forecast.times[-1]))
    return (
        f"Expected of {forecast.names[0]} at {when}: {forecast.mean[-1, 0]:.4g}, and with "
        f"{_percent(forecast.levels[-1])} probability between {low:.4g} and {high:.4g}."
    )


def about(series: Series) -> str:
    """The extent of a series: `309 observations of sunspot number, 1700 to 2008, without gaps.`"""
    what = f"observations of {series.names[0]}" if series.dim == 1 else f"rows of {series.dim} columns"
    first, last = (moment(series, float(time)) for time in series.times[[0, -1]])
    missing = int((~series.mask).sum())
    gaps = f"{missing} of {series.mask.size} values missing" if missing else "without gaps"
    return f"{len(series)} {what}, {first} to {last}, {gaps}."


def comparison_table(comparison: Comparison) -> Table:
    """The methods in the order of their validation errors: scores on the held-out rows, coverage, seconds to fit."""
    levels = comparison.evaluation.levels
    coverage = {f"coverage_{level:g}": f"In {_percent(level)}" for level in levels}
    fitted = [row for row in comparison.rows if row["method"] in comparison.evaluations]
    rows = [
        (
            in_words(row["method"]),
            _percent(row["skill"]),
            *(row[key] for key in _SCORES),
            *(_percent(row[key]) for key in coverage),
            f"{row['seconds']:.1f}",
        )
        for row in fitted
    ]
    skipped = [
        f" Skipped: {in_words(row['method'])} ({row['note'].removeprefix('skipped: ').rstrip('.')})."
        for row in comparison.rows
        if row["note"]
    ]
    return Table(
        ("Method", "Skill", *_SCORES.values(), *coverage.values(), "Fit (s)"),
        rows,
        "Scores on held-out rows that no method was fitted to or chosen by; methods in the order of their errors on "
        "the validation rows before these, the one kept in bold. Skill is 1 − RMSE / RMSE of persistence; In 95 % is "
        "the share of what came that lay in the 95 % interval." + "".join(skipped),
        highlight_row=next(i for i, row in enumerate(fitted) if row["method"] == comparison.best),
    )


def forecast_table(series: Series, forecast: Forecast) -> Table:
    """The numbers of the first steps of the forecast, of at most six columns."""
    columns, steps = range(min(len(forecast.names), PANELS)), len(forecast.times)
    level, (low, high) = forecast.levels[-1], (forecast.lower[-1], forecast.upper[-1])
    alone = len(forecast.names) == 1
    # Two digits of the interval's width: more would be noise, fewer would hide it.
    widths = np.nanmedian(high - low, axis=0)
    decimals = [int(np.clip(2 - np.ceil(np.log10(width)), 0, 9)) if width > 0 else 3 for width in widths]
    rows = [
        (
            # Said once for all its columns.
            moment(series, float(forecast.times[step])) if column == 0 else "",
            *(() if alone else (forecast.names[column],)),
            *(f"{part[step, column]:.{decimals[column]}f}".replace("-", "−") for part in (forecast.mean, low, high)),
        )
        for step in range(min(steps, _ROWS if alone else _ROWS // 4))
        for column in columns
    ]
    said = f"The forecast of {forecast.names[0]} in numbers." if alone else "The forecast in numbers."
    cut = f" The first {len(rows) // len(columns)} of {steps} steps." if len(rows) < steps * len(columns) else ""
    heads = ("Time", *(() if alone else ("Column",)), "Expected", f"{_percent(level)} from", "to")
    return Table(heads, rows, said + cut)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %".replace("-", "−")
