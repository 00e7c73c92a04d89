"""Irregular records interpolated by a latent neural differential equation, trained with each regulariser in turn."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from pathline.integrate import (
    ErrorEstimate,
    Regulariser,
    StiffnessEstimate,
    TayNODE,
    Unregularised,
    nan_on_failure,
    nfe,
)
from pathline.papers.opening_the_blackbox.classification import MAX_STEPS, Method
from pathline.papers.opening_the_blackbox.physionet import HOURS, QUANTITIES, Records
from pathline.train import fit

TIMES = np.linspace(0.0, 1.0, HOURS)
OPTIMISER = optax.adamax(lambda step: 0.01 / (1 + 1e-5 * step))
NOISE = 0.01
"""Standard deviation of the observations, in units of the scaled quantities."""


@dataclass(frozen=True)
class Interpolation:
    """How large the experiment is; the defaults are the published set-up.

    Arguments:
        methods: the plain one first.
        tolerance: relative and absolute, of the solver; asks for double precision.
        epochs: passes over the records to learn from.
        batch_size: records in a batch, which is solved as one system.
        optimiser: of the weights.
        seeds: trainings of each method.
        timed_calls: of a trained model, whose median is its prediction time.
    """

    methods: tuple[Method, ...] = (
        Method("vanilla", Unregularised()),
        Method("ERNODE", ErrorEstimate("mean"), 1000.0, 100.0),
        # The authors divide the estimate by the stability size of the solver.
        Method("SRNODE", StiffnessEstimate("max"), 10.0 / 3.5068, 10.0 / 3.5068),
        Method("TayNODE", TayNODE(2), 0.01, 0.01),
    )
    tolerance: float = 1.4e-8
    epochs: int = 300
    batch_size: int = 512
    optimiser: optax.GradientTransformation = OPTIMISER
    seeds: int = 3
    timed_calls: int = 50


class RecurrentEncoder(eqx.Module):
    """A gated recurrent unit whose state is a mean and a spread, run backwards in time over what was observed."""

    update: eqx.nn.MLP
    reset: eqx.nn.MLP
    propose: eqx.nn.MLP
    dim: int = eqx.field(static=True)

    def __init__(self, inputs: int, hidden: int, dim: int, *, key: Array):
        keys, size = jax.random.split(key, 3), 2 * dim + 2 * inputs + 1
        self.update, self.reset = (
            eqx.nn.MLP(size, dim, hidden, 1, jnp.tanh, jax.nn.sigmoid, key=one) for one in keys[:2]
        )
        self.propose = eqx.nn.MLP(size, 2 * dim, hidden, 1, jnp.tanh, key=keys[2])
        self.dim = dim

    def __call__(
        self, values: Float[Array | np.ndarray, "hour quantity"], mask: Bool[Array | np.ndarray, "hour quantity"]
    ) -> Float[Array, " state"]:
        """The state after the first hour, the last one read."""
        # The time to the observation before, which is the one after in the order of reading.
        gaps = jnp.full((len(values), 1), TIMES[1])
        inputs = jnp.concatenate([jnp.asarray(part, values.dtype) for part in (values, mask, gaps)], axis=1)

        def step(state: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            (mean, spread), (x, seen) = state, row
            seen_with = jnp.concatenate([mean, spread, x])
            update, reset = self.update(seen_with), self.reset(seen_with)
            new = jnp.split(self.propose(jnp.concatenate([reset * mean, reset * spread, x])), 2)
            moved = [(1 - update) * now + update * old for now, old in zip(new, state, strict=True)]
            mean, spread = (jnp.where(seen, now, old) for now, old in zip(moved, state, strict=True))
            return (mean, spread), None

        start = (jnp.zeros(self.dim, values.dtype), jnp.zeros(self.dim, values.dtype))
        state, _ = jax.lax.scan(step, start, (inputs, jnp.any(mask, axis=1)), reverse=True)
        return jnp.concatenate(state)


class LatentODE(eqx.Module):
    """Encodes a record into a distribution of initial states, solves from a sample, and decodes at every hour."""

    encoder: RecurrentEncoder
    bridge: eqx.nn.MLP
    layers: tuple[eqx.nn.Linear, ...]
    decoder: eqx.nn.Linear

    def __init__(self, *, latent: int = 20, hidden: int = 50, key: Array):
        keys = jax.random.split(key, 11)
        self.encoder = RecurrentEncoder(len(QUANTITIES), 40, 50, key=keys[0])
        self.bridge = eqx.nn.MLP(100, 2 * latent, 50, 1, jnp.tanh, key=keys[1])
        sizes = [latent, hidden] * 4 + [latent]
        self.layers = tuple(
            eqx.nn.Linear(a, b, key=one) for a, b, one in zip(sizes[:-1], sizes[1:], keys[2:10], strict=True)
        )
        self.decoder = eqx.nn.Linear(latent, len(QUANTITIES), key=keys[10])

    def velocity(self, z: Float[Array, " latent"]) -> Float[Array, " latent"]:
        """`dz/dt` of one record."""
        z = jnp.tanh(z)
        for layer in self.layers:
            z = jnp.tanh(layer(z))
        return z

    def solve(
        self, records: Records, regulariser: Regulariser, tolerance: float, key: Array
    ) -> tuple[Float[Array, "record hour quantity"], Float[Array, " record"], diffrax.Solution, Float[Array, ""]]:
        """Predictions, the divergence of each initial distribution from the standard normal, the solution, the penalty."""
        states = jax.vmap(self.bridge)(jax.vmap(self.encoder)(records.values, records.mask))
        mean, log_variance = jnp.split(states, 2, axis=1)
        start = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape, mean.dtype)
        solution, penalty = regulariser(
            diffrax.ODETerm(lambda t, z, args: jax.vmap(self.velocity)(z)),
            diffrax.Tsit5(),
            TIMES[0],
            TIMES[-1],
            None,
            start,
            key=key,
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MAX_STEPS,
            throw=False,
        )
        solution = nan_on_failure(solution)
        assert solution.ys is not None
        predictions = jax.vmap(jax.vmap(self.decoder))(solution.ys).swapaxes(0, 1)
        # KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1 - log s^2) / 2
        divergence = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        return predictions, divergence, solution, penalty


def masked_square_error(predictions: Array, records: Records) -> Float[Array, ""]:
    """Mean square error over what was observed."""
    square = jnp.where(records.mask, (predictions - records.values) ** 2, 0.0)
    return square.sum() / jnp.maximum(records.mask.sum(), 1)


@dataclass(frozen=True)
class Loss:
    """The negative evidence bound plus the weighted penalty."""

    method: Method
    tolerance: float
    steps_per_epoch: int
    epochs: int

    def __call__(
        self, model: LatentODE, batch: Records, key: Array, step: Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss of a batch, and what is kept in the history."""
        predictions, divergence, solution, penalty = model.solve(batch, self.method.regulariser, self.tolerance, key)
        square = masked_square_error(predictions, batch)
        # The mean log-likelihood of an observation, without its constants.
        likelihood = -square / (2 * NOISE**2)
        epoch = step // self.steps_per_epoch
        divergence_weight = jnp.maximum(0.0, 1 - 0.99 ** (epoch - 10.0))
        task = -likelihood + divergence_weight * divergence.mean()
        weight = self.method.weight(step, self.epochs * self.steps_per_epoch)
        return task + weight * penalty, {"square_error": square, "nfe": nfe(solution, diffrax.Tsit5())}


