"""The pictures of this reproduction."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from pathline.papers.rectified_flow.domains import Domains
from pathline.papers.rectified_flow.images import Seed as ImageSeed
from pathline.papers.rectified_flow.planar import Seed

_PANELS = {
    "1-RF": "Rectified flow",
    "2-RF": "after reflow",
    "3-RF": "after another",
    "VP": "a curved path",
}
_FLOWS = ("1-RF", "2-RF", "3-RF", "VP", "2-VP")


def rounds_figure(seed: Seed) -> Figure:
    """Trajectories of each round, over the segments from start to end."""
    width = rcParams["figure.figsize"][0]
    columns = 2 if width < 6 else 4
    figure = Figure(figsize=(width, width * (4 // columns) / columns + 0.3 * (4 // columns)), layout="constrained")
    panels = figure.subplots(4 // columns, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, title) in zip(panels, _PANELS.items(), strict=True):
        axes.plot(*seed.target[::4].T, ".", color="C1", markersize=1.5, alpha=0.6, rasterized=True)
        axes.plot(*seed.starts[::4].T, ".", color=rcParams["xtick.color"], markersize=1.5, alpha=0.6, rasterized=True)
        for path in seed.flows[name].paths:
            axes.plot(*path[[0, -1]].T, color=rcParams["xtick.color"], linewidth=0.5, linestyle=(0, (3, 2)))
            axes.plot(*path.T, color="C0", linewidth=0.8)
        axes.set_title(title)
        _bare(axes)
    return figure


def steps_figure(seeds: Sequence[Seed]) -> Figure:
    """The distance to the target against the number of Euler's steps."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    counts = list(seeds[0].flows["1-RF"].wasserstein)
    places = np.arange(len(counts) + 1)
    for number, name in enumerate(_FLOWS):
        values = np.asarray(
            [[*one.flows[name].wasserstein.values(), one.flows[name].solved] for one in seeds], dtype=float
        )
        axes.plot(places, values.mean(axis=0), "-", color=f"C{number}", label=name)
        axes.plot(places, values.T, "o", color=f"C{number}", markersize=3, alpha=0.7)
    for number, name in enumerate(("1-RF", "2-RF", "VP")):
        values = [one.distilled[name] for one in seeds]
        colour = f"C{_FLOWS.index(name)}"
        label = "distilled, one step" if number == 0 else None
        axes.plot([-0.18 + 0.06 * number] * len(values), values, "D", color=colour, markersize=4, label=label)
    floor = float(np.mean([one.floor for one in seeds]))
    axes.axhline(floor, color=rcParams["xtick.color"], linewidth=0.8, linestyle=(0, (4, 3)))
    axes.text(places[-1], floor * 1.1, "two samples of the target", ha="right", va="bottom", fontsize=8)
    axes.set_yscale("log")
    axes.set_xticks(places, [*map(str, counts), "adaptive"])
    axes.set_xlabel("steps of Euler's method")
    axes.set_ylabel("squared Wasserstein distance")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def images_figure(seeds: Sequence[ImageSeed]) -> Figure:
    """The Fréchet distance of images against the number of steps."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    counts = [count for count in seeds[0].distance["1-RF"] if count]
    places = np.arange(len(counts) + 1)
    for number, name in enumerate(("1-RF", "2-RF")):
        values = np.asarray([[one.distance[name][count] for count in (*counts, 0)] for one in seeds])
        axes.plot(places, values.mean(axis=0), "-", color=f"C{number}", label=name)
        axes.plot(places, values.T, "o", color=f"C{number}", markersize=3, alpha=0.7)
        distilled = [one.distance[f"distilled {name}"][1] for one in seeds]
        axes.plot([-0.12] * len(seeds), distilled, "D", color=f"C{number}", markersize=4, label=f"{name}, distilled")
    floor = float(np.mean([one.floor for one in seeds]))
    axes.axhline(floor, color=rcParams["xtick.color"], linewidth=0.8, linestyle=(0, (4, 3)))
    axes.text(places[-1], floor * 1.06, "resampled data", ha="right", va="bottom", fontsize=8)
    axes.set_yscale("log")
    axes.set_xticks(places, [*map(str, counts), "adaptive"])
    axes.set_xlabel("steps of Euler's method")
    axes.set_ylabel("Fréchet distance (20 components)")
    axes.legend()
    return figure


def samples_figure(seed: ImageSeed) -> Figure:
    """Images of the same noise by every model."""
    width = rcParams["figure.figsize"][0]
    names = {
        "1-RF, solved": "1-RF, adaptive",
        "1-RF": "1-RF, one step",
        "2-RF": "2-RF, one step",
        "distilled 1-RF": "1-RF, distilled",
        "distilled 2-RF": "2-RF, distilled",
    }
    shown = 6 if width < 6 else 10
    # The labels take 1.2 inches beside the strips; an image and its margin are 9 by 8 pixels for digits.
    row = (width - 1.2) / shown * 8 / 9 + 0.05
    figure = Figure(figsize=(width, row * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False).ravel()
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        axes.imshow(_strip(seed.images[name][:shown]), cmap="gray", vmin=-1, vmax=1)
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
        _bare(axes)
    return figure


def domains_figure(found: Domains) -> Figure:
    """Both directions of the transfer, coloured by where a point was sent from."""
    width = rcParams["figure.figsize"][0]
    columns = 2 if width < 6 else 4
    figure = Figure(figsize=(width, width * (4 // columns) / columns + 0.3 * (4 // columns)), layout="constrained")
    panels = figure.subplots(4 // columns, columns, sharex=True, sharey=True, squeeze=False).ravel()
    sent, met = (np.arctan2(points[:, 1], points[:, 0]) for points in (found.moons, found.ring))
    drawn: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "Moons": (found.moons, sent),
        "become a ring": (found.as_ring, sent),
        "A ring": (found.ring, met),
        "becomes moons": (found.as_moons, met),
    }
    for axes, (title, (points, angle)) in zip(panels, drawn.items(), strict=True):
        axes.scatter(*points.T, c=_hues(angle), s=2, linewidths=0, rasterized=True)
        axes.set_title(title)
        _bare(axes)
    return figure


def _hues(angle: np.ndarray) -> np.ndarray:
    """Colours around the circle, of a strength that is seen on light and dark alike."""
    hue = (angle / (2 * np.pi)) % 1.0
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.75), np.full_like(hue, 0.85)], axis=1))


def _bare(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _strip(images: np.ndarray) -> np.ndarray:
    """Images side by side; the first channels of colour images as one grey level."""
    flat = np.asarray(images, float)
    flat = flat.reshape(len(flat), -1, *flat.shape[-2:]).mean(axis=1)
    padded = np.pad(flat, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    return np.concatenate(list(padded), axis=1)
