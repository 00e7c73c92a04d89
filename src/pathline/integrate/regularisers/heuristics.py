"""The solver's own estimates as penalties: what the step size controller and the stiffness detector see."""

from dataclasses import replace

import diffrax
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.integrate.regularisers.base import Regulariser, Solve
from pathline.integrate.solver_cost import Reduce, solver_cost
from pathline.integrate.step_estimates import end_stages


class ErrorEstimate(Regulariser):
    """Penalise the embedded local error of the accepted steps: `R_E = sum_j E_j h_j` (ERNODE; ERNSDE for an SDE).

    `E_j` is the error that the step size controller sees, in units of the tolerance (see `scaled_error`), so the weight
    belongs to one tolerance. Good values: with `reduce="mean"` and tolerance 1e-6 on a unit interval 100, annealed to 10;
    a tighter tolerance wants less. Works for every method with an embedded error, SDEs included.

    Arguments:
        reduce: `"sum"` over steps as the paper writes, `"mean"` as its code does, or `"max"`.
        squared: penalise `E_j^2 h_j` instead.

    Source: Pal, Ma, Shah and Rackauckas, Opening the Blackbox, 2021, equation 11.
    """

    reduce: Reduce = "sum"
    squared: bool = False

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Have the cost recorded."""
        return replace(solve, instrumented=True)

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """The penalty is read from the solver's last state."""
        return solution, solver_cost(solution).total_error(self.reduce, squared=self.squared)


class StiffnessEstimate(Regulariser):
    """Penalise the stiffness that the solver estimates: `R_S = sum_j S_j` (SRNODE).

    For a method with two stages at the end of its step (Tsit5, Dopri5); see `stiffness`. Good values: 0.1 with
    `reduce="sum"` on a unit interval. It pushes on the Jacobian rather than on the error, so the number of evaluations
    need not fall where accuracy, not stability, limits the step. The authors' code divides by 3.5068, here nothing is.

    Arguments:
        reduce: `"sum"` over steps as the paper writes; its code takes `"max"` for ODEs and `"mean"` for SDEs.

    Source: Pal, Ma, Shah and Rackauckas, Opening the Blackbox, 2021, section 3.
    """

    reduce: Reduce = "sum"

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Have the cost recorded.

        Raises:
            InputError: the method has no stages to estimate stiffness from.
        """
        solver = getattr(solve.solver, "solver", solve.solver)
        if end_stages(solver) is None:
            raise InputError(
                f"{type(solver).__name__} has no two stages at the end of its step to estimate stiffness from; "
                "use Tsit5 or Dopri5."
            )
        return replace(solve, instrumented=True)

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """The penalty is read from the solver's last state."""
        return solution, solver_cost(solution).total_stiffness(self.reduce)
