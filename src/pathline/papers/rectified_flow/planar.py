"""Three modes on a circle to three others: rounds of reflow in the plane, beside a curved path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy.spatial.distance import cdist

from pathline.generate.couplings import Independent, Paired
from pathline.generate.distillation import distill
from pathline.generate.fields import Fields
from pathline.generate.objectives import Regression
from pathline.generate.paths import AffinePath, Linear, VariancePreserving
from pathline.generate.reflow import generate_pairs, reflow
from pathline.generate.samplers import Midpoint, trajectories
from pathline.generate.straightness import intersection, nfe_curve, straightness, transport_cost
from pathline.generate.times import Uniform
from pathline.measure import wasserstein2
from pathline.papers.rectified_flow.network import Velocity
from pathline.train import fit

MODES = 3
RADIUS = 4.0
DEVIATION = 0.5


@dataclass(frozen=True)
class Planar:
    """How large the experiment is.

    Arguments:
        seeds: how many times it is run, each with its own data and weights.
        points: of either training set, a multiple of three.
        steps: updates of the first round.
        later_steps: of each round of reflow, and of a distillation.
        batch_size: pairs in each batch.
        width: of the network.
        test_points: of each test set, a multiple of six: Wasserstein distances are between so many.
        curve: numbers of Euler's steps.
        quadrature: steps of integrals over time.
    """

    seeds: int = 3
    points: int = 20_001
    steps: int = 4000
    later_steps: int = 2000
    batch_size: int = 512
    width: int = 64
    test_points: int = 1998
    curve: tuple[int, ...] = (1, 4, 16)
    quadrature: int = 64


@dataclass(frozen=True)
class Transport:
    """What is seen of one flow.

    Arguments:
        wasserstein: the squared distance of its samples to the target, by Euler's steps.
        solved: the same by a solver with adaptive steps.
        straightness: S.
        squared_cost, cost: `E|Z1 - Z0|^2` and `E|Z1 - Z0|`.
        paths: some trajectories.
    """

    wasserstein: Mapping[int, float]
    solved: float
    straightness: float
    squared_cost: float
    cost: float
    paths: Float[np.ndarray, "start time dim"]


@dataclass(frozen=True)
class Seed:
    """What is seen in one run.

    Arguments:
        flows: by name: rounds `"1-RF"`, `"2-RF"`, `"3-RF"`, and `"VP"`, `"2-VP"`.
        distilled: squared Wasserstein distance of maps of one step, by the flow that they were distilled from.
        floor: the squared Wasserstein distance of two sets of the target.
        optimal_cost: of the optimal transport from the test's starts to the test's target.
        independent_squared_cost, independent_cost: `E|X1 - X0|^2` and `E|X1 - X0|` of the first round's coupling.
        intersection: V of the first round.
        starts, target: the test sets.
    """

    flows: Mapping[str, Transport]
    distilled: Mapping[str, float]
    floor: float
    optimal_cost: float
    independent_squared_cost: float
    independent_cost: float
    intersection: float
    starts: Float[np.ndarray, "point dim"]
    target: Float[np.ndarray, "point dim"]


def run(setup: Planar, key: Array) -> list[Seed]:
    """All seeds."""
    return [run_seed(setup, one) for one in jax.random.split(key, setup.seeds)]


def run_seed(setup: Planar, key: Array) -> Seed:
    """Three rounds on the straight path, two on the curved one, distillation, and the test."""
    data_key, train_key, curved_key, distill_key, test_key = jax.random.split(key, 5)
    sources, targets = (
        three_modes(data_key, setup.points, 0.0),
        three_modes(jax.random.fold_in(data_key, 1), setup.points, 0.5),
    )
    flows, pairs = {}, {}
    for name, path, rounds, rounds_key in (("RF", STRAIGHT, 3, train_key), ("VP", CURVED, 2, curved_key)):
        found, made = rounds_of(setup, path, sources, targets, rounds, rounds_key)
        flows |= {_named(name, number): one for number, one in enumerate(found, 1)}
        pairs |= {_named(name, number): one for number, one in enumerate(made, 1)}
    maps = {}
    for name, one in zip(("1-RF", "2-RF", "VP"), jax.random.split(distill_key, 3), strict=True):
        begin = Fields(STRAIGHT, flows[name].model)
        maps[name] = distill(
            begin,
            pairs[name],
            steps=setup.later_steps,
            key=one,
            batch_size=setup.batch_size,
            optimiser=adam(setup.later_steps),
            ema=EMA,
            progress=False,
        )
    return _tested(setup, flows, maps, sources, targets, test_key)


def rounds_of(
    setup: Planar, path: AffinePath, sources: Array, targets: Array, rounds: int, key: Array
) -> tuple[list[Fields], list[Paired]]:
    """A flow and its reflowed successors, and the pairs of each but the last."""
    first_key, reflow_key = jax.random.split(key)
    flows, made = [first_flow(setup, path, sources, targets, first_key)], []
    for one in jax.random.split(reflow_key, rounds - 1):
        start_key, round_key = jax.random.split(one)
        made.append(generate_pairs(flows[-1], three_modes(start_key, setup.points, 0.0)))
        flows.append(
            reflow(
                flows[-1],
                made[-1],
                steps=setup.later_steps,
                key=round_key,
                batch_size=setup.batch_size,
                optimiser=adam(setup.later_steps),
                ema=EMA,
                times=Uniform(*path.span),
                progress=False,
            )
        )
    return flows, made


def first_flow(setup: Planar, path: AffinePath, sources: Array, targets: Array, key: Array) -> Fields:
    """The flow learnt from independent pairs."""
    weights_key, fit_key = jax.random.split(key)
    coupling = Independent(targets, sources)
    found = fit(
        Fields(path, Velocity((2,), setup.width, key=weights_key)),
        coupling.data,
        Regression(coupling, times=Uniform(*path.span)),
        steps=setup.steps,
        batch_size=setup.batch_size,
        key=fit_key,
        optimiser=adam(setup.steps),
        ema=EMA,
        progress=False,
    )
    assert found.ema_model is not None
    return found.ema_model


def three_modes(key: Array, count: int, turn: float) -> Float[Array, "count 2"]:
    """Equally many points of each of three normal modes on a circle, which is turned by `turn` times the angle between
    two of them."""
    return _centres(count, turn) + DEVIATION * jax.random.normal(key, (count, 2))


def mirrored_modes(key: Array, count: int) -> Float[Array, "count 2"]:
    """`three_modes`, and each point's mirror image at the axis of its mode: half of each mode is on either side."""
    half = three_modes(key, count // 2, 0.0)
    axis = _centres(count // 2, 0.0) / RADIUS
    along = jnp.sum(half * axis, axis=1, keepdims=True) * axis
    return jnp.concatenate([half, 2 * along - half])


@cache
def adam(steps: int) -> optax.GradientTransformation:
    """The optimiser; the same object for the same schedule, so that compilations are shared."""
    return optax.adam(optax.cosine_decay_schedule(1e-2, steps))


def _tested(
    setup: Planar, flows: Mapping[str, Fields], maps: Mapping[str, Fields], sources: Array, targets: Array, key: Array
) -> Seed:
    start_key, target_key, floor_key, pair_key = jax.random.split(key, 4)
    starts = mirrored_modes(start_key, setup.test_points)
    target, other = (np.asarray(three_modes(one, setup.test_points, 0.5)) for one in (target_key, floor_key))

    def distance(points: Array) -> float:
        return wasserstein2(points, target) ** 2

    every = cdist(np.asarray(starts), target)
    crossing = Independent(targets, sources).sample(pair_key, 4 * setup.test_points)
    return Seed(
        flows={name: _transport(setup, one, starts, distance) for name, one in flows.items()},
        distilled={name: nfe_curve(one, starts, distance, (1,))[1].item() for name, one in maps.items()},
        floor=distance(jnp.asarray(other)),
        optimal_cost=distance(starts),
        independent_squared_cost=float((every**2).mean()),
        independent_cost=float(every.mean()),
        intersection=float(intersection(flows["1-RF"], crossing, setup.quadrature)),
        starts=np.asarray(starts),
        target=target,
    )


def _transport(setup: Planar, fields: Fields, starts: Array, distance: Callable[[Array], float]) -> Transport:
    pairs = generate_pairs(fields, starts)
    evaluations, distances = nfe_curve(fields, starts, distance, setup.curve)
    _, paths = trajectories(fields, starts[:60], Midpoint(40))
    return Transport(
        wasserstein=dict(zip(evaluations.tolist(), distances.tolist(), strict=True)),
        solved=distance(jnp.asarray(pairs.target)),
        straightness=float(straightness(fields, starts, setup.quadrature)),
        squared_cost=float(transport_cost(pairs)),
        cost=float(transport_cost(pairs, jnp.linalg.norm)),
        paths=np.asarray(paths),
    )


def _centres(count: int, turn: float) -> Float[Array, "count 2"]:
    angle = 2 * jnp.pi * (jnp.arange(count) % MODES + turn) / MODES
    return RADIUS * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _named(name: str, number: int) -> str:
    return name if name == "VP" and number == 1 else f"{number}-{name}"


STRAIGHT = Linear(law=None)
CURVED = VariancePreserving(law=None)
EMA = 0.99
