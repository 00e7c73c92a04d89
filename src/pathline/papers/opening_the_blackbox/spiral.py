"""A stochastic spiral, whose moments over time a neural SDE is fitted to, plain and with the error regulariser."""

from dataclasses import dataclass
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.integrate import ErrorEstimate, nan_on_failure, nfe
from pathline.train import fit

SOLVER = diffrax.SPaRK()
MAX_STEPS = 256
OPTIMISER = optax.adabelief(0.01)
TIMES = np.linspace(0.0, 1.0, 30)
START = np.array([2.0, 0.0])


@dataclass(frozen=True)
class Spiral:
    """How large the experiment is.

    Arguments:
        paths: solved as one system, whose moments are compared with the data.
        steps: updates.
        tolerance: relative and absolute, of the solver.
        weight: of the penalty.
        seeds: trainings of each kind. They are cheap, and their losses differ by a fifth from seed to seed.
        reference_paths: that the data are the moments of.
        draws: of fresh noise, over which the trained models are measured.
    """

    paths: int = 64
    steps: int = 250
    tolerance: float = 0.03
    weight: float = 0.065
    seeds: int = 16
    reference_paths: int = 4096
    draws: int = 64


class Moments(eqx.Module):
    """Mean and variance of each component over time."""

    mean: Float[Array, "*draw time 2"]
    variance: Float[Array, "*draw time 2"]

    @classmethod
    def of(cls, paths: Float[Array, "time path 2"]) -> "Moments":
        """Over paths."""
        return cls(paths.mean(axis=1), paths.var(axis=1))

    def pooled(self) -> "Moments":
        """Of the paths of all draws together, by the law of total variance."""
        return Moments(self.mean.mean(axis=0), self.variance.mean(axis=0) + self.mean.var(axis=0))

    def distance(self, other: "Moments") -> Float[Array, ""]:
        """Mean square difference of the means plus that of the variances."""
        return jnp.mean((self.mean - other.mean) ** 2) + jnp.mean((self.variance - other.variance) ** 2)


@eqx.filter_jit
def reference(paths: int, key: Array) -> Moments:
    """The data: `du = (-0.1 u1^3 + 2 u2^3, -2 u1^3 - 0.1 u2^3) dt + 0.2 u dW` (Ito), by small Euler–Maruyama steps."""
    matrix = jnp.array([[-0.1, 2.0], [-2.0, -0.1]])
    noise = diffrax.UnsafeBrownianPath((paths, 2), key)
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, u, args: u**3 @ matrix.T),
            diffrax.ControlTerm(lambda t, u, args: lx.DiagonalLinearOperator(0.2 * u), noise),
        ),
        diffrax.Euler(),
        TIMES[0],
        TIMES[-1],
        1.0 / 2900,
        jnp.tile(START, (paths, 1)),
        saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
        max_steps=4096,
        adjoint=diffrax.ForwardMode(),
    )
    assert solution.ys is not None
    return Moments.of(solution.ys)


