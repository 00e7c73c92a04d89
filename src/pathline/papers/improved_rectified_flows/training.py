"""Students of one teacher's pairs: the same network, the same number of updates, other losses and times."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from pathline.generate.couplings import Coupling, Independent, Paired
from pathline.generate.denoiser import Denoiser
from pathline.generate.discrepancies import Features, PseudoHuber
from pathline.generate.distillation import StepTimes
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Regression, Term
from pathline.generate.pair_store import StoredPairs, store_pairs
from pathline.generate.paths import Linear, VarianceExploding
from pathline.generate.reflow import generate_pairs
from pathline.generate.samplers import EDMHeun, Heun, UniformTime, sample
from pathline.generate.times import LogNormalLevel, TimeSampler, Uniform, UShaped
from pathline.generate.weightings import EDM, Power
from pathline.train import fit, pick_seed

MARGIN = 1e-5
LINEAR = Linear()
EVEN = Uniform(MARGIN, 1 - MARGIN)
SQUARE = (Term("velocity"),)
HUBER = (Term("velocity", PseudoHuber()),)


@dataclass(frozen=True)
class Setup:
    """How large the comparison is.

    Arguments:
        network: from the shape of a state and a key, `F(level, x, condition)`.
        data_scale: standard deviation of the data, in [-1, 1].
        bandwidth: of the kernel density whose exact denoiser is the teacher; `None` when the first flow teaches.
        teacher_steps: of EDM's sampler, which makes the pairs.
        pairs, held_out: to learn from, and to be measured on.
        steps: updates of every student.
        batch_size, rate, warm_up, ema: of the training; `rate` falls to zero as a cosine after `warm_up` updates.
        seeds: students of each recipe.
        again_steps: of Heun's method, which makes the pairs of the second round.
        shard: pairs in a file, where they are stored; `None` keeps them in memory.
    """

    network: Callable[[tuple[int, ...], Array], Callable[..., Array]]
    data_scale: float = 0.75
    bandwidth: float | None = 0.1
    teacher_steps: int = 24
    pairs: int = 12_000
    held_out: int = 2_000
    steps: int = 1_500
    batch_size: int = 256
    rate: float = 1e-3
    warm_up: int = 0
    ema: float = 0.999
    seeds: int = 3
    again_steps: int = 16
    shard: int | None = None

    def optimiser(self, steps: int) -> optax.GradientTransformation:
        """Adam with a rate that falls to zero."""
        return _adam(self.rate, min(self.warm_up, steps // 2), steps)

    def student(self, shape: tuple[int, ...], key: Array) -> Fields:
        """An untrained rectified flow with EDM's preconditioning."""
        return Fields(LINEAR, Denoiser(self.network(shape, key), LINEAR, self.data_scale), "data")


@cache
def _adam(rate: float, warm_up: int, steps: int) -> optax.GradientTransformation:
    # One object for each schedule: trainings with the same one share their compilation.
    if not warm_up:
        return optax.adam(optax.cosine_decay_schedule(rate, steps))
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, warm_up, steps))


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one student from another.

    Arguments:
        terms: of the loss.
        times: at which it is taken.
        warm: whether the weights begin as those of the first flow.
    """

    terms: tuple[Term, ...]
    times: TimeSampler
    warm: bool = False


def recipes(features: Callable[[Array], Array]) -> dict[str, Recipe]:
    """Every student by name: the old recipe first."""
    perceptual = (Term("velocity", PseudoHuber(), Power(time=1.0)), Term("data", Features(features)))
    cold = {
        "uniform + l2": Recipe(SQUARE, EVEN),
        "U + l2": Recipe(SQUARE, UShaped(margin=MARGIN)),
        "uniform + Huber": Recipe(HUBER, EVEN),
        "U + Huber": Recipe(HUBER, UShaped(margin=MARGIN)),
    }
    warm = {f"warm {name}": Recipe(one.terms, one.times, warm=True) for name, one in cold.items()}
    return {
        **cold,
        "U + feature-Huber": Recipe(perceptual, UShaped(margin=MARGIN)),
        **warm,
        "distilled": Recipe(HUBER, StepTimes(1)),
    }


def first_flow(setup: Setup, targets: Float[Array | np.ndarray, "target *shape"], key: Array) -> Fields:
    """The 1-rectified flow, of independent pairs; seeds are stacked.

    With the closed-form teacher it is a baseline, at even times with the square. Else it is the diffusion model that
    teaches, with EDM's weights and noise levels.
    """
    coupling = Independent(jnp.asarray(targets))
    if setup.bandwidth is not None:
        return _fitted(setup, Regression(coupling, SQUARE, EVEN), coupling.data, coupling.target.shape[1:], key)
    loss = Regression(coupling, (Term("data", weighting=EDM(setup.data_scale)),), LogNormalLevel(LINEAR))
    return _fitted(setup, loss, coupling.data, coupling.target.shape[1:], key)


def kernel_teacher(law: GaussianMixture) -> Fields:
    """The exact denoiser of a kernel density, as a diffusion."""
    return exact_fields(VarianceExploding(), law)


def flow_teacher(first: Fields) -> Fields:
    """A trained flow, read as the diffusion that it is."""
    return first.on(VarianceExploding())


def teacher_pairs(setup: Setup, teacher: Fields, count: int, shape: tuple[int, ...], key: Array) -> Paired:
    """Pairs of noise and what the teacher's ODE makes of it, in memory."""
    starts = jax.vmap(lambda one: teacher.path.start(one, shape))(jax.random.split(key, count))
    return generate_pairs(teacher, starts, EDMHeun(setup.teacher_steps), batch_size=min(count, 2_000))


