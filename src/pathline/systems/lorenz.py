"""Lorenz's convection model of 1963: the classical chaotic system."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LORENZ63_LYAPUNOV = 0.9056
"""The largest Lyapunov exponent at the classical parameters, per unit of time (Viswanath, 1998)."""


def lorenz63_field(
    state: Float[Array, "3"], *, sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0
) -> Float[Array, "3"]:
    """The vector field `x' = sigma (y - x)`, `y' = x (rho - z) - y`, `z' = x y - beta z`.

    Arguments:
        state: `(x, y, z)`.
        sigma, rho, beta: Prandtl number, relative Rayleigh number, aspect; the defaults are Lorenz's.

    Source: Lorenz, Deterministic nonperiodic flow, 1963, equations 25 to 27.
    """
    x, y, z = state
    return jnp.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])


def lorenz63(
    steps: int, *, step: float = 0.025, transient: float = 20.0, key: Array
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, "time 3"]]:
    """A trajectory on the attractor, in double precision.

    Arguments:
        steps: how many points.
        step: time between points; 0.025 is about a thirtieth of an orbit around one wing.
        transient: time to let pass before the first point.
        key: draws the initial state.

    Returns:
        `(times, values)`; times start at 0.
    """
    with jax.enable_x64(True):
        start = jnp.asarray([0.0, 0.0, 25.0]) + jax.random.normal(key, (3,), jnp.float64)
        times = transient + step * jnp.arange(steps)
        return np.asarray(times - transient), np.asarray(_solve(start, times))


@eqx.filter_jit
def _solve(start: Array, times: Array) -> Array:
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: lorenz63_field(y)),
        diffrax.Dopri8(),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
        max_steps=None,
    )
    assert solution.ys is not None
    return solution.ys
