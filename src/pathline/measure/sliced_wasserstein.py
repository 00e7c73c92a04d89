"""Sliced Wasserstein distance: optimal transport of all projections onto lines."""

import jax
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.measure.sample_sets import checked_sets


def sliced_wasserstein(
    x: Float[np.ndarray | Array, "..."], y: Float[np.ndarray | Array, "..."], *, key: Array, projections: int = 256
) -> float:
    """The root mean square, over random directions, of the Wasserstein-2 distance between the projections of two sets.

    On a line optimal transport matches quantiles, so this costs little in any dimension. For sets that differ by a shift
    `m` it is `|m| / sqrt(dim)`. In the units of the data; it grows like `1/sqrt(n)` for equal laws, so compare it with what
    two sets of real samples give.

    Arguments:
        x, y: `[sample, dim]` each, not necessarily equally many.
        key: of the directions; with the same key sets are compared along the same ones.
        projections: how many directions; 100 to 1000.

    Returns:
        The distance (not its square); computed in double precision.

    Raises:
        InputError: the sets are no points of one space, or there is no projection.

    Source: Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(y))
    if projections < 1:
        raise InputError(f"{projections} projections were asked for; give at least one, better 100 to 1000.")
    directions = np.asarray(jax.random.normal(key, (projections, first.shape[1])), np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    one, other = (np.sort(points @ directions.T, axis=0) for points in (first, second))
    if len(one) == len(other):
        return float(np.sqrt(np.mean((one - other) ** 2)))
    # Both quantile functions are steps: on the merged steps their difference is constant.
    steps = np.union1d(np.arange(1, len(one) + 1) / len(one), np.arange(1, len(other) + 1) / len(other))
    widths = np.diff(steps, prepend=0.0)
    middles = steps - 0.5 * widths
    rows = [np.minimum((middles * len(part)).astype(int), len(part) - 1) for part in (one, other)]
    return float(np.sqrt(np.mean(widths @ (one[rows[0]] - other[rows[1]]) ** 2)))
