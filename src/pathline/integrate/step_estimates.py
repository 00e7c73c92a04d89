"""What one step of an embedded method says about its own cost: the scaled local error and the stiffness."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float, PyTree


def scaled_error(
    y0: PyTree[Array],
    y1: PyTree[Array],
    y_error: PyTree[Array],
    *,
    rtol: Any,
    atol: Any,
    norm: Callable[[PyTree], Any] = optx.rms_norm,
) -> Float[Array, ""]:
    """The local error of a step as the step size controller sees it: a step is accepted when it is below 1.

    `E = RMS_i( e_i / (atol + rtol max(|y0_i|, |y1_i|)) )`, where `e` is the difference of the embedded pair and the
    mean goes over every element of the state, batch included. Unlike inside `diffrax.PIDController`, its gradient is
    kept; where the error is exactly zero the gradient is zero. A step with entries that are not finite counts 0 (an
    adaptive controller rejects it).

    Arguments:
        y0, y1: the state before and after the step.
        y_error: `e`, from `solver.step`.
        rtol, atol: the tolerances.
        norm: the controller's norm.

    Source: Pal et al., Opening the Blackbox, 2021, section 3; Diffrax's `PIDController`.
    """
    finite = _all_finite((y1, y_error))

    def scale(start: Array, end: Array, error: Array) -> Array:
        # Replaced before the division and the norm: a NaN behind a later `where` would still poison the gradient.
        end, error = jnp.where(finite, end, start), jnp.where(finite, error, 0)
        return error / (atol + rtol * jnp.maximum(jnp.abs(start), jnp.abs(end)))

    return jnp.asarray(norm(jax.tree.map(scale, y0, y1, y_error)))


def end_stages(solver: diffrax.AbstractSolver) -> tuple[int, int] | None:
    """The last two stages that a Runge–Kutta method evaluates at the end of its step, counted from 0.

    `Tsit5` and `Dopri5` have such a pair, stages 6 and 7; `Bosh3`, and the stochastic methods of Diffrax, have none.

    Arguments:
        solver: any solver of Diffrax.
    """
    tableau = getattr(solver, "tableau", None)
    if not isinstance(tableau, diffrax.ButcherTableau):
        return None
    at_end = [stage + 1 for stage, c in enumerate(tableau.c) if c == 1.0]
    return (at_end[-2], at_end[-1]) if len(at_end) >= 2 else None


def stiffness(
    solver: diffrax.AbstractSolver, y0: PyTree[Array], k: PyTree[Array], h: Float[Array, ""] | float
) -> Float[Array, ""]:
    """Shampine's free estimate of the dominant Jacobian eigenvalue, per unit of time.

    `S = |f(g_a) - f(g_b)| / |g_a - g_b|` (Euclidean norms) for the two stages `a`, `b` that are evaluated at the end of
    the step, with stage states `g_j = y0 + sum_i a_ji k_i`. It is 0 where both states are the same or something is not
    finite. For a linear field `f(y) = a y` it is `|a|`, whatever the step. An explicit method leaves its stability
    region when `S h` exceeds a number of its own, 3.5068 for `Tsit5`, by which the authors' code divides; here it is
    not divided.

    Arguments:
        solver: a Runge–Kutta method for which `end_stages` finds a pair.
        y0: the state before the step.
        k: the stages of the step times its length, `k_j = h f(g_j)`, as in the solver's dense information.
        h: the length of the step, in units of time.

    Source: Shampine, Stiffness and nonstiff differential equation solvers, 1977; Pal et al., 2021, section 3.
    """
    stages = end_stages(solver)
    assert stages is not None, f"{type(solver).__name__} has no two stages at the end of its step"
    finite = _all_finite(k)
    k = jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0), k)
    weights = [_row(solver, stage) for stage in stages]

    def states(stage: int) -> PyTree[Array]:
        return jax.tree.map(lambda y, leaf: y + jnp.tensordot(weights[stage].astype(leaf.dtype), leaf, axes=1), y0, k)

    f_difference = jax.tree.map(lambda leaf: (leaf[stages[1]] - leaf[stages[0]]) / h, k)
    g_difference = jax.tree.map(jnp.subtract, states(1), states(0))
    distance = optx.two_norm(g_difference)
    moved = distance > 0
    return jnp.where(moved, optx.two_norm(f_difference) / jnp.where(moved, distance, 1), 0)


def _row(solver: Any, stage: int) -> Array:
    """The coefficients `a_ji` of one stage, the diagonal of implicit methods included, padded to all stages."""
    tableau = solver.tableau
    row = [*tableau.a_lower[stage - 1], 0 if tableau.a_diagonal is None else tableau.a_diagonal[stage]]
    return jnp.asarray([*row, *[0.0] * (tableau.num_stages - len(row))])


def _all_finite(tree: PyTree[Array]) -> Array:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]).all()
