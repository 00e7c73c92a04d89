"""The pictures of this reproduction."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pathline.papers.stochastic_interpolants.exact import HIGH, LOW, Divergences
from pathline.papers.stochastic_interpolants.learned import Sampled
from pathline.papers.stochastic_interpolants.restoration import Restored
from pathline.systems.fokker_planck import cell_centres


def divergence_figure(found: Divergences) -> Figure:
    """The divergence against the strength of the noise, and densities at the end."""
    figure, (left, right) = _panels(2)
    noisy = found.strengths > 0
    strengths = found.strengths[noisy]
    left.plot(strengths, found.disturbed[:, noisy].T, "o", color="C0", markersize=3.5, alpha=0.6)
    left.plot(strengths, found.disturbed[:, noisy].mean(axis=0), color="C0", label="SDE")
    left.axhline(found.disturbed[:, ~noisy].mean(), color="C1", linestyle=(0, (5, 2)), label="ODE")
    left.plot(strengths, found.bounds[:, noisy].mean(axis=0), color=rcParams["xtick.color"], linewidth=1, label="bound")
    left.set(xscale="log", yscale="log", xlabel="noise $\\epsilon$", ylabel="KL")
    left.legend()
    x = cell_centres(LOW, HIGH, len(found.target))
    right.fill_between(x, found.target, color=rcParams["grid.color"], linewidth=0, label="target")
    chosen = int(np.argmin(np.abs(found.strengths - 1.0)))
    right.plot(x, found.densities[0], color="C1", label="ODE")
    right.plot(x, found.densities[chosen], color="C0", label="SDE, $\\epsilon = 1$")
    right.set(xlabel="$x$", xlim=(-8.5, 8.5), ylim=(0, 1.25 * found.densities[[0, chosen]].max()))
    right.legend(loc="upper left")
    return figure


def learned_figure(mixture: Sampled, plane: Sampled) -> Figure:
    """Distances of learned models against the strength of the noise, with baselines and the floor: the energy distance for
    the mixtures, whose modes count, and the Wasserstein distance in the plane, where edges do."""
    figure, panels = _panels(2)
    _draw_distances(panels[0], mixture.energy, mixture.baselines, mixture.floor_energy)
    _draw_distances(panels[1], plane.transport, plane.baseline_transport, plane.floor_transport)
    panels[0].set(title="mixtures", ylabel="energy distance")
    panels[1].set(title="checkerboard", ylabel="Wasserstein distance")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2 if _narrow() else 6)
    return figure


def _draw_distances(
    axes, noisy: Mapping[float, list[float]], baselines: Mapping[str, list[float]], floor: float
) -> None:
    strengths = [eps for eps in noisy if eps > 0]
    values = np.asarray([noisy[eps] for eps in strengths])
    axes.plot(strengths, values, "o", color="C0", markersize=3.5, alpha=0.6)
    axes.plot(strengths, values.mean(axis=1), color="C0", label="SDE")
    for number, (label, seeds) in enumerate({"ODE": noisy[0.0], **baselines}.items(), start=1):
        axes.axhline(np.mean(seeds), color=f"C{number}", linestyle=(0, (5, 2)), linewidth=1.3, label=label)
    axes.axhline(floor, color=rcParams["xtick.color"], linewidth=1, linestyle=":", label="real")
    axes.set(xscale="log", xlabel="noise $\\epsilon$")


def plane_figure(target: Float[np.ndarray, "sample 2"], shown: Mapping[str, Float[np.ndarray, "sample 2"]]) -> Figure:
    """Samples of the target and of every way to make them."""
    chosen = {name: shown[name] for name in shown if name in _SHOWN}
    sets = {"target": target, **chosen}
    columns = 2 if _narrow() else 3
    rows = -(-len(sets) // columns)
    width = rcParams["figure.figsize"][0]
    figure = Figure(figsize=(width, rows * (width / columns + 0.2)), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, points) in zip(panels, sets.items(), strict=False):
        color = rcParams["text.color"] if name == "target" else "C0"
        axes.plot(points[:2000, 0], points[:2000, 1], "o", markersize=1.1, alpha=0.6, color=color, rasterized=True)
        axes.set(title=name, aspect="equal", xlim=(-5, 5), ylim=(-5, 5), xticks=[-4, 0, 4], yticks=[-4, 0, 4])
    for axes in panels[len(sets) :]:
        axes.set_visible(False)
    return figure


def smoothing_figure(found: Mapping[str, Float[np.ndarray, " time"]]) -> Figure:
    """How steep the velocity is at each time, with a latent and without."""
    width, height = rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 0.8 * height), layout="constrained")
    axes = figure.subplots()
    axes.plot(found["time"], found["latent"], label="$\\gamma^2 = 2 t (1 - t)$")
    axes.plot(found["time"], found["no latent"], label="no latent")
    axes.set(xlabel="time", ylabel="rms of $\\partial b / \\partial x$")
    axes.set_ylim(0, None)
    axes.legend()
    return figure


def restoration_figure(restored: Restored) -> Figure:
    """Coarse images and what became of them."""
    shown = restored.shown[: 4 if _narrow() else 5]
    titles = ["coarse", "real", "ODE", *[""] * (shown.shape[1] - 3)]
    titles[3 + (shown.shape[1] - 3) // 2] = "SDE"
    width = rcParams["figure.figsize"][0]
    side = width / shown.shape[1]
    figure = Figure(figsize=(width, side * len(shown) + 0.4), layout="constrained")
    panels = figure.subplots(*shown.shape[:2], squeeze=False)
    shades = LinearSegmentedColormap.from_list("ink", [rcParams["figure.facecolor"], rcParams["text.color"]])
    for row, images in zip(panels, shown, strict=True):
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image, cmap=shades, vmin=-1, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title)
    return figure


_SHOWN = ("ODE", "eps = 1", "flow matching", "diffusion, ODE", "diffusion, SDE")


def _narrow() -> bool:
    return rcParams["figure.figsize"][0] < 6


def _panels(count: int):
    """A row of panels, or a column where there is little room."""
    width, height = rcParams["figure.figsize"]
    rows, columns = (count, 1) if _narrow() else (1, count)
    figure = Figure(figsize=(width, 0.85 * height * (1 if rows == 1 else 0.85 * rows)), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()
