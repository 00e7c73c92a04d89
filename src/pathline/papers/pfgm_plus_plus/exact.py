"""What heavy tails do to the optimum: exact denoisers of a density around the digits, for every number of degrees."""

import math
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from pathline.generate import (
    EDMHeun,
    Fields,
    GaussianMixture,
    VarianceExploding,
    exact_fields,
    noise_law,
    robustness_sweep,
)
from pathline.measure import nearest_distances

PATH = VarianceExploding(sigma_min=0.01, sigma_max=40.0)
"""The levels of small images."""


@dataclass(frozen=True)
class Exact:
    """How the exact fields are tried.

    Arguments:
        bandwidth: of the kernel density around the data.
        images: at most so many of the data carry it.
        path: whose law is replaced.
        degrees: `D` of the denoisers.
        levels: what the denoisers are told.
        ratios: of the true level to the one told.
        states: noisy states for each level and ratio.
        injected_degrees: `D` of the flows into which noise is injected.
        amounts: of that noise; 0 is among them.
        steps: of the sampler.
        samples: of each flow.
    """

    bandwidth: float = 0.2
    images: int = 2000
    path: VarianceExploding = PATH
    degrees: tuple[float, ...] = (4.0, 16.0, 64.0, math.inf)
    levels: tuple[float, ...] = (0.5, 1.0)
    ratios: tuple[float, ...] = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0)
    states: int = 2000
    injected_degrees: tuple[float, ...] = (8.0, 64.0, math.inf)
    amounts: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    steps: int = 18
    samples: int = 400


Regrets = dict[tuple[float, float, float], float]
"""By degrees, level and ratio."""


def regrets(setting: Exact, data: Float[np.ndarray, "sample dim"], key: Array) -> Regrets:
    """The error of each denoiser that is told the wrong level, over that of the Gaussian one that is told the right level.

    The noise itself is Gaussian.
    """
    data = data[: setting.images]
    density = GaussianMixture.of(data, setting.bandwidth**2)
    clean_key, noise_key = jax.random.split(key)
    clean = jax.vmap(density.sample)(jax.random.split(clean_key, setting.states))
    noise = jax.random.normal(noise_key, clean.shape)
    found = {degrees: exact_fields(path_of(setting, degrees), density) for degrees in (*setting.degrees, math.inf)}
    table: Regrets = {}
    for level in setting.levels:
        for ratio in setting.ratios:
            noisy = clean + ratio * level * noise
            best = _square_errors(found[math.inf], ratio * level, noisy, clean)
            for degrees in setting.degrees:
                own = _square_errors(found[degrees], level, noisy, clean)
                table[degrees, level, ratio] = float(own.mean() / best.mean())
    return table


def path_of(setting: Exact, degrees: float) -> VarianceExploding:
    """The path with the noise of so many degrees."""
    return replace(setting.path, law=noise_law(degrees))


def injected(setting: Exact, data: Float[np.ndarray, "sample dim"], key: Array) -> dict[float, dict[float, float]]:
    """By degrees and amount of noise: the mean squared distance of a pixel from the nearest digit."""
    data = data[: setting.images]
    density = GaussianMixture.of(data, setting.bandwidth**2)
    start_key, noise_key = jax.random.split(key)
    keys = jax.random.split(start_key, setting.samples)

    def distance(samples: np.ndarray) -> float:
        return float((nearest_distances(samples, data) ** 2).mean() / data.shape[1])

    table = {}
    for degrees in setting.injected_degrees:
        path = path_of(setting, degrees)
        starts = jax.vmap(lambda key, path=path: path.start(key, data.shape[1:]))(keys)
        swept = robustness_sweep(
            exact_fields(path, density),
            starts,
            EDMHeun(setting.steps),
            distance,
            key=noise_key,
            inject=setting.amounts,
            batch_size=_BATCH,
        )
        table[degrees] = swept["inject"]
    return table


def _square_errors(
    fields: Fields, level: float, noisy: Float[Array, "state dim"], clean: Float[Array, "state dim"]
) -> Float[np.ndarray, " state"]:
    time = fields.path.time_at(-np.log(level))
    return np.asarray(((_denoised(fields, time, noisy) - clean) ** 2).mean(axis=1))


@eqx.filter_jit
def _denoised(fields: Fields, time: Array, noisy: Array) -> Array:
    return jax.lax.map(lambda x: fields.data(time, x), noisy, batch_size=_BATCH)


_BATCH = 20
"""States at once: each meets every image at every node of the integral over levels, and the caches are small."""
