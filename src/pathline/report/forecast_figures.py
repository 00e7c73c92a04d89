"""The first figure of a forecast's report: what is expected next, with intervals, over the data it continues."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pathline.data import Series
from pathline.forecast import Forecast
from pathline.report.blocks import Figure
from pathline.report.panels import (
    PANELS,
    grid,
    is_narrow,
    lowest,
    mark_moment,
    plain,
    time_axis,
    time_label,
    time_span,
    tint,
)

_LONGEST_TAIL = 400
# Inches that the words "held out" take.
_LABEL = 0.65


def forecast_figure(
    series: Series, forecast: Forecast, *, held_out: Forecast | None = None, name: str = "forecast"
) -> Figure:
    """The forecast with its prediction intervals, after the last stretch of the data; one panel for each column.

    Arguments:
        series: the data that the forecast continues.
        forecast: what is expected next.
        held_out: a forecast of the last part of `series`, made without that part. Drawn over the data that it
            should have met, it shows what to expect of the other.
        name: of the figure's files.

    Returns:
        The block; of more than six columns, the first six are drawn and the caption says so.
    """
    shown = range(min(series.dim, PANELS))
    parts = [forecast] if held_out is None else [held_out, forecast]

    def draw() -> Drawing:
        tail = _tail(series, parts)
        figure, panels = grid(len(shown), share_x=True)
        for column, axes in zip(shown, panels, strict=True):
            draw_data(axes, tail, column)
            for part in parts:
                draw_forecast(axes, part, series, column)
                mark_moment(axes, series, float(part.times[0]))
            axes.set_ylim(*_limits(tail, parts, column)[0])
            name_panel(axes, series.names[column], alone=len(shown) == 1)
        _mark_parts(panels[0], series, parts)
        for axes in lowest(panels):
            axes.set_xlabel(time_label(series))
        add_legend(figure, forecast)
        return figure

    cut = any(_limits(_tail(series, parts), parts, column)[1] for column in shown)
    caption = (
        f"{series.title}: the forecast of the next {time_span(series, len(forecast.times))} with its "
        f"{_spoken(forecast)} prediction intervals"
        + (
            ", and before it the forecast of the held-out end of the data, with what then happened."
            if held_out
            else "."
        )
        + (" The intervals reach beyond the axis." if cut else "")
        + (f" The first {PANELS} of {series.dim} columns." if series.dim > PANELS else "")
    )
    return Figure(name, caption, draw)


def draw_data(axes: Axes, series: Series, column: int) -> None:
    """The observations of one column: a line that breaks at gaps, with dots where they are few or stand alone."""
    values, seen = series.values[:, column], series.mask[:, column]
    before, after = np.r_[False, seen[:-1]], np.r_[seen[1:], False]
    dotted = seen if len(series) <= 120 else seen & ~before & ~after
    times = series.axis_times()
    axes.plot(times, values, color=rcParams["text.color"], linewidth=1.0, zorder=3)
    axes.plot(times[dotted], values[dotted], ".", color=rcParams["text.color"], markersize=3.5, zorder=3)


def draw_forecast(axes: Axes, forecast: Forecast, series: Series, column: int) -> None:
    """One column of a forecast on the time axis of `series`: its mean over nested intervals, the widest palest."""
    times = time_axis(series, forecast.times)
    for index, color in _shades(forecast):
        lower, upper = forecast.lower[index, :, column], forecast.upper[index, :, column]
        if len(times) == 1:
            axes.vlines(times, lower, upper, color=color, linewidth=7, zorder=1.5)
        else:
            axes.fill_between(times, lower, upper, color=color, linewidth=0, zorder=1.5)
    marker = "o" if len(times) == 1 else None
    axes.plot(times, forecast.mean[:, column], color="C0", marker=marker, markersize=4, zorder=4)


def add_legend(figure: Drawing, forecast: Forecast) -> None:
    """What line and shades mean, above the panels."""
    shades = tuple(Patch(color=color) for _, color in _shades(forecast))
    lines = [Line2D([], [], color=rcParams["text.color"], linewidth=1.0), Line2D([], [], color="C0")]
    handles: list[Any] = [*lines, shades]
    figure.legend(
        handles,
        ["data", "forecast", f"{_spoken(forecast)} intervals"],
        loc="outside upper left",
        ncols=3,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )


def name_panel(axes: Axes, name: str, *, alone: bool) -> None:
    """The column that a panel shows: beside its axis when it is the only one, above it where there are several."""
    if alone:
        axes.set_ylabel(plain(name))
    else:
        axes.set_title(plain(name))


def _shades(forecast: Forecast) -> list[tuple[int, tuple[float, float, float]]]:
    """The index of each level with its colour, widest and palest first."""
    order = np.argsort(forecast.levels)[::-1]
    weights = np.linspace(0.2, 0.55, len(order)) if len(order) > 1 else [0.35]
    return [(int(index), tint("C0", float(weight))) for index, weight in zip(order, weights, strict=True)]


def _spoken(forecast: Forecast) -> str:
    """The levels in words: `50, 80 and 95 %`."""
    *most, last = (f"{level * 100:g}" for level in sorted(forecast.levels))
    return f"{', '.join(most)} and {last} %" if most else f"{last} %"


def _mark_parts(axes: Axes, series: Series, parts: Sequence[Forecast]) -> None:
    """Say, at the top of the first panel, which part was held out and which lies ahead, where there is room."""
    low, high = axes.get_xlim()
    width = axes.get_position().width * rcParams["figure.figsize"][0]
    style = {"fontsize": rcParams["xtick.labelsize"], "color": rcParams["xtick.color"]}
    texts = ["ahead"] if len(parts) == 1 else ["held out", "ahead"]
    for part, text in zip(parts, texts, strict=True):
        start, stop = axes.convert_xunits(time_axis(series, part.times[[0, -1]]))
        if (stop - start) / (high - low) * width > _LABEL:
            offset = {"xytext": (4, -2), "textcoords": "offset points"}
            axes.annotate(text, (start, 1), xycoords=axes.get_xaxis_transform(), va="top", **style, **offset)


def _tail(series: Series, parts: Sequence[Forecast]) -> Series:
    """The last stretch of the data: some times what is forecast (less on a phone), and at least a few dozen rows."""
    forecast, held_out = sum(len(part.times) for part in parts), sum(len(part.times) for part in parts[:-1])
    wanted = held_out + (max(24, forecast) if is_narrow() else max(48, 2 * forecast))
    return series[-min(len(series), _LONGEST_TAIL, wanted) :]


def _limits(tail: Series, parts: Sequence[Forecast], column: int) -> tuple[tuple[float, float], bool]:
    """Room for data and intervals, but an exploding interval does not flatten the data.

    Returns:
        The limits of the axis, and whether an interval is cut.
    """
    seen = tail.values[tail.mask[:, column], column]
    edges = np.concatenate([np.ravel(bound[..., column]) for part in parts for bound in (part.lower, part.upper)])
    edges = edges[np.isfinite(edges)]
    everything = np.concatenate([seen, edges])
    low, high = (everything.min(), everything.max()) if everything.size else (0.0, 0.0)
    cut = False
    if seen.size and seen.max() > seen.min():
        reach = 1.5 * (seen.max() - seen.min())
        cut = bool(low < seen.min() - reach or high > seen.max() + reach)
        low, high = max(low, seen.min() - reach), min(high, seen.max() + reach)
    margin = 0.06 * (high - low) or 0.5 * max(abs(high), 1.0)
    return (float(low - margin), float(high + margin)), cut
