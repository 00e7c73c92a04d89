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
    scores = crps_by_entry(ensemble, truth, fair=fair)
    seen = ~np.isnan(scores)
    return float(scores[seen].mean()) if seen.any() else float("nan")


def crps_by_entry(
    ensemble: Float[np.ndarray, "member *shape"], truth: Float[np.ndarray, "*shape"], *, fair: bool = False
) -> Float[np.ndarray, "*shape"]:
    """The score of each entry, as `crps` averages it.

    Arguments:
        ensemble: members along the first axis; those that are NaN are left out of their entry.
        truth: in the same units.
        fair: as of `crps`.

    Returns:
        The scores; NaN where nothing was observed or no member is known.
    """
    ordered = np.sort(ensemble, axis=0, kind="stable")  # NaN come last
    count = (~np.isnan(ordered)).sum(axis=0)
    rank = np.arange(len(ordered)).reshape(-1, *[1] * truth.ndim)
    pairs = np.where(fair & (count > 1), count * (count - 1), np.maximum(count, 1) ** 2)
    # For sorted members, sum_ij |x_i - x_j| = 2 sum_i (2i - n + 1) x_i: no pairs are formed.
    terms = np.abs(ordered - truth) / np.maximum(count, 1) - (2 * rank - count + 1) / pairs * ordered
    return np.where((count > 0) & ~np.isnan(truth), np.where(rank < count, terms, 0.0).sum(axis=0), np.nan)
