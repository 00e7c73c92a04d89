"""The forecast that nothing changes: the baseline that every method must beat."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pathline.data import Series
from pathline.forecast.forecaster import ForecastMethod, PointForecaster


class PersistencePoint(PointForecaster):
    """Repeats the last observation."""

    context: int = eqx.field(static=True, default=1)

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """`x(t + h) = x(t)`."""
        return jnp.broadcast_to(values[-1], (target_times.shape[0], values.shape[1]))


@dataclass(frozen=True)
class Persistence(ForecastMethod):
    """Every future value is the last one observed. Optimal for a random walk; no hyperparameters."""

    name: ClassVar[str] = "persistence"

    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> PersistencePoint:
        """Nothing to fit."""
        return PersistencePoint()
