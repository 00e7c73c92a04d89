"""The pictures of this reproduction."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy import stats

from pathline.generate.crossing import CrossingNoise
from pathline.papers.improved_rectified_flows.measuring import SAMPLERS, TIMES, Student

_TITLES = {"1": "1 evaluation", "2": "2 evaluations", "4": "4 evaluations", "4 anchored": "4, anchored"}


def distance_figure(students: Mapping[str, Sequence[Student]]) -> Figure:
    """Fréchet distances of every recipe: a dot for each seed, a bar at their mean."""
    width, height = rcParams["figure.figsize"]
    columns = 2 if width < 6 else len(SAMPLERS)
    rows = len(SAMPLERS) // columns
    figure = Figure(figsize=(width, height * 1.15 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    names = list(students)
    for axes, sampler in zip(panels, SAMPLERS, strict=True):
        for row, name in enumerate(names):
            if name == "distilled" and sampler != "1":
                # A map of one step is no flow: at other times its velocity means nothing.
                continue
            values = np.asarray([one.components[sampler] for one in students[name]])
            color = f"C{_family(name)}"
            axes.plot(values, np.full(len(values), row), "o", color=color, markersize=4, alpha=0.75)
            axes.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.4)
        axes.set_title(_TITLES[sampler])
        axes.set_xscale("log")
        _label_plainly(axes.xaxis, (1.0, 3.0))
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("Fréchet distance", fontsize=rcParams["axes.labelsize"])
    return figure


def images_figure(
    students: Mapping[str, Sequence[Student]], teacher: np.ndarray, names: Sequence[str], count: int = 10
) -> Figure:
    """One evaluation of the first seed's students on the same noise, under what the teacher makes of it."""
    width, _ = rcParams["figure.figsize"]
    count = min(count if width >= 6 else 7, len(teacher))
    shown = {"teacher": teacher, **{name: students[name][0].images["1"] for name in names}}
    figure = Figure(figsize=(width, 0.9 * width * len(shown) / (count + 1.8)), layout="constrained")
    grid = figure.subplots(len(shown), count, squeeze=False)
    for row, (name, images) in zip(grid, shown.items(), strict=True):
        for axes, image in zip(row, images, strict=False):
            picture = np.clip((np.moveaxis(image, 0, -1) + 1) / 2, 0, 1)
            axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def loss_figure(losses: Mapping[str, np.ndarray]) -> Figure:
    """The error of the velocity along the path."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    for name, values in losses.items():
        axes.plot(TIMES, values, label=name, color=f"C{_family(name)}")
    axes.set(xlabel="time, from noise to data", ylabel="squared error of the velocity", yscale="log")
    _label_plainly(axes.yaxis, (1.0, 2.0, 5.0))
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def crossing_figure(crossing: CrossingNoise) -> Figure:
    """How long noise would have to be for segments to cross, against how long it is."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    size, found = crossing.noise[0].size, crossing.square_norms()
    edges = np.linspace(0.0, np.quantile(found, 0.999), 60)
    axes.hist(found / size, edges / size, density=True, color="C0", alpha=0.7, label="needed to cross")
    points = np.linspace(0.0, edges[-1], 400)
    axes.plot(points / size, size * stats.chi2.pdf(points, size), color="C1", label="Gaussian noise")
    axes.set(xlabel="squared norm of the noise / dimension", ylabel="density")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _label_plainly(axis: Axis, multiples: Sequence[float]) -> None:
    """Numbers in place of powers on a logarithmic axis, at these multiples of each power of ten."""
    axis.set_major_locator(LogLocator(subs=multiples))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _family(name: str) -> int:
    """One colour for each question: the first flow, the square, the robust losses, what is done otherwise."""
    if name == "1-RF":
        return 3
    if name in ("distilled", "two rounds"):
        return 2
    return 0 if name.endswith("l2") else 1
