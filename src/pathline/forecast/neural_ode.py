"""Neural ordinary differential equation: a learnt vector field, started from a state that the past reveals."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast.forecaster import ForecastMethod, PointForecaster
from pathline.forecast.windows import future_windows, past_windows
from pathline.integrate import (
    ErrorEstimate,
    JacobianFrobenius,
    Kinetic,
    Regulariser,
    StiffnessEstimate,
    TayNODE,
    Unregularised,
    nan_on_failure,
    nfe,
    solve_on_grid,
)
from pathline.nets import BoundedField
from pathline.train import GradientUpdate, run_updates

_ROUNDS = 10
_MAX_STEPS = 1024
_REGULARISERS: dict[str, Regulariser] = {
    "none": Unregularised(),
    "error": ErrorEstimate("mean"),
    "stiffness": StiffnessEstimate("mean"),
    "taylor": TayNODE(2),
    "kinetic": Kinetic(),
    "jacobian": JacobianFrobenius(),
}


class LatentDynamics(eqx.Module):
    """One member of the ensemble: an encoder of the past and a vector field.

    The state is the observed one, extended by components that the encoder reads off the past: by Takens' theorem
    enough delays determine what a single observation leaves open.
    """

    encoder: eqx.nn.Linear
    field: BoundedField
    tolerance: float | None = eqx.field(static=True)

    def __init__(
        self, dim: int, context: int, latent: int, width: int, depth: int, tolerance: float | None, *, key: Array
    ):
        encoder_key, field_key = jax.random.split(key)
        inputs = context * (2 * dim + 1)
        self.encoder = eqx.nn.Linear(inputs, latent, key=encoder_key)
        self.field = BoundedField(dim + latent, width, depth, key=field_key)
        self.tolerance = tolerance

    def __call__(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """Solve from the last of `times` to the targets; times in units of the series' step."""
        return self.solve(times, values, mask, target_times, Unregularised(), None)[0]

    def solve(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
        regulariser: Regulariser,
        key: Array | None,
    ) -> tuple[Float[Array, "horizon dim"], dict[str, Array]]:
        """The same, with what an adaptive solve cost: `penalty` and `evaluations` of the field."""
        seen = mask.astype(values.dtype)
        # Relative to the last value, the encoder does not depend on the level.
        past = jnp.concatenate([(values - values[-1]) * seen, seen, 0.1 * (times - times[-1])[:, None]], axis=1)
        start = jnp.concatenate([values[-1], jnp.tanh(self.encoder(past.reshape(-1)))])
        dim = values.shape[1]
        if self.tolerance is None:
            grid = jnp.concatenate([times[-1:], target_times])
            return solve_on_grid(self.field, start, grid)[1:, :dim], {}
        solver = diffrax.Tsit5()
        solution, penalty = regulariser(
            diffrax.ODETerm(lambda t, state, args: self.field(state)),
            solver,
            times[-1],
            target_times[-1],
            None,
            start,
            key=key,
            saveat=diffrax.SaveAt(ts=target_times),
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=_MAX_STEPS,
            throw=False,
        )
        states = nan_on_failure(solution).ys
        assert states is not None
        return states[:, :dim], {"penalty": penalty, "evaluations": nfe(solution, solver)}


class NeuralODEPoint(PointForecaster):
    """The mean of an ensemble of neural differential equations. Works on uneven times and with gaps as they are."""

    members: LatentDynamics
    step: float = eqx.field(static=True)
    context: int = eqx.field(static=True)

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """Solve each member's equation to the target times and average."""
        arguments = times / self.step, values, mask, target_times / self.step
        return jnp.mean(eqx.filter_vmap(lambda member: member(*arguments))(self.members), axis=0)


