"""Densities in the plane that generative models are tried on: several modes, holes and sharp edges."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def checkerboard(key: Array, count: int) -> Float[Array, "count 2"]:
    """Uniform on the black squares of a 4 x 4 checkerboard that fills [-4, 4]^2.

    Arguments:
        key: of the draws.
        count: how many points.
    """
    square_key, place_key = jax.random.split(key)
    square = jax.random.randint(square_key, (count,), 0, 8)
    row = square // 2
    column = 2 * (square % 2) + row % 2
    corner = jnp.stack([column, row], axis=1) * 2.0 - 4.0
    return corner + 2.0 * jax.random.uniform(place_key, (count, 2))


def two_moons(key: Array, count: int, noise: float = 0.1) -> Float[Array, "count 2"]:
    """Two interlocking half circles of radius 2.

    Arguments:
        key: of the draws.
        count: how many points.
        noise: standard deviation across, in units of the radius.
    """
    side_key, angle_key, noise_key = jax.random.split(key, 3)
    lower = jax.random.bernoulli(side_key, 0.5, (count,))
    angle = jnp.pi * jax.random.uniform(angle_key, (count,))
    upper_moon = jnp.stack([jnp.cos(angle) - 0.5, jnp.sin(angle) - 0.25], axis=1)
    lower_moon = jnp.stack([0.5 - jnp.cos(angle), 0.25 - jnp.sin(angle)], axis=1)
    points = jnp.where(lower[:, None], lower_moon, upper_moon)
    return 2.0 * (points + noise * jax.random.normal(noise_key, points.shape))


def ring(key: Array, count: int, radius: float = 3.0, noise: float = 0.15) -> Float[Array, "count 2"]:
    """A circle with normal noise across.

    Arguments:
        key: of the draws.
        count: how many points.
        radius: of the circle.
        noise: standard deviation of the radius.
    """
    angle_key, noise_key = jax.random.split(key)
    angle = 2 * jnp.pi * jax.random.uniform(angle_key, (count,))
    distance = radius + noise * jax.random.normal(noise_key, (count,))
    return distance[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def pinwheel(key: Array, count: int, arms: int = 5) -> Float[Array, "count 2"]:
    """Bent arms around a centre, thin and dense.

    Arguments:
        key: of the draws.
        count: how many points.
        arms: how many arms.
    """
    arm_key, noise_key = jax.random.split(key)
    arm = jax.random.randint(arm_key, (count,), 0, arms)
    radial, across = 0.3 * jax.random.normal(noise_key, (2, count)) * jnp.asarray([[1.0], [0.33]])
    radial = radial + 1.0
    # An arm is bent by turning each point by an angle that grows with its distance.
    angle = 2 * jnp.pi * arm / arms + 0.25 * jnp.exp(radial)
    turned = radial * jnp.cos(angle) - across * jnp.sin(angle), radial * jnp.sin(angle) + across * jnp.cos(angle)
    return 2.0 * jnp.stack(turned, axis=1)


PLANAR: dict[str, Callable[[Array, int], Array]] = {
    "checkerboard": checkerboard,
    "two-moons": two_moons,
    "ring": ring,
    "pinwheel": pinwheel,
}
"""Every density by name: `(key, count) -> points [count, 2]`."""
