"""Diffusions as paths: from noise at time 0 to data at time 1. A diffusion's own time runs the other way, `1 - t`."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from pathline.errors import InputError
from pathline.generate.laws import Gaussian, NoiseLaw
from pathline.generate.paths.base import AffinePath, Time, as_time


class VariancePreserving(AffinePath):
    """The variance-preserving diffusion with a linear schedule (DDPM, score SDE).

    With `s = 1 - t`: `log b = -s^2 (beta_max - beta_min) / 4 - s beta_min / 2` and `a = sqrt(1 - b^2)`.

    Arguments:
        beta_min, beta_max: rates of noising at the data and at the noise; 0.1 and 20 as published.
        end: the last time of samplers is `1 - end`, where little noise is left; 1e-3 for few steps, 1e-4 for many.
        law: of the noise.

    Source: Song et al., Score-Based Generative Modeling through SDEs, 2021, appendix C.
    """

    beta_min: float = eqx.field(static=True, default=0.1)
    beta_max: float = eqx.field(static=True, default=20.0)
    end: float = eqx.field(static=True, default=1e-3)
    law: NoiseLaw | None = Gaussian()

    @property
    def span(self) -> tuple[float, float]:
        """From the noise to where little of it is left."""
        return (0.0, 1.0 - self.end)

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(1 - b^2)`."""
        return jnp.sqrt(-jnp.expm1(2 * self._log_signal(t)))

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`b`."""
        return jnp.exp(self._log_signal(t))

    def _log_signal(self, t: Time) -> Float[Array, ""]:
        s = 1.0 - as_time(t)
        return -0.25 * s**2 * (self.beta_max - self.beta_min) - 0.5 * s * self.beta_min

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """The root of a quadratic equation, as `-2 log b = log(1 + exp(-2 lambda))`."""
        # Without any signal the time would be infinitely early; at this level there is none either.
        level = jnp.minimum(jax.nn.softplus(-2 * as_time(half_log_snr)), _NO_SIGNAL)
        least, slope = self.beta_min / level, (self.beta_max - self.beta_min) / level
        return 1.0 - 2 / (least + jnp.sqrt(least**2 + 2 * slope))


_NO_SIGNAL = 1e8


class CosineVariancePreserving(AffinePath):
    """The variance-preserving diffusion with the cosine schedule, `b = cos(theta) / cos(theta_0)` with
    `theta = pi (1 - t + o) / (2 (1 + o))` and `theta_0` its value at the data.

    Arguments:
        offset: `o`, which keeps the first noise from being too small; 0.008 as published.
        begin, end: samplers run from `begin` (at time 0 no signal is left) to `1 - end`.
        law: of the noise.

    Source: Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021, equation 17.
    """

    offset: float = eqx.field(static=True, default=0.008)
    begin: float = eqx.field(static=True, default=1e-3)
    end: float = eqx.field(static=True, default=1e-3)
    law: NoiseLaw | None = Gaussian()

    @property
    def span(self) -> tuple[float, float]:
        """From almost pure noise to where little of it is left."""
        return (self.begin, 1.0 - self.end)

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(1 - b^2)`."""
        # At the data both terms are one: the difference of cosines as a product keeps its digits.
        theta, least = self._angle(t), self._least
        squared = jnp.sin(theta + least) * jnp.sin(theta - least) / math.cos(least) ** 2
        return jnp.sqrt(squared)

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`b`."""
        return jnp.cos(self._angle(t)) / math.cos(self._least)

    @property
    def _least(self) -> float:
        return 0.5 * math.pi * self.offset / (1 + self.offset)

    def _angle(self, t: Time) -> Float[Array, ""]:
        return 0.5 * math.pi * (1.0 - as_time(t) + self.offset) / (1 + self.offset)

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """From `b = 1 / sqrt(1 + exp(-2 lambda))`."""
        signal = jnp.exp(-0.5 * jax.nn.softplus(-2 * as_time(half_log_snr)))
        angle = jnp.arccos(signal * math.cos(self._least))
        return 1.0 + self.offset - 2 / math.pi * (1 + self.offset) * angle


class VarianceExploding(AffinePath):
    """`x_t = x1 + sigma(t) n`, with `sigma` from `sigma_max` at time 0 down to `sigma_min` at time 1.

    `sigma(t) = (sigma_max^(1/rho) + t (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho`: even times are the steps of EDM. An
    infinite `rho` makes it geometric, as in the score SDE. With `law=StudentT(D)` this is PFGM++, every other setting
    unchanged: the transfer rule `r = sigma sqrt(D)`.

    Arguments:
        sigma_min, sigma_max: 0.002 and 80 for images of standard deviation 0.5.
        rho: 7 as published; larger spends more steps at small noise.
        law: of the noise.

    Raises:
        InputError: the levels are not positive and in order.

    Source: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (EDM), 2022, equation 5.
    """

    sigma_min: float = eqx.field(static=True, default=0.002)
    sigma_max: float = eqx.field(static=True, default=80.0)
    rho: float = eqx.field(static=True, default=7.0)
    law: NoiseLaw | None = Gaussian()

    def __check_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"Noise levels from {self.sigma_max} down to {self.sigma_min} are not in order; both are positive and "
                "sigma_min is the smaller one."
            )

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sigma(t)`."""
        time = as_time(t)
        if math.isinf(self.rho):
            return self.sigma_max * (self.sigma_min / self.sigma_max) ** time
        largest, smallest = (sigma ** (1 / self.rho) for sigma in (self.sigma_max, self.sigma_min))
        return (largest + time * (smallest - largest)) ** self.rho

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """One."""
        return jnp.ones_like(as_time(t))

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """The inverse of `lambda = -log sigma(t)`."""
        log_sigma = -as_time(half_log_snr)
        if math.isinf(self.rho):
            return (math.log(self.sigma_max) - log_sigma) / math.log(self.sigma_max / self.sigma_min)
        largest, smallest = (sigma ** (1 / self.rho) for sigma in (self.sigma_max, self.sigma_min))
        return (largest - jnp.exp(log_sigma / self.rho)) / (largest - smallest)


