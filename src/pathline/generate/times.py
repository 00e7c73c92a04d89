"""Which times a path is learnt at: densities on [0, 1]."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.generate.paths import AffinePath


class TimeSampler(eqx.Module):
    """A density of times, sampled by its quantiles. Abstract."""

    @abstractmethod
    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The inverse of `cdf`: the time below which the share `u` lies."""

    @abstractmethod
    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The share of times below `t`."""

    def density(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The derivative of `cdf`."""
        return jax.jvp(self.cdf, (t,), (jnp.ones_like(t),))[1]

    def sample(self, key: Array, count: int) -> Float[Array, " count"]:
        """So many times, one in each of `count` shares of equal probability: less noisy than independent draws, and each
        time has the density by itself."""
        shift_key, order_key = jax.random.split(key)
        u = (jnp.arange(count) + jax.random.uniform(shift_key, (count,))) / count
        # In random order, as pairs may have one.
        return self.quantile(jax.random.permutation(order_key, u))


class Uniform(TimeSampler):
    """Even on [start, stop].

    Arguments:
        start, stop: 0 and 1, unless the regression is singular there: 1e-4 and 1 - 1e-4 with a latent.
    """

    start: float = eqx.field(static=True, default=0.0)
    stop: float = eqx.field(static=True, default=1.0)

    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`start + u (stop - start)`."""
        return self.start + u * (self.stop - self.start)

    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`(t - start) / (stop - start)`, from 0 to 1."""
        return jnp.clip((t - self.start) / (self.stop - self.start), 0.0, 1.0)


class UShaped(TimeSampler):
    """More at both ends: density proportional to `cosh(a (t - 1/2))`.

    For the second rectified flow, whose pairs are deterministic, and there only: on independent pairs the loss at the
    ends cannot be reduced, and these times waste the training.

    Arguments:
        steepness: `a`; 4 as published, towards 0 uniform.
        margin: times lie in [margin, 1 - margin].

    Raises:
        InputError: the steepness is not positive.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024, section 4.1.
    """

    steepness: float = eqx.field(static=True, default=4.0)
    margin: float = eqx.field(static=True, default=1e-5)

    def __check_init__(self):
        if not self.steepness > 0:
            raise InputError(
                f"UShaped needs a positive steepness, and {self.steepness} was given; use Uniform() for 0."
            )

    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`1/2 + arcsinh((2u - 1) sinh(a/2)) / a`, squeezed into the margins."""
        half = jnp.sinh(0.5 * self.steepness)
        t = 0.5 + jnp.arcsinh((2 * u - 1) * half) / self.steepness
        return self.margin + (1 - 2 * self.margin) * t

    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`(1 + sinh(a (t - 1/2)) / sinh(a/2)) / 2`, with the margins taken off."""
        inner = jnp.clip((t - self.margin) / (1 - 2 * self.margin), 0.0, 1.0)
        return 0.5 * (1 + jnp.sinh(self.steepness * (inner - 0.5)) / jnp.sinh(0.5 * self.steepness))


class LogitNormal(TimeSampler):
    """`log(t / (1-t))` normal: more in the middle, as in Stable Diffusion 3.

    Arguments:
        mean: of the logit; positive is later, nearer to the data.
        deviation: of the logit; 1 as published.

    Source: Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, section 3.1.
    """

    mean: float = eqx.field(static=True, default=0.0)
    deviation: float = eqx.field(static=True, default=1.0)

    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`1 / (1 + exp(-(mean + deviation z)))` with the normal quantile `z`."""
        return jax.nn.sigmoid(self.mean + self.deviation * ndtri(u))

    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The normal distribution function of the standardised logit."""
        return ndtr((jnp.log(t) - jnp.log1p(-t) - self.mean) / self.deviation)


class LogNormalLevel(TimeSampler):
    """`ln sigma` normal, for the noise level `sigma` of a path from noise, within the levels of the path's span.

    Arguments:
        path: whose times they are.
        mean, deviation: of `ln sigma`; -1.2 and 1.2 for photographs with standard deviation 0.5.

    Source: Karras et al. (EDM), 2022, table 1.
    """

    path: AffinePath
    mean: float = eqx.field(static=True, default=-1.2)
    deviation: float = eqx.field(static=True, default=1.2)

    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The time of the level; low shares are early times, which have much noise."""
        flat = jnp.ravel(u)
        log_level = self.mean - self.deviation * ndtri(flat)
        times = jnp.clip(jax.vmap(self.path.time_at)(-log_level), *self.path.span)
        return times.reshape(u.shape)

    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The normal distribution function of `(ln sigma - mean) / deviation`, from above."""
        levels = jax.vmap(self.path.half_log_snr)(jnp.ravel(t))
        return ndtr((levels + self.mean) / self.deviation).reshape(t.shape)
