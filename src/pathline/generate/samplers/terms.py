"""The equations of a path as terms of Diffrax, for any of its solvers."""

from typing import Literal

import diffrax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from pathline.generate.fields import Fields
from pathline.generate.paths import Time
from pathline.generate.predictions import check_kinds
from pathline.generate.samplers.stochastic import Diffusion, diffusion_on


def ode_term(fields: Fields, condition: PyTree = None) -> diffrax.ODETerm:
    """The probability-flow ODE, `dx/dt = b(t, x)`, in either direction of time.

    Arguments:
        fields: the model.
        condition: of the model.
    """

    def velocity(t: Time, x: Float[Array, "*shape"], args: PyTree) -> Float[Array, "*shape"]:
        return fields.velocity(jnp.asarray(t, x.dtype), x, condition)

    return diffrax.ODETerm(velocity)


def sde_terms(
    fields: Fields,
    diffusion: Diffusion | float | None,
    brownian: diffrax.AbstractBrownianPath,
    condition: PyTree = None,
    *,
    direction: Literal["forward", "backward"] = "forward",
) -> diffrax.MultiTerm:
    """`dX = (b + eps s) dt + sqrt(2 eps) dW` from the source to the target, or with `u = 1 - t` backwards,
    `dX = (eps s - b) du + sqrt(2 eps) dW`.

    Backwards it is the clock of the terms that is turned, and the solve runs from `u = 0` (the target) to 1 (the source): not
    all stochastic solvers of Diffrax can run from a later time to an earlier one. The noise is additive, so that solvers of
    Itô's and of Stratonovich's equations agree. At the ends of the path's span the score may be infinite: solve within it.

    Arguments:
        fields: the model; its path has a score.
        diffusion: `eps(t)`, a number for a constant one; as of `EulerMaruyama` when absent.
        brownian: the Brownian motion, of the shape of a state: `diffrax.VirtualBrownianTree(0.0, 1.0, tol=1e-3,
            shape=(dim,), key=key)`.
        condition: of the model.
        direction: which of the two equations, on the clock `t` or `u`.

    Raises:
        InputError: the path has no score.
    """
    check_kinds(fields.path, ("score",))
    strength = diffusion_on(fields.path, diffusion)

    def clock(t: Time, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        time = jnp.asarray(t, x.dtype)
        return time if direction == "forward" else 1 - time

    def drift(t: Time, x: Float[Array, "*shape"], args: PyTree) -> Float[Array, "*shape"]:
        time = clock(t, x)
        velocity, score = fields.several(("velocity", "score"), time, x, condition)
        pull = strength(fields.path, time).astype(x.dtype) * score
        return pull + velocity if direction == "forward" else pull - velocity

    def scale(t: Time, x: Float[Array, "*shape"], args: PyTree) -> lx.DiagonalLinearOperator:
        eps = strength(fields.path, clock(t, x)).astype(x.dtype)
        return lx.DiagonalLinearOperator(jnp.broadcast_to(jnp.sqrt(2 * eps), x.shape))

    return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(scale, brownian))
