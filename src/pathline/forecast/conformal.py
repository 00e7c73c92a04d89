"""Prediction intervals from the errors that a forecaster made on data it was not fitted to.

If past and future errors are exchangeable, an interval between the right order statistics of `n` past errors covers
the next value with at least the promised probability, whatever the model and whatever the distribution. Where they are
not, as in a system that drifts, the probability asked for is adapted to how often the intervals were right of late.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

LEAST_MISCOVERAGE = 0.01
"""No interval is asked to miss less than this."""

LEVELS = (0.5, 0.8, 0.95)
"""The probabilities of the intervals that every forecast carries."""

RATE = 0.1
"""How fast the miscoverage asked for follows the one seen, relative to its target: one miss too many moves it down by
about a tenth of the target, whatever the level. Twice as fast, narrow intervals become erratic."""


def conformal_offsets(
    errors: Float[np.ndarray, "sample *shape"], miscoverage: float | Float[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """What to add to a point forecast to get the ends of its interval.

    With `n` errors `y - f` in order, the ends are those of rank `floor((n + 1) a)` and `ceil((n + 1) (1 - a))`, where
    `a = miscoverage / 2`. When `n` is too small for that, there is no such rank: the outermost error is moved away from
    the median as the tail of a normal law would have it. That part is an assumption, not a guarantee.

    Arguments:
        errors: truth minus forecast; NaN where the truth was not observed.
        miscoverage: the probability of lying outside, between 0 and 1; one for all entries, or one for each.

    Returns:
        `(lower, upper)`; NaN where no error is known.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; two-sided by signed errors.
    """
    ordered = np.moveaxis(np.sort(errors, axis=0), 0, -1)  # NaN come last
    return offsets_of_ordered(ordered, (~np.isnan(errors)).sum(axis=0), miscoverage)


def offsets_of_ordered(
    ordered: Float[np.ndarray, "*shape sample"],
    count: Int[np.ndarray, "*shape"],
    miscoverage: float | Float[np.ndarray, "*shape"],
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """`conformal_offsets` of errors that are in order already, the first `count` of each entry being known."""
    tail = np.clip(miscoverage, LEAST_MISCOVERAGE, 1.0) / 2.0
    # Products such as 20 * 0.05 miss the integer by rounding; the ranks must not.
    low = np.clip(np.floor((count + 1) * tail + 1e-9).astype(int), 1, np.maximum(count, 1)) - 1
    high = np.clip(np.ceil((count + 1) * (1 - tail) - 1e-9).astype(int), 1, np.maximum(count, 1)) - 1
    lower, upper, middle = (
        np.take_along_axis(ordered, rank[..., None], axis=-1)[..., 0] for rank in (low, high, np.maximum(count, 1) // 2)
    )
    outermost = 1.0 / np.maximum(count + 1, 3)  # the tail beyond the smallest error
    beyond = np.maximum(ndtri(tail) / ndtri(outermost), 1.0)
    return middle + (lower - middle) * beyond, middle + (upper - middle) * beyond


def adapted(
    miscoverage: Float[np.ndarray, "*shape"], target: float, missed: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """The miscoverage to ask for next, after seeing which intervals missed: `a + g (target - missed)`, `g = RATE target`.

    If nothing is missed at `a <= 0`, the long-run share of misses tends to `target`, whatever the data do.

    Arguments:
        miscoverage: asked for so far.
        target: what is wanted, `1 - level`.
        missed: 1 for a miss, 0 for a hit, NaN where nothing was observed.

    Source: Gibbs and Candès, Adaptive conformal inference under distribution shift, 2021, equation 2.
    """
    rate = RATE * target
    moved = miscoverage + rate * np.where(np.isnan(missed), 0.0, target - missed)
    # It stays within these bounds by itself if nothing is missed at 0 and everything at 1; else it must not run away.
    return np.clip(moved, -rate, 1.0 + rate)


def nested(miscoverage: Float[np.ndarray, "level *shape"]) -> Float[np.ndarray, "level *shape"]:
    """In order: since each level adapts by itself, a lower one could else ask for a wider interval than a higher one.

    Arguments:
        miscoverage: of `LEVELS`, which ascend.
    """
    return -np.sort(-miscoverage, axis=0)


def stretched(errors: Float[np.ndarray, "sample horizon dim"], horizon: int) -> Float[np.ndarray, "sample other dim"]:
    """Errors for a longer horizon than was calibrated: those of the last step, growing with the square root of the
    lead time as those of a random walk do. A rule of thumb, not a guarantee.
    """
    known = errors.shape[1]
    growth = np.sqrt(np.arange(known + 1, horizon + 1) / known)
    return np.concatenate([errors[:, :horizon], errors[:, -1:] * growth[None, :, None]], axis=1)


def completed(errors: Float[np.ndarray, "sample *shape"]) -> Float[np.ndarray, "sample *shape"]:
    """The errors with each gap filled by another error of the same entry, so that every row is a draw from all.

    Arguments:
        errors: NaN where the truth was not observed; each entry has an observed one in some sample.
    """
    flat = errors.reshape(len(errors), -1).copy()
    for column in flat.T:
        missing = np.isnan(column)
        # Taken in turn from all that are known, which leaves their distribution nearly as it is.
        column[missing] = np.resize(column[~missing], missing.sum())
    return flat.reshape(errors.shape)