def training_pairs(
    setup: Setup, teacher: Fields, shape: tuple[int, ...], key: Array, folder: Path | None
) -> Paired | StoredPairs:
    """The pairs to learn from: in memory, or stored where there are too many."""
    if setup.shard is None or folder is None:
        return teacher_pairs(setup, teacher, setup.pairs, shape, key)
    sampler = EDMHeun(setup.teacher_steps)
    return store_pairs(
        folder,
        teacher,
        setup.pairs,
        key=key,
        sampler=sampler,
        shape=shape,
        shard=setup.shard,
        batch_size=min(setup.shard, 2_000),
    )


def train_student(
    setup: Setup, recipe: Recipe, pairs: Paired | StoredPairs, shape: tuple[int, ...], first: Fields, key: Array
) -> Fields:
    """The students of one recipe; seeds are stacked."""
    return _fitted(
        setup,
        Regression(pairs, recipe.terms, recipe.times),
        _data(setup, pairs, key),
        shape,
        key,
        first if recipe.warm else None,
    )


def train_two_rounds(setup: Setup, pairs: Paired | StoredPairs, shape: tuple[int, ...], key: Array) -> list[Fields]:
    """A second round of reflow at equal total steps: half of them on the teacher's pairs, half on the student's own."""
    steps = setup.steps // 2
    optimiser = setup.optimiser(steps)
    times = UShaped(margin=MARGIN)
    found = []
    for one in jax.random.split(key, setup.seeds):
        model_key, fit_key, start_key, again_key = jax.random.split(one, 4)
        fields = setup.student(shape, model_key)
        current = pairs
        for round_key in (fit_key, again_key):
            result = fit(
                fields,
                _data(setup, current, round_key),
                Regression(current, HUBER, times),
                steps=steps,
                batch_size=_batch(setup, current),
                optimiser=optimiser,
                ema=setup.ema,
                key=round_key,
            )
            assert result.ema_model is not None
            fields = result.ema_model
            if round_key is fit_key:
                current = _own_pairs(setup, fields, current, shape, start_key)
        found.append(fields)
    return found


def _own_pairs(setup: Setup, fields: Fields, like: Paired | StoredPairs, shape: tuple[int, ...], key: Array) -> Paired:
    starts = jax.vmap(lambda one: LINEAR.start(one, shape))(jax.random.split(key, setup.pairs))
    ends = sample(fields, starts, Heun(setup.again_steps, UniformTime()), batch_size=min(setup.pairs, 2_000))
    return Paired(starts, ends)


def _fitted(setup: Setup, loss: Regression, data: PyTree, shape: tuple[int, ...], key: Array, warm=None) -> Fields:
    result = fit(
        (lambda one: setup.student(shape, one)) if warm is None else (lambda one: warm),
        data,
        loss,
        steps=setup.steps,
        batch_size=_batch(setup, loss.coupling),
        optimiser=setup.optimiser(setup.steps),
        ema=setup.ema,
        seeds=setup.seeds,
        key=key,
    )
    assert result.ema_model is not None
    return result.ema_model


def _data(setup: Setup, pairs: Coupling, key: Array) -> PyTree:
    return pairs.batches(setup.batch_size, key=key) if isinstance(pairs, StoredPairs) else pairs.data


def _batch(setup: Setup, pairs: Coupling) -> int | None:
    # A stream brings its own batches.
    return None if isinstance(pairs, StoredPairs) else setup.batch_size


def of_seed(fields: Fields, seed: int) -> Fields:
    """One of the stacked students."""
    return pick_seed(fields, seed)
