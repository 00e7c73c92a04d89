"""The pictures of this reproduction."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pathline.generate import ModelStatistics
from pathline.papers.dpm_solver_v3.comparison import Compared, curves

_SHOWN = ("DDIM", "DPM-Solver++ 2M", "DPM-Solver++ 3M", "UniPC-2 B2", "UniPC-3 B2", "v3")


def error_figure(found: Mapping[str, Compared], evaluations: Sequence[int]) -> Figure:
    """Error against evaluations, for each model: the mean over seeds, each sampler with its better grid."""
    width, height = rcParams["figure.figsize"]
    rows = 2 if width < 6 else 1
    figure = Figure(figsize=(width, height * (1.6 if rows == 2 else 1.0)), layout="constrained")
    panels = figure.subplots(rows, 2 // rows, squeeze=False).ravel()
    for axes, (title, compared) in zip(panels, found.items(), strict=True):
        for number, name in enumerate(_SHOWN):
            style = {"linewidth": 2.6, "zorder": 4} if name == "v3" else {"linewidth": 1.3}
            axes.loglog(
                evaluations,
                compared.errors[name].mean(axis=0),
                "o-",
                color=f"C{number}",
                label=name,
                markersize=3.5,
                **style,
            )
        axes.set_title(title)
        axes.set_xlabel("evaluations of the model")
        axes.set_xticks(evaluations, [str(one) for one in evaluations])
        axes.minorticks_off()
    for axes in panels[:: 2 // rows]:
        axes.set_ylabel("error against the solution")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2 if rows == 2 else 3)
    return figure


def curves_figure(statistics: Mapping[str, ModelStatistics]) -> Figure:
    """The three curves, averaged over the entries for the picture only."""
    width, height = rcParams["figure.figsize"]
    rows = 3 if width < 6 else 1
    figure = Figure(figsize=(width, height * (1.7 if rows == 3 else 0.8)), layout="constrained")
    panels = figure.subplots(rows, 3 // rows, sharex=True, squeeze=False).ravel()
    for number, (name, one) in enumerate(statistics.items()):
        levels, means = curves(one)
        for axes, (letter, mean) in zip(panels, means.items(), strict=True):
            axes.plot(levels, mean, color=f"C{number}", label=name)
            axes.set_title(f"${letter}$")
    for axes in panels[-(3 // rows) :]:
        axes.set_xlabel(r"$\lambda$")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def samples_figure(compared: Compared, kept: Bool[np.ndarray, " pixel"], shape: tuple[int, ...], budget: int) -> Figure:
    """The same noise by different samplers with few evaluations, and where the solution goes."""
    width, _ = rcParams["figure.figsize"]
    names = {"solution": "solution", "v3": f"v3, {budget}"}
    names |= {
        name: f"{name.replace('DPM-Solver', 'DPM')}, {budget}" for name in ("UniPC-3 B2", "DPM-Solver++ 2M", "DDIM")
    }
    figure = Figure(figsize=(width, width * 0.72), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False).ravel()
    ink = LinearSegmentedColormap.from_list("ink", [rcParams["axes.facecolor"], rcParams["text.color"]])
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        strip = np.concatenate([_image(one, kept, shape) for one in compared.images[name]], axis=1)
        axes.imshow(strip, cmap=ink, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(label, fontsize=8, fontweight="normal", pad=2)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def _image(
    entries: Float[np.ndarray, " entry"], kept: Bool[np.ndarray, " pixel"], shape: tuple[int, ...]
) -> Float[np.ndarray, "height width"]:
    """The first channel, with a blank column as a seam."""
    pixels = np.full(len(kept), -1.0)
    pixels[kept] = entries
    return np.pad(pixels.reshape(shape)[0], ((0, 0), (0, 1)), constant_values=-1.0)
