"""How far a forecast can be trusted: methods by lead time, calibration, and earlier forecasts beside what came."""

from collections.abc import Mapping

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure as Drawing

from pathline.forecast import Evaluation, Forecast
from pathline.measure import interval_coverage
from pathline.report.blocks import Figure
from pathline.report.forecast_figures import add_legend, draw_data, draw_forecast
from pathline.report.panels import grid, in_words, is_narrow, lead_axis, lowest, mark_moment, moment, plain, time_label

_TOLERANCE = 0.05
# The error axis ends at so many times the largest error of the reference.
_ROOM = 1.5


def skill_figure(
    evaluations: Mapping[str, Evaluation], *, best: str, reference: str = "persistence", name: str = "skill"
) -> Figure:
    """The error of each method against the lead time.

    Arguments:
        evaluations: by method, on the same held-out data.
        best: the method that was kept; its line is heavier.
        reference: the method that others must beat; dashed.
        name: of the figure's files.
    """
    errors = {method: evaluation.rmse_by_horizon() for method, evaluation in evaluations.items()}
    ranked = sorted(errors, key=lambda method: float(np.nanmean(errors[method])))
    coloured = [best, *(method for method in ranked if method not in (best, reference))]
    series = next(iter(evaluations.values())).series
    # A method that diverges must not flatten the others.
    top = _ROOM * float(np.nanmax(errors.get(reference, errors[best])))
    beyond = [in_words(method) for method in ranked if np.nanmax(errors[method]) > top > 0]

    def draw() -> Drawing:
        figure, (axes,) = grid(1)
        for method in ranked:
            error = errors[method]
            rank = coloured.index(method) if method in coloured else 0
            axes.plot(
                series.step * np.arange(1, len(error) + 1),
                error,
                label=in_words(method),
                color=f"C{rank}" if method in coloured else rcParams["xtick.color"],
                linestyle=("-", ":")[rank // 6 % 2] if method in coloured else (0, (4, 2)),
                linewidth=2.4 if method == best else 1.3,
                marker="o" if len(error) <= 12 else None,
                markersize=3.5,
                zorder=4 if method == best else 3,
            )
        axes.set_ylim(0, top if beyond else None)
        lead_axis(axes, series)
        axes.set_ylabel("root mean square error" if series.dim > 1 else f"RMSE of {plain(series.names[0])}")
        figure.legend(loc="outside upper left", ncols=2 if is_narrow() else 3)
        return figure

    caption = (
        "Error of each method on held-out data against how far ahead it looks"
        + (f"; the dashed line, {in_words(reference)}, is what it must beat." if reference in errors else ".")
        + f" Kept: {in_words(best)}, the heavier line."
        + (f" Beyond the axis: {', '.join(beyond)}." if beyond else "")
    )
    return Figure(name, caption, draw)


def calibration_figure(evaluation: Evaluation, *, name: str = "calibration") -> Figure:
    """Whether the intervals hold what they promise: measured against nominal coverage, in all and by lead time."""
    levels = np.asarray(evaluation.levels)
    measured = evaluation.coverage()
    horizon = evaluation.times.shape[1]
    by_lead = np.asarray(
        [
            [interval_coverage(low[:, h], high[:, h], evaluation.truth[:, h]) for h in range(horizon)]
            for low, high in zip(evaluation.lower, evaluation.upper, strict=True)
        ]
    )
    series = evaluation.series

    def draw() -> Drawing:
        figure, (overall, leads) = grid(2, columns=2)
        muted = rcParams["xtick.color"]
        overall.fill_between(
            [0, 100], [-100 * _TOLERANCE, 100 - 100 * _TOLERANCE], [100 * _TOLERANCE, 100 + 100 * _TOLERANCE],
            color=rcParams["grid.color"], linewidth=0,
        )  # fmt: skip
        overall.plot([0, 100], [0, 100], color=muted, linewidth=0.8)
        overall.plot(100 * levels, [100 * measured[level] for level in evaluation.levels], "o", color="C0", zorder=4)
        overall.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        overall.set(xlabel="promised (%)", ylabel="measured (%)")
        lead = series.step * np.arange(1, horizon + 1)
        for level, coverage in zip(levels, by_lead, strict=True):
            leads.axhline(100 * level, color=muted, linewidth=0.8, linestyle=(0, (4, 3)))
            leads.plot(lead, 100 * coverage, color="C0", marker="o" if horizon <= 12 else None, markersize=3.5)
        leads.set(ylim=(0, 102), ylabel="measured (%)")
        lead_axis(leads, series)
        return figure

    said = ", ".join(f"{100 * measured[level]:.0f} % for {100 * level:g} %" for level in evaluation.levels)
    return Figure(
        name,
        f"Share of held-out observations inside their interval: {said}. Grey: within five points of the promise. "
        "Right (or below): the same at each lead time, with the promises dashed.",
        draw,
    )


def origins_figure(evaluation: Evaluation, *, column: int = 0, name: str = "held-out") -> Figure:
    """Forecasts from several held-out moments beside what came, of one column.

    Arguments:
        evaluation: of the method that was kept.
        column: which.
        name: of the figure's files.
    """
    places = np.flatnonzero(evaluation.origins + evaluation.times.shape[1] < len(evaluation.series))
    places = places if len(places) else np.arange(len(evaluation.origins))
    series, horizon = evaluation.series, evaluation.times.shape[1]

    def draw() -> Drawing:
        chosen = places[np.unique(np.linspace(0, len(places) - 1, 3 if is_narrow() else 4).round().astype(int))]
        figure, panels = grid(len(chosen), share_y=True)
        for place, axes in zip(chosen, panels, strict=True):
            origin = int(evaluation.origins[place])
            window = series[max(0, origin + 1 - max(12, horizon)) : origin + 1 + horizon]
            forecast = forecast_at(evaluation, int(place))
            draw_forecast(axes, forecast, series, column)
            draw_data(axes, window, column)
            mark_moment(axes, series, forecast.times[0])
            axes.set_title(f"from {moment(series, float(series.times[origin]))}")
        for axes in lowest(panels):
            axes.set_xlabel(time_label(series))
        figure.supylabel(plain(series.names[column]), fontsize=rcParams["axes.labelsize"])
        add_legend(figure, forecast_at(evaluation, int(places[0])))
        return figure

    of = f" of {series.names[column]!r}" if series.dim > 1 else ""
    return Figure(name, f"Forecasts{of} from held-out moments, beside what came. Nothing later was used.", draw)


def forecast_at(evaluation: Evaluation, place: int = -1) -> Forecast:
    """The forecast that an evaluation made from one of its origins.

    Arguments:
        evaluation: by rolling origin.
        place: index into `evaluation.origins`.
    """
    series = evaluation.series
    return Forecast(
        times=evaluation.times[place],
        mean=evaluation.predictions[place],
        lower=evaluation.lower[:, place],
        upper=evaluation.upper[:, place],
        ensemble=evaluation.predictions[place][None],
        levels=evaluation.levels,
        names=series.names,
        title=series.title,
        time_unit=series.time_unit,
        origin=series.origin,
    )


def last_complete(evaluation: Evaluation) -> Forecast | None:
    """The newest held-out forecast of which every target has come, or `None` when there is none."""
    complete = np.flatnonzero(evaluation.origins + evaluation.times.shape[1] < len(evaluation.series))
    return forecast_at(evaluation, int(complete[-1])) if len(complete) else None
