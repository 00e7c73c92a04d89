"""How good generated samples are: distances to held-out data, beside what real data would score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from pathline.data import Samples
from pathline.errors import InputError
from pathline.generate.classifier_features import fit_classifier_features
from pathline.generate.generator import Generator
from pathline.generate.named_samplers import SAMPLERS
from pathline.generate.samplers import TableSampler
from pathline.generate.straightness import nfe_curve
from pathline.measure import (
    PrincipalComponents,
    frechet_distance,
    maximum_mean_discrepancy,
    nearest_distances,
    precision_recall,
    sliced_wasserstein,
)

MOST = 1000
"""Distances compare at most so many samples with as many held-out ones."""

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class SampleEvaluation:
    """Metrics of generated samples.

    Arguments:
        generated: by metric.
        real: the same metrics of as many training samples, which are drawn from the same law as the held-out ones: the best
            that can be hoped for.
        features: in what the Fréchet distance is taken, in words.
        counts: how many samples were compared.
        copied: the share of generated samples that lie closer to a training sample than nine in ten held-out ones do;
            far above 0.1 the model has learnt samples by heart.
    """

    generated: Mapping[str, float]
    real: Mapping[str, float]
    features: str
    counts: int
    copied: float


def split_samples(samples: Samples, share: float = 0.2) -> tuple[Samples, Samples]:
    """Training and held-out samples: always the same rows of a set, in random order.

    Arguments:
        samples: the whole.
        share: held out; of at most 2000 samples.

    Raises:
        InputError: the share leaves too few on either side.
    """
    held = min(round(share * len(samples)), 2000)
    if not 0 < share < 1 or held < 8 or len(samples) - held < 16:
        raise InputError(
            f"{samples.title!r} has {len(samples)} samples; holding out {share:g} of them leaves too few on one side: at least "
            "16 to learn from and 8 to compare with are needed."
        )
    order = np.random.default_rng(0).permutation(len(samples))
    return _rows(samples, order[held:]), _rows(samples, order[:held])


def evaluate_samples(generated: Samples, held_out: Samples, training: Samples, *, key: Array) -> SampleEvaluation:
    """Compare generated samples with held-out ones.

    Arguments:
        generated: from the model.
        held_out: real samples that it has not seen.
        training: real samples that it has seen.
        key: of projections, and of the classifier whose features are used when there are labels.

    Returns:
        Sliced Wasserstein distance, maximum mean discrepancy, Fréchet distance, precision and recall, and the same for
        training samples in place of generated ones.

    Raises:
        InputError: shapes differ.
    """
    if not generated.shape == held_out.shape == training.shape:
        raise InputError(
            f"Samples of the shapes {generated.shape}, {held_out.shape} and {training.shape} cannot be compared; give one shape."
        )
    metric_key, feature_key, pick_key = jax.random.split(key, 3)
    count = min(len(generated), len(held_out), len(training), MOST)
    standard = training.values.reshape(len(training), -1)
    mean, scale = standard.mean(axis=0), max(float(standard.std(axis=0).mean()), 1e-12)

    def flat(samples: Samples, rows: slice | np.ndarray) -> np.ndarray:
        return ((samples.values[rows].reshape(-1, standard.shape[1]) - mean) / scale).astype(np.float32)

    picked = np.asarray(jax.random.permutation(pick_key, len(training)))[:count]
    first = slice(count)
    sets = {"generated": flat(generated, first), "real": flat(training, picked)}
    truth = flat(held_out, first)
    features, what = _features(training, mean, scale, feature_key)
    scores = {
        name: {
            "sliced Wasserstein": float(sliced_wasserstein(found, truth, key=metric_key)),
            "MMD": float(maximum_mean_discrepancy(found, truth)),
            "Fréchet": float(frechet_distance(features(found), features(truth))),
            **dict(zip(("precision", "recall"), precision_recall(truth, found), strict=True)),
        }
        for name, found in sets.items()
    }
    seen = flat(training, slice(None))
    near = np.asarray(nearest_distances(truth, seen))
    copied = np.asarray(nearest_distances(sets["generated"], seen)) < np.quantile(near, 0.1)
    return SampleEvaluation(scores["generated"], scores["real"], what, count, float(copied.mean()))


def evaluation_curve(
    generator: Generator,
    held_out: Samples,
    *,
    key: Array,
    samplers: Sequence[str] = ("euler", "heun", "dpm-solver++"),
    evaluations: Sequence[int] = (2, 4, 8, 16, 32),
    count: int = 500,
) -> dict[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]]:
    """Sliced Wasserstein distance to held-out samples against the number of evaluations of the model (NFE).

    Arguments:
        generator: the model.
        held_out: real samples that it has not seen.
        key: of starts and projections, the same for all samplers.
        samplers: names from `SAMPLERS`.
        evaluations: budgets; a sampler gets as many steps as fit.
        count: samples for each point.

    Returns:
        By sampler, the evaluations that were made and the distances. A sampler that does not fit the path is left out.
    """
    start_key, label_key, metric_key = jax.random.split(key, 3)
    count = min(count, len(held_out))
    starts = generator.starts(start_key, count)
    labels = None
    if generator.frequencies is not None:
        labels = jax.random.choice(label_key, len(generator.classes), (count,), p=generator.frequencies)
    truth = held_out.values[:count].reshape(count, -1)
    scale = max(float(truth.std(axis=0).mean()), 1e-12)

    def distance(states: Float[Array, "sample *shape"]) -> float:
        # A diverged sampler has no distance; clipping to the data's range must not hide that.
        if not np.isfinite(np.asarray(states)).all():
            return float("nan")
        values = generator.in_units(states).values.reshape(count, -1)
        return sliced_wasserstein(values / scale, truth / scale, key=metric_key)

    curves = {}
    for name in samplers:
        try:
            used, found = nfe_curve(
                generator.fields, starts, distance, evaluations, partial(_in_budget, name), conditions=labels
            )
        except InputError:
            # This sampler cannot run on this path.
            continue
        fine = np.isfinite(found)
        if fine.any():
            curves[name] = used[fine].astype(float), found[fine]
    return curves


def _in_budget(name: str, evaluations: int) -> TableSampler:
    """A sampler by name with as many steps as fit.

    Raises:
        InputError: its steps are not fixed.
    """
    sampler = SAMPLERS[name].with_evaluations(evaluations)
    if not isinstance(sampler, TableSampler):
        raise InputError(f"{name} chooses its own steps and has no budget; name a sampler with fixed steps.")
    return sampler


def _features(training: Samples, mean: np.ndarray, scale: float, key: Array) -> tuple[Features, str]:
    """From standardised flat samples to features: of a small classifier where there are labels, else principal components."""
    if training.labels is not None and len(training.classes) > 1:
        network = fit_classifier_features(training, key=key)
        layer = jax.jit(jax.vmap(network))
        return lambda flat: np.asarray(layer(flat * scale + mean)), "features of a small classifier of these classes"
    flat = ((training.values.reshape(len(training), -1) - mean) / scale).astype(np.float32)
    count = min(20, flat.shape[1], len(flat) - 1)
    if count == flat.shape[1]:
        return lambda flat: flat, "the coordinates themselves"
    return PrincipalComponents.of(flat, count), f"the first {count} principal components"


def _rows(samples: Samples, rows: np.ndarray) -> Samples:
    labels = None if samples.labels is None else samples.labels[rows]
    classes = None if samples.labels is None else samples.classes
    return Samples(samples.values[rows], labels, classes=classes, title=samples.title)
