"""Linear regression on delays: the strongest simple forecaster, and the one to beat after persistence."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast.forecaster import ForecastMethod, PointForecaster
from pathline.forecast.ridge import PENALTIES, ridge_path
from pathline.forecast.windows import future_windows, past_windows

_CANDIDATES = (1, 2, 4, 8, 16, 32, 64)


class LinearPoint(PointForecaster):
    """Predicts the change from the last value at each lead time as a linear function of the delays."""

    weights: Float[Array, "feature target"]
    context: int = eqx.field(static=True)

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """`x(t + h) = x(t) + W_h [1, x(t), x(t - 1) - x(t), ...]`; beyond the fitted horizon, from its own forecasts."""
        horizon, dim = target_times.shape[0], values.shape[1]
        found = values[:0]
        while found.shape[0] < horizon:
            change = _features(values, jnp) @ self.weights
            block = values[-1] + change.reshape(-1, dim)
            found = jnp.concatenate([found, block])
            values = jnp.concatenate([values, block])[-self.context :]
        return found[:horizon]


@dataclass(frozen=True)
class Linear(ForecastMethod):
    """Ridge regression from delays to every lead time at once.

    Arguments:
        lags: how many past steps of every column; chosen among 1, 2, 4, ..., 64 when absent.
        ridge: penalty per sample on the weights of standardised delays; chosen among 1e-10, ..., 100 when absent.

    Both are chosen by the error on the last quarter of the training part, held out in time.
    """

    lags: int | None = None
    ridge: float | None = None

    name: ClassVar[str] = "linear"
    least: ClassVar[Mapping[str, float]] = {"lags": 1, "ridge": 0.0}

    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> LinearPoint:
        """Choose lags and penalty on a held-out block, then fit to all of the training part."""
        longest = (len(training) - horizon) // 3
        candidates = [lags for lags in _CANDIDATES if lags <= longest] if self.lags is None else [self.lags]
        if not candidates or candidates[0] > longest:
            raise InputError(
                f"{training.title!r} has {len(training)} rows to learn from, too few for {self.lags or 1} lags and a "
                f"horizon of {horizon}; give more data or shorten either."
            )
        penalties = PENALTIES if self.ridge is None else (self.ridge,)
        scores = {}
        if len(candidates) * len(penalties) > 1:
            for lags in candidates:
                for penalty, score in zip(penalties, _held_out_errors(training, lags, horizon, penalties), strict=True):
                    scores[lags, penalty] = score
        lags, penalty = min(scores, key=lambda pair: scores[pair]) if scores else (candidates[0], penalties[0])
        features, changes, _ = _samples(training, lags, horizon)
        return LinearPoint(weights=jnp.asarray(ridge_path(features, changes, (penalty,))[0]), context=lags)


def _held_out_errors(
    training: Series, lags: int, horizon: int, penalties: tuple[float, ...]
) -> Float[np.ndarray, " penalty"]:
    features, changes, origins = _samples(training, lags, horizon)
    cut = len(training) * 3 // 4
    # A sample whose targets reach into the held-out block belongs to neither part.
    fitted, held = origins + horizon < cut, origins >= cut - 1
    if fitted.sum() < 2 or not held.any():
        return np.full(len(penalties), np.inf)
    paths = ridge_path(features[fitted], changes[fitted], penalties)
    return np.mean((features[held] @ paths - changes[held]) ** 2, axis=(1, 2))


def _samples(training: Series, lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, changes from the last value, and origins; only where every target was observed or interpolated."""
    origins = np.arange(lags - 1, len(training) - horizon)
    _, past, _ = past_windows(training, origins, lags)
    whole = eqx.tree_at(lambda s: s.values, training, training.filled())
    _, future = future_windows(whole, origins, horizon)
    changes = (future - past[:, -1:]).reshape(len(origins), -1)
    return _features(past, np), changes, origins


def _features(past, xp):
    """`[1, x(t), x(t - 1) - x(t), ...]`: the same for one window in JAX and for many in NumPy."""
    last = past[..., -1, :]
    differences = (past[..., :-1, :] - last[..., None, :]).reshape(*past.shape[:-2], -1)
    return xp.concatenate([xp.ones_like(last[..., :1]), last, differences], axis=-1)
