"""Penalties that are integrals along the trajectory: speed, Jacobian, higher derivatives."""

import abc
from dataclasses import replace
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.experimental.jet import jet
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.integrate.regularisers.base import Regulariser, Solve


class PathIntegral(Regulariser):
    """Penalise `int r(t, y(t)) dt`, which is solved along with the state.

    The integral is one more component of the state, left out of the controller's norm, so that the steps are those of the
    plain solve. Each stage of each step then also evaluates `r`, which is what these regularisers cost.
    """

    @abc.abstractmethod
    def integrand(self, term: diffrax.AbstractTerm, key: Array | None) -> Any:
        """A function `(t, y, args, velocity) -> r`.

        Arguments:
            term: of the solve; `term.vf(t, y, args)` is the vector field.
            key: random, the same throughout the solve.
        """

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Add the integral to the state.

        Raises:
            InputError: the solve is no plain ODE, or asks for what cannot be taken apart again.
        """
        name = type(self).__name__
        dynamics, part = solve.dynamics, solve.part
        if not isinstance(dynamics, diffrax.ODETerm):
            raise InputError(f"{name} integrates along the trajectory of an ODE; give it an ODETerm as the terms.")
        if solve.saveat.dense or solve.options.get("event") is not None:
            raise InputError(f"{name} works with neither events nor SaveAt(dense=True); use SaveAt(ts=...).")
        integrand = self.integrand(dynamics, key)
        direction = jnp.sign(jnp.asarray(solve.t1 - solve.t0, float))

        def field(t: Any, state: PyTree, args: PyTree) -> PyTree:
            y, _ = state
            velocity = solve.terms.vf(t, y, args)
            return velocity, direction * integrand(t, part(y), args, part(velocity))

        start = jax.eval_shape(field, solve.t0, (solve.y0, 0.0), solve.args)[1]
        return replace(
            solve,
            terms=diffrax.ODETerm(field),
            y0=(solve.y0, jnp.zeros(start.shape, start.dtype)),
            saveat=_also_saving_the_integral(solve.saveat),
            part=lambda state: part(state[0]),
        )

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """Take the integral out of the solution."""
        assert solution.ts is not None and solution.ys is not None
        (times, _), (states, integral) = solution.ts, solution.ys
        solution = eqx.tree_at(lambda s: (s.ts, s.ys), solution, (times, states), is_leaf=lambda x: x is None)
        return solution, integral[-1]


class Kinetic(PathIntegral):
    """Penalise the mean kinetic energy: `int mean_i f_i(t, y)^2 dt` (the transport cost of RNODE).

    Straight paths at constant speed are the cheapest to solve. Good weights are 0.01 to 0.1 for states of order one.

    Source: Finlay et al., How to Train Your Neural ODE, 2020, section 4.
    """

    def integrand(self, term: diffrax.AbstractTerm, key: Array | None) -> Any:
        """The mean square of the velocity."""
        return lambda t, y, args, velocity: _mean_square(velocity)


class JacobianFrobenius(PathIntegral):
    """Penalise the Jacobian: `int |df/dy|_F^2 / n dt`, with `n` the number of elements of the state (RNODE).

    Estimated without bias by `|eps^T df/dy|^2 / n` (Hutchinson), with random signs `eps` that stay the same
    throughout one solve; each probe costs one vector-Jacobian product. Good weights are 0.01 to 0.1.

    Arguments:
        probes: how many random directions, or `None` for the exact norm, which takes `n` products.

    Source: Finlay et al., How to Train Your Neural ODE, 2020, section 4; Hutchinson, 1989.
    """

    probes: int | None = 1

    def integrand(self, term: diffrax.AbstractTerm, key: Array | None) -> Any:
        """The squared norm, exact or estimated.

        Raises:
            InputError: there is no key to draw the directions with.
        """
        if self.probes is not None and key is None:
            raise InputError(
                "JacobianFrobenius draws random directions; give it a key, or probes=None for the exact norm."
            )

        def squared_norm(t: Any, y: PyTree, args: PyTree, velocity: PyTree) -> Array:
            flat, unravel = ravel_pytree(y)
            _, pull = jax.vjp(lambda x: ravel_pytree(term.vf(t, unravel(x), args))[0], flat)
            if self.probes is None:
                directions = jnp.eye(flat.size, dtype=flat.dtype)
                scale = 1.0
            else:
                assert key is not None
                directions = jax.random.rademacher(key, (self.probes, flat.size), flat.dtype)
                scale = self.probes
            products = jax.vmap(pull)(directions)[0]
            return jnp.sum(products**2) / (scale * flat.size)

        return squared_norm


class TayNODE(PathIntegral):
    """Penalise a higher derivative of the trajectory: `int mean_i (d^K y_i / dt^K)^2 dt`.

    The total derivative along the solution, `d/dt = partial_t + f . grad`, by Taylor-mode differentiation, at about
    `K^2` times the cost of the vector field. Matching `K` to the solver's order is best in theory; the published values
    are 2 to 4. The weight depends strongly on `K`: the derivative is of order (speed of the dynamics)^K.

    Arguments:
        order: `K`, at least 1; 1 is `Kinetic`.

    Source: Kelly et al., Learning Differential Equations that are Easy to Solve, 2020.
    """

    order: int = 2

    def __check_init__(self):
        if self.order < 1:
            raise InputError(f"TayNODE needs an order of at least 1, not {self.order}.")

    def integrand(self, term: diffrax.AbstractTerm, key: Array | None) -> Any:
        """The mean square of the derivative."""

        def derivative(t: Any, y: PyTree, args: PyTree, velocity: PyTree) -> Array:
            flat, unravel = ravel_pytree(y)

            def with_time(state: Array) -> Array:
                """Time as one more component makes the field autonomous."""
                change, _ = ravel_pytree(term.vf(state[-1], unravel(state[:-1]), args))
                return jnp.append(change, jnp.ones((), change.dtype))

            state = jnp.append(flat, jnp.asarray(t, flat.dtype))
            # Along y' = f(y), the first k derivatives of y give the first k of f(y), which are the next k of y.
            derivatives = [jnp.append(ravel_pytree(velocity)[0], jnp.ones((), flat.dtype))]
            for _ in range(1, self.order):
                first, rest = jet(with_time, (state,), (derivatives,))
                derivatives = [first, *rest]
            return jnp.mean(derivatives[-1][:-1] ** 2)

        return derivative


def _mean_square(tree: PyTree[Array]) -> Array:
    return jnp.mean(ravel_pytree(tree)[0] ** 2)


def _is_sub(node: Any) -> bool:
    return isinstance(node, diffrax.SubSaveAt)


def _also_saving_the_integral(saveat: diffrax.SaveAt) -> diffrax.SaveAt:
    """What was asked for, of the state alone, and the integral at the end."""

    def of_the_state(sub: diffrax.SubSaveAt) -> diffrax.SubSaveAt:
        return eqx.tree_at(lambda s: s.fn, sub, lambda t, state, args: sub.fn(t, state[0], args))

    asked = jax.tree.map(of_the_state, saveat.subs, is_leaf=_is_sub)
    integral = diffrax.SubSaveAt(t1=True, fn=lambda t, state, args: state[1])
    return eqx.tree_at(lambda s: s.subs, saveat, (asked, integral), is_leaf=_is_sub)
