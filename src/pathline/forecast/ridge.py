"""Ridge regression for many penalties at once, and the penalty chosen on a block of data held out in time."""

import numpy as np
from jaxtyping import Float

PENALTIES = tuple(float(penalty) for penalty in np.logspace(-10, 2, 13))
"""Candidate penalties, relative to the number of samples (features are in standard units)."""


def ridge_path(
    features: Float[np.ndarray, "sample feature"],
    targets: Float[np.ndarray, "sample target"],
    penalties: tuple[float, ...] = PENALTIES,
) -> Float[np.ndarray, "penalty feature target"]:
    """`argmin_W |X W - Y|^2 + n l |W|^2` for each penalty `l`, by one singular value decomposition.

    Arguments:
        features: `X`.
        targets: `Y`.
        penalties: the values of `l`.
    """
    left, values, right = np.linalg.svd(features, full_matrices=False)
    projected = left.T @ targets
    weights = len(features) * np.asarray(penalties)[:, None, None]
    scaled = values[:, None] * projected / (values[:, None] ** 2 + weights)
    return right.T @ scaled
