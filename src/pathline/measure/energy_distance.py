"""Energy distance: how much farther points of two sets are from each other than from their own."""

import numpy as np
from jaxtyping import Array, Float

from pathline.measure.sample_sets import checked_sets, distance_blocks


def energy_distance(x: Float[np.ndarray | Array, "..."], y: Float[np.ndarray | Array, "..."]) -> float:
    """`2 E|x - y| - E|x - x'| - E|y - y'|`, zero only for equal laws; no parameter has to be chosen.

    Pairs of distinct points only, so that the estimate has no bias and may be slightly negative for equal laws.

    Arguments:
        x, y: `[sample, dim]` each, not necessarily equally many; at least two.

    Returns:
        The distance, in the units of the data (some take its square root); computed in double precision, in blocks.

    Raises:
        InputError: the sets are no points of one space.

    Source: Székely and Rizzo, Energy statistics, 2013.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(y))
    across = _sum(first, second) / (len(first) * len(second))
    return 2 * across - sum(_sum(own, own) / (len(own) * (len(own) - 1)) for own in (first, second))


def _sum(x: np.ndarray, y: np.ndarray) -> float:
    return float(sum(block.sum() for block in distance_blocks(x, y)))
