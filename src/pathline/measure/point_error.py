"""How far a point forecast lies from the truth."""

import numpy as np
from jaxtyping import Float


def rmse(forecast: Float[np.ndarray, "*shape"], truth: Float[np.ndarray, "*shape"]) -> float:
    """Root mean square error, `sqrt(mean((f - y)^2))`, in the data's units.

    Arguments:
        forecast, truth: of one shape; entries where the truth is NaN do not count.

    Returns:
        The error; NaN when nothing was observed.
    """
    error = (forecast - truth)[~np.isnan(truth)]
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def mase(
    forecast: Float[np.ndarray, "horizon dim"],
    truth: Float[np.ndarray, "horizon dim"],
    history: Float[np.ndarray, "time dim"],
    *,
    season: int = 1,
) -> float:
    """Mean absolute scaled error: the error in units of what repeating the last season costs on the history,
    `mean |f - y| / mean_t |y_t - y_{t-season}|`, averaged over columns. Below 1 beats that rule.

    Arguments:
        forecast, truth: entries where the truth is NaN do not count.
        history: the data before the forecast; gaps are NaN.
        season: steps in a season; 1 scales by persistence.

    Returns:
        The scaled error; NaN when a column's history never changes or is shorter than a season.

    Source: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.
    """
    if len(history) <= season:
        return float("nan")
    changes = np.abs(history[season:] - history[:-season])
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.nansum(changes, axis=0) / (~np.isnan(changes)).sum(axis=0)
        errors = np.abs(forecast - truth)
        mean = np.nansum(errors, axis=0) / (~np.isnan(errors)).sum(axis=0)
        ratio = np.where(scale > 0, mean / scale, np.nan)
    return float(np.mean(ratio))


def smape(forecast: Float[np.ndarray, "*shape"], truth: Float[np.ndarray, "*shape"]) -> float:
    """Symmetric mean absolute percentage error, `100 mean(2 |f - y| / (|f| + |y|))`, from 0 to 200.

    Arguments:
        forecast, truth: entries where the truth is NaN do not count; where both are zero the error is zero.

    Returns:
        The error in percent; NaN when nothing was observed.

    Source: Makridakis, Accuracy measures: theoretical and practical concerns, 1993.
    """
    seen = ~np.isnan(truth)
    error, size = np.abs(forecast - truth)[seen], (np.abs(forecast) + np.abs(truth))[seen]
    if not error.size:
        return float("nan")
    return float(200.0 * np.mean(np.divide(error, size, out=np.zeros_like(error), where=size > 0)))
