"""The pictures of this reproduction."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from pathline.papers.opening_the_blackbox.classification import Trained
from pathline.papers.opening_the_blackbox.spiral import TIMES, Fit, Moments

_PANELS = {
    "nfe": ("evaluations", 1.0),
    "prediction_seconds": ("prediction (ms)", 1e3),
    "training_seconds": ("training step (ms)", 1e3),
    "accuracy": ("accuracy (%)", 100.0),
}


def cost_figure(trained: Mapping[str, Sequence[Trained]]) -> Figure:
    """What each method costs and how accurate it is: a dot for each seed, a bar at their mean."""
    width, height = rcParams["figure.figsize"]
    columns = 2 if width < 6 else 4
    figure = Figure(figsize=(width, 0.75 * height * (4 // columns) ** 0.5), layout="constrained")
    panels = figure.subplots(4 // columns, columns, sharey=True, squeeze=False).ravel()
    names = list(trained)
    for axes, (field, (label, factor)) in zip(panels, _PANELS.items(), strict=True):
        for row, name in enumerate(names):
            values = factor * np.asarray([getattr(one, field) for one in trained[name]])
            axes.plot(values, np.full(len(values), row), "o", color=f"C{row}", markersize=4, alpha=0.75)
            axes.plot([values.mean()] * 2, [row - 0.28, row + 0.28], color=f"C{row}", linewidth=2.4)
            if row == 0:
                axes.axvline(values.mean(), color=rcParams["xtick.color"], linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def training_figure(trained: Mapping[str, Sequence[Trained]]) -> Figure:
    """How the number of evaluations grows while the models learn: the mean over seeds."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(trained.items()):
        history = np.mean([one.nfe_history for one in seeds], axis=0)
        # Counts are few whole numbers, so lines lie on one another: those drawn first are wide, the last is dashed.
        style = {"linewidth": 3.2 if number < 2 else 1.1, "linestyle": (0, (4, 2)) if number == 4 else "-"}
        axes.plot(np.arange(1, len(history) + 1), history, label=name, **style)
    axes.set(xlabel="update", ylabel="evaluations of the field")
    axes.set_ylim(0, None)
    figure.legend(loc="outside upper left", ncols=3 if rcParams["figure.figsize"][0] < 6 else 5)
    return figure


def spiral_figure(data: Moments, found: Mapping[str, Fit]) -> Figure:
    """Mean and standard deviation of the stochastic spiral over time, of the data and of the first seed's models."""
    width, height = rcParams["figure.figsize"]
    rows = 2 if width < 6 else 1
    figure = Figure(figsize=(width, height * (1.3 if rows == 2 else 0.9)), layout="constrained")
    panels = figure.subplots(rows, 2 // rows, sharex=True, squeeze=False).ravel()
    for component, axes in enumerate(panels):
        _draw_moments(axes, data, component, "data", rcParams["text.color"], filled=True)
        for number, (name, fitted) in enumerate(found.items()):
            first = Moments(fitted.moments.mean[0], fitted.moments.variance[0])
            _draw_moments(axes, first, component, name, f"C{number}", filled=False)
        axes.set_title(f"$u_{component + 1}$")
    for axes in panels[-(2 // rows) :]:
        axes.set_xlabel("time")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


def _draw_moments(axes, moments: Moments, component: int, label: str, color: str, *, filled: bool) -> None:
    mean = np.asarray(moments.mean)[:, component]
    deviation = np.sqrt(np.asarray(moments.variance)[:, component])
    axes.plot(TIMES, mean, color=color, label=label, zorder=3)
    if filled:
        axes.fill_between(TIMES, mean - deviation, mean + deviation, color=rcParams["grid.color"], linewidth=0)
    else:
        for edge in (mean - deviation, mean + deviation):
            axes.plot(TIMES, edge, color=color, linewidth=0.9, linestyle=(0, (4, 2)), zorder=3)
