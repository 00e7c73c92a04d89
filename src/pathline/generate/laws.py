"""Laws of the noise that a path starts from: Gaussian, and the heavy-tailed one of PFGM++."""

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from pathline.errors import InputError


class NoiseLaw(eqx.Module):
    """The law of unit noise. Abstract: `Gaussian` or `StudentT`.

    Both depend on the noise only through its norm, so that every direction is alike.
    """

    has_score: ClassVar[bool]
    """Whether the mean of the noise given a noisy state is, up to a factor, the score of the noisy density."""

    @abstractmethod
    def sample(self, key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """One draw of the given shape (several draws: `vmap` over keys; the norm belongs to one draw)."""

    @abstractmethod
    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The logarithm of the density of one draw."""


class Gaussian(NoiseLaw):
    """The standard normal law."""

    has_score: ClassVar[bool] = True

    def sample(self, key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """One draw `g ~ N(0, I)`."""
        return jax.random.normal(key, shape)

    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """`-|n|^2 / 2 - N log(2 pi) / 2`."""
        return -0.5 * jnp.sum(noise**2) - 0.5 * noise.size * math.log(2 * math.pi)


class StudentT(NoiseLaw):
    """The multivariate Student law with `D` degrees of freedom and unit scale, `n = g / sqrt(chi2_D / D)`.

    This is the perturbation kernel of PFGM++: the field of charges on a plane in `N + D` dimensions, at the radius
    `r = sigma sqrt(D)`, is that of data with noise `sigma n`. `D = 1` is the Poisson flow model, and for `D` to infinity
    the law becomes Gaussian. One chi-square is shared by all coordinates: the law is not one of independent coordinates.

    The mean of the noise given the noisy state is not a score, so stochastic samplers refuse a path with this law.

    Arguments:
        degrees: `D > 0`, not necessarily whole; compare it with the dimension `N` of the data: `D/N` from 0.02 to 2
            is heavy-tailed, above 30 all but Gaussian.

    Raises:
        InputError: the degrees are not positive and finite (infinity: use `Gaussian`).

    Source: Xu et al., PFGM++, 2023, section 3; the equality with Student's law follows from
    `1 + |n|^2/D = (r^2 + |sigma n|^2)/r^2`.
    """

    degrees: float = eqx.field(static=True)
    has_score: ClassVar[bool] = False

    def __check_init__(self):
        if not 0 < self.degrees < math.inf:
            raise InputError(
                f"StudentT cannot have {self.degrees} degrees; give a positive number, or use Gaussian() for infinity."
            )

    def sample(self, key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """One draw `g sqrt(D / chi2_D)`."""
        direction_key, radius_key = jax.random.split(key)
        # A chi-square with D degrees is twice a Gamma of shape D/2. Its logarithm cannot underflow for small D.
        log_chi2 = math.log(2) + jax.random.loggamma(radius_key, 0.5 * self.degrees)
        return jax.random.normal(direction_key, shape) * jnp.exp(0.5 * (math.log(self.degrees) - log_chi2))

    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """`log Gamma((N+D)/2) - log Gamma(D/2) - (N/2) log(pi D) - ((N+D)/2) log(1 + |n|^2/D)`."""
        size, degrees = noise.size, self.degrees
        constant = gammaln(0.5 * (size + degrees)) - gammaln(0.5 * degrees) - 0.5 * size * math.log(math.pi * degrees)
        return constant - 0.5 * (size + degrees) * jnp.log1p(jnp.sum(noise**2) / degrees)
