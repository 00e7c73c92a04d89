"""How long a forecast of a chaotic system can be trusted."""

import numpy as np
from jaxtyping import Float


def valid_prediction_time(
    forecast: Float[np.ndarray, "horizon dim"],
    truth: Float[np.ndarray, "horizon dim"],
    *,
    step: float,
    scale: Float[np.ndarray, " dim"] | None = None,
    threshold: float = 0.4,
    lyapunov: float | None = None,
) -> float:
    """The time until the normalised error `sqrt(mean_d ((f - y) / scale)^2)` first exceeds `threshold`.

    Arguments:
        forecast, truth: the first row is one `step` after the last observation.
        step: time between rows.
        scale: standard deviation of each column over the attractor; by default that of `truth`.
        threshold: 0.4 is usual for reservoirs; 0.3 and 0.5 are found too.
        lyapunov: the largest Lyapunov exponent, per unit of time; the result is then in Lyapunov times.

    Returns:
        The time, at most `horizon * step`; NaN entries of the truth do not count.

    Source: Pathak et al., Model-free prediction of large spatiotemporally chaotic systems, 2018.
    """
    spread = np.nanstd(truth, axis=0) if scale is None else scale
    normalised = (forecast - truth) / np.where(spread > 0, spread, 1.0)
    with np.errstate(invalid="ignore"):
        seen = ~np.isnan(normalised)
        error = np.sqrt(np.where(seen, normalised, 0.0) ** 2 @ np.ones(truth.shape[1]) / np.maximum(seen.sum(1), 1))
    late = error > threshold
    valid = (int(np.argmax(late)) if late.any() else len(truth)) * step
    return float(valid * (lyapunov or 1.0))
