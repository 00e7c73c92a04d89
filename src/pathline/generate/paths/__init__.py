"""Paths from a source to a target: how the two are blended at each time between."""

from pathline.generate.paths.base import AffinePath, Path, Time
from pathline.generate.paths.diffusions import (
    CosineVariancePreserving,
    DiscreteVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from pathline.generate.paths.interpolants import EncodeDecode, Interpolant, Linear, Mirror, Retimed, Trigonometric

__all__ = [
    "AffinePath",
    "CosineVariancePreserving",
    "DiscreteVariancePreserving",
    "EncodeDecode",
    "Interpolant",
    "Linear",
    "Mirror",
    "Path",
    "Retimed",
    "Time",
    "Trigonometric",
    "VarianceExploding",
    "VariancePreserving",
]
