"""What a path between two distributions is."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from pathline.errors import InputError
from pathline.generate.laws import NoiseLaw

Time = Real[ArrayLike, ""]
"""A time from 0 (the source: noise, or other data) to 1 (the target: the data)."""


class Path(eqx.Module):
    """A path from a source (time 0) to a target (time 1), `x_t = I(t, x0, x1) + gamma(t) z` with `z ~ N(0, I)`.

    Abstract. A path of one's own gives `interpolate`, and `latent_variance` when it has a latent; derivatives come
    from forward-mode differentiation. One whose `I` is linear in both ends should be an `AffinePath`, which converts
    between all kinds of predictions.

    Source: Albergo, Boffi and Vanden-Eijnden, Stochastic Interpolants, 2025, definition 1.
    """

    @abstractmethod
    def interpolate(
        self, t: Time, source: Float[Array, "*shape"], target: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """`I(t, x0, x1)`, with `I(0, x0, x1) = x0` and `I(1, x0, x1) = x1`."""

    def latent_variance(self, t: Time) -> Float[Array, ""]:
        """`gamma(t)^2`. Unlike `gamma` it is smooth at the ends, where `gamma` vanishes and its slope is infinite."""
        return jnp.zeros_like(as_time(t))

    @property
    def has_latent(self) -> bool:
        """Whether the path has a latent `z` at all."""
        return type(self).latent_variance is not Path.latent_variance

    @property
    def span(self) -> tuple[float, float]:
        """First and last time at which the fields are finite, for samplers."""
        return (0.0, 1.0)

    def latent_scale(self, t: Time) -> Float[Array, ""]:
        """`gamma(t)`."""
        return jnp.sqrt(self.latent_variance(t))

    def point(
        self,
        t: Time,
        source: Float[Array, "*shape"],
        target: Float[Array, "*shape"],
        latent: Float[Array, "*shape"] | None = None,
    ) -> Float[Array, "*shape"]:
        """`x_t = I(t, x0, x1) + gamma(t) z`; without `z`, `I` alone."""
        point = self.interpolate(t, source, target)
        return point if latent is None else point + self.latent_scale(t) * latent

    def transport(
        self, t: Time, source: Float[Array, "*shape"], target: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """`dI/dt`."""
        time = as_time(t)
        return jax.jvp(lambda t: self.interpolate(t, source, target), (time,), (jnp.ones_like(time),))[1]

    def velocity(
        self,
        t: Time,
        source: Float[Array, "*shape"],
        target: Float[Array, "*shape"],
        latent: Float[Array, "*shape"] | None = None,
    ) -> Float[Array, "*shape"]:
        """`dx_t/dt = dI/dt + gamma'(t) z`, whose mean given `x_t` is the velocity field `b(t, x_t)`."""
        velocity = self.transport(t, source, target)
        if latent is None or not self.has_latent:
            return velocity
        variance, rate = rates(self.latent_variance, t)
        return velocity + 0.5 * rate / jnp.sqrt(variance) * latent


class AffinePath(Path):
    """A path that is linear in both ends: `x_t = a(t) x0 + b(t) x1 + gamma(t) z`, with `a = source_scale` and
    `b = target_scale`.

    With noise as the source it is a diffusion seen backwards in time: `b` scales the signal, `a` the noise, and
    `log(b/a)`, half the log signal-to-noise ratio, grows from the first time of the span to the last.

    Arguments:
        law: of the source when it is noise, so that its score is known; `None` when the source is other data.
    """

    law: eqx.AbstractVar[NoiseLaw | None]

    @abstractmethod
    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`a(t)`: the scale of the noise."""

    @abstractmethod
    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`b(t)`: the scale of the signal."""

    def interpolate(
        self, t: Time, source: Float[Array, "*shape"], target: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """`a(t) x0 + b(t) x1`."""
        return self.source_scale(t) * source + self.target_scale(t) * target

    @property
    def has_score(self) -> bool:
        """Whether predictions give the score of the density at each time."""
        return self.has_latent or (self.law is not None and self.law.has_score)

    def noise_level(self, t: Time) -> Float[Array, ""]:
        """`sigma(t) = a/b`: the noise in units of the signal."""
        return self.source_scale(t) / self.target_scale(t)

    def half_log_snr(self, t: Time) -> Float[Array, ""]:
        """`lambda(t) = log(b/a)`, increasing in `t`."""
        return jnp.log(self.target_scale(t)) - jnp.log(self.source_scale(t))

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """The time at which `log(b/a)` has the given value: the inverse of `half_log_snr`, by bisection."""
        wanted = as_time(half_log_snr)
        low, high = (jnp.full_like(wanted, end) for end in self.span)

        def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            below = self.half_log_snr(middle) < wanted
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = jax.lax.fori_loop(0, 60, halve, (low, high))
        return 0.5 * (low + high)

    def start(self, key: Array, shape: tuple[int, ...], t: float | None = None) -> Float[Array, "*shape"]:
        """A draw of where samplers begin: `a(t) n` at the first time of the span, with `n` of the path's law.

        Raises:
            InputError: the source is data, so the caller must bring the starting points.
        """
        if self.law is None:
            raise InputError(
                f"{type(self).__name__} starts from data and not from noise; give the starting points yourself."
            )
        return self.source_scale(self.span[0] if t is None else t) * self.law.sample(key, shape)


def as_time(t: Time) -> Float[Array, ""]:
    """A number as an array of JAX's present precision, or of its own."""
    return (
        jnp.asarray(t) if isinstance(t, jax.Array) and jnp.issubdtype(t.dtype, jnp.inexact) else jnp.asarray(t, float)
    )


def rates(function, t: Time) -> tuple[Array, Array]:
    """A function of time and its derivative."""
    time = as_time(t)
    return jax.jvp(function, (time,), (jnp.ones_like(time),))
