"""Whether prediction intervals hold what they promise, and what they cost."""

import numpy as np
from jaxtyping import Float


def interval_coverage(
    lower: Float[np.ndarray, "*shape"], upper: Float[np.ndarray, "*shape"], truth: Float[np.ndarray, "*shape"]
) -> float:
    """The share of observations inside their interval, ends included; NaN when nothing was observed.

    Arguments:
        lower, upper: the ends of the intervals.
        truth: entries that are NaN do not count.
    """
    seen = ~np.isnan(truth)
    inside = (lower <= truth) & (truth <= upper)
    return float(inside[seen].mean()) if seen.any() else float("nan")


def interval_score(
    lower: Float[np.ndarray, "*shape"],
    upper: Float[np.ndarray, "*shape"],
    truth: Float[np.ndarray, "*shape"],
    level: float,
) -> float:
    """Winkler's score: the width, plus `2 / (1 - level)` times the distance of what fell outside, averaged.

    In the data's units; smaller is better, and the true quantiles are best.

    Arguments:
        lower, upper: the ends of the intervals.
        truth: entries that are NaN do not count.
        level: the probability that the intervals promise, e.g. 0.95.

    Returns:
        The mean score; NaN when nothing was observed.

    Source: Gneiting and Raftery, Strictly proper scoring rules, 2007, equation 43.
    """
    outside = np.maximum(lower - truth, 0.0) + np.maximum(truth - upper, 0.0)
    score = (upper - lower) + 2.0 / (1.0 - level) * outside
    seen = ~np.isnan(truth)
    return float(score[seen].mean()) if seen.any() else float("nan")
