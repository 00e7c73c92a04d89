"""Pictures of samples: a grid of images, a scatter of points, profiles of fields, and quality against cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Drawing

from pathline.data import Samples
from pathline.report.blocks import Figure
from pathline.report.panels import is_narrow, plain

_SHOWN = 64
_DOTS = 1500


def samples_figure(generated: Samples, real: Samples | None = None, *, name: str = "samples") -> Figure:
    """Generated samples beside real ones.

    Images `[channel, height, width]` are shown as a grid, vectors as a scatter of their first two coordinates (of the
    two directions in which the real ones vary most, above three dimensions), profiles `[channel, position]` as curves.

    Arguments:
        generated: from a model.
        real: held-out samples, if there are any.
        name: of the figure's files.
    """
    sets = {"generated": generated} | ({} if real is None else {"real, held out": real})
    kind = _kind(generated.shape)

    def draw() -> Drawing:
        width, height = rcParams["figure.figsize"]
        below = is_narrow() and len(sets) > 1
        rows, columns = (len(sets), 1) if below else (1, len(sets))
        side = width / columns
        tall = {"images": side, "points": 0.92 * side, "profiles": 0.6 * side}[kind]
        figure = Drawing(figsize=(width, rows * min(tall, 1.2 * height) + 0.3), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        shared = list(sets.values())
        for axes, (title, samples) in zip(panels, sets.items(), strict=True):
            {"images": _draw_images, "points": _draw_points, "profiles": _draw_profiles}[kind](axes, samples, shared)
            axes.set_title(title)
        return figure

    what = {"images": "Images", "points": "Points", "profiles": "Profiles"}[kind]
    seen = "" if real is None else ", and real ones that the model has not seen"
    return Figure(name, f"{what} drawn from the model{seen}{_projected(generated)}.", draw)


def curve_figure(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    floor: float | None = None,
    name: str = "cost",
) -> Figure:
    """Distance to held-out samples against the number of evaluations of the model.

    Arguments:
        curves: by sampler, evaluations and distances.
        floor: the distance of real samples to the held-out ones, below which nothing can be told apart.
        name: of the figure's files.
    """

    def draw() -> Drawing:
        figure = Drawing(figsize=rcParams["figure.figsize"], layout="constrained")
        axes = figure.subplots()
        for number, (sampler, (used, distance)) in enumerate(curves.items()):
            axes.semilogx(used, distance, "o-", color=f"C{number}", label=sampler, markersize=4)
        if floor is not None:
            style = {"color": rcParams["xtick.color"], "linestyle": (0, (4, 3)), "linewidth": 1.0}
            axes.axhline(floor, label="real samples", **style)
        ticks = sorted({int(one) for used, _ in curves.values() for one in used})
        axes.set_xticks(ticks, [str(one) for one in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.set(xlabel="evaluations of the model", ylabel="sliced Wasserstein distance")
        figure.legend(loc="outside upper left", ncols=2 if is_narrow() else 4)
        return figure

    return Figure(
        name,
        "Sliced Wasserstein distance to held-out samples against the number of evaluations of the model, by sampler, from the "
        "same starts.",
        draw,
    )


def loss_figure(history: Mapping[str, np.ndarray], *, name: str = "training") -> Figure:
    """The loss of the training, as it was and smoothed.

    Arguments:
        history: from `pathline.train.read_history`, with `loss`.
        name: of the figure's files.
    """
    loss = np.asarray(history["loss"], float)
    window = max(1, len(loss) // 100)
    smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
    # A picture shows no more than a thousand points.
    every = max(1, len(loss) // 1000)

    def draw() -> Drawing:
        figure = Drawing(figsize=rcParams["figure.figsize"], layout="constrained")
        axes = figure.subplots()
        steps = np.arange(1, len(loss) + 1)
        axes.plot(steps[::every], loss[::every], color=rcParams["grid.color"], linewidth=0.8)
        axes.plot(
            steps[window - 1 :][::every], smooth[::every], color="C0", label="mean over one hundredth of the training"
        )
        axes.set(xlabel="update", ylabel="loss")
        low, high = np.quantile(loss, (0.001, 0.99))
        axes.set_ylim(min(low, 0.0) if low < 0.3 * high else low - 0.1 * (high - low), 1.2 * high)
        axes.legend(loc="upper right")
        return figure

    return Figure(
        name, "The loss of each update and its moving mean. What cannot be predicted of a pair stays in it.", draw
    )


def _kind(shape: tuple[int, ...]) -> str:
    return "points" if len(shape) == 1 else "profiles" if len(shape) == 2 else "images"


def _draw_images(axes: Axes, samples: Samples, shared: list[Samples]) -> None:
    """As many as fit into a square grid; of a volume the middle slice."""
    count = int(np.sqrt(min(len(samples), _SHOWN)))
    values = samples.values[: count**2]
    while values.ndim > 4:
        values = values[..., values.shape[-1] // 2]
    low, high = (limit([limit(one.values) for one in shared]) for limit in (np.min, np.max))
    channels = values.shape[1]
    pixels = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    pixels = pixels.transpose(0, 2, 3, 1) if channels == 3 else pixels[:, 0]
    # A seam of one pixel between the images.
    seam = [(0, 0), (0, 1), (0, 1), *(((0, 0),) if channels == 3 else ())]
    padded = np.pad(pixels, seam, constant_values=np.nan)
    tiled = padded.reshape(count, count, *padded.shape[1:]).swapaxes(1, 2)
    whole = tiled.reshape(count * padded.shape[1], count * padded.shape[2], *padded.shape[3:])[:-1, :-1]
    if channels == 3:
        axes.imshow(np.where(np.isnan(whole), 1.0, whole), interpolation="nearest")
    else:
        ink = LinearSegmentedColormap.from_list("ink", [rcParams["axes.facecolor"], rcParams["text.color"]])
        ink.set_bad(rcParams["grid.color"])
        axes.imshow(np.ma.masked_invalid(whole), cmap=ink, vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


def _draw_points(axes: Axes, samples: Samples, shared: list[Samples]) -> None:
    reference = shared[-1].values
    directions = _directions(reference)
    points = samples.values[:_DOTS] @ directions
    everything = np.concatenate([one.values[:_DOTS] @ directions for one in shared])
    if samples.labels is None:
        axes.plot(
            points[:, 0], points[:, 1] if points.shape[1] > 1 else np.zeros(len(points)), ".", markersize=3, alpha=0.6
        )
    else:
        for number, label in enumerate(np.unique(samples.labels[:_DOTS])):
            rows = samples.labels[: len(points)] == label
            style: dict[str, Any] = {
                "color": f"C{number % 6}",
                "marker": ".osv^D"[number // 6 % 6],
                "linestyle": "none",
            }
            axes.plot(
                points[rows, 0], points[rows, 1], markersize=3, alpha=0.6, label=plain(samples.classes[label]), **style
            )
        if len(samples.classes) <= 6:
            axes.legend(loc="upper right", markerscale=2)
    # The real points set the frame; a stray one of the model must not shrink it.
    low, high = np.quantile(everything, (0.002, 0.998), axis=0)
    room = 0.12 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    if points.shape[1] > 1:
        axes.set_ylim(low[1] - room[1], high[1] + room[1])
        axes.set_aspect("equal" if 0.3 < (high - low)[1] / max((high - low)[0], 1e-9) < 3 else "auto")
    names = ("first", "second") if reference.shape[1] <= 3 else ("first principal", "second principal")
    axes.set_xlabel(f"{names[0]} coordinate")
    axes.set_ylabel(f"{names[1]} coordinate" if points.shape[1] > 1 else "")


def _draw_profiles(axes: Axes, samples: Samples, shared: list[Samples]) -> None:
    for number, values in enumerate(samples.values[:12, 0]):
        axes.plot(values, color=f"C{number % 6}", linewidth=1.0, alpha=0.8)
    low, high = (limit([limit(one.values) for one in shared]) for limit in (np.min, np.max))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlabel("position")


def _directions(reference: np.ndarray) -> np.ndarray:
    """The first two coordinates, or of more than three the two directions of largest variance."""
    dim = reference.shape[1]
    if dim <= 3:
        return np.eye(dim)[:, :2]
    centred = reference - reference.mean(axis=0)
    return np.linalg.svd(centred, full_matrices=False)[2][:2].T


def _projected(samples: Samples) -> str:
    if _kind(samples.shape) != "points" or samples.shape[0] <= 3:
        return ""
    return ", along the two directions in which the real ones vary most"