class NeuralSDE(eqx.Module):
    """`du = MLP(u^3) dt + (W u + b) o dW` with diagonal noise, in the Stratonovich sense of the solver."""

    drift: eqx.nn.MLP
    noise: eqx.nn.Linear

    def __init__(self, width: int = 50, *, key: Array):
        drift_key, noise_key = jax.random.split(key)
        self.drift = eqx.nn.MLP(2, 2, width, 1, activation=jnp.tanh, key=drift_key)
        self.noise = eqx.nn.Linear(2, 2, key=noise_key)

    def solve(self, paths: int, tolerance: float, key: Array) -> tuple[Moments, Array, Array]:
        """The moments of some paths, the evaluations of the drift that they took, and the penalty.

        All paths are one system with common steps. The Brownian path is a tree of which every interval can be asked
        again, so that it stays the same when a step is rejected.
        """

        def drift(t: Any, u: Float[Array, "path 2"], args: Any) -> Float[Array, "path 2"]:
            return jax.vmap(self.drift)(u**3)

        def noise(t: Any, u: Float[Array, "path 2"], args: Any) -> lx.AbstractLinearOperator:
            return lx.DiagonalLinearOperator(jax.vmap(self.noise)(u))

        brownian = diffrax.VirtualBrownianTree(0.0, 1.0, 1e-3, (paths, 2), key, levy_area=diffrax.SpaceTimeLevyArea)
        solution, penalty = ErrorEstimate()(
            diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(noise, brownian)),
            SOLVER,
            TIMES[0],
            TIMES[-1],
            0.02,
            jnp.tile(START, (paths, 1)),
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
            # The proportional part keeps steps from flickering with the noise.
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance, pcoeff=0.1, icoeff=0.3),
            max_steps=MAX_STEPS,
            throw=False,
        )
        solution = nan_on_failure(solution)
        assert solution.ys is not None
        return Moments.of(solution.ys), nfe(solution, SOLVER), penalty


@dataclass(frozen=True)
class Loss:
    """The distance of the moments plus the weighted penalty. The batch holds the weight and the data."""

    size: Spiral

    def __call__(self, model: NeuralSDE, batch: tuple[Array, Moments], key: Array) -> tuple[Array, dict[str, Array]]:
        """The loss for fresh noise, and what is kept in the history."""
        weight, data = jax.tree.map(lambda leaf: leaf[0], batch)
        moments, evaluations, penalty = model.solve(self.size.paths, self.size.tolerance, key)
        distance = moments.distance(data)
        return distance + weight * penalty, {"distance": distance, "nfe": evaluations}


class Fit(eqx.Module):
    """What the trainings of one kind led to.

    Arguments:
        nfe: evaluations of the drift, averaged over draws of the noise.
        distance: of the moments from the data, as in training: of a few dozen paths, averaged over draws. Most of it is
            the sampling error of so few.
        pooled_distance: the same of the paths of all draws together.
        moments: of the paths of all draws together.
    """

    nfe: Float[Array, "*seed"]
    distance: Float[Array, "*seed"]
    pooled_distance: Float[Array, "*seed"]
    moments: Moments


def compare(size: Spiral, key: Array) -> tuple[Moments, dict[str, Fit]]:
    """The data, and the trainings without and with the penalty.

    The plain one has weight zero, which is the same program to the bit; and as the weight comes with the data, both
    trainings share one compilation. Seeds are not stacked by `vmap`, which triples the compilation's time and lets all
    take the steps of the slowest.
    """
    data_key, train_key, test_key = jax.random.split(key, 3)
    data = reference(size.reference_paths, data_key)
    found, loss = {}, Loss(size)
    for name, weight in (("vanilla", 0.0), ("ERNSDE", size.weight)):
        batch = jax.tree.map(lambda leaf: leaf[None], (jnp.asarray(weight), data))
        seeds = []
        for seed_key in jax.random.split(train_key, size.seeds):
            model, options = NeuralSDE(key=seed_key), {"key": seed_key, "optimiser": OPTIMISER}
            fitted = fit(model, batch, loss, steps=size.steps, name=f"spiral, {name}", **options)
            seeds.append(_measured(size, fitted.model, data, test_key))
        found[name] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    return data, found


@eqx.filter_jit
def _measured(size: Spiral, model: NeuralSDE, data: Moments, key: Array) -> Fit:
    def draw(key: Array) -> tuple[Moments, Array]:
        moments, evaluations, _ = model.solve(size.paths, size.tolerance, key)
        return moments, evaluations

    moments, evaluations = jax.lax.map(draw, jax.random.split(key, size.draws))
    distances = jax.vmap(lambda one: one.distance(data))(moments)
    pooled = moments.pooled()
    return Fit(evaluations.mean(), distances.mean(), pooled.distance(data), pooled)