class DiscreteVariancePreserving(AffinePath):
    """A variance-preserving diffusion given by the noise that each of its discrete steps adds.

    Between the steps `log b` is interpolated linearly. Step `k` of `K` lies at `t = 1 - (k + 1) / K`.

    Arguments:
        betas: variance added by each step, `[K]`, from the data to the noise.
        law: of the noise.

    Raises:
        InputError: a beta is not between 0 and 1.

    Source: Ho et al., Denoising Diffusion Probabilistic Models, 2020; the interpolation after Lu et al., DPM-Solver,
    2022, appendix D.
    """

    log_signal: tuple[float, ...] = eqx.field(static=True)
    law: NoiseLaw | None

    def __init__(self, betas: Float[np.ndarray, " step"], law: NoiseLaw | None = Gaussian()):  # noqa: B008
        betas = np.asarray(betas, np.float64)
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
            raise InputError("The betas of a discrete diffusion are numbers between 0 and 1, one for each step.")
        # From the noise at t = 0 to the data at t = 1, as the path runs.
        self.log_signal = tuple(float(value) for value in 0.5 * np.cumsum(np.log1p(-betas))[::-1])
        self.law = law

    @property
    def span(self) -> tuple[float, float]:
        """From the last step to the first."""
        return (0.0, 1.0 - 1.0 / len(self.log_signal))

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(1 - b^2)`."""
        return jnp.sqrt(-jnp.expm1(2 * self._log_signal(t)))

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`b`."""
        return jnp.exp(self._log_signal(t))

    def _log_signal(self, t: Time) -> Float[Array, ""]:
        time = as_time(t)
        count = len(self.log_signal)
        grid = jnp.arange(count + 1, dtype=time.dtype) / count
        return jnp.interp(time, grid, jnp.asarray((*self.log_signal, 0.0), time.dtype))
