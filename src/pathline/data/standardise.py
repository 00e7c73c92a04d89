"""Zero mean and unit variance for each column, undone on output."""

from typing import TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pathline.data.series import Series

T = TypeVar("T", np.ndarray, Array)


class Standardiser(eqx.Module):
    """The affine map `(x - mean) / scale` of each column, and its inverse.

    Arguments:
        mean: subtracted from each column, in the column's units.
        scale: each column is divided by it; positive.
    """

    mean: Float[np.ndarray | Array, " dim"]
    scale: Float[np.ndarray | Array, " dim"]

    @classmethod
    def of(cls, series: Series) -> "Standardiser":
        """Mean and standard deviation of the observed entries; a constant or unobserved column has scale 1."""
        counts = np.maximum(series.mask.sum(0), 1)
        mean = np.where(series.mask, series.values, 0.0).sum(0) / counts
        deviation = np.sqrt((np.where(series.mask, series.values - mean, 0.0) ** 2).sum(0) / counts)
        # Rounding makes the deviation of a constant column tiny but not always zero.
        constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        return cls(mean, np.where(constant, 1.0, deviation))

    def apply(self, values: T) -> T:
        """To standard units: `[..., dim]` in, the same shape out. NaN stays NaN."""
        return (values - self.mean) / self.scale  # pyright: ignore[reportReturnType]

    def undo(self, values: T) -> T:
        """Back to the data's units: `[..., dim]` in, the same shape out."""
        return values * self.scale + self.mean  # pyright: ignore[reportReturnType]
