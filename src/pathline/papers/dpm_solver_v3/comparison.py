"""Samplers side by side on one model: the error of each against the solution, from the same noise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.data import Samples
from pathline.generate import (
    DDIM,
    Adaptive,
    DPMSolverPP,
    DPMSolverV3,
    EDMHeun,
    Fields,
    GaussianMixture,
    Grid,
    Independent,
    Karras,
    ModelStatistics,
    Regression,
    TableSampler,
    UniformLogSNR,
    UniformTime,
    UniPC,
    VariancePreserving,
    exact_fields,
    fit_classifier_features,
    model_statistics,
    sample,
)
from pathline.measure import frechet_distance
from pathline.nets import ResidualMLP
from pathline.train import fit, pick_seed

GRIDS: dict[str, Grid] = {"even log SNR": UniformLogSNR(), "even time": UniformTime()}

BASELINES: dict[str, Callable[[int, Grid], TableSampler]] = {
    "DDIM": lambda steps, grid: DDIM(steps, grid),
    "DPM-Solver++ 2M": lambda steps, grid: DPMSolverPP(steps, grid, order=2),
    "DPM-Solver++ 3M": lambda steps, grid: DPMSolverPP(steps, grid, order=3),
    "UniPC-2 B1": lambda steps, grid: UniPC(steps, grid, order=2, variant="B1"),
    "UniPC-2 B2": lambda steps, grid: UniPC(steps, grid, order=2, variant="B2"),
    "UniPC-3 B1": lambda steps, grid: UniPC(steps, grid, order=3, variant="B1"),
    "UniPC-3 B2": lambda steps, grid: UniPC(steps, grid, order=3, variant="B2"),
}
"""One evaluation in each step, each tried with both grids."""

# A covariance matrix for each class up to so many entries, above it a variance for each entry.
_LARGEST_MATRIX = 256
_FLOOR = 0.1


@dataclass(frozen=True)
class Setup:
    """The sizes of the comparison.

    Arguments:
        evaluations: budgets that are compared.
        few: those of them that claims about few steps look at.
        middle, many: the budgets of the claims about the first order and about convergence.
        noises: starts, the same for all samplers.
        points, samples: intervals and samples of the statistics.
        width, depth, steps, batch_size: of the network and its training.
        seeds: networks, noises and statistics.
        tolerance: of the reference.
        network: trained elsewhere; trained here when absent.
    """

    evaluations: tuple[int, ...] = (5, 6, 8, 10, 12, 15, 20)
    few: tuple[int, ...] = (5, 6, 8)
    middle: int = 10
    many: int = 20
    noises: int = 512
    points: int = 240
    samples: int = 1024
    width: int = 256
    depth: int = 2
    steps: int = 4000
    batch_size: int = 256
    seeds: int = 3
    tolerance: float = 1e-6
    network: Fields | None = field(default=None)


PATH = VariancePreserving(beta_min=0.1, beta_max=20.0, end=1e-3)


@dataclass(frozen=True)
class Compared:
    """What was seen on one model.

    Arguments:
        errors: root mean square difference to the reference, by sampler, `[seed, budget]`, with the better of the grids.
        distances: Fréchet distance to held-out images in the features of a small classifier at the fewest evaluations.
        statistics: of each seed.
        images: the first images of the first seed: the reference, and by sampler at the fewest evaluations.
    """

    errors: Mapping[str, Float[np.ndarray, "seed budget"]]
    distances: Mapping[str, Float[np.ndarray, " seed"]]
    statistics: list[ModelStatistics]
    images: Mapping[str, Float[np.ndarray, "image *shape"]]


def exact_model(training: Samples) -> Fields:
    """The exact fields of a mixture of one Gaussian for each class."""
    flat = training.values.reshape(len(training), -1)
    labels = np.zeros(len(flat), int) if training.labels is None else training.labels
    parts = [flat[labels == label] for label in np.unique(labels)]
    means = np.stack([part.mean(axis=0) for part in parts])
    if flat.shape[1] <= _LARGEST_MATRIX:
        # The floor keeps directions in which a class hardly varies from being infinitely narrow.
        spreads = np.stack([np.cov(part, rowvar=False) + _FLOOR**2 * np.eye(flat.shape[1]) for part in parts])
    else:
        spreads = np.stack([part.var(axis=0) + _FLOOR**2 for part in parts])
    weights = np.asarray([len(part) for part in parts], np.float32)
    mixture = GaussianMixture.of(
        means.reshape(-1, *training.shape).astype(np.float32), spreads.astype(np.float32), weights
    )
    return exact_fields(PATH, mixture)


def trained_models(setup: Setup, training: Samples, key: Array) -> list[Fields]:
    """A network of the noise for each seed, by moving averages of the weights; or the one that was given."""
    if setup.network is not None:
        return [setup.network] * setup.seeds

    def build(key: Array) -> Fields:
        # A time embedding without high frequencies: the statistics differentiate through it.
        return Fields(PATH, ResidualMLP(training.shape, setup.width, setup.depth, key=key), "noise")

    coupling = Independent(jnp.asarray(training.values, jnp.float32))
    rate = optax.warmup_cosine_decay_schedule(0.0, 2e-3, setup.steps // 20 + 1, setup.steps + 1, 1e-5)
    fitted = fit(
        build,
        coupling.data,
        Regression(coupling),
        steps=setup.steps,
        batch_size=min(setup.batch_size, len(training)),
        optimiser=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
        ema=0.999,
        seeds=setup.seeds,
        key=key,
        name="noise prediction",
    )
    return [pick_seed(fitted.ema_model, seed) for seed in range(setup.seeds)]


def compare(setup: Setup, models: list[Fields], training: Samples, held_out: Samples, key: Array) -> Compared:
    """Every sampler on each model, from the same noise."""
    feature_key, *seed_keys = jax.random.split(key, 1 + len(models))
    features = jax.jit(jax.vmap(fit_classifier_features(training, key=feature_key)))
    real = np.asarray(features(jnp.asarray(held_out.values)))
    errors: dict[str, list[list[float]]] = {}
    distances: dict[str, list[float]] = {}
    statistics, images = [], {}
    for model, seed_key in zip(models, seed_keys, strict=True):
        statistics_key, noise_key = jax.random.split(seed_key)
        found = model_statistics(
            model, training.values[: setup.samples].astype(np.float32), key=statistics_key, points=setup.points
        )
        statistics.append(found)
        keys = jax.random.split(noise_key, setup.noises)
        starts = jax.vmap(lambda one: PATH.start(one, training.shape))(keys)
        reference = np.asarray(sample(model, starts, Adaptive(setup.tolerance)))
        seen = {"solution": reference}
        table: dict[str, list[float]] = {}
        for budget in setup.evaluations:
            for name, samplers in _samplers(found, budget).items():
                ends = [np.asarray(sample(model, starts, sampler)) for sampler in samplers]
                misses = [float(np.sqrt(np.mean((end - reference) ** 2))) for end in ends]
                table.setdefault(name, []).append(min(misses))
                if budget == min(setup.evaluations):
                    seen[name] = ends[int(np.argmin(misses))]
        for name, row in table.items():
            errors.setdefault(name, []).append(row)
        for name, ends in seen.items():
            distances.setdefault(name, []).append(frechet_distance(np.asarray(features(jnp.asarray(ends))), real))
            images.setdefault(name, ends[:8])
    return Compared(
        {name: np.asarray(rows) for name, rows in errors.items()},
        {name: np.asarray(row) for name, row in distances.items()},
        statistics,
        images,
    )


def _samplers(statistics: ModelStatistics, budget: int) -> dict[str, list[TableSampler]]:
    """By name, a sampler with so many evaluations at most, with each grid."""
    found: dict[str, list[TableSampler]] = {
        name: [build(budget, grid) for grid in GRIDS.values()] for name, build in BASELINES.items()
    }
    # Two evaluations in each step and one in the last.
    found["Heun (EDM)"] = [EDMHeun((budget + 1) // 2, grid) for grid in (Karras(), *GRIDS.values())]
    found["v3"] = [
        DPMSolverV3(statistics, budget, order=2, pseudo_corrector=True, grid=grid) for grid in GRIDS.values()
    ]
    found["v3, first order"] = [
        DPMSolverV3(statistics, budget, order=1, corrector=False, grid=grid) for grid in GRIDS.values()
    ]
    return found


def curves(statistics: ModelStatistics, moving: int = 9) -> tuple[Float[np.ndarray, " point"], dict[str, np.ndarray]]:
    """`lambda` and the mean of each curve over the entries of the state, smoothed."""
    window = np.ones(moving) / moving

    def mean(curve: np.ndarray) -> np.ndarray:
        flat = curve.reshape(len(curve), -1).mean(axis=1)
        padded = np.pad(flat, moving // 2, mode="edge")
        return np.convolve(padded, window, mode="valid")

    parts = {"l": statistics.l, "s": statistics.s, "b": statistics.b}
    return statistics.half_log_snr, {name: mean(curve) for name, curve in parts.items()}
