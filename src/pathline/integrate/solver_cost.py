"""A Diffrax solver that adds up, step by step, what it knows about its own cost."""

from collections.abc import Callable
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from diffrax._term import AdjointTerm  # what BacksolveAdjoint wraps every term in, on its way back
from jaxtyping import Array, Float, Int, PyTree

from pathline.errors import InputError
from pathline.integrate.step_estimates import end_stages, scaled_error, stiffness

Reduce = Literal["sum", "mean", "max"]
"""How the values of the accepted steps become one number."""


NOT_CONTINUOUS = (
    "BacksolveAdjoint solves a continuous adjoint equation, which cannot see the solver's steps, so that a penalty on "
    "them would have no gradient; use the default adjoint, RecursiveCheckpointAdjoint()."
)
"""Why a continuous adjoint is refused."""


class Cost(eqx.Module):
    """What the accepted steps of a solve cost. Rejected steps contribute nothing.

    Arguments:
        error: sum over steps of `E_j h_j`, in units of time: the scaled local error times the step's length.
        error_max: the largest `E_j h_j`.
        squared_error: sum of `E_j^2 h_j`.
        stiffness: sum of the stiffness estimates `S_j`, per unit of time; `None` where the method has none.
        stiffness_max: the largest `S_j`, or `None`.
        steps: how many steps were accepted.
    """

    error: Float[Array, ""]
    error_max: Float[Array, ""]
    squared_error: Float[Array, ""]
    stiffness: Float[Array, ""] | None
    stiffness_max: Float[Array, ""] | None
    steps: Int[Array, ""]

    def total_error(self, reduce: Reduce = "sum", *, squared: bool = False) -> Float[Array, ""]:
        """`R_E`, the reduction over steps of `E_j h_j`.

        Arguments:
            reduce: `"sum"` as in the paper, `"mean"` as in the authors' code, or `"max"`. A weight belongs to one
                reduction, one tolerance and one horizon.
            squared: take `E_j^2 h_j` (sum and mean only).
        """
        if squared and reduce == "max":
            raise InputError("The squared error is kept as a sum; use reduce='sum' or reduce='mean' with squared=True.")
        return self._reduce(self.squared_error if squared else self.error, self.error_max, reduce)

    def total_stiffness(self, reduce: Reduce = "sum") -> Float[Array, ""]:
        """`R_S`, the reduction over steps of `S_j`.

        Arguments:
            reduce: `"sum"` as in the paper; the authors' code takes `"max"` for ODEs and `"mean"` for SDEs.

        Raises:
            InputError: the method has no two stages at the end of its step.
        """
        if self.stiffness is None or self.stiffness_max is None:
            raise InputError(
                "This solver has no two stages at the end of its step to estimate stiffness from; use Tsit5 or Dopri5."
            )
        return self._reduce(self.stiffness, self.stiffness_max, reduce)

    def _reduce(self, total: Array, largest: Array, reduce: Reduce) -> Array:
        match reduce:
            case "sum":
                return total
            case "mean":
                return total / jnp.maximum(self.steps, 1)
            case "max":
                return largest
        raise InputError(f"reduce={reduce!r} is not one of 'sum', 'mean', 'max'.")


class SolverCostState(eqx.Module):
    """The state of a `SolverCost`.

    Arguments:
        inner: the wrapped solver's own state.
        cost: of the accepted steps so far.
    """

    inner: PyTree
    cost: Cost


