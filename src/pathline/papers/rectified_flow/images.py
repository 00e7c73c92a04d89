"""Noise to images: a flow, its reflow, and maps of one step distilled from either."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.data import Samples
from pathline.generate.couplings import Independent, Paired
from pathline.generate.distillation import distill
from pathline.generate.fields import Fields, Model
from pathline.generate.objectives import Regression
from pathline.generate.paths import Linear
from pathline.generate.reflow import generate_pairs, reflow, transfer
from pathline.generate.samplers import Adaptive, Euler, sample
from pathline.generate.straightness import nfe_curve, straightness
from pathline.measure import PrincipalComponents, frechet_distance, precision_recall
from pathline.papers.rectified_flow.network import Velocity
from pathline.train import fit


def small_network(key: Array, shape: tuple[int, ...]) -> Model:
    """A perceptron, for digits of 64 pixels."""
    return Velocity(shape, 256, key=key)


@dataclass(frozen=True)
class Images:
    """How large the experiment is.

    Arguments:
        seeds: how many times it is run.
        network: from a key and the shape of an image to a model of the velocity.
        steps: updates of the first flow.
        later_steps: of the reflow, and of each distillation.
        brief_steps: of a second, brief distillation of both flows.
        batch_size: images or pairs in each batch.
        learning_rate: of Adam, with a cosine to zero.
        ema: decay of the moving average of the weights.
        pairs: made by each flow.
        tolerance: of the solver that makes them.
        generated: images for each distance.
        chunk: images that are sampled at once.
        curve: numbers of Euler's steps.
        components: principal components in which Fréchet distances are taken.
    """

    seeds: int = 3
    network: Callable[[Array, tuple[int, ...]], Model] = small_network
    steps: int = 3000
    later_steps: int = 1500
    brief_steps: int = 150
    batch_size: int = 256
    learning_rate: float = 2e-3
    ema: float = 0.99
    pairs: int = 8192
    tolerance: float = 1e-4
    generated: int = 4096
    chunk: int = 4096
    curve: tuple[int, ...] = (1, 2, 4, 16)
    components: int = 20


@dataclass(frozen=True)
class Seed:
    """What is seen in one run.

    Arguments:
        distance: Fréchet distance by model and number of Euler's steps; 0 stands for the solver with adaptive steps.
        precision, recall: of one step of each model.
        straightness: S, of the flows.
        floor: the distance of as many draws from the data themselves.
        images: by model, some samples from the same noise, of one step (the first flow: also solved).
    """

    distance: Mapping[str, Mapping[int, float]]
    precision: Mapping[str, float]
    recall: Mapping[str, float]
    straightness: Mapping[str, float]
    floor: float
    images: Mapping[str, Float[np.ndarray, "image ..."]]


def run(setup: Images, data: Samples, key: Array) -> list[Seed]:
    """All seeds."""
    low, high = float(data.values.min()), float(data.values.max())
    values = jnp.asarray((data.values - low) / (high - low) * 2 - 1, jnp.float32)
    return [run_seed(setup, values, one) for one in jax.random.split(key, setup.seeds)]


def run_seed(setup: Images, values: Float[Array, "image *shape"], key: Array) -> Seed:
    """The flow, its reflow, and both distilled."""
    weights_key, fit_key, first_key, reflow_key, second_key, distill_key, test_key = jax.random.split(key, 7)
    shape = values.shape[1:]
    coupling = Independent(values)
    trained = fit(
        Fields(Linear(), setup.network(weights_key, shape)),
        coupling.data,
        Regression(coupling),
        steps=setup.steps,
        batch_size=setup.batch_size,
        key=fit_key,
        optimiser=clipped_adam(setup.learning_rate, setup.steps),
        ema=setup.ema,
        progress=False,
    )
    first = trained.ema_model
    assert first is not None
    solver = Adaptive(setup.tolerance)

    def later(steps: int) -> dict[str, Any]:
        return {
            "steps": steps,
            "batch_size": setup.batch_size,
            "optimiser": clipped_adam(setup.learning_rate, steps),
            "ema": setup.ema,
            "progress": False,
        }

    def pairs_of(fields: Fields, key: Array) -> Paired:
        return generate_pairs(fields, noise(key, setup.pairs, shape), solver, batch_size=setup.chunk)

    pairs = {"1-RF": pairs_of(first, first_key)}
    flows = {"1-RF": first, "2-RF": reflow(first, pairs["1-RF"], key=reflow_key, **later(setup.later_steps))}
    pairs["2-RF"] = pairs_of(flows["2-RF"], second_key)
    maps = {}
    for number, (name, fields) in enumerate(flows.items()):
        for what, steps in (("distilled", setup.later_steps), ("briefly distilled", setup.brief_steps)):
            one = jax.random.fold_in(jax.random.fold_in(distill_key, number), steps)
            maps[f"{what} {name}"] = distill(fields, pairs[name], key=one, **later(steps))
    return _tested(setup, values, flows, maps, test_key)


def noise(key: Array, count: int, shape: tuple[int, ...]) -> Float[Array, "count *shape"]:
    """Starts of the flow."""
    return jax.random.normal(key, (count, *shape))


def _tested(setup: Images, values: Array, flows: Mapping[str, Fields], maps: Mapping[str, Fields], key: Array) -> Seed:
    start_key, row_key = jax.random.split(key)
    starts = noise(start_key, setup.generated, values.shape[1:])
    flat = _flat(values)
    components = PrincipalComponents.of(flat, min(setup.components, *flat.shape))
    truth = components(flat)
    resampled = np.asarray(jax.random.randint(row_key, (setup.generated,), 0, len(truth)))

    def distance(images: Array) -> float:
        return frechet_distance(components(_flat(images)), truth)

    distances, precision, recall, straight, images = {}, {}, {}, {}, {}
    for name, fields in {**flows, **maps}.items():
        counts, curve = nfe_curve(
            fields, starts, distance, setup.curve if name in flows else (1,), batch_size=setup.chunk
        )
        distances[name] = dict(zip(counts.tolist(), curve.tolist(), strict=True))
        one_step = np.asarray(sample(fields, starts, Euler(1), batch_size=setup.chunk))
        compared = min(len(values), len(starts), _RECALLED)
        precision[name], recall[name] = precision_recall(flat[:compared], _flat(one_step)[:compared])
        images[name] = one_step[:10]
        if name in flows:
            solved = transfer(fields, starts, sampler=Adaptive(setup.tolerance), batch_size=setup.chunk)
            distances[name][0] = distance(solved)
            straight[name] = float(straightness(fields, starts[:512]))
            images[f"{name}, solved"] = np.asarray(solved[:10])
    return Seed(distances, precision, recall, straight, frechet_distance(truth[resampled], truth), images)


def _flat(images: Array | np.ndarray) -> Float[np.ndarray, "image pixel"]:
    return np.asarray(images).reshape(len(images), -1)


_RECALLED = 10_000
"""Precision and recall compare at most so many images."""


@cache
def clipped_adam(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """The optimiser; the same object for the same schedule, so that compilations are shared."""
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
