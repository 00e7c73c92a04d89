"""PFGM++: data as charges in `D` extra dimensions, or diffusion with heavy-tailed noise."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float

from pathline.data import builtin_samples, read_samples
from pathline.errors import InputError
from pathline.generate import VarianceExploding
from pathline.nets import PatchTransformer, ResidualMLP
from pathline.papers.paper import Claim, Measured, Outcome, Paper, Preset
from pathline.papers.pfgm_plus_plus import exact, learned
from pathline.papers.pfgm_plus_plus.exact import Exact, Regrets
from pathline.papers.pfgm_plus_plus.figures import (
    injection_figure,
    learned_figure,
    lines_figure,
    norms_figure,
    regret_figure,
    samples_figure,
)
from pathline.papers.pfgm_plus_plus.learned import Setup, Trained

DIGITS = Setup(network=lambda key: ResidualMLP((1, 8, 8), 192, 1, key=key))
SMOKE_DIGITS = replace(
    DIGITS,
    degrees=(128.0, math.inf),
    steps=2,
    seeds=2,
    samples=24,
    sampler_steps=3,
    fewer=(2, 3),
    amounts=(0.0, 0.2),
    bits=(8,),
)
SMOKE_EXACT = Exact(
    images=100,
    degrees=(16.0, math.inf),
    levels=(1.0,),
    ratios=(1.0, 2.0),
    states=20,
    injected_degrees=(8.0, math.inf),
    amounts=(0.0, 0.2),
    steps=4,
    samples=20,
)

# The published scale, with a transformer in the place of the convolutional networks.
IMAGES = Setup(
    network=lambda key: PatchTransformer((3, 32, 32), 2, 384, 12, key=key),
    path=VarianceExploding(sigma_min=0.002, sigma_max=80.0),
    data_scale=0.5,
    mean=-1.2,
    deviation=1.2,
    degrees=(64.0, 128.0, 2048.0, math.inf),
    jitter=128.0,
    steps=390_000,
    batch_size=512,
    rate=2e-4,
    ema=0.9999,
    seeds=1,
    samples=50_000,
)


def reproduce(preset: Preset, key: Array, run: Path | None, data: Path | None) -> Outcome:
    """Exact fields first, then trained models, with every number of degrees."""
    regret_key, injection_key, training_key = jax.random.split(key, 3)
    setup, setting = {
        "smoke": (SMOKE_DIGITS, SMOKE_EXACT),
        "laptop": (DIGITS, Exact()),
        "paper": (IMAGES, Exact()),
    }[preset]
    images = _images(data) if preset == "paper" else builtin_samples("digits").values
    images = (2 * images - 1).astype(np.float32)
    flat = images.reshape(len(images), -1)
    regrets = exact.regrets(setting, flat, regret_key)
    injected = exact.injected(setting, flat, injection_key)
    trained = learned.compare(setup, images, training_key)
    shown = {name: one for name, one in trained.items() if name != learned.name_of(setup.limit)}
    figures = {
        "regret": partial(regret_figure, regrets, max(setting.levels)),
        "injection": partial(injection_figure, injected),
        "learned": partial(learned_figure, shown),
        "samples": partial(samples_figure, shown, images.shape[1:]),
        "norms": partial(norms_figure, flat.shape[1], (4.0, 16.0, 128.0, math.inf)),
        "lines": lines_figure,
    }
    measured = {**_of_regrets(regrets), **_of_injection(injected), **_of_trained(setup, trained)}
    return Outcome(measured, figures, CAPTIONS, seeds=tuple(range(setup.seeds)), notes=NOTES)


def _images(data: Path | None) -> Float[np.ndarray, "sample *shape"]:
    if data is None:
        raise InputError(
            "The paper preset of pfgm-plus-plus needs --data FOLDER, a folder of CIFAR-10's training images or an NPZ file "
            "of them."
        )
    found = read_samples(data)
    if found.shape != (3, 32, 32):
        raise InputError(
            f"{data} holds samples of the shape {found.shape}; pfgm-plus-plus takes images of (3, 32, 32)."
        )
    return found.values


def _of_regrets(found: Regrets) -> dict[str, Measured]:
    table: dict[str, Measured] = {
        f"regret {learned.name_of(degrees)} sigma={level:g} kappa={ratio:g}": value
        for (degrees, level, ratio), value in found.items()
    }
    at_worst = {degrees: value for (degrees, level, ratio), value in found.items() if (level, ratio) == (1.0, 2.0)}
    in_order = [at_worst[degrees] for degrees in sorted(at_worst)]
    table["excess regret D=16 / D=inf"] = (at_worst[16.0] - 1) / (at_worst[math.inf] - 1)
    table["least growth of regret with D"] = float(np.diff(in_order).min())
    table["largest regret at the right level"] = max(value for (_, _, ratio), value in found.items() if ratio == 1.0)
    return table


def _of_injection(found: Mapping[float, Mapping[float, float]]) -> dict[str, Measured]:
    gained = {degrees: row[0.2] - row[0.0] for degrees, row in found.items()}
    table: dict[str, Measured] = {
        f"squared distance {learned.name_of(degrees)} alpha={amount:g}": value
        for degrees, row in found.items()
        for amount, value in row.items()
    }
    for degrees, value in gained.items():
        table[f"distance gained {learned.name_of(degrees)}"] = value
    table["distance gained D=8 / D=inf"] = gained[8.0] / gained[math.inf]
    return table


def _of_trained(setup: Setup, found: Mapping[str, Trained]) -> dict[str, Measured]:
    table: dict[str, Measured] = {}
    for name, one in found.items():
        table[f"loss {name}"] = one.final_loss
        table[f"precision {name}"], table[f"recall {name}"] = one.precision, one.recall
        for way, row in one.swept.items():
            for value, distances in row.items():
                table[f"FD {name} {_SYMBOLS[way]}={value:g}"] = distances
    plain, limit = found[learned.name_of(math.inf)], found[learned.name_of(setup.limit)]
    mean = {name: float(np.mean(one.distance)) for name, one in found.items()}
    for name in found:
        table[f"FD {name} / D=inf"] = mean[name] / mean[learned.name_of(math.inf)]
    losses = np.asarray(limit.final_loss) / np.asarray(plain.final_loss)
    table["loss D=1e6 against D=inf"] = float(np.abs(losses - 1).max())
    apart = np.abs(np.asarray(limit.distance) - np.asarray(plain.distance)).mean()
    # With one seed there is no noise between seeds to compare with: the distance itself takes its place.
    noise = np.std(plain.distance, ddof=1) if setup.seeds > 1 else plain.distance[0]
    table["FD D=1e6 against D=inf / seed noise"] = float(apart / noise)
    return table


_SYMBOLS = {"inject": "alpha", "steps": "n", "bits": "bits"}

CAPTIONS = {
    "regret": "Exact denoisers of the digits' density that are told one noise level while the noise has another: their error "
    "over that of the Gaussian denoiser that is told the truth. Few degrees infer the level from the state.",
    "injection": "Noise injected before every step of the sampler, with exact fields: what the mean squared distance of a "
    "pixel from the nearest digit gains.",
    "learned": "Networks after equal training under three disturbances of the sampler: the mean over seeds and their range. "
    "The jittered baseline has norms as spread as those of D = 16, without heavy tails.",
    "samples": "Samples of the first seed. All rows start from the same directions of noise.",
    "norms": "The norm of the noise in 64 dimensions: a wide shell for few degrees, a thin one for Gaussian noise.",
    "lines": "Field lines to four charges in the plane (large dots), from circles within which 20, 50 and 80 % of the noise lie at "
    "sigma = 2: D = 1 is the Poisson flow, D = infinity the probability flow of a diffusion.",
}

NOTES = (
    "The exact part uses a kernel density of bandwidth 0.2 around all digits; the mean under Student's law is an integral over "
    "Gaussian levels, done to four digits. All models share keys, so that they see the same images and directions of noise, and "
    "starts too. In 64 dimensions D = 16 and 128 stand to N as D = 768 and 6144 do for images of 32 x 32 pixels in colour. "
    "The network is a residual perceptron of width 192. Settings were chosen on other seeds. What trained models lose to injected "
    "noise is reported and not judged: D = 16 loses less than the diffusion, and so does Gaussian noise whose level is jittered as "
    "widely, so that a wide shell of norms and not the tail helps here. Fewer steps and rounded weights put the values of D in no "
    "order beyond the noise between seeds."
)

PAPER = Paper(
    slug="pfgm-plus-plus",
    title="PFGM++: Unlocking the Potential of Physics-Inspired Generative Models",
    authors=("Yilun Xu", "Ziming Liu", "Yonglong Tian", "Shangyuan Tong", "Max Tegmark", "Tommi Jaakkola"),
    year=2023,
    venue="Proceedings of the 40th International Conference on Machine Learning, PMLR 202",
    arxiv="2302.04265",
    verb="generate",
    summary="Data are charges on a plane in N + D dimensions, and samples follow their field lines. D = 1 is the Poisson flow, D = "
    "infinity a diffusion; in between it is a diffusion with heavy-tailed noise, which forgives errors on the way.",
    claims=(
        Claim(
            "wrong-noise-level",
            "An exact denoiser that is told half the true noise level (sigma = 1) loses at D = 16 at most half of what the "
            "Gaussian one loses.",
            "excess regret D=16 / D=inf",
            "<=",
            0.5,
            "smaller D is more robust, sections 5 and 6; no figure for exact fields",
        ),
        Claim(
            "wrong-noise-level-in-order",
            "There, what is lost grows with D: 4, 16, 64, infinity.",
            "least growth of regret with D",
            ">=",
            0.0,
            "smaller D is more robust, sections 5 and 6",
        ),
        Claim(
            "right-noise-level",
            "With the right noise level no denoiser with D of at least 4 errs by more than 2 % above the least possible.",
            "largest regret at the right level",
            "<=",
            1.02,
            "rigidity is a price in learning; no figure",
        ),
        Claim(
            "injected-noise",
            "With noise of 0.2 sigma injected before every step, samples of the exact field at D = 8 move away from the data "
            "at most 0.6 times as far as at D = infinity.",
            "distance gained D=8 / D=inf",
            "<=",
            0.6,
            "the FID of D = infinity degrades fastest, section 6 (figure only)",
        ),
        Claim(
            "undisturbed",
            "After equal training the Frechet distance at D = 128 is at most 1.1 times that of the diffusion.",
            "FD D=128 / D=inf",
            "<=",
            1.1,
            "CIFAR-10, FID: 1.92 at D = 128 and 1.91 at D = 2048, against 1.98 (table 1)",
        ),
        Claim(
            "limit-of-many-degrees-loss",
            "With equal keys, the losses at D = 1e6 and D = infinity agree within 1 %.",
            "loss D=1e6 against D=inf",
            "<=",
            0.01,
            "the objective becomes that of denoising score matching, section 4",
        ),
        Claim(
            "limit-of-many-degrees-samples",
            "With equal keys, the Frechet distances at D = 1e6 and D = infinity agree within the noise between seeds.",
            "FD D=1e6 against D=inf / seed noise",
            "<=",
            1.0,
            "the flow becomes the probability flow, section 4",
        ),
    ),
    reproduce=reproduce,
    pieces=(
        "pathline.generate.StudentT",
        "pathline.generate.empirical_fields",
        "pathline.generate.exact_fields",
        "pathline.generate.robustness_sweep",
        "pathline.generate.quantise",
        "pathline.generate.EDMHeun",
    ),
)
