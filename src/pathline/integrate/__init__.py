"""What Diffrax lacks: instrumentation that says what a solve costs, and regularisers that make learned dynamics cheap."""

from pathline.integrate.evaluations import nfe
from pathline.integrate.failures import nan_on_failure
from pathline.integrate.fixed_grid import solve_on_grid
from pathline.integrate.regularisers import (
    ErrorEstimate,
    JacobianFrobenius,
    Kinetic,
    PathIntegral,
    Regulariser,
    Solve,
    Steer,
    StiffnessEstimate,
    TayNODE,
    Unregularised,
    WeightedSum,
)
from pathline.integrate.solver_cost import Cost, Reduce, SolverCost, SolverCostState, solver_cost
from pathline.integrate.step_estimates import end_stages, scaled_error, stiffness

__all__ = [
    "Cost",
    "ErrorEstimate",
    "JacobianFrobenius",
    "Kinetic",
    "PathIntegral",
    "Reduce",
    "Regulariser",
    "Solve",
    "SolverCost",
    "SolverCostState",
    "Steer",
    "StiffnessEstimate",
    "TayNODE",
    "Unregularised",
    "WeightedSum",
    "end_stages",
    "nan_on_failure",
    "nfe",
    "scaled_error",
    "solve_on_grid",
    "solver_cost",
    "stiffness",
]
