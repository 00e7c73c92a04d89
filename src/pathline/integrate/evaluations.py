"""How often a solve evaluated its vector field."""

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from pathline.errors import InputError


def nfe(solution: diffrax.Solution, solver: diffrax.AbstractSolver) -> Int[Array, "*batch"]:
    """The number of evaluations of the vector field (of the drift, for an SDE) that the steps of a solve took.

    Rejected steps count: they cost as much as accepted ones. An explicit method with `s` stages takes `s` evaluations
    for each attempt; where the last stage of a step is the first of the next (Tsit5, Dopri5, Bosh3) it takes `s - 1`
    for each and one more at the start, so for Tsit5 `6 attempts + 1`. That is what the method needs; Diffrax repeats the
    first evaluation when the very first attempt is rejected (leave `dt0=None`) and after an announced jump.

    Arguments:
        solution: from `diffrax.diffeqsolve`.
        solver: the solver it was made with, wrapped in `SolverCost` or not.

    Returns:
        One number; under `vmap` one for each solve, as if it had been solved alone.

    Raises:
        InputError: the number of evaluations of this solver's step is not known: implicit methods iterate.
    """
    each, once = _per_attempt(solver)
    return jnp.asarray(solution.stats["num_steps"]) * each + once


def _per_attempt(solver: Any) -> tuple[int, int]:
    """Evaluations for each attempted step, and once at the start."""
    if type(solver) is diffrax.HalfSolver:
        each, once = _per_attempt(solver.solver)
        # Two half steps and the whole one; the first half step and the whole one both lack a first stage at the start.
        return 3 * each, 2 * once
    if isinstance(solver, diffrax.AbstractWrappedSolver):
        return _per_attempt(solver.solver)
    tableau = getattr(solver, "tableau", None)
    if isinstance(tableau, diffrax.ButcherTableau) and not tableau.implicit:
        return (tableau.num_stages - 1, 1) if tableau.fsal else (tableau.num_stages, 0)
    if isinstance(tableau, diffrax.StochasticButcherTableau):
        skipped = 0 if tableau.ignore_stage_f is None else int(np.sum(tableau.ignore_stage_f))
        return len(tableau.b_sol) - skipped, 0
    raise InputError(
        f"How often {type(solver).__name__} evaluates the vector field is not known; use an explicit Runge–Kutta method."
    )
