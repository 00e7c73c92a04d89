"""`pathline forecast`: from a series to a forecast with intervals, compared, saved and reported."""

import csv
import hashlib
import io
import shlex
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from pathline.atomic import write_json, write_text
from pathline.cli.arguments import flag_value, parse, repeatable
from pathline.cli.new_run import new_run
from pathline.data import BUILTIN_SERIES, SERIES_SUFFIXES, Series, builtin_series, read_series
from pathline.errors import InputError, nearest
from pathline.forecast import METHODS, Comparison, Forecast, Forecaster, Persistence, compare, default_methods
from pathline.systems import SYSTEMS
from pathline.train import free_run, load, open_run, save

_SIMULATED_STEPS = 2000


@dataclass(frozen=True)
class ForecastFlags:
    """Forecast a series with prediction intervals.

    Without --method every method is fitted, ranked on held-out data, and the best is kept.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A file (.csv .tsv .txt .parquet .npz .nc), a real series (sunspots co2 lynx elnino gait) or a simulated system
    (lorenz63)."""
    method: str = "auto"
    """auto, or one method, whose settings then are flags too: see them with --method NAME --help."""
    horizon: int | None = None
    """Steps ahead; by default a season where it is known, else a twentieth of the series."""
    columns: tuple[str, ...] = ()
    """Which columns; by default all that are numeric."""
    time: str | None = None
    """The time column; by default it is recognised."""
    start: str | None = None
    """Leave out what is earlier: a date, a year or a number on the time axis."""
    stop: str | None = None
    """Leave out what is later."""
    budget: float = 120.0
    """Seconds that fitting may take in all."""
    seed: int = 0
    """Of the random key that everything derives from."""
    model: Path | None = None
    """Apply the fitted model of this run directory instead of fitting."""
    run: Path | None = None
    """Run directory; by default the first free one under runs/."""
    open: bool = False
    """Open the report in a browser."""


def run_forecast(arguments: Sequence[str]) -> int:
    """`pathline forecast SOURCE`: fit or load, forecast, write the run directory, print the table."""
    flags, settings = _parse(arguments)
    if not flags.budget > 0:
        raise InputError(f"--budget cannot be {flags.budget:g}; give the seconds that fitting may take.")
    series = read_source(flags)
    command = shlex.join(["pathline", "forecast", *repeatable(arguments)])
    apply = _apply_saved if flags.model is not None else _fit_and_compare
    run, report, lines = apply(flags, settings, series, command)
    console = Console()
    for line in [
        *lines,
        f"Report: {report}",
        f"Again:  pathline forecast NEW_DATA.csv --model {shlex.quote(str(run))}",
    ]:
        # What is piped into a file is not cut to the width of a terminal; no name of the user's is taken for markup.
        console.print(line, highlight=False, markup=False, soft_wrap=isinstance(line, str))
    if flags.open:
        webbrowser.open(report.resolve().as_uri())
    return 0


def read_source(flags: ForecastFlags) -> Series:
    """The series that the source names: a built-in one, a simulated system, or a file.

    Raises:
        InputError: there is none of that name, or the file cannot be read.
    """
    name = flags.source
    if name in BUILTIN_SERIES:
        series = builtin_series(name)
    elif name in SYSTEMS:
        times, values = SYSTEMS[name].simulate(_SIMULATED_STEPS, key=jax.random.key(flags.seed))
        series = Series.from_arrays(times, values, names=SYSTEMS[name].columns, title=name)
    elif Path(name).suffix or Path(name).exists():
        columns = flags.columns or None
        return read_series(name, columns=columns, time=flags.time, start=flags.start, stop=flags.stop)
    else:
        known = [*BUILTIN_SERIES, *SYSTEMS]
        raise InputError(
            f"There is no series {name!r}{nearest(name, known)}; give a file ({' '.join(SERIES_SUFFIXES)}) or one of "
            f"{', '.join(known)}."
        )
    series = series.select(flags.columns) if flags.columns else series
    return series if flags.start is None and flags.stop is None else series.between(flags.start, flags.stop)


def _parse(arguments: Sequence[str]) -> tuple[ForecastFlags, Any]:
    """The flags, and the hyperparameters of the method that they name (`None` for auto)."""
    name = flag_value(arguments, "--method", "auto")
    if name == "auto":
        return parse(ForecastFlags, arguments, command="forecast"), None
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}{nearest(name, METHODS)}; there are auto, {', '.join(METHODS)}.")
    both = make_dataclass("Flags", [("flags", ForecastFlags), ("settings", METHODS[name])], frozen=True)
    both.__doc__ = ForecastFlags.__doc__
    given: Any = parse(both, arguments, command="forecast")
    return given.flags, given.settings


