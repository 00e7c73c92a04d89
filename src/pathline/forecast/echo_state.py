"""Echo state network: a fixed random recurrent network, of which only the linear readout is fitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast.forecaster import ForecastMethod, PointForecaster, spread_origins
from pathline.forecast.ridge import PENALTIES, ridge_path
from pathline.forecast.windows import future_windows, past_windows

_RADII = (0.4, 0.8, 1.1)
_LEAKS = (0.3, 1.0)
_ROOM = 1.0


class EchoStatePoint(PointForecaster):
    """Synchronises its state with the past, then feeds its own predictions back.

    States are kept within the range seen in training, widened by that range on either side, so that a diverging
    forecast stays finite and shows up in its errors.
    """

    recurrent: Float[Array, "unit unit"]
    inward: Float[Array, "unit dim"]
    bias: Float[Array, " unit"]
    leak: Float[Array, ""]
    readout: Float[Array, "feature dim"]
    low: Float[Array, " dim"]
    high: Float[Array, " dim"]
    context: int = eqx.field(static=True)

    def advance(self, state: Float[Array, " unit"], value: Float[Array, " dim"]) -> Float[Array, " unit"]:
        """`r' = (1 - a) r + a tanh(A r + B x + b)`."""
        new = jnp.tanh(self.recurrent @ state + self.inward @ value + self.bias)
        return (1 - self.leak) * state + self.leak * new

    def states(self, values: Float[Array, "time dim"]) -> Float[Array, "time unit"]:
        """The state after each value, from rest."""

        def step(state: Array, value: Array) -> tuple[Array, Array]:
            new = self.advance(state, value)
            return new, new

        return jax.lax.scan(step, jnp.zeros_like(self.bias), values)[1]

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """Listen to the past, then run freely."""

        def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            state, value = carry
            change = readout_features(state, value) @ self.readout
            new = jnp.clip(value + change, self.low, self.high)
            return (self.advance(state, new), new), new

        start = (self.states(values)[-1], values[-1])
        return jax.lax.scan(step, start, None, length=target_times.shape[0])[1]


@dataclass(frozen=True)
class EchoState(ForecastMethod):
    """A leaky echo state network with a ridge readout of the next increment.

    Arguments:
        size: units of the reservoir; 100 to 1000.
        spectral_radius: of the recurrent matrix; chosen among 0.4, 0.8, 1.1 when absent.
        leak: 1 forgets at once, 0.1 slowly; chosen among 0.3 and 1 when absent.
        input_scale: standard deviation of the input weights, for standardised data.
        washout: steps until the state has forgotten where it started; so many past rows are looked at.
        ridge: penalty per sample of the readout; chosen among 1e-10, ..., 100 when absent.

    What is absent is chosen by rollouts on the last quarter of the training part.

    Source: Jaeger, The echo state approach, 2001; squared states in the readout as in Lu et al., Reservoir
    observers, 2017.
    """

    size: int = 200
    spectral_radius: float | None = None
    leak: float | None = None
    input_scale: float = 0.5
    washout: int = 50
    ridge: float | None = None

    name: ClassVar[str] = "echo_state"
    least: ClassVar[Mapping[str, float]] = {"input_scale": 0.0, "ridge": 0.0}

    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> EchoStatePoint:
        """Choose the reservoir's dynamics and the penalty by rollouts on a held-out block, then fit the readout."""
        self._check()
        context = min(self.washout, len(training) // 4)
        if context < 2:
            raise InputError(
                f"echo_state needs at least eight rows to learn from; {training.title!r} has {len(training)}."
            )
        radii = _RADII if self.spectral_radius is None else (self.spectral_radius,)
        leaks = _LEAKS if self.leak is None else (self.leak,)
        candidates = list(product(radii, leaks))
        penalties = PENALTIES[2::2] if self.ridge is None else (self.ridge,)
        reservoirs = _stack([self._reservoir(training, radius, leak, context, key) for radius, leak in candidates])
        states = np.asarray(_all_states(reservoirs, jnp.asarray(training.filled())))
        chosen, penalty = 0, penalties[0]
        cut = len(training) * 3 // 4
        if len(candidates) * len(penalties) > 1:
            readouts = jnp.asarray([_readouts(training[:cut], one[:cut], context, penalties) for one in states])
            errors = _rollout_errors(reservoirs, readouts, training, cut, horizon, context)
            chosen, place = np.unravel_index(errors.argmin(), errors.shape)
            penalty = penalties[place]
        best = jax.tree.map(lambda leaf: leaf[chosen], reservoirs)
        readout = _readouts(training, states[chosen], context, (penalty,))[0]
        return eqx.tree_at(lambda point: point.readout, best, jnp.asarray(readout))

    def _check(self) -> None:
        for what, given, fine in (
            ("size", self.size, self.size >= 1),
            ("washout", self.washout, self.washout >= 2),
            ("spectral radius", self.spectral_radius, self.spectral_radius is None or self.spectral_radius >= 0),
            ("leak", self.leak, self.leak is None or 0 < self.leak <= 1),
        ):
            if not fine:
                raise InputError(
                    f"The {what} of echo_state cannot be {given:g}; the size is at least 1, the washout at least 2, the "
                    "spectral radius not negative, and the leak above 0 and at most 1."
                )

    def _reservoir(self, training: Series, radius: float, leak: float, context: int, key: Array) -> EchoStatePoint:
        keys = jax.random.split(key, 3)
        # About ten inputs a unit: sparse reservoirs have richer dynamics than dense ones of the same radius.
        recurrent = jax.random.normal(keys[0], (self.size, self.size))
        recurrent = recurrent * jax.random.bernoulli(keys[1], min(1.0, 10 / self.size), recurrent.shape)
        values = training.filled()
        low, high = values.min(axis=0), values.max(axis=0)
        room = _ROOM * (high - low)
        draw = jax.random.normal(keys[2], (self.size, training.dim + 1))
        return EchoStatePoint(
            recurrent=scaled_to_radius(recurrent, radius),
            inward=self.input_scale * draw[:, 1:] / np.sqrt(training.dim),
            bias=0.2 * draw[:, 0],
            leak=jnp.asarray(np.asarray(leak)),
            readout=jnp.zeros((1 + training.dim + 2 * self.size, training.dim)),
            low=jnp.asarray(low - room),
            high=jnp.asarray(high + room),
            context=context,
        )


def scaled_to_radius(matrix: Float[Array, "unit unit"], radius: float) -> Float[Array, "unit unit"]:
    """The matrix times the factor that makes its largest eigenvalue `radius` in modulus."""
    largest = float(np.abs(np.linalg.eigvals(np.asarray(matrix))).max())
    return matrix * (radius / max(largest, 1e-12))


def readout_features(state: Float[Array, " unit"], value: Float[Array, " dim"]) -> Float[Array, " feature"]:
    """`[1, x, r, r^2]`: squares break the symmetry of tanh under a change of sign."""
    return jnp.concatenate([jnp.ones(1, state.dtype), value, state, state**2])


def _stack(points: list[EchoStatePoint]) -> EchoStatePoint:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)


