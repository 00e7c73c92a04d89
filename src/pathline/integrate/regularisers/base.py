"""What every regulariser of a neural differential equation is: a solve that also returns a penalty."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.integrate.solver_cost import NOT_CONTINUOUS, SolverCost


@dataclass(frozen=True)
class Solve:
    """A solve to be made: the arguments of `diffrax.diffeqsolve`.

    Arguments:
        terms, solver, t0, t1, dt0, y0, args, saveat, stepsize_controller: as there.
        options: the others.
        dynamics: the terms that were asked for, where `terms` have more components.
        part: takes the state that was asked for out of the one that is solved for, which may have more components; they
            influence neither the steps nor their cost.
        instrumented: whether the solver's cost is recorded.
    """

    terms: PyTree
    solver: diffrax.AbstractSolver
    t0: Any
    t1: Any
    dt0: Any
    y0: PyTree
    args: PyTree
    saveat: diffrax.SaveAt
    stepsize_controller: diffrax.AbstractStepSizeController
    options: dict[str, Any]
    dynamics: PyTree
    part: Callable[[PyTree], PyTree] = lambda state: state
    instrumented: bool = False

    def run(self) -> diffrax.Solution:
        """Make the solve.

        Raises:
            InputError: the cost is to be recorded and the controller has no tolerances to measure it in.
        """
        solver, saveat = self.solver, self.saveat
        if self.instrumented and type(solver) is not SolverCost:
            solver = SolverCost.of(solver, self.stepsize_controller)
        if type(solver) is SolverCost:
            solver = eqx.tree_at(lambda s: s.part, solver, self.part)
            saveat = eqx.tree_at(lambda s: s.solver_state, saveat, self.instrumented or saveat.solver_state)
        return diffrax.diffeqsolve(
            self.terms,
            solver,
            self.t0,
            self.t1,
            self.dt0,
            self.y0,
            self.args,
            saveat=saveat,
            stepsize_controller=_seeing(self.part, self.stepsize_controller),
            **self.options,
        )


def _seeing(
    part: Callable[[PyTree], PyTree], controller: diffrax.AbstractStepSizeController
) -> diffrax.AbstractStepSizeController:
    """The controller, with an error norm of that part of the state only."""
    inner = getattr(controller, "controller", controller)
    if not isinstance(inner, diffrax.PIDController):
        return controller
    blind = eqx.tree_at(lambda c: c.norm, inner, lambda state: inner.norm(part(state)))
    return blind if inner is controller else eqx.tree_at(lambda c: c.controller, controller, blind)


class Regulariser(eqx.Module):
    """Makes learned dynamics cheap to solve. Call it in place of `diffrax.diffeqsolve`, in training only.

    ```python
    solution, penalty = ErrorEstimate()(
        terms, diffrax.Tsit5(), t0, t1, None, y0, args, key=key,
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
    )
    loss = task_loss(solution.ys) + weight * penalty
    ```

    The weight is annealed by any Optax schedule, e.g. `optax.exponential_decay(100.0, steps, 0.1)(step)`. It belongs to
    one regulariser, tolerance, horizon and batch size; find it anew when one of them changes.

    To write another one, say what the solve needs (`prepare`) and what becomes of its solution (`finish`).
    """

    def __call__(
        self,
        terms: PyTree,
        solver: diffrax.AbstractSolver,
        t0: Any,
        t1: Any,
        dt0: Any,
        y0: PyTree,
        args: PyTree = None,
        *,
        key: Array | None = None,
        saveat: diffrax.SaveAt | None = None,
        stepsize_controller: diffrax.AbstractStepSizeController | None = None,
        **options: Any,
    ) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """Solve, and say what to penalise.

        Arguments:
            terms, solver, t0, t1, dt0, y0, args: as `diffrax.diffeqsolve`.
            key: random, for the regularisers that draw something.
            saveat: `SaveAt(t1=True)` if absent.
            stepsize_controller: `ConstantStepSize()` if absent, as in Diffrax.
            options: the other arguments of `diffrax.diffeqsolve`.

        Returns:
            The solution, as of the plain solve, and the penalty without its weight.

        Raises:
            InputError: the solve does not have what the regulariser needs, or has a continuous adjoint.
        """
        if isinstance(options.get("adjoint"), diffrax.BacksolveAdjoint):
            raise InputError(NOT_CONTINUOUS)
        saveat = diffrax.SaveAt(t1=True) if saveat is None else saveat
        controller = diffrax.ConstantStepSize() if stepsize_controller is None else stepsize_controller
        solve = Solve(terms, solver, t0, t1, dt0, y0, args, saveat, controller, options, dynamics=terms)
        return self.finish(self.prepare(solve, key).run())

    @abc.abstractmethod
    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """The solve to make instead.

        Arguments:
            solve: that was asked for.
            key: random.
        """

    @abc.abstractmethod
    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """The solution as it was asked for, and the penalty.

        Arguments:
            solution: of the prepared solve.
        """


class Unregularised(Regulariser):
    """The plain solve, with a penalty of zero: the baseline, so that it needs no code of its own."""

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Nothing changes."""
        return solve

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """No penalty."""
        return solution, jnp.zeros(())


class WeightedSum(Regulariser):
    """Several regularisers in one solve: the penalty is `sum_i weight_i penalty_i`.

    `WeightedSum((weight, Kinetic()), (weight, JacobianFrobenius()))` is RNODE; with `ErrorEstimate` and
    `StiffnessEstimate` it is the combination of Pal et al.

    Arguments:
        parts: pairs of a weight, which may be a traced number, and a regulariser.
    """

    parts: tuple[tuple[Any, Regulariser], ...]

    def __init__(self, *parts: tuple[Any, Regulariser]):
        self.parts = parts

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Each prepares what the one before has prepared."""
        keys = [None] * len(self.parts) if key is None else list(jax.random.split(key, max(len(self.parts), 1)))
        for (_, part), part_key in zip(self.parts, keys, strict=False):
            solve = part.prepare(solve, part_key)
        return solve

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """Each takes back what it has added, the last one first."""
        total = jnp.zeros(())
        for weight, part in reversed(self.parts):
            solution, penalty = part.finish(solution)
            total = total + weight * penalty
        return solution, total
