"""The Wasserstein distance between equally many points, by exact assignment."""

import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pathline.errors import InputError
from pathline.measure.sample_sets import checked_sets


def wasserstein2(x: Float[np.ndarray | Array, "..."], y: Float[np.ndarray | Array, "..."]) -> float:
    """The Wasserstein-2 distance (not its square) between two sets of equally many points.

    `W2^2 = min over permutations of the mean of |x_i - y_p(i)|^2`, solved exactly: seconds for 2000 points. Finite sets of
    one law have a positive distance, in `d` dimensions of the order `n^(-1/d)`: compare with that of two real sets. Where
    the law has separate modes, draw equally many points of each, or their random numbers dominate.

    Arguments:
        x, y: `[sample, dim]` each, equally many.

    Returns:
        The distance, in the units of the data; computed in double precision.

    Raises:
        InputError: the sets are no points of one space, or not equally many.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(y), least=1)
    if len(first) != len(second):
        raise InputError(
            f"The sets have {len(first)} and {len(second)} points; exact transport needs equally many: cut the larger one."
        )
    cost = cdist(first, second, "sqeuclidean")
    return float(np.sqrt(cost[linear_sum_assignment(cost)].mean()))
