"""Precision and recall of generated samples: do they look real, and is all that is real among them?"""

import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.measure.sample_sets import checked_sets, distance_blocks


def precision_recall(
    real: Float[np.ndarray | Array, "..."], generated: Float[np.ndarray | Array, "..."], *, neighbours: int = 3
) -> tuple[float, float]:
    """The share of generated points that lie among the real ones (precision), and of real points among the generated
    (recall).

    A point lies among a set when it is within the distance of some point of the set to that point's `neighbours`-th
    nearest neighbour in the set. Two sets of one law do not score one; compare with that.

    Arguments:
        real, generated: `[sample, dim]` each; equally many, to be fair to both.
        neighbours: 3 as published; more makes both shares larger.

    Returns:
        Precision and recall, from 0 to 1.

    Raises:
        InputError: the sets are no points of one space, or have too few points for so many neighbours.

    Source: Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019.
    """
    first, second = checked_sets(np.asarray(real), np.asarray(generated), least=2)
    if not 1 <= neighbours < min(len(first), len(second)):
        raise InputError(
            f"{neighbours} neighbours cannot be found among {min(len(first), len(second))} points; give more points, or fewer "
            "neighbours (at least one)."
        )
    return _share(second, first, neighbours), _share(first, second, neighbours)


def nearest_distances(
    x: Float[np.ndarray | Array, "..."], reference: Float[np.ndarray | Array, "..."]
) -> Float[np.ndarray, " sample"]:
    """The distance of each point to the nearest of a reference set. Generated samples that are much closer to the training
    set than held-out ones were learnt by heart.

    Arguments:
        x, reference: `[sample, dim]` each; one sample will do.

    Returns:
        One distance for each point of `x`, in the units of the data; exactly 0 for a copy.

    Raises:
        InputError: the sets are no points of one space.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(reference), least=1)
    return np.concatenate([block.min(axis=1) for block in distance_blocks(first, second)])


def _share(points: np.ndarray, among: np.ndarray, neighbours: int) -> float:
    # The nearest point of each is itself, at distance zero.
    radii = np.concatenate(
        [np.partition(block, neighbours, axis=1)[:, neighbours] for block in distance_blocks(among, among)]
    )
    inside = [(block <= radii).any(axis=1) for block in distance_blocks(points, among)]
    return float(np.concatenate(inside).mean())
