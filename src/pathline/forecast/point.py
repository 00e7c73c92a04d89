"""A point forecaster: from one window of the past to the future, and from many windows at once."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pathline.data import Series
from pathline.forecast.windows import future_windows, past_windows


class PointForecaster(eqx.Module):
    """Maps one window of the past to the future, in standard units. Callers `vmap` over windows."""

    context: eqx.AbstractVar[int]
    """How many past rows it looks at."""

    @abstractmethod
    def predict(
        self,
        times: Float[Array, " context"],
        values: Float[Array, "context dim"],
        mask: Bool[Array, "context dim"],
        target_times: Float[Array, " horizon"],
    ) -> Float[Array, "horizon dim"]:
        """The values expected at the target times.

        Arguments:
            times: of the past rows.
            values: of the past rows, gaps filled from the past alone.
            mask: true where a value was observed.
            target_times: when to predict; methods that count steps use only how many there are.
        """


def predict(
    point: PointForecaster,
    series: Series,
    origins: Int[np.ndarray, " origin"],
    horizon: int,
    precision: int,
    *,
    step: float | None = None,
) -> Float[np.ndarray, "origin horizon dim"]:
    """Point forecasts from many origins at once, in standard units.

    Arguments:
        point: the fitted point forecaster.
        series: as `Forecaster.prepared` makes it.
        origins: row numbers of the last row that may be looked at.
        horizon: steps ahead.
        precision: 32 or 64 bits.
        step: between target times beyond the end; that of the series when absent.

    Returns:
        The forecasts.

    Raises:
        FloatingPointError: a forecast is not finite, which a point forecaster must rule out.
    """
    windows = past_windows(series, origins, point.context)
    targets, _ = future_windows(series, origins, horizon, step=step)
    with jax.enable_x64(precision == 64):
        dtype = np.float64 if precision == 64 else np.float32
        # Times count from the origin: in 32 bits a date of today would swallow the step.
        start = windows[0][:, -1:]
        times, values, mask = windows[0] - start, windows[1], windows[2]
        arrays = (jnp.asarray(a, dtype) for a in (times, values, targets - start))
        times, values, targets = arrays
        found = np.asarray(_predict(point, times, values, jnp.asarray(mask), targets), dtype=float)
    if not np.isfinite(found).all():
        raise FloatingPointError(f"{type(point).__name__} gave a forecast that is not finite.")
    return found


@eqx.filter_jit
def _predict(point: PointForecaster, times: Array, values: Array, mask: Array, targets: Array) -> Array:
    return jax.vmap(point.predict)(times, values, mask, targets)
