"""Fréchet distance between sets, each taken for a Gaussian; and the principal components in which it is often taken."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.measure.sample_sets import checked_set, checked_sets


def frechet_distance(x: Float[np.ndarray | Array, "..."], y: Float[np.ndarray | Array, "..."]) -> float:
    """The squared Wasserstein-2 distance of the Gaussians with the means and covariances of two sets.

    In the features of the Inception network this is the published FID. In other features or on raw coordinates, as here,
    it compares models on one data set and must not be set beside published figures. It needs more samples than
    dimensions, and is biased upwards for few.

    Arguments:
        x, y: `[sample, dim]` each, of points or of features.

    Returns:
        The squared distance, as is usual for the FID; computed in double precision.

    Raises:
        InputError: the sets are no points of one space.

    Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017.
    """
    first, second = checked_sets(np.asarray(x), np.asarray(y))
    moments = [(part.mean(axis=0), np.atleast_2d(np.cov(part, rowvar=False))) for part in (first, second)]
    return frechet_distance_of_moments(*moments[0], *moments[1])


def frechet_distance_of_moments(
    mean1: Float[np.ndarray, " dim1"],
    covariance1: Float[np.ndarray, "..."],
    mean2: Float[np.ndarray, " dim2"],
    covariance2: Float[np.ndarray, "..."],
) -> float:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))`, without complex arithmetic.

    Arguments:
        mean1, covariance1: of the first Gaussian, `[dim]` and `[dim, dim]`.
        mean2, covariance2: of the second.

    Returns:
        The squared distance.

    Raises:
        InputError: the moments are not of one space, not finite, or a covariance is not symmetric or not positive
            semi-definite.

    Source: Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982.
    """
    if mean1.shape != mean2.shape:
        raise InputError(f"The means have the shapes {mean1.shape} and {mean2.shape}; compare Gaussians of one space.")
    for name, mean, covariance in (("first", mean1, covariance1), ("second", mean2, covariance2)):
        _check_moments(name, mean, covariance)
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance2 @ root)
    spread = np.trace(covariance1) + np.trace(covariance2) - 2 * np.sqrt(np.maximum(cross, 0.0)).sum()
    # Rounding can make the distance of a law to itself slightly negative.
    return float(max(np.sum((mean1 - mean2) ** 2) + spread, 0.0))


class PrincipalComponents(eqx.Module):
    """The directions in which a reference set varies most: the features for Fréchet distances of small data.

    Arguments:
        mean: of the reference set.
        directions: orthonormal, one column each, the widest first.
    """

    mean: Float[np.ndarray, " dim"]
    directions: Float[np.ndarray, "dim component"]

    @classmethod
    def of(cls, reference: Float[np.ndarray | Array, "..."], count: int = 20) -> "PrincipalComponents":
        """The first `count` components of a set.

        Arguments:
            reference: `[sample, dim]`, of real samples: the same components for every model that is compared.
            count: of components; 10 to 50, and far fewer than samples.

        Returns:
            The map from points to their coordinates along the components, which are not scaled.

        Raises:
            InputError: the reference is no table of finite numbers, or has too few samples or dimensions.
        """
        points = checked_set("reference", reference)
        # Points less their mean span one dimension fewer than there are points.
        most = min(len(points) - 1, points.shape[1])
        if not 1 <= count <= most:
            raise InputError(
                f"{count} principal components cannot be had of {len(points)} points of {points.shape[1]} dimensions; ask "
                f"for 1 to {most}."
            )
        mean = points.mean(axis=0)
        _, _, directions = np.linalg.svd(points - mean, full_matrices=False)
        return cls(mean, directions[:count].T)

    def __call__(self, x: Float[np.ndarray | Array, "..."]) -> Float[np.ndarray, "sample component"]:
        """The coordinates of points along the components.

        Arguments:
            x: `[sample, dim]`.

        Returns:
            In double precision.

        Raises:
            InputError: the points are not finite or not of the reference's dimension.
        """
        points = checked_set("given", x, least=1)
        if points.shape[1] != len(self.mean):
            raise InputError(
                f"The points have {points.shape[1]} dimensions, and the components were taken of {len(self.mean)}; give points "
                "of the same space."
            )
        return (points - self.mean) @ self.directions


def _check_moments(name: str, mean: np.ndarray, covariance: np.ndarray) -> None:
    if covariance.shape != (mean.size, mean.size):
        raise InputError(
            f"The {name} covariance has the shape {covariance.shape}; {mean.size} means need {(mean.size, mean.size)}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(
            f"The {name} mean or covariance holds numbers that are not finite; estimate it from finite samples."
        )
    # A covariance that was estimated in single precision may be off by its rounding.
    allowed = 10 * np.finfo(np.float32).eps * mean.size * np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > allowed or np.linalg.eigvalsh(covariance).min() < -allowed:
        raise InputError(
            f"The {name} covariance is not symmetric or has negative eigenvalues; give a covariance matrix."
        )
