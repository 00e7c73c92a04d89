"""Images classified by a neural differential equation, which is trained with each regulariser in turn."""

import abc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from pathline.integrate import ErrorEstimate, Regulariser, Unregularised, nan_on_failure, nfe, solver_cost
from pathline.papers.opening_the_blackbox.images import Images, Pixels
from pathline.train import fit

MAX_STEPS = 512
FINEST_SINGLE = 1e-6
"""Below this tolerance, error estimates in single precision are rounding noise, and double precision is used."""


@dataclass(frozen=True)
class Method:
    """A way to train.

    Arguments:
        name: as the paper calls it.
        regulariser: of the solve.
        first, last: the weight of its penalty at the first and the last update, exponential in between.
    """

    name: str
    regulariser: Regulariser
    first: float = 0.0
    last: float = 0.0

    def weight(self, step: Array, steps: int) -> Array | float:
        """The weight of the penalty at an update."""
        if self.first == self.last:
            return self.first
        return self.first * (self.last / self.first) ** (step / steps)


class Classifier(eqx.Module):
    """Scores images by solving a differential equation for a whole batch as one system with common steps."""

    solver: ClassVar[diffrax.AbstractSolver]

    @abc.abstractmethod
    def solve(
        self, pixels: Pixels, regulariser: Regulariser, tolerance: float, key: Array
    ) -> tuple[Float[Array, "image class"], diffrax.Solution, Float[Array, ""]]:
        """The scores of each class, the solution they come from, and the penalty."""


@dataclass(frozen=True)
class Setup:
    """How large the experiment is.

    Arguments:
        model: `key -> classifier`.
        methods: the plain one first, so that the others are compared with it.
        tolerance: relative and absolute, of the solver.
        steps: updates.
        batch_size: images in a batch, which is solved as one system.
        test_batch: the same for test images; divides their number.
        optimiser: of the weights.
        seeds: trainings of each method.
        timed_calls: of a trained model, whose median is its prediction time.
    """

    model: Callable[[Array], Classifier]
    methods: tuple[Method, ...]
    tolerance: float
    steps: int
    batch_size: int
    test_batch: int
    optimiser: optax.GradientTransformation
    seeds: int = 3
    timed_calls: int = 50


class OrdinaryClassifier(Classifier):
    """An image flows for unit time along `dz/dt = tanh(B [tanh(A [z, t]), t])`; a linear map reads off its class."""

    solver: ClassVar[diffrax.AbstractSolver] = diffrax.Tsit5()
    inward: eqx.nn.Linear
    outward: eqx.nn.Linear
    readout: eqx.nn.Linear

    def __init__(self, pixels: int, width: int, *, key: Array):
        keys = jax.random.split(key, 3)
        self.inward = eqx.nn.Linear(pixels + 1, width, key=keys[0])
        self.outward = eqx.nn.Linear(width + 1, pixels, key=keys[1])
        self.readout = eqx.nn.Linear(pixels, 10, key=keys[2])

    def velocity(self, t: Any, z: Float[Array, " pixel"]) -> Float[Array, " pixel"]:
        """Of one image."""
        now = jnp.full(1, t, z.dtype)
        inner = jnp.tanh(self.inward(jnp.concatenate([z, now])))
        return jnp.tanh(self.outward(jnp.concatenate([inner, now])))

    def solve(
        self, pixels: Pixels, regulariser: Regulariser, tolerance: float, key: Array
    ) -> tuple[Float[Array, "image class"], diffrax.Solution, Float[Array, ""]]:
        """See `Classifier`."""
        solution, penalty = regulariser(
            diffrax.ODETerm(lambda t, z, args: jax.vmap(partial(self.velocity, t))(z)),
            self.solver,
            0.0,
            1.0,
            None,
            pixels,
            key=key,
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MAX_STEPS,
            throw=False,
        )
        solution = nan_on_failure(solution)
        assert solution.ys is not None
        return jax.vmap(self.readout)(solution.ys[-1]), solution, penalty


class StochasticClassifier(Classifier):
    """Thirty-two features of an image flow for unit time along `dz = MLP(z) dt + (W z + b) o dB`."""

    solver: ClassVar[diffrax.AbstractSolver] = diffrax.SPaRK()
    features: eqx.nn.Linear
    drift: eqx.nn.MLP
    noise: eqx.nn.Linear
    readout: eqx.nn.Linear

    def __init__(self, pixels: int, *, dim: int = 32, width: int = 64, key: Array):
        keys = jax.random.split(key, 4)
        self.features = eqx.nn.Linear(pixels, dim, key=keys[0])
        self.drift = eqx.nn.MLP(dim, dim, width, 1, activation=jnp.tanh, key=keys[1])
        self.noise = eqx.nn.Linear(dim, dim, key=keys[2])
        self.readout = eqx.nn.Linear(dim, 10, key=keys[3])

    def solve(
        self, pixels: Pixels, regulariser: Regulariser, tolerance: float, key: Array
    ) -> tuple[Float[Array, "image class"], diffrax.Solution, Float[Array, ""]]:
        """See `Classifier`."""
        start = jax.vmap(self.features)(jnp.asarray(pixels))
        brownian = diffrax.VirtualBrownianTree(0.0, 1.0, 1e-3, start.shape, key, levy_area=diffrax.SpaceTimeLevyArea)
        drift = diffrax.ODETerm(lambda t, z, args: jax.vmap(self.drift)(z))
        noise = diffrax.ControlTerm(lambda t, z, args: lx.DiagonalLinearOperator(jax.vmap(self.noise)(z)), brownian)
        solution, penalty = regulariser(
            diffrax.MultiTerm(drift, noise),
            self.solver,
            0.0,
            1.0,
            0.05,
            start,
            key=key,
            # The proportional part keeps steps from flickering with the noise.
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance, pcoeff=0.1, icoeff=0.3),
            max_steps=MAX_STEPS,
            throw=False,
        )
        solution = nan_on_failure(solution)
        assert solution.ys is not None
        return jax.vmap(self.readout)(solution.ys[-1]), solution, penalty