class SolverCost(diffrax.AbstractAdaptiveSolver, diffrax.AbstractWrappedSolver):
    """Wraps a Diffrax solver and accumulates the cost of its steps in the solver state; the solution is the same.

    The state is the one place that sees every accepted step and no rejected one, and through which gradients flow: a
    step size controller stops them. Differentiate with `RecursiveCheckpointAdjoint` (Diffrax's default), `DirectAdjoint`
    or `ForwardMode`; a continuous adjoint cannot see these numbers, so `BacksolveAdjoint` is refused.

    ```python
    controller = diffrax.PIDController(rtol=1e-6, atol=1e-6)
    solver = SolverCost.of(diffrax.Tsit5(), controller)
    solution = diffrax.diffeqsolve(
        terms, solver, t0, t1, None, y0,
        stepsize_controller=controller, saveat=diffrax.SaveAt(t1=True, solver_state=True),
    )
    penalty = solver_cost(solution).total_error()
    ```

    Arguments:
        solver: any solver with an embedded error estimate: `Tsit5`, `Dopri5`, `Bosh3`, `SPaRK` for Stratonovich SDEs,
            or `HalfSolver(...)` around one that has none.
        rtol, atol: the tolerances that the error is measured in; those of the step size controller.
        norm: the controller's norm.
        part: takes out of the state the part whose cost counts; the whole when absent.

    Source: Pal et al., Opening the Blackbox, 2021.
    """

    solver: diffrax.AbstractSolver  # pyright: ignore[reportIncompatibleVariableOverride]
    rtol: Any
    atol: Any
    norm: Callable[[PyTree], Any] = optx.rms_norm
    part: Callable[[PyTree], PyTree] = lambda state: state

    @classmethod
    def of(
        cls, solver: diffrax.AbstractSolver, stepsize_controller: diffrax.AbstractStepSizeController
    ) -> "SolverCost":
        """Wrap `solver` with the tolerances and the norm of a controller.

        Arguments:
            solver: to be wrapped.
            stepsize_controller: a `PIDController`, possibly inside a `ClipStepSizeController`.

        Raises:
            InputError: the controller has no tolerances.
        """
        inner = getattr(stepsize_controller, "controller", stepsize_controller)
        if not isinstance(inner, diffrax.PIDController):
            raise InputError(
                f"{type(inner).__name__} has no tolerances to measure the local error in; "
                "use a PIDController, or give SolverCost rtol and atol."
            )
        return cls(solver, inner.rtol, inner.atol, inner.norm)

    @property
    def term_structure(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the wrapped solver."""
        return self.solver.term_structure

    @property
    def term_compatible_contr_kwargs(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the wrapped solver."""
        return self.solver.term_compatible_contr_kwargs

    @property
    def interpolation_cls(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As the wrapped solver."""
        return self.solver.interpolation_cls

    @property
    def scan_kind(self) -> Any:
        """As the wrapped solver; adjoints of Diffrax set it."""
        return self.solver.scan_kind  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def root_finder(self) -> Any:
        """As the wrapped solver, when it is implicit; `diffeqsolve` sets its tolerances."""
        return self.solver.root_finder  # pyright: ignore[reportAttributeAccessIssue]

    def order(self, terms: PyTree) -> Any:
        """As the wrapped solver."""
        return self.solver.order(terms)

    def strong_order(self, terms: PyTree) -> Any:
        """As the wrapped solver."""
        return self.solver.strong_order(terms)

    def error_order(self, terms: PyTree) -> Any:
        """As the wrapped solver."""
        return self.solver.error_order(terms)

    def func(self, terms: PyTree, t0: Any, y0: PyTree, args: PyTree) -> PyTree:
        """As the wrapped solver."""
        return self.solver.func(terms, t0, y0, args)

    def init(self, terms: PyTree, t0: Any, t1: Any, y0: PyTree, args: PyTree) -> SolverCostState:
        """The wrapped solver's state, and no cost yet.

        Raises:
            InputError: this is the backward solve of a continuous adjoint.
        """
        is_adjoint = lambda term: isinstance(term, AdjointTerm)  # noqa: E731
        if any(is_adjoint(term) for term in jax.tree.leaves(terms, is_leaf=is_adjoint)):
            raise InputError(NOT_CONTINUOUS)
        dtype = jnp.result_type(t0, t1, float)
        zero = jnp.zeros((), dtype)
        curved = None if end_stages(self.solver) is None else zero
        cost = Cost(zero, zero, zero, curved, curved, jnp.zeros((), int))
        return SolverCostState(self.solver.init(terms, t0, t1, y0, args), cost)

    def step(
        self,
        terms: PyTree,
        t0: Any,
        t1: Any,
        y0: PyTree,
        args: PyTree,
        solver_state: SolverCostState,
        made_jump: Any,
    ) -> tuple[PyTree, PyTree, Any, SolverCostState, Any]:
        """The wrapped solver's step; the loop keeps the new state only if it accepts the step."""
        y1, y_error, dense_info, inner, result = self.solver.step(
            terms, t0, t1, y0, args, solver_state.inner, made_jump
        )
        if y_error is None:
            raise InputError(f"{type(self.solver).__name__} estimates no error; wrap it in diffrax.HalfSolver first.")
        h, cost = jnp.abs(t1 - t0), solver_state.cost
        seen = [self.part(state) for state in (y0, y1, y_error)]
        error = scaled_error(*seen, rtol=self.rtol, atol=self.atol, norm=self.norm).astype(cost.error.dtype)
        total, largest = cost.stiffness, cost.stiffness_max
        if total is not None and largest is not None:
            value = stiffness(self.solver, seen[0], self.part(dense_info["k"]), h).astype(total.dtype)
            total, largest = total + value, jnp.maximum(largest, value)
        cost = Cost(
            error=cost.error + error * h,
            error_max=jnp.maximum(cost.error_max, error * h),
            squared_error=cost.squared_error + error**2 * h,
            stiffness=total,
            stiffness_max=largest,
            steps=cost.steps + 1,
        )
        return y1, y_error, dense_info, SolverCostState(inner, cost), result


def solver_cost(solution: diffrax.Solution) -> Cost:
    """The cost of a solve that was made with `SolverCost`.

    Arguments:
        solution: from `diffrax.diffeqsolve(..., saveat=diffrax.SaveAt(..., solver_state=True))`.

    Raises:
        InputError: the solution carries no such state.
    """
    if not isinstance(solution.solver_state, SolverCostState):
        raise InputError(
            "The solution carries no cost; solve with SolverCost.of(solver, controller) and SaveAt(solver_state=True)."
        )
    return solution.solver_state.cost
