"""How much a time counts in the loss."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pathline.generate.paths import AffinePath, Time
from pathline.generate.paths.base import as_time


class Weighting(eqx.Module):
    """A weight for each time of a path. Abstract."""

    @abstractmethod
    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The weight at time `t`."""


class Constant(Weighting):
    """The same at every time.

    Arguments:
        value: the weight.
    """

    value: float = eqx.field(static=True, default=1.0)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The value."""
        return jnp.full_like(as_time(t), self.value)


class Power(Weighting):
    """`t^p (1-t)^q`.

    Arguments:
        time: `p`.
        rest: `q`; -1 weights by `1/(1-t)`, and 1 and 0 are the weights of the mixed discrepancies of rectified flows.
        least: times are kept this far from the ends.
    """

    time: float = eqx.field(static=True, default=0.0)
    rest: float = eqx.field(static=True, default=0.0)
    least: float = eqx.field(static=True, default=1e-5)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The weight at time `t`."""
        clipped = jnp.clip(as_time(t), self.least, 1 - self.least)
        return clipped**self.time * (1 - clipped) ** self.rest


class EDM(Weighting):
    """`(sigma^2 + sd^2) / (sigma sd)^2` for predictions of the data: every noise level counts alike when training begins.

    Arguments:
        data_scale: `sd`, the standard deviation of the data.

    Source: Karras et al. (EDM), 2022, table 1.
    """

    data_scale: float = eqx.field(static=True, default=0.5)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The weight at time `t`."""
        noise, signal, sd = path.source_scale(t), path.target_scale(t), self.data_scale
        return (noise**2 + (signal * sd) ** 2) / (noise * sd) ** 2
