"""Interpolants: paths between any two distributions, in finite time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from pathline.errors import InputError
from pathline.generate.laws import Gaussian, NoiseLaw
from pathline.generate.paths.base import AffinePath, Time, as_time

_SLOPE = 10.0


class Interpolant(AffinePath):
    """An affine path with a choice of latent. Abstract: `Linear`, `Trigonometric`, `EncodeDecode`.

    Arguments:
        latent: `gamma(t)`: `"none"`, `"brownian"` (`sqrt(a t (1-t))`), `"parabola"` (`t (1-t)`), `"sine"`
            (`sin^2(pi t)`) or `"sigmoids"` (a plateau with steep ends).
        strength: the factor `a` of the Brownian latent; 1 to 2 are good values.
        law: of the source when it is noise, as it is by default; give `None` when it is other data.

    Raises:
        InputError: there is no such latent, or the strength is not positive.
    """

    latent: str = eqx.field(static=True, default="none")
    strength: float = eqx.field(static=True, default=1.0)
    law: NoiseLaw | None = Gaussian()

    def __check_init__(self):
        if self.latent not in _LATENTS:
            raise InputError(f"There is no latent {self.latent!r}; there are {', '.join(_LATENTS)}.")
        if not self.strength > 0:
            raise InputError(f"The strength of a latent must be positive, and {self.strength} was given.")

    @property
    def has_latent(self) -> bool:
        """Whether there is a latent at all."""
        return self.latent != "none"

    @property
    def span(self) -> tuple[float, float]:
        """All of [0, 1] without a latent; with one, the score is infinite at the ends."""
        return (1e-3, 1 - 1e-3) if self.has_latent else (0.0, 1.0)

    def latent_variance(self, t: Time) -> Float[Array, ""]:
        """`gamma(t)^2`."""
        time = as_time(t)
        return _LATENTS[self.latent](time) * (self.strength if self.latent == "brownian" else 1.0)


class Linear(Interpolant):
    """`x_t = (1-t) x0 + t x1 + gamma(t) z`: rectified flow, flow matching, and with a latent the linear interpolant.

    Good values: no latent to generate from noise; `latent="brownian", strength=2` between two data sets.

    Source: Liu et al., Flow Straight and Fast, 2023, equation 1; Albergo et al., 2025, table 1.
    """

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`1 - t`."""
        return 1.0 - as_time(t)

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`t`."""
        return as_time(t)

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """`1 / (1 + exp(-lambda))`."""
        return jax.nn.sigmoid(as_time(half_log_snr))


class Trigonometric(Interpolant):
    """`x_t = sqrt(1 - gamma^2) (cos(pi t/2) x0 + sin(pi t/2) x1) + gamma z`: the variance stays what it was.

    Source: Albergo et al., 2025, table 1.
    """

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(1 - gamma^2) cos(pi t/2)`."""
        return self._kept(t) * jnp.cos(0.5 * jnp.pi * as_time(t))

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(1 - gamma^2) sin(pi t/2)`."""
        return self._kept(t) * jnp.sin(0.5 * jnp.pi * as_time(t))

    def _kept(self, t: Time) -> Float[Array, ""]:
        return jnp.sqrt(1.0 - self.latent_variance(t))

    def time_at(self, half_log_snr: Real[ArrayLike, ""]) -> Float[Array, ""]:
        """`(2/pi) arctan(exp(lambda))`."""
        return 2 / jnp.pi * jnp.arctan(jnp.exp(as_time(half_log_snr)))


class EncodeDecode(Interpolant):
    """`x_t = cos^2(pi t) x0 + gamma z` up to `t = 1/2` and `cos^2(pi t) x1 + gamma z` after: the source is encoded
    into noise, and the noise decoded into the target.

    It needs a latent that is one at `t = 1/2`: `"sine"`. Without one everything passes through a single point.

    Source: Albergo et al., 2025, table 1.
    """

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`cos^2(pi t)` before `t = 1/2`, zero after."""
        time = as_time(t)
        return jnp.where(time < 0.5, jnp.cos(jnp.pi * time) ** 2, 0.0)

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """Zero before `t = 1/2`, `cos^2(pi t)` after."""
        time = as_time(t)
        return jnp.where(time < 0.5, 0.0, jnp.cos(jnp.pi * time) ** 2)


class Mirror(AffinePath):
    """`x_t = x1 + sqrt(a t (1-t)) n`: the data are veiled in noise and unveiled. Both ends are the target.

    The noise takes the place of the source in the algebra: predictions of `"noise"` are of `n`. Samplers begin at
    data, not at noise.

    Arguments:
        strength: `a`; 1 to 2 for data of unit variance.

    Source: Albergo et al., 2025, section 3.4.
    """

    strength: float = eqx.field(static=True, default=1.0)
    law: NoiseLaw | None = Gaussian()

    @property
    def span(self) -> tuple[float, float]:
        """Without the ends, where the noise vanishes."""
        return (1e-3, 1 - 1e-3)

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """`sqrt(a t (1-t))`."""
        time = as_time(t)
        return jnp.sqrt(self.strength * time * (1 - time))

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """One."""
        return jnp.ones_like(as_time(t))

    def start(self, key: Array, shape: tuple[int, ...], t: float | None = None) -> Float[Array, "*shape"]:
        """Not from noise.

        Raises:
            InputError: always.
        """
        raise InputError("Mirror starts from data and not from noise; give the starting points yourself.")


class Retimed(AffinePath):
    """Another path with another clock: `x_t` is what `path` has at `t**power`. Same trajectories, other speeds.

    Arguments:
        path: the path.
        power: positive; above 1 it starts slowly.
    """

    path: AffinePath
    power: float = eqx.field(static=True)
    law: NoiseLaw | None

    def __init__(self, path: AffinePath, power: float):
        self.path, self.power, self.law = path, power, path.law

    @property
    def has_latent(self) -> bool:
        """Whether the path has one."""
        return self.path.has_latent

    @property
    def span(self) -> tuple[float, float]:
        """That of the path, on this clock."""
        first, last = (end ** (1 / self.power) for end in self.path.span)
        return first, last

    def latent_variance(self, t: Time) -> Float[Array, ""]:
        """That of the path at `t**power`."""
        return self.path.latent_variance(as_time(t) ** self.power)

    def source_scale(self, t: Time) -> Float[Array, ""]:
        """That of the path at `t**power`."""
        return self.path.source_scale(as_time(t) ** self.power)

    def target_scale(self, t: Time) -> Float[Array, ""]:
        """That of the path at `t**power`."""
        return self.path.target_scale(as_time(t) ** self.power)


def _sigmoids(t: Array) -> Array:
    # Zero at both ends: the difference of two steps at 0 and 1 less its value there.
    def bump(t: Array) -> Array:
        return jax.nn.sigmoid(_SLOPE * t) - jax.nn.sigmoid(_SLOPE * (t - 1))

    return (bump(t) - bump(jnp.zeros_like(t))) ** 2


_LATENTS = {
    "none": jnp.zeros_like,
    "brownian": lambda t: t * (1 - t),
    "parabola": lambda t: (t * (1 - t)) ** 2,
    "sine": lambda t: jnp.sin(jnp.pi * t) ** 4,
    "sigmoids": _sigmoids,
}
