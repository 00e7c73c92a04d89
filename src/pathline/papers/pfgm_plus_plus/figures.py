"""The pictures of this reproduction."""

import math
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float
from matplotlib import rcParams
from matplotlib.figure import Figure
from scipy.special import expit

from pathline.generate import EDMHeun, VarianceExploding, empirical_fields, noise_law, trajectories
from pathline.papers.pfgm_plus_plus.exact import Regrets
from pathline.papers.pfgm_plus_plus.learned import Trained

_WAYS = {"inject": "injected noise", "steps": "steps of the sampler", "bits": "bits of a weight"}
_SHARES = np.asarray([0.2, 0.5, 0.8])
_CHARGES = np.asarray([[-1.0, -0.6], [-0.3, 0.8], [0.4, -0.2], [1.1, 0.5]])


def regret_figure(found: Regrets, level: float) -> Figure:
    """The error of exact denoisers over the best one's, against the true noise level over the one told."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    for degrees in dict.fromkeys(degrees for degrees, _, _ in found):
        rows = [(ratio, value) for (one, at, ratio), value in found.items() if one == degrees and at == level]
        axes.plot(*zip(*rows, strict=True), "o-", markersize=4, label=label_of(degrees))
    axes.axvline(1.0, color=rcParams["xtick.color"], linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set(xlabel="true noise level over the level told", ylabel="error over the least possible")
    axes.legend(loc="upper center")
    return figure


def injection_figure(found: Mapping[float, Mapping[float, float]]) -> Figure:
    """With exact fields: how far samples end from the nearest digit, against the noise injected on the way."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    for degrees, row in found.items():
        axes.plot(list(row), [value - row[0.0] for value in row.values()], "o-", markersize=4, label=label_of(degrees))
    axes.set(xlabel="injected noise (of the noise level)", ylabel="squared distance to data, gained")
    axes.legend()
    return figure


def learned_figure(found: Mapping[str, Trained]) -> Figure:
    """The Frechet distance of trained models under the three disturbances: means over seeds, and their range."""
    width, height = rcParams["figure.figsize"]
    narrow = width < 6
    figure = Figure(figsize=(width, height * (2.2 if narrow else 0.9)), layout="constrained")
    panels = figure.subplots(3, 1) if narrow else figure.subplots(1, 3)
    for (way, label), axes in zip(_WAYS.items(), panels, strict=True):
        for number, (name, trained) in enumerate(found.items()):
            places = list(trained.swept[way])
            values = np.asarray(list(trained.swept[way].values()))
            style = {"color": f"C{number}", "linestyle": (0, (4, 2)) if name == "jitter" else "-"}
            axes.plot(places, values.mean(axis=1), "o", markersize=4, label=_shown(name), **style)
            axes.fill_between(
                places, values.min(axis=1), values.max(axis=1), color=f"C{number}", alpha=0.2, linewidth=0
            )
        axes.set_xlabel(label)
        axes.set_yscale("log")
        if way != "inject":
            axes.set_xticks(list(next(iter(found.values())).swept[way]))
    panels[0].set_ylabel("Frechet distance")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2 if narrow else 4)
    return figure


def norms_figure(size: int, degrees: tuple[float, ...]) -> Figure:
    """The density of the norm of the noise, in units of that of Gaussian noise."""
    figure = Figure(figsize=rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    # Close to 0 and 1 as well, where the norm moves fast.
    shares = expit(np.linspace(-9.0, 9.0, 400))
    for one in degrees:
        norms = np.asarray(noise_law(one).norm_quantile(shares, size)) / math.sqrt(size)
        # The density is the slope of the share in the norm.
        axes.plot(norms, np.gradient(shares, norms), label=label_of(one))
    axes.set(xlabel=r"$|n| \,/\, \sigma\sqrt{N}$", ylabel="density", xlim=(0.4, 2.2))
    axes.legend()
    return figure


def lines_figure(degrees: tuple[float, ...] = (1.0, 8.0, math.inf), count: int = 12) -> Figure:
    """Field lines to four charges in the plane, from circles that hold equal shares of each law's noise."""
    width, _ = rcParams["figure.figsize"]
    narrow = width < 6
    figure = Figure(figsize=(width, 2.9 * width if narrow else 0.42 * width), layout="constrained")
    panels = figure.subplots(*((len(degrees), 1) if narrow else (1, len(degrees))), sharex=True, sharey=True)
    angle = 2 * np.pi * (np.arange(count) + 0.5) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for axes, one in zip(panels, degrees, strict=True):
        law = noise_law(one)
        path = VarianceExploding(sigma_min=0.002, sigma_max=2.0, law=law)
        radii = path.sigma_max * law.norm_quantile(_SHARES, 2)
        starts = (radii[:, None, None] * circle).reshape(-1, 2)
        _, states = trajectories(empirical_fields(path, _CHARGES), jax.numpy.asarray(starts), EDMHeun(60))
        lines = np.asarray(states)[:, [*range(0, states.shape[1] - 1, 2), -1]].reshape(len(radii), count, -1, 2)
        for number, group in enumerate(lines):
            for line in group:
                axes.plot(*line.T, color=f"C{number}", linewidth=0.9)
            axes.plot(*group[:, 0].T, "o", color=f"C{number}", markersize=3)
        axes.plot(*_CHARGES.T, "o", color=rcParams["text.color"], markersize=5, zorder=3)
        axes.set(title=label_of(one), aspect="equal", xlim=(-5, 5), ylim=(-5, 5))
        axes.grid(visible=False)
    return figure


def samples_figure(found: Mapping[str, Trained], shape: tuple[int, ...]) -> Figure:
    """Samples of the first seed of each model, from the same directions of noise."""
    width, _ = rcParams["figure.figsize"]
    rows = [(name, trained.samples) for name, trained in found.items()]
    count = min(len(samples) for _, samples in rows)
    figure = Figure(figsize=(width, width * (len(rows) + 0.2) / (count + 1.6)), layout="constrained")
    panels = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, samples) in zip(panels, rows, strict=True):
        for axes, image in zip(line, samples, strict=False):
            axes.imshow(_picture(image.reshape(shape)), cmap="gray", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        line[0].set_ylabel(_shown(name), rotation=0, ha="right", va="center")
    return figure


def label_of(degrees: float) -> str:
    """`$D = 16$`, or with the sign of infinity."""
    return r"$D = \infty$" if math.isinf(degrees) else f"$D = {degrees:g}$"


def _shown(name: str) -> str:
    return label_of(float(name[2:])) if name.startswith("D=") else name


def _picture(image: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "..."]:
    """As matplotlib wants it: without the channel if there is one, with three of them last, from 0 to 1, if there are."""
    return image[0] if len(image) == 1 else np.clip(0.5 * (image + 1), 0, 1).transpose(1, 2, 0)
