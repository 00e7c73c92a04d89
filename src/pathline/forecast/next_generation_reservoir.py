"""Next-generation reservoir computing: polynomials of delays, fitted by ridge regression, iterated."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from math import comb
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

_DELAYS = (2, 3, 5, 8, 12)
_DEGREES = (2, 1)
_MOST_FEATURES = 1000
_ROOM = 1.0


class NextGenerationReservoirPoint(PointForecaster):
    """Iterates `x(t + 1) = x(t) + W [1, delays, products of delays]`.

    A polynomial far outside the data grows without bound, so that every state is kept within the range seen in
    training, widened by that range on either side: a diverging forecast stays finite and shows up in its errors.
    """

    weights: Float[Array, "feature dim"]
    low: Float[Array, " dim"]
    high: Float[Array, " dim"]
    skip: int = eqx.field(static=True)
    degree: int = eqx.field(static=True)
    context: int = eqx.field(static=True)

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """Roll the fitted map out."""

        def step(past: Array, _: None) -> tuple[Array, Array]:
            change = polynomial_features(past[:: self.skip], self.degree) @ self.weights
            new = jnp.clip(past[-1] + change, self.low, self.high)
            return jnp.concatenate([past[1:], new[None]]), new

        return jax.lax.scan(step, values, None, length=target_times.shape[0])[1]


@dataclass(frozen=True)
class NextGenerationReservoir(ForecastMethod):
    """Ridge regression of the next increment on a polynomial of delays.

    Arguments:
        delays: how many delays of every column; chosen among 2, 3, 5, 8, 12 when absent.
        skip: steps between delays. 1 suits data sampled as coarsely as the dynamics allow; 5 to 10 fine sampling.
        degree: of the polynomial; 2 recovers Lorenz-like systems, 3 systems with a cubic force; chosen among 1 and 2
            when absent, since on noisy data rollouts of a quadratic map may run away.
        ridge: penalty per sample; chosen among 1e-10, ..., 100 by the error of rollouts when absent.

    What is absent is chosen by rollouts on the last quarter of the training part.

    Source: Gauthier, Bollt, Griffith and Barbosa, Next generation reservoir computing, 2021.
    """

    delays: int | None = None
    skip: int = 1
    degree: int | None = None
    ridge: float | None = None

    name: ClassVar[str] = "next_generation_reservoir"
    least: ClassVar[Mapping[str, float]] = {"delays": 1, "skip": 1, "degree": 1, "ridge": 0.0}

    def fit_point(
        self, training: Series, *, horizon: int, key: Array, run: Path | None
    ) -> NextGenerationReservoirPoint:
        """Choose delays and penalty by rollouts on a held-out block, then fit to all of the training part."""
        degrees = _DEGREES if self.degree is None else (self.degree,)
        candidates = [(delays, degree) for degree in degrees for delays in self._delays(training, horizon, degree)]
        penalties = PENALTIES if self.ridge is None else (self.ridge,)
        least = min(delays for delays, _ in candidates)
        if (least - 1) * self.skip + 1 + horizon >= len(training) // 2:
            raise InputError(
                f"{training.title!r} has {len(training)} rows to learn from, too few for {least} delays "
                f"{self.skip} apart and a horizon of {horizon}; give more data or shorten any of them."
            )
        cut = len(training) * 3 // 4
        best, chosen = np.inf, (*candidates[0], penalties[0])
        if len(candidates) * len(penalties) > 1:
            for delays, degree in candidates:
                points = self._fitted(training[:cut], delays, degree, penalties)
                errors = _rollout_errors(points, training, cut, horizon)
                if errors.min() < best:
                    best, chosen = errors.min(), (delays, degree, penalties[int(errors.argmin())])
        delays, degree, penalty = chosen
        return self._fitted(training, delays, degree, (penalty,))[0]

    def _delays(self, training: Series, horizon: int, degree: int) -> list[int]:
        if self.delays is not None:
            return [self.delays]
        # A handful of delays of many columns has too many products; one delay is always tried.
        return [delays for delays in _DELAYS if self._suits(delays, training, horizon, degree)] or [1]

    def _suits(self, delays: int, training: Series, horizon: int, degree: int) -> bool:
        inputs = delays * training.dim
        features = sum(comb(inputs + d - 1, d) for d in range(degree + 1))
        rows = len(training) * 3 // 4 - (delays - 1) * self.skip - horizon
        return features <= min(_MOST_FEATURES, rows)

    def _fitted(
        self, training: Series, delays: int, degree: int, penalties: tuple[float, ...]
    ) -> list[NextGenerationReservoirPoint]:
        """One for each penalty."""
        context = (delays - 1) * self.skip + 1
        origins = np.arange(context - 1, len(training) - 1)
        values = training.filled()
        _, past, _ = past_windows(training, origins, context)
        features = np.asarray(jax.vmap(partial(polynomial_features, degree=degree))(jnp.asarray(past[:, :: self.skip])))
        paths = ridge_path(features, values[origins + 1] - past[:, -1], penalties)
        low, high = values.min(axis=0), values.max(axis=0)
        room = _ROOM * (high - low)
        return [
            NextGenerationReservoirPoint(
                weights=jnp.asarray(weights),
                low=jnp.asarray(low - room),
                high=jnp.asarray(high + room),
                skip=self.skip,
                degree=degree,
                context=context,
            )
            for weights in paths
        ]


def polynomial_features(delays: Float[Array, "delay dim"], degree: int) -> Float[Array, " feature"]:
    """All distinct products of at most `degree` entries of the delays, the constant 1 among them.

    Arguments:
        delays: newest last.
        degree: 1 gives `[1, delays]`, 2 adds squares and pairs, 3 triples.
    """
    entries = delays.reshape(-1)
    parts = [jnp.ones(1, entries.dtype), entries]
    for order in range(2, degree + 1):
        places = np.asarray(list(combinations_with_replacement(range(entries.shape[0]), order)))
        parts.append(jnp.prod(entries[places], axis=1))
    return jnp.concatenate(parts)


def _rollout_errors(
    points: list[NextGenerationReservoirPoint], training: Series, cut: int, horizon: int
) -> Float[np.ndarray, " candidate"]:
    """Mean square error of rollouts that start after `cut`, for models alike in all but their weights."""
    origins = spread_origins(cut - 1, len(training) - 2)[::2]
    times, past, mask = past_windows(training, origins, points[0].context)
    targets, truth = future_windows(training, origins, horizon)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    found = np.asarray(_rollouts(stacked, *map(jnp.asarray, (times, past, mask, targets))))
    return np.nanmean((found - truth) ** 2, axis=(1, 2, 3))


@eqx.filter_jit
def _rollouts(points: NextGenerationReservoirPoint, times: Array, past: Array, mask: Array, targets: Array) -> Array:
    return jax.vmap(lambda point: jax.vmap(point.predict)(times, past, mask, targets))(points)