@eqx.filter_jit
def _all_states(points: EchoStatePoint, values: Array) -> Array:
    return jax.vmap(lambda point: point.states(values))(points)


def _readouts(training: Series, states: np.ndarray, washout: int, penalties: tuple[float, ...]) -> np.ndarray:
    values = training.filled()
    rows = np.arange(washout - 1, len(values) - 1)
    features = np.asarray(jax.vmap(readout_features)(jnp.asarray(states[rows]), jnp.asarray(values[rows])))
    return ridge_path(features, values[rows + 1] - values[rows], penalties)


def _rollout_errors(
    points: EchoStatePoint, readouts: Array, training: Series, cut: int, horizon: int, context: int
) -> np.ndarray:
    """Mean square error `[candidate, penalty]` of rollouts that start after `cut`."""
    origins = spread_origins(cut - 1, len(training) - 2)
    origins = origins[:: max(1, len(origins) // 40)]
    times, past, mask = past_windows(training, origins, context)
    targets, truth = future_windows(training, origins, horizon)
    found = np.asarray(_rollouts(points, readouts, *map(jnp.asarray, (times, past, mask, targets))))
    return np.nanmean((found - truth) ** 2, axis=(2, 3, 4))


@eqx.filter_jit
def _rollouts(points: EchoStatePoint, readouts: Array, times: Array, past: Array, mask: Array, targets: Array) -> Array:
    def one(point: EchoStatePoint, readout: Array) -> Array:
        fitted = eqx.tree_at(lambda point: point.readout, point, readout)
        return jax.vmap(fitted.predict)(times, past, mask, targets)

    return jax.vmap(lambda point, paths: jax.vmap(lambda readout: one(point, readout))(paths))(points, readouts)
