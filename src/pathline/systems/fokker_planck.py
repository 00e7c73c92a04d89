"""The Fokker-Planck equation on an interval: the density of a stochastic equation, with no sampling noise."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError

Coefficient = Callable[[Float[Array, ""], Float[Array, ""]], Float[Array, ""]]
"""`f(t, x)` for one time and one place."""


def cell_centres(low: float, high: float, cells: int) -> Float[np.ndarray, " cell"]:
    """The middles of equal cells that fill an interval.

    Arguments:
        low, high: ends of the interval.
        cells: how many.
    """
    width = (high - low) / cells
    return low + width * (np.arange(cells) + 0.5)


def fokker_planck(
    drift: Coefficient,
    diffusion: Coefficient,
    initial: Float[np.ndarray | Array, " cell"],
    low: float,
    high: float,
    times: Float[np.ndarray, " time"],
    *,
    substeps: int = 1,
    order: Literal[1, 2] = 1,
) -> Float[np.ndarray, "time cell"]:
    """The density of `dX = f(t, X) dt + sqrt(2 D(t, X)) dW` (in the sense of Itô) over time,
    `d rho/dt = -d/dx (f rho) + d^2/dx^2 (D rho)`, on an interval that nothing leaves.

    Finite volumes with the flux of Scharfetter and Gummel between cells,
    `J = (D/h) (B(-z) rho_left - B(z) rho_right)` with `z = h v / D`, `v = f - dD/dx` and `B(z) = z / (e^z - 1)`: exact for
    a constant flux, upwind where there is no diffusion, and of second order in `h` where `z` is small. Mass is kept to rounding.
    Time steps are implicit, so that they may be longer than the cells allow an explicit method.

    Arguments:
        drift: `f(t, x)`; a module, or a function that keeps its identity, compiles once for many calls.
        diffusion: `D(t, x) >= 0`, differentiable; half the square of the usual `g` in `g dW`.
        initial: density in each cell (see `cell_centres`), of total mass one.
        low, high: ends of the interval, where the density should be negligible; 6 standard deviations away.
        times: at which the density is wanted, the first being that of `initial`; may be uneven.
        substeps: steps between two times; in all 200 to 1000.
        order: 1 is implicit Euler, which keeps every density positive; 2 is an L-stable method of two stages, far more accurate
            where the density is smooth, which can undershoot zero by a little.

    Returns:
        The density at each time, in double precision.

    Raises:
        InputError: the times do not increase, the density is not finite, or there is no such order.

    Source: Scharfetter and Gummel, Large-signal analysis of a silicon Read diode oscillator, 1969; the second-order method
    is SDIRK2 of Alexander, 1977.
    """
    times = np.asarray(times, np.float64)
    values = np.asarray(initial, np.float64)
    if len(times) < 2 or (np.diff(times) <= 0).any() or substeps < 1:
        raise InputError("The Fokker-Planck equation needs at least two increasing times, and a step between them.")
    if not np.isfinite(values).all() or len(values) < 2 or not high > low:
        raise InputError("The Fokker-Planck equation needs a finite density in at least two cells of an interval.")
    if order not in (1, 2):
        raise InputError(f"There is no order {order} in time; there are 1 and 2.")
    with jax.enable_x64(True):
        centres = jnp.asarray(cell_centres(low, high, len(values)))
        return np.asarray(_solve(drift, diffusion, jnp.asarray(values), centres, jnp.asarray(times), substeps, order))


@eqx.filter_jit
def _solve(
    drift: Coefficient,
    diffusion: Coefficient,
    initial: Array,
    centres: Array,
    times: Array,
    substeps: int,
    order: int,
) -> Float[Array, "time cell"]:
    width = centres[1] - centres[0]
    faces = 0.5 * (centres[1:] + centres[:-1])

    def operator(t: Array) -> tuple[Array, Array, Array]:
        """`d rho/dt` as a matrix of three diagonals."""

        def at(x: Array) -> tuple[Array, Array]:
            strength, slope = jax.jvp(lambda x: jnp.asarray(diffusion(t, x), x.dtype), (x,), (jnp.ones_like(x),))
            return drift(t, x) - slope, strength

        velocity, strength = jax.vmap(at)(faces)
        peclet = width * velocity
        rightward, leftward = _weighted_bernoulli(-peclet, strength), _weighted_bernoulli(peclet, strength)
        rightward, leftward = rightward / width**2, leftward / width**2
        # What leaves one cell enters its neighbour; nothing passes the ends.
        lower = jnp.pad(rightward, (1, 0))
        upper = jnp.pad(leftward, (0, 1))
        diagonal = -jnp.pad(rightward, (0, 1)) - jnp.pad(leftward, (1, 0))
        return lower, diagonal, upper

    def implicit(rho: Array, t: Array, step: Array) -> Array:
        """`(1 - step L(t))^-1 rho`."""
        lower, diagonal, upper = operator(t)
        return jax.lax.linalg.tridiagonal_solve(-step * lower, 1 - step * diagonal, -step * upper, rho[:, None])[:, 0]

    def advance(rho: Array, t_and_step: tuple[Array, Array]) -> tuple[Array, None]:
        t, step = t_and_step
        if order == 1:
            return implicit(rho, t + step, step), None
        middle = implicit(rho, t + _STAGE * step, _STAGE * step)
        # rho + (1 - g) h L rho_1, with h L rho_1 = (rho_1 - rho) / g from the first stage.
        begun = rho + (1 - _STAGE) / _STAGE * (middle - rho)
        return implicit(begun, t + step, _STAGE * step), None

    def between(rho: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        step = (ends[1] - ends[0]) / substeps
        rho, _ = jax.lax.scan(advance, rho, (ends[0] + step * jnp.arange(substeps), jnp.full(substeps, step)))
        return rho, rho

    _, found = jax.lax.scan(between, initial, (times[:-1], times[1:]))
    return jnp.concatenate([initial[None], found])


def _weighted_bernoulli(peclet: Array, strength: Array) -> Array:
    """`D B(p / D)` with `B(z) = z / (e^z - 1)`, for every `D >= 0`: `max(-p, 0)` where there is no diffusion."""
    safe = jnp.where(strength > 0, strength, 1.0)
    z = jnp.clip(peclet / safe, -_MOST, _MOST)
    small = jnp.abs(z) < 1e-3
    inner = jnp.where(small, 1.0, z)
    series = 1 - z / 2 + z**2 / 12
    bernoulli = jnp.where(small, series, inner / jnp.expm1(inner))
    upwind = jnp.maximum(-peclet, 0.0)
    return jnp.where((strength > 0) & (jnp.abs(peclet) < _MOST * safe), safe * bernoulli, upwind)


_MOST = 500.0
"""Beyond it `e^z` does not matter any more."""

_STAGE = 1 - 1 / 2**0.5
"""The diagonal coefficient for which the method is L-stable and of second order."""
