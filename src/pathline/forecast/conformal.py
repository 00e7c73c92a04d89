"""Prediction intervals from the errors that a forecaster made on data it was not fitted to.

If past and future errors are exchangeable, an interval between the right order statistics of `n` past errors covers
the next value with at least the promised probability, whatever the model and whatever the distribution. Where they are
not, as in a system that drifts, the probability asked for is adapted to how often the intervals were right of late.
"""

import numpy as np
from jaxtyping import Float

LEVELS = (0.5, 0.8, 0.95)
"""The probabilities of the intervals that every forecast carries."""

RATE = 0.05
"""How fast the miscoverage asked for follows the one seen: after twenty misses too many it has moved by one."""


def conformal_offsets(
    errors: Float[np.ndarray, "sample *shape"], miscoverage: float | Float[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """What to add to a point forecast to get the ends of its interval.

    With `n` errors `y - f` in order, the ends are those of rank `floor((n + 1) a)` and `ceil((n + 1) (1 - a))`, where
    `a = miscoverage / 2`. When `n` is too small for that, the smallest and largest error are taken, and the interval
    promises less than it says.

    Arguments:
        errors: truth minus forecast; NaN where the truth was not observed.
        miscoverage: the probability of lying outside, between 0 and 1; one for all entries, or one for each.

    Returns:
        `(lower, upper)`; NaN where no error is known.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; two-sided by signed errors.
    """
    ordered = np.sort(errors, axis=0)  # NaN come last
    count = (~np.isnan(errors)).sum(axis=0)
    tail = np.clip(miscoverage, 0.0, 1.0) / 2.0
    # Products such as 20 * 0.05 miss the integer by rounding; the ranks must not.
    low = np.clip(np.floor((count + 1) * tail + 1e-9).astype(int), 1, np.maximum(count, 1)) - 1
    high = np.clip(np.ceil((count + 1) * (1 - tail) - 1e-9).astype(int), 1, np.maximum(count, 1)) - 1
    lower = np.take_along_axis(ordered, low[None], axis=0)[0]
    upper = np.take_along_axis(ordered, high[None], axis=0)[0]
    return lower, upper


def adapted(
    miscoverage: Float[np.ndarray, "*shape"], target: float, missed: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """The miscoverage to ask for next, after seeing which intervals missed: `a + rate (target - missed)`.

    Whatever the data do, the long-run share of misses then tends to `target`.

    Arguments:
        miscoverage: asked for so far.
        target: what is wanted, `1 - level`.
        missed: 1 for a miss, 0 for a hit, NaN where nothing was observed.

    Source: Gibbs and Candès, Adaptive conformal inference under distribution shift, 2021, equation 2.
    """
    return np.clip(miscoverage + RATE * np.where(np.isnan(missed), 0.0, target - missed), 0.0, 1.0)


def stretched(errors: Float[np.ndarray, "sample horizon dim"], horizon: int) -> Float[np.ndarray, "sample other dim"]:
    """Errors for a longer horizon than was calibrated: those of the last step, growing with the square root of the
    lead time as those of a random walk do. A rule of thumb, not a guarantee.
    """
    known = errors.shape[1]
    growth = np.sqrt(np.arange(known + 1, horizon + 1) / known)
    return np.concatenate([errors[:, :horizon], errors[:, -1:] * growth[None, :, None]], axis=1)
