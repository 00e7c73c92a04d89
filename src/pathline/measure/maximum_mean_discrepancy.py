"""Maximum mean discrepancy with a Gaussian kernel."""

import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.distance import pdist

from pathline.errors import InputError
from pathline.measure.sample_sets import checked_sets, distance_blocks

_LOOKED_AT = 2000
"""The median distance is that of at most so many points."""


def maximum_mean_discrepancy(
    x: Float[np.ndarray | Array, "..."], y: Float[np.ndarray | Array, "..."], *, bandwidth: float | None = None
) -> float:
    """The squared maximum mean discrepancy, `E k(x, x') + E k(y, y') - 2 E k(x, y)` with
    `k(a, b) = exp(-|a - b|^2 / (2 h^2))`.

    Pairs of distinct points only, so that the estimate has no bias and may be slightly negative for equal laws.

    Arguments:
        x, y: `[sample, dim]` each.
        bandwidth: `h`; the median distance between points of `y` when absent, so that values for one `y` can be compared.
            Of more than 2000 points only some, evenly spaced, are looked at.

    Returns:
        The squared discrepancy, without a unit, from about 0 to 2; computed in double precision, in blocks.

    Raises:
        InputError: the sets are no points of one space, the bandwidth is not positive, or the points of `y` coincide.

    Source: Gretton et al., A Kernel Two-Sample Test, 2012.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(y))
    if bandwidth is None:
        bandwidth = float(np.median(pdist(second[:: -(-len(second) // _LOOKED_AT)])))
    if not bandwidth > 0:
        raise InputError(
            f"The bandwidth of the kernel is {bandwidth:g}; give a positive one, or a set of different points."
        )

    def kernel_sum(one: np.ndarray, other: np.ndarray) -> float:
        blocks = distance_blocks(one, other, "sqeuclidean")
        return float(sum(np.exp(-0.5 * block / bandwidth**2).sum() for block in blocks))

    # The kernel of a point with itself is one, and left out.
    own = (kernel_sum(part, part) - len(part) for part in (first, second))
    inner = sum(total / (len(part) * (len(part) - 1)) for total, part in zip(own, (first, second), strict=True))
    return inner - 2 * kernel_sum(first, second) / (len(first) * len(second))