@dataclass(frozen=True)
class Trained:
    """One training and what it led to: evaluations and mean square error on a test batch, and seconds."""

    nfe: float
    square_error: float
    training_seconds: float
    prediction_seconds: float


def compare(setup: Interpolation, training: Records, test: Records, key: Array) -> dict[str, list[Trained]]:
    """Train with every method and seed, and measure: by method, one entry for each seed."""
    with jax.enable_x64(True):
        return _compare(setup, training.cast(), test.cast(), key)


def _compare(setup: Interpolation, training: Records, test: Records, key: Array) -> dict[str, list[Trained]]:
    found: dict[str, list[Trained]] = {method.name: [] for method in setup.methods}
    batch_size = min(setup.batch_size, len(training.values))
    per_epoch = len(training.values) // batch_size

    def trained(method: Method, key: Array, steps: int) -> tuple[Any, Mapping[str, np.ndarray]]:
        loss = Loss(method, setup.tolerance, per_epoch, setup.epochs)
        options = {"batch_size": batch_size, "key": key, "optimiser": setup.optimiser, "name": method.name}
        fitted = fit(LatentODE(key=key), training, loss, steps=steps, **options)
        return fitted.model, fitted.history

    for method in setup.methods:
        trained(method, key, 1)  # compiles
    for seed_key in jax.random.split(key, setup.seeds):
        for method in setup.methods:
            began = time.perf_counter()
            model, _ = trained(method, seed_key, per_epoch * setup.epochs)
            seconds = (time.perf_counter() - began) / (per_epoch * setup.epochs)
            found[method.name].append(_measured(setup, model, test, seed_key, seconds))
    return found


def _measured(setup: Interpolation, model: LatentODE, test: Records, key: Array, seconds: float) -> Trained:
    error, evaluations = _predict(model, test, key, setup.tolerance)
    durations = []
    for _ in range(setup.timed_calls):
        began = time.perf_counter()
        jax.block_until_ready(_predict(model, test, key, setup.tolerance))
        durations.append(time.perf_counter() - began)
    return Trained(float(evaluations), float(error), seconds, float(np.median(durations)))


@eqx.filter_jit
def _predict(
    model: LatentODE, records: Records, key: Array, tolerance: float
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    predictions, _, solution, _ = model.solve(records, Unregularised(), tolerance, key)
    return masked_square_error(predictions, records), nfe(solution, diffrax.Tsit5())
