"""What a forecaster may look at: the past of an origin, with gaps filled from the past alone."""

import numpy as np
from jaxtyping import Bool, Float, Int

from pathline.data import Series


def past_windows(
    series: Series, origins: Int[np.ndarray, " origin"], length: int
) -> tuple[
    Float[np.ndarray, "origin length"], Float[np.ndarray, "origin length dim"], Bool[np.ndarray, "origin length dim"]
]:
    """The last `length` rows up to and including each origin.

    A gap between two observations is interpolated; after the last observation before the origin its value is held,
    since the next one is not known yet. Where nothing was observed yet the value is zero (the mean, in standard units).

    Arguments:
        series: in standard units.
        origins: row numbers, each at least `length - 1`.
        length: rows in a window.

    Returns:
        `(times, values, mask)` of the windows.
    """
    rows = origins[:, None] + np.arange(1 - length, 1)
    observed = np.where(series.mask, np.arange(len(series))[:, None], -1)
    newest = np.maximum.accumulate(observed, axis=0)[origins]
    known = np.minimum(rows[:, :, None], newest[:, None, :])
    values = np.take_along_axis(_interpolated(series)[None], np.maximum(known, 0), axis=1)
    return series.times[rows], np.where(newest[:, None, :] >= 0, values, 0.0), series.mask[rows]


def _interpolated(series: Series) -> Float[np.ndarray, "time dim"]:
    """Gaps filled linearly; a column that was never observed is zero."""
    columns = [
        np.interp(series.times, series.times[seen], column[seen]) if seen.any() else np.zeros(len(series))
        for column, seen in zip(series.values.T, series.mask.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def future_windows(
    series: Series, origins: Int[np.ndarray, " origin"], horizon: int, *, step: float | None = None
) -> tuple[Float[np.ndarray, "origin horizon"], Float[np.ndarray, "origin horizon dim"]]:
    """The `horizon` rows after each origin: times, and values with NaN for gaps and beyond the end of the series.

    Arguments:
        series: in any units.
        origins: row numbers.
        horizon: rows after each.
        step: between times beyond the end; that of the series when absent.
    """
    rows = origins[:, None] + np.arange(1, horizon + 1)
    inside = np.minimum(rows, len(series) - 1)
    beyond = (rows - inside) * (series.step if step is None else step)
    values = np.where((rows < len(series))[:, :, None], series.values[inside], np.nan)
    return series.times[inside] + beyond, values
