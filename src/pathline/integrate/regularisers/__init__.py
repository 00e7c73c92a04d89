"""Regularisers that make learned dynamics cheap to solve, all called in place of `diffrax.diffeqsolve`."""

from pathline.integrate.regularisers.base import Regulariser, Solve, Unregularised, WeightedSum
from pathline.integrate.regularisers.heuristics import ErrorEstimate, StiffnessEstimate
from pathline.integrate.regularisers.path_integrals import JacobianFrobenius, Kinetic, PathIntegral, TayNODE
from pathline.integrate.regularisers.steer import Steer

__all__ = [
    "ErrorEstimate",
    "JacobianFrobenius",
    "Kinetic",
    "PathIntegral",
    "Regulariser",
    "Solve",
    "Steer",
    "StiffnessEstimate",
    "TayNODE",
    "Unregularised",
    "WeightedSum",
]
