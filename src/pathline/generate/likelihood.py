"""The density that a model gives to a state, by its probability-flow ODE."""

from collections.abc import Callable
from typing import Literal, get_args

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import Gaussian
from pathline.generate.paths import AffinePath, Time
from pathline.generate.predictions import schedule, solvable_span
from pathline.integrate import nan_on_failure

Divergence = Literal["exact", "hutchinson"]
"""How the divergence of the velocity is found."""


def log_density(
    fields: Fields,
    x: Float[Array, "*shape"],
    *,
    tolerance: float = 1e-5,
    divergence: Divergence = "exact",
    probes: int = 1,
    key: Array | None = None,
    condition: PyTree = None,
    base: Callable[[Float[Array, "*shape"]], Float[Array, ""]] | None = None,
    max_steps: int = 4096,
) -> Float[Array, ""]:
    """`log rho_1(x) = log rho_0(X_0) - int_0^1 div b(t, X_t) dt` along the flow that ends at `x`.

    Times 0 and 1 are the ends of the path's span. Where the velocity does not follow from the prediction at an end (the
    data do not tell it where there is no noise left), the solve keeps 1e-4 away from it: `x` is then taken for a
    state with that little noise. This is what makes the density of a model that repeats its training samples finite.

    Arguments:
        fields: the model on its path.
        x: one state at the end of the path; `vmap` for many.
        tolerance: relative and absolute, of the solver; 1e-4 to 1e-6 in single precision.
        divergence: `"exact"`, by one derivative for each entry of the state, or `"hutchinson"`: an unbiased estimate
            from random signs, for states of more than a few dozen entries.
        probes: how many directions of random signs are averaged; the same throughout the solve.
        key: of those directions.
        condition: of the model.
        base: log density of the path's start, a function of one state; when absent that of its noise, scaled as the path
            has it there.
        max_steps: of the solver; the density is NaN if it needs more.

    Returns:
        The logarithm of the density at `x`, in nats.

    Raises:
        InputError: the path starts from data and no base is given, there is no such divergence, or its key is missing.

    Source: Albergo et al., Stochastic Interpolants, 2025, section 2.5; Grathwohl et al., FFJORD, 2019, for the estimate.
    """
    first, last = solvable_span(fields.path, fields.predicts, *fields.path.span)
    start_density = _noise_density(fields.path, first) if base is None else base
    directions = _directions(x, divergence, probes, key)

    def rate(t: Time, both: tuple[Array, Array], args: None) -> tuple[Array, Array]:
        time = jnp.asarray(t, x.dtype)

        def along(direction: Array) -> tuple[Array, Array]:
            value, slope = jax.jvp(lambda x: fields.velocity(time, x, condition), (both[0],), (direction,))
            return value, jnp.sum(slope * direction)

        values, slopes = jax.vmap(along, out_axes=(None, 0))(directions)
        return values, jnp.sum(slopes) if divergence == "exact" else jnp.mean(slopes)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        diffrax.Tsit5(),
        jnp.asarray(last, x.dtype),
        jnp.asarray(first, x.dtype),
        None,
        (x, jnp.zeros((), x.dtype)),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        max_steps=max_steps,
        throw=False,
    )
    ends = nan_on_failure(solution).ys
    assert ends is not None
    # Backwards in time the integral is gained with its sign turned.
    return start_density(ends[0][0]) + ends[1][0]


def _noise_density(path: AffinePath, first: float) -> Callable[[Array], Array]:
    """The log density of `a n + gamma z` at the start."""
    law = path.law
    noise, signal = (schedule(path, f"{end}_scale", np.asarray([first]))[0] for end in ("source", "target"))
    # A mirror has a law of noise and yet starts from data.
    if law is None or noise < signal:
        raise InputError(f"{type(path).__name__} starts from data, whose density is not known; give base=...")

    def density(start: Array) -> Array:
        scale = path.source_scale(first)
        if isinstance(law, Gaussian):
            scale = jnp.hypot(scale, path.latent_scale(first))
        scale = scale.astype(start.dtype)
        return law.log_density(start / scale) - start.size * jnp.log(scale)

    return density


def _directions(x: Array, divergence: Divergence, probes: int, key: Array | None) -> Float[Array, "direction *shape"]:
    if divergence not in get_args(Divergence):
        raise InputError(f"There is no divergence {divergence!r}; there are {' and '.join(get_args(Divergence))}.")
    if divergence == "exact":
        return jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    if key is None:
        raise InputError("Hutchinson's estimate of the divergence is random; pass key=jax.random.key(0), for example.")
    if probes < 1:
        raise InputError(f"Hutchinson's estimate needs at least one probe, and {probes} were asked for.")
    return jax.random.rademacher(key, (probes, *x.shape), x.dtype)
