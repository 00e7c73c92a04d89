"""Laws of the noise that a path starts from: Gaussian, and the heavy-tailed one of PFGM++."""

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real
from scipy.special import chdtri, fdtri

from pathline.errors import InputError


class NoiseLaw(eqx.Module):
    """The law of unit noise. Abstract: `Gaussian` or `StudentT`.

    Both depend on the noise only through its norm, so that every direction is alike. With the same key all laws draw
    the same direction, so that runs with different laws can be compared draw by draw.
    """

    has_score: ClassVar[bool]
    """Whether the mean of the noise given a noisy state is, up to a factor, the score of the noisy density."""

    @abstractmethod
    def sample(self, key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """One draw of the given shape (several draws: `vmap` over keys; the norm belongs to one draw)."""

    @abstractmethod
    def log_kernel(self, square: Float[Array, "*batch"], size: int) -> Float[Array, "*batch"]:
        """The logarithm of the density of draws with `size` entries, up to a constant.

        Arguments:
            square: `|n|^2`.
            size: `N`, how many entries a draw has.
        """

    @abstractmethod
    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The logarithm of the density of one draw."""

    @abstractmethod
    def norm_quantile(self, share: Float[np.ndarray, "*batch"] | float, size: int) -> Float[np.ndarray, "*batch"]:
        """The norm below which a share of the draws lies, in double precision.

        Arguments:
            share: from 0 to 1.
            size: `N`, how many entries a draw has.
        """

    @abstractmethod
    def norm_spread(self, size: int) -> float:
        """About the standard deviation of `|n| / sqrt(N)` for `N = size` entries: how wide the shell is in which the
        draws lie. Two settings with the same spread are aligned.
        """


class Gaussian(NoiseLaw):
    """The standard normal law."""

    has_score: ClassVar[bool] = True

    def sample(self, key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        """One draw `g ~ N(0, I)`."""
        direction_key, _ = jax.random.split(key)
        return jax.random.normal(direction_key, shape)

    def log_kernel(self, square: Float[Array, "*batch"], size: int) -> Float[Array, "*batch"]:
        """`-|n|^2 / 2`."""
        return -0.5 * square

    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """`-|n|^2 / 2 - N log(2 pi) / 2`."""
        return self.log_kernel(jnp.sum(noise**2), noise.size) - 0.5 * noise.size * math.log(2 * math.pi)

    def norm_quantile(self, share: Float[np.ndarray, "*batch"] | float, size: int) -> Float[np.ndarray, "*batch"]:
        """From `|n|^2 ~ chi2_N`."""
        return np.sqrt(chdtri(size, 1 - np.asarray(share, np.float64)))

    def norm_spread(self, size: int) -> float:
        """`sqrt(1/(2N))`."""
        return math.sqrt(0.5 / size)


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

    def log_kernel(self, square: Float[Array, "*batch"], size: int) -> Float[Array, "*batch"]:
        """`-((N+D)/2) log(1 + |n|^2/D)`: the power `-(N+D)/2` of `|n|^2 + D`, as a logarithm that cannot overflow."""
        return -0.5 * (size + self.degrees) * jnp.log1p(square / self.degrees)

    def log_density(self, noise: Float[Array, "*shape"]) -> Float[Array, ""]:
        """`log Gamma((N+D)/2) - log Gamma(D/2) - (N/2) log(pi D) - ((N+D)/2) log(1 + |n|^2/D)`."""
        size, degrees = noise.size, self.degrees
        # In double precision: for many degrees it is a small difference of large numbers.
        constant = math.lgamma(0.5 * (size + degrees)) - math.lgamma(0.5 * degrees)
        constant -= 0.5 * size * math.log(math.pi * degrees)
        return constant + self.log_kernel(jnp.sum(noise**2), size)

    def norm_quantile(self, share: Float[np.ndarray, "*batch"] | float, size: int) -> Float[np.ndarray, "*batch"]:
        """From `|n|^2 / N ~ F(N, D)`."""
        return np.sqrt(size * fdtri(size, self.degrees, np.asarray(share, np.float64)))

    def norm_spread(self, size: int) -> float:
        """`sqrt(1/(2N) + 1/(2D))`."""
        return math.sqrt(0.5 / size + 0.5 / self.degrees)


def noise_law(degrees: float) -> NoiseLaw:
    """Student's law, or the Gaussian one that it becomes for infinitely many degrees.

    Arguments:
        degrees: `D`, positive; infinity gives `Gaussian()`.

    Raises:
        InputError: the degrees are not positive.
    """
    return Gaussian() if degrees == math.inf else StudentT(degrees)


def align(sigma: Real[ArrayLike, "*batch"], degrees: float) -> Real[ArrayLike, "*batch"]:
    """The distance from the plane of the charges that belongs to a noise level, `r = sigma sqrt(D)`.

    With it everything tuned for a diffusion carries over to PFGM++: grids, preconditioning and the density of levels in
    training stay as they are in `sigma`.

    Arguments:
        sigma: noise levels.
        degrees: `D`.

    Source: Xu et al., PFGM++, 2023, section 4.
    """
    return sigma * math.sqrt(degrees)