@dataclass(frozen=True)
class NeuralODE(ForecastMethod):
    """`dz/dt = f(z)` with a neural network `f`, where `z` is the observed state extended by what the past reveals.

    Fitted to random windows by differentiating the solver, with a horizon that grows over the first half of the
    training. The last fifth of the training part is kept for early stopping.

    Arguments:
        context: how many past observations the encoder sees.
        latent: components besides the observed ones.
        width, depth: of the vector field's hidden layers; enlarge them for thousands of rows.
        members: networks in the ensemble, trained at once; their mean is steadier than any of them.
        steps: updates at most.
        batch_size: windows in a batch.
        learning_rate: of AdamW, falling to a tenth by a cosine.
        weight_decay: of AdamW.
        noise: standard deviation of the noise added to the inputs in training, for standardised data.
        longest: lead times beyond this are not trained on.
        seconds: no new round of training (a tenth of the steps) begins after this long.
        tolerance: relative and absolute, of adaptive steps by Tsit5, for dynamics that are fast at times and slow at
            others; 1e-3 to 1e-5. When absent, one step of order 3 is made from each time to the next.
        regulariser: keeps the dynamics cheap to solve adaptively; `error` needs the fewest evaluations at the least cost.
        penalty: weight of the regulariser; larger is cheaper and, at some point, less accurate. It belongs to one
            tolerance.

    Source: Chen et al., Neural ordinary differential equations, 2018; practice as in Kidger, On Neural Differential
    Equations, 2022, chapter 2; regularisers after Pal et al., Opening the Blackbox, 2021.
    """

    context: int = 16
    latent: int = 2
    width: int = 16
    depth: int = 1
    members: int = 4
    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    noise: float = 0.2
    longest: int = 32
    seconds: float = 60.0
    tolerance: float | None = None
    regulariser: Literal["none", "error", "stiffness", "taylor", "kinetic", "jacobian"] = "none"
    penalty: float = 0.1

    name: ClassVar[str] = "neural_ode"
    precision: ClassVar[int] = 32
    gridded: ClassVar[bool] = False
    least: ClassVar[Mapping[str, float]] = {
        "context": 1,
        "width": 1,
        "members": 1,
        "steps": 1,
        "batch_size": 1,
        "longest": 1,
        "latent": 0,
        "depth": 0,
        "learning_rate": 0.0,
        "weight_decay": 0.0,
        "noise": 0.0,
        "tolerance": 1e-6,
        "penalty": 0.0,
    }

    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> NeuralODEPoint:
        """Train the ensemble, keeping the weights that did best on the held-out windows."""
        if self.regulariser not in _REGULARISERS:
            raise InputError(f"There is no regulariser {self.regulariser!r}; there are {', '.join(_REGULARISERS)}.")
        if self.regulariser != "none" and self.tolerance is None:
            raise InputError(
                f"The regulariser {self.regulariser!r} acts on adaptive steps; give a tolerance too, such as 1e-3."
            )
        leads = min(horizon, self.longest)
        context = min(self.context, len(training) // 6)
        origins = np.arange(context - 1, len(training) - leads)
        cut = len(training) * 4 // 5
        fitted, held = origins[origins + leads < cut], origins[origins >= cut - 1]
        if context < 1 or len(fitted) < 8 or len(held) < 1:
            raise InputError(
                f"{training.title!r} has {len(training)} rows to learn from, too few for windows of {context} past and "
                f"{leads} future rows; give more data or a shorter horizon."
            )
        data, validation = (_windows(training, chosen, context, leads) for chosen in (fitted, held))
        key, model_key = jax.random.split(key)
        members = eqx.filter_vmap(
            lambda key: LatentDynamics(
                training.dim, context, self.latent, self.width, self.depth, self.tolerance, key=key
            )
        )(jax.random.split(model_key, self.members))
        schedule = optax.cosine_decay_schedule(self.learning_rate, self.steps, alpha=0.1)
        optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=self.weight_decay))
        update = GradientUpdate(
            _GrowingHorizon(leads, self.steps // 2, self.noise, self.regulariser, self.penalty), optimiser, ema=0.99
        )
        state = eqx.filter_vmap(update.begin)(members)
        best, least, began = state.model, np.inf, time.monotonic()
        for number in range(_ROUNDS):
            steps = self.steps * (number + 1) // _ROUNDS - self.steps * number // _ROUNDS
            if steps == 0 or (number and time.monotonic() - began > self.seconds):
                continue
            state, _ = run_updates(
                update,
                state,
                data,
                steps=steps,
                key=jax.random.fold_in(key, number),
                batch_size=min(self.batch_size, len(fitted)),
                seeds=self.members,
                run=None if run is None else run / f"round-{number + 1}",
                name=f"neural_ode, round {number + 1} of {_ROUNDS}",
            )
            averaged = eqx.combine(state.average, state.model)
            if (error := float(_ensemble_error(averaged, validation))) < least:
                best, least = averaged, error
        return NeuralODEPoint(members=best, step=training.step, context=context)


@dataclass(frozen=True)
class _GrowingHorizon:
    """Mean square error over the lead times that have been opened: from half of them at first to all after `opening`
    updates; plus what the regulariser adds."""

    leads: int
    opening: int
    noise: float
    regulariser: str
    penalty: float

    def __call__(
        self, model: LatentDynamics, batch: tuple[Array, ...], key: Array, step: Array
    ) -> tuple[Array, dict[str, Array]]:
        times, values, mask, targets, truth, observed = batch
        # Noise on the inputs keeps a few hundred windows from being learnt by heart.
        noisy = values + self.noise * jax.random.normal(key, values.shape)
        arguments = times, noisy, mask, targets
        regularised = partial(model.solve, regulariser=_REGULARISERS[self.regulariser], key=key)
        found, cost = jax.vmap(regularised)(*arguments)
        open_leads = self.leads * (0.5 + 0.5 * step / max(self.opening, 1))
        weight = observed * (jnp.arange(self.leads) < open_leads)[None, :, None]
        error = jnp.sum(weight * (found - truth) ** 2) / jnp.maximum(weight.sum(), 1.0)
        cost = {name: jnp.mean(value.astype(error.dtype)) for name, value in cost.items()}
        return error + self.penalty * cost.get("penalty", 0.0), cost


@eqx.filter_jit
def _ensemble_error(members: LatentDynamics, windows: tuple[Array, ...]) -> Array:
    times, values, mask, targets, truth, observed = windows
    found = eqx.filter_vmap(lambda member: jax.vmap(member)(times, values, mask, targets))(members).mean(axis=0)
    return jnp.sum(observed * (found - truth) ** 2) / jnp.maximum(observed.sum(), 1.0)


def _windows(training: Series, origins: np.ndarray, context: int, leads: int) -> tuple[Array, ...]:
    """Past and future of each origin, times in steps from the origin."""
    times, values, mask = past_windows(training, origins, context)
    targets, truth = future_windows(training, origins, leads)
    start = times[:, -1:]
    observed = ~np.isnan(truth)
    arrays = (
        (times - start) / training.step,
        values,
        mask,
        (targets - start) / training.step,
        np.where(observed, truth, 0.0),
        observed.astype(np.float32),
    )
    return tuple(jnp.asarray(a, bool if a.dtype == bool else np.float32) for a in arrays)