@dataclass(frozen=True)
class Loss:
    """Cross-entropy plus the weighted penalty. It compares by content, so that all seeds share one compilation."""

    method: Method
    tolerance: float
    steps: int

    def __call__(
        self, model: Classifier, batch: Images, key: Array, step: Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss of a batch, and what is kept in the history."""
        scores, solution, penalty = model.solve(batch.pixels, self.method.regulariser, self.tolerance, key)
        task = optax.softmax_cross_entropy_with_integer_labels(scores, batch.labels).mean()
        loss = task + self.method.weight(step, self.steps) * penalty
        return loss, {"cross_entropy": task, "nfe": nfe(solution, model.solver)}


@dataclass(frozen=True)
class Trained:
    """One training and what it led to.

    Arguments:
        nfe: evaluations of the vector field for a batch of test images, averaged over batches.
        accuracy: on all test images.
        error, stiffness: sums over the steps of a test batch; NaN where the solver does not estimate it.
        training_seconds: for an update, averaged over the whole run, compilation excluded.
        prediction_seconds: for a test batch, the median over calls.
        nfe_history: of each update.
    """

    nfe: float
    accuracy: float
    error: float
    stiffness: float
    training_seconds: float
    prediction_seconds: float
    nfe_history: Float[np.ndarray, " step"]


def compare(setup: Setup, training: Images, test: Images, key: Array) -> dict[str, list[Trained]]:
    """Train with every method and seed, and measure: by method, one entry for each seed.

    Methods take turns within each seed, so that whatever else the machine does falls on all alike. Seeds are not stacked
    by `vmap`: the solves would all take the steps of the slowest, and a training could not be timed by itself.
    """
    with jax.enable_x64(setup.tolerance < FINEST_SINGLE):
        return _compare(setup, training.cast(), test.cast(), key)


def _compare(setup: Setup, training: Images, test: Images, key: Array) -> dict[str, list[Trained]]:
    found: dict[str, list[Trained]] = {method.name: [] for method in setup.methods}
    for method in setup.methods:
        _fit(setup, method, setup.model(key), training, key, steps=1)  # compiles
    for seed_key in jax.random.split(key, setup.seeds):
        model_key, fit_key, test_key = jax.random.split(seed_key, 3)
        for method in setup.methods:
            began = time.perf_counter()
            model, history = _fit(setup, method, setup.model(model_key), training, fit_key, steps=setup.steps)
            seconds = (time.perf_counter() - began) / setup.steps
            found[method.name].append(_measured(setup, model, test, test_key, seconds, history))
    return found


def _fit(
    setup: Setup, method: Method, model: Classifier, training: Images, key: Array, *, steps: int
) -> tuple[Any, Mapping[str, np.ndarray]]:
    fitted = fit(
        model,
        training,
        Loss(method, setup.tolerance, setup.steps),
        steps=steps,
        batch_size=setup.batch_size,
        key=key,
        optimiser=setup.optimiser,
        name=method.name,
    )
    return fitted.model, fitted.history


def _measured(
    setup: Setup, model: Any, test: Images, key: Array, training_seconds: float, history: Mapping[str, np.ndarray]
) -> Trained:
    batches = jax.tree.map(lambda leaf: leaf.reshape(-1, setup.test_batch, *leaf.shape[1:]), test)
    right, evaluations = [], []
    for number in range(len(batches.labels)):
        scores, count = _predict(model, batches.pixels[number], key, setup.tolerance)
        right.append(np.asarray(scores).argmax(axis=1) == batches.labels[number])
        evaluations.append(int(count))
    seconds = []
    for _ in range(setup.timed_calls):
        began = time.perf_counter()
        jax.block_until_ready(_predict(model, batches.pixels[0], key, setup.tolerance))
        seconds.append(time.perf_counter() - began)
    error, stiffness = _cost(model, batches.pixels[0], key, setup.tolerance)
    return Trained(
        nfe=float(np.mean(evaluations)),
        accuracy=float(np.mean(right)),
        error=float(error),
        stiffness=float(stiffness),
        training_seconds=training_seconds,
        prediction_seconds=float(np.median(seconds)),
        nfe_history=np.asarray(history["nfe"], float),
    )


@eqx.filter_jit
def _predict(
    model: Classifier, pixels: Pixels, key: Array, tolerance: float
) -> tuple[Float[Array, "image class"], Int[Array, ""]]:
    scores, solution, _ = model.solve(pixels, Unregularised(), tolerance, key)
    return scores, nfe(solution, model.solver)


@eqx.filter_jit
def _cost(model: Classifier, pixels: Pixels, key: Array, tolerance: float) -> tuple[Array, Array]:
    solution = model.solve(pixels, ErrorEstimate(), tolerance, key)[1]
    cost = solver_cost(solution)
    return cost.error, jnp.asarray(jnp.nan) if cost.stiffness is None else cost.stiffness
