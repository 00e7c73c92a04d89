"""The forecast that the last season repeats: hard to beat where there is one."""

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
from pathline.forecast.forecaster import ForecastMethod, PointForecaster, season_of


class SeasonalNaivePoint(PointForecaster):
    """Repeats the last `context` rows."""

    context: int = eqx.field(static=True)

    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """`x(t + h) = x(t + h - season k)` with the smallest `k` that lies in the past."""
        return values[jnp.arange(target_times.shape[0]) % self.context]


@dataclass(frozen=True)
class SeasonalNaive(ForecastMethod):
    """Every future value is the one a season before it.

    Arguments:
        season: steps in a season. When absent it is the series' own period if known, else the lag of the highest
            autocorrelation of the training part; without any above 0.1, one step, which is persistence.
    """

    season: int | None = None

    name: ClassVar[str] = "seasonal_naive"
    least: ClassVar[Mapping[str, float]] = {"season": 1}

    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> SeasonalNaivePoint:
        """Find the season."""
        if self.season is not None:
            if self.season > len(training):
                raise InputError(
                    f"A season of {self.season} steps does not fit into the {len(training)} rows to learn from; "
                    "give a shorter one."
                )
            return SeasonalNaivePoint(self.season)
        known = season_of(training)
        return SeasonalNaivePoint(known if 1 < known <= len(training) else season_length(training.filled()))


def season_length(values: Float[np.ndarray, "time dim"]) -> int:
    """The lag of the highest autocorrelation beyond its first zero, averaged over columns; 1 if none exceeds 0.1.

    Arguments:
        values: without gaps; the longest lag considered is a third of its length.
    """
    centred = values - values.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(values), axis=0)) ** 2
    autocovariance = np.fft.irfft(spectrum, axis=0)[: len(values) // 3 + 1]
    # Over the number of pairs at each lag: long seasons are not put at a disadvantage.
    autocovariance /= (len(values) - np.arange(len(autocovariance)))[:, None]
    varying = autocovariance[0] > 0
    if not varying.any():
        return 1
    correlation = np.mean(autocovariance[:, varying] / autocovariance[0, varying], axis=1)
    below = np.flatnonzero(correlation < 0)
    if not len(below):
        return 1
    best = below[0] + int(np.argmax(correlation[below[0] :]))
    return int(best) if correlation[best] > 0.1 else 1
