"""Two sets of points that are to be compared: checked, and their distances in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.distance import cdist

from pathline.errors import InputError

_PAIRS = 2**22
"""In one block: 32 MB of distances, however large the sets are."""


def checked_sets(
    x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."], *, least: int = 2
) -> tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "m dim"]]:
    """Both sets in double precision.

    Raises:
        InputError: they are not tables of points of one dimension, have too few points, or hold what is not finite.
    """
    first, second = checked_set("first", x, least=least), checked_set("second", y, least=least)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"The sets have points of {first.shape[1]} and {second.shape[1]} dimensions; compare points of one space."
        )
    return first, second


def checked_set(
    name: str, given: Float[np.ndarray | Array, "..."], *, least: int = 2
) -> Float[np.ndarray, "sample dim"]:
    """One set in double precision.

    Raises:
        InputError: as of `checked_sets`.
    """
    points = np.asarray(given, np.float64)
    if points.ndim != 2 or len(points) < least:
        raise InputError(
            f"The {name} set has the shape {points.shape}; give [sample, dim] with at least {least} samples (images flattened)."
        )
    if not np.isfinite(points).all():
        raise InputError(f"The {name} set holds numbers that are not finite; leave those samples out.")
    return points


def distance_blocks(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], metric: str = "euclidean"
) -> Iterator[Float[np.ndarray, "block m"]]:
    """Distances of some points of `x` at a time to all of `y`."""
    rows = max(1, _PAIRS // len(y))
    for first in range(0, len(x), rows):
        yield cdist(x[first : first + rows], y, metric)  # pyright: ignore[reportArgumentType, reportCallIssue]