def _fit_and_compare(flags: ForecastFlags, settings: Any, series: Series, command: str) -> tuple[Path, Path, list[Any]]:
    from pathline.report import write_forecast_report

    methods = default_methods() if settings is None else {"persistence": Persistence(), settings.name: settings}
    config = {
        "command": "forecast",
        "source": flags.source,
        "data": _fingerprint(series),
        "method": flags.method,
        "settings": {name: asdict(method) for name, method in methods.items()},
        "horizon": flags.horizon,
        "seed": flags.seed,
    }
    run = flags.run or free_run("runs", Path(flags.source).stem)
    # What took time to fit is kept.
    with new_run(run, config, worthless=_holds_nothing) as run, Console(stderr=True).status("fitting") as status:
        comparison = compare(
            series,
            methods,
            key=jax.random.key(flags.seed),
            horizon=flags.horizon,
            budget=flags.budget,
            run=run,
            on_method=lambda name: status.update(f"fitting {name}"),
        )
        chosen = comparison.best if settings is None else settings.name
        if chosen not in comparison.forecasters:
            note = next(row["note"] for row in comparison.rows if row["method"] == chosen)
            raise InputError(note.removeprefix("skipped: "))
    # A method that was asked for by name is the one reported, whatever persistence did.
    comparison = replace(comparison, best=chosen)
    forecaster = comparison.forecaster
    forecast = forecaster.forecast(series, comparison.horizon)
    write_forecast(run / "forecast.csv", series, forecast)
    write_json(
        run / "metrics.json", {"best": comparison.best, "horizon": comparison.horizon, "methods": comparison.rows}
    )
    report = write_forecast_report(run, series, forecast, comparison, command=command)
    # The model is written last: a directory that has one holds a finished run.
    save(run, forecaster)
    return run, report, [comparison_table(comparison), *_notes(comparison), _next(series, forecast)]


def _apply_saved(flags: ForecastFlags, settings: Any, series: Series, command: str) -> tuple[Path, Path, list[Any]]:
    from pathline.report import write_forecast_report

    assert flags.model is not None
    if settings is not None:
        raise InputError("--method fits anew and --model applies what was fitted; give one of them.")
    forecaster = load(flags.model)
    if not isinstance(forecaster, Forecaster):
        raise InputError(f"{flags.model} holds a {type(forecaster).__name__}, not a forecaster; give a forecast run.")
    forecast = forecaster.forecast(series, flags.horizon)
    config = {
        "command": "forecast",
        "source": flags.source,
        "data": _fingerprint(series),
        "model": str(flags.model),
        "horizon": flags.horizon,
    }
    run = open_run(flags.run or free_run("runs", f"{Path(flags.source).stem}-applied"), config)
    write_forecast(run / "forecast.csv", series, forecast)
    report = write_forecast_report(run, series, forecast, command=command)
    save(run, forecaster)
    return run, report, [_next(series, forecast)]


def _holds_nothing(run: Path) -> bool:
    return {path.name for path in run.glob("methods/*")} <= {Persistence.name}


def write_forecast(path: Path, series: Series, forecast: Forecast) -> None:
    """The forecast as a table: a row for each time, and for each column its point forecast and interval ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["date" if series.time_unit else "time"]
    for name in forecast.names:
        head += [name] + [f"{name} {end} {level:g}" for level in forecast.levels for end in ("lower", "upper")]
    writer.writerow(head)
    for step, moment in enumerate(_moments(series, forecast)):
        row: list[Any] = [moment]
        for column in range(len(forecast.names)):
            ends = zip(forecast.lower[:, step, column], forecast.upper[:, step, column], strict=True)
            row += [f"{forecast.mean[step, column]:.8g}", *(f"{end:.8g}" for pair in ends for end in pair)]
        writer.writerow(row)
    write_text(path, text.getvalue())


def comparison_table(comparison: Comparison) -> Table:
    """The methods in the order of their validation errors, with their scores on the held-out rows."""
    wide = comparison.evaluation.levels[-1]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("method")
    for name in ("RMSE", "skill", "MASE", "CRPS", f"{wide:.0%} coverage", "fit (s)"):
        table.add_column(name, justify="right")
    for row in comparison.rows:
        if "rmse" not in row:
            continue
        cells = f"{row['rmse']:.4g}", f"{row['skill']:.0%}", f"{row['mase']:.2f}", f"{row['crps']:.4g}"
        cells = ["–" if "nan" in cell else cell for cell in cells]
        style = "bold green" if row["method"] == comparison.best else ""
        table.add_row(row["method"], *cells, f"{row[f'coverage_{wide:g}']:.0%}", f"{row['seconds']:.1f}", style=style)
    return table


def _notes(comparison: Comparison) -> list[str]:
    """What the table's figures are, and which methods have none."""
    skipped = [f"{row['method']} {row['note']}" for row in comparison.rows if row["note"]]
    return ["On held-out data; skill is against persistence.", *skipped]


def _next(series: Series, forecast: Forecast) -> str:
    """The first steps of the forecast of the first column, in words."""
    moments = _moments(series, forecast)
    shown = [0, *({len(moments) - 1} - {0})]
    words = []
    for step in shown:
        numbers = [part[step, 0] for part in (forecast.mean, forecast.lower[1], forecast.upper[1])]
        # As many digits as tell the ends of the interval apart.
        width = max(abs(numbers[2] - numbers[1]), 1e-9 * abs(numbers[0]))
        digits = 4 if width == 0 else int(np.clip(np.log10(abs(numbers[0]) / width + 1e-9) + 3, 4, 12))
        expected, low, high = (f"{number:.{digits}g}" for number in numbers)
        words.append(f"{moments[step]}: {expected} ({low} to {high})")
    return f"{forecast.names[0]}, {forecast.levels[1]:.0%} interval: {'; '.join(words)}"


def _moments(series: Series, forecast: Forecast) -> list[str]:
    dates = series.as_dates(forecast.times)
    if dates is None:
        return [f"{time:.10g}" for time in forecast.times]
    unit = {"year": "Y", "month": "D", "day": "D"}.get(series.time_unit or "", "s")
    return [str(date) for date in dates.astype(f"datetime64[{unit}]")]


def _fingerprint(series: Series) -> str:
    """Tells whether a run that was interrupted is taken up with the same data."""
    content = np.concatenate([series.times[:, None], series.values], axis=1).tobytes()
    return hashlib.sha256(content + repr(series.names).encode()).hexdigest()[:16]
