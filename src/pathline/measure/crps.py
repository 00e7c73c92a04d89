"""The continuous ranked probability score: the absolute error of a whole distribution."""

import numpy as np
from jaxtyping import Float


def crps(
    ensemble: Float[np.ndarray, "member *shape"], truth: Float[np.ndarray, "*shape"], *, fair: bool = False
) -> float:
    """Continuous ranked probability score of an ensemble, `E|X - y| - E|X - X'| / 2`, averaged over entries.

    In the data's units; for one member it is the absolute error. Smaller is better.

    Arguments:
        ensemble: members along the first axis.
        truth: entries that are NaN do not count.
        fair: estimate the score of the distribution that the members were drawn from (the second expectation over
            distinct members) rather than that of the ensemble itself.

    Returns:
        The mean score; NaN when nothing was observed.

    Source: Gneiting and Raftery, Strictly proper scoring rules, 2007; Ferro, Fair scores for ensembles, 2014.
    """
    members = len(ensemble)
    ordered = np.sort(ensemble, axis=0)
    distance = np.abs(ordered - truth).mean(axis=0)
    # For sorted members, sum_ij |x_i - x_j| = 2 sum_i (2i - n + 1) x_i: no pairs are formed.
    weights = (2 * np.arange(members) - members + 1).reshape(-1, *[1] * (ensemble.ndim - 1))
    pairs = members * (members - 1) if fair and members > 1 else members**2
    score = distance - (weights * ordered).sum(axis=0) / pairs
    seen = ~np.isnan(truth)
    return float(score[seen].mean()) if seen.any() else float("nan")
