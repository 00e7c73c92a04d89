"""What the figures share: small multiples, axes in calendar time, and text of the user that is shown as it is."""

import re
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from pathline.data import Series

PANELS = 6
"""The most panels of a figure; more of them are too small to read."""

_LONGEST = 32
_STEPS: dict[tuple[str | None, float], str] = {
    (unit, 1.0): unit for unit in ("year", "month", "day", "hour", "minute", "second")
}
_STEPS |= {("day", 7.0): "week", ("month", 3.0): "quarter"}


def is_narrow() -> bool:
    """Whether the current theme draws for a phone."""
    return rcParams["figure.figsize"][0] < 6


def grid(
    count: int, *, columns: int | None = None, share_x: bool = False, share_y: bool = False
) -> tuple[Drawing, list[Axes]]:
    """A figure of `count` panels; on a phone they stand below one another.

    Arguments:
        count: panels, at least one.
        columns: how many side by side where there is room; by default two if there are more than three panels.
        share_x, share_y: whether they have one common axis.

    Returns:
        The figure and its panels in reading order; in two columns they run row by row.
    """
    width, full = rcParams["figure.figsize"]
    columns = 1 if is_narrow() else columns or (2 if count > 3 else 1)
    rows = -(-count // columns)
    figure = Drawing(figsize=(width, full if rows == 1 else max(full, 0.62 * full * rows)), layout="constrained")
    every = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False).ravel().tolist()
    for spare in every[count:]:
        spare.remove()
    for axes in lowest(every[:count]):
        # Above the place of a spare panel too, where shared axes would leave out the numbers.
        axes.tick_params(labelbottom=True)
    return figure, every[:count]


def lowest(panels: list[Axes]) -> list[Axes]:
    """The panels of a grid that have none below them."""
    columns = panels[0].get_gridspec().ncols  # pyright: ignore[reportOptionalMemberAccess]
    return panels[-columns:]


def tint(color: str, weight: float) -> tuple[float, float, float]:
    """A colour mixed into the surface, `weight` 1 being the pure colour; opaque, so that its legend is the same."""
    pure, surface = (np.asarray(to_rgb(name)) for name in (color, rcParams["axes.facecolor"]))
    red, green, blue = (weight * pure + (1 - weight) * surface).tolist()
    return red, green, blue


def time_axis(series: Series, times: Float[np.ndarray, "time"]) -> Shaped[np.ndarray, "time"]:
    """`times`, counted as those of `series`, in the form in which that series is plotted: dates, years or numbers."""
    dates = series.as_dates(times)
    if dates is None or series.origin is None:
        return times
    return int(series.origin[:4]) + times if series.time_unit == "year" else dates


def time_label(series: Series) -> str:
    """What stands under the time axis: `"year"`, `"date"`, `"time (hours)"` or `"time"`."""
    if series.origin is not None:
        return "year" if series.time_unit == "year" else "date"
    return f"time ({series.time_unit}s)" if series.time_unit else "time"


def mark_moment(axes: Axes, series: Series, first: float) -> Any:
    """A dashed line where a forecast begins: half a step before its first time.

    Returns:
        The place of the line on the axis.
    """
    before, at = time_axis(series, np.array([first - series.step, first]))
    place = axes.convert_xunits(before + (at - before) / 2)
    axes.axvline(place, color=rcParams["xtick.color"], linewidth=0.8, linestyle=(0, (4, 3)))
    return place


def lead_axis(axes: Axes, series: Series) -> None:
    """Label an axis of lead times, counted in the units of the series."""
    axes.set_xlabel(f"lead time ({series.time_unit}s)" if series.time_unit else "lead time")
    if float(series.step).is_integer():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def moment(series: Series, time: float) -> str:
    """A time of the series in words: `1987`, `1998-03-21`, `12.5`."""
    (place,) = time_axis(series, np.array([time]))
    if np.issubdtype(place.dtype, np.datetime64):
        return str(np.datetime_as_string(place, unit="D" if series.time_unit in ("month", "day") else "m"))
    return f"{place:g}"


def time_span(series: Series, steps: int) -> str:
    """A number of steps in words: `"22 years"` where a step is a unit, `"52 weeks"`, else `"52 steps"`."""
    unit = _STEPS.get((series.time_unit, round(series.step, 6)), "step")
    return f"{steps} {unit}{'' if steps == 1 else 's'}"


def in_words(method: str) -> str:
    """The name of a method as it is written in prose."""
    return method.replace("_", " ").replace(" ode", " ODE")


def plain(text: str) -> str:
    """A name of the user's as Matplotlib shall draw it: `$` is no mathematics, one line, not too long."""
    line = re.sub(r"\s+", " ", "".join(letter if letter.isprintable() else " " for letter in text)).strip()
    short = line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"
    return short.replace("$", r"\$")
