"""How a network is told of the time or the noise level: by smooth waves of it."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from pathline.errors import InputError


class FourierEmbedding(eqx.Module):
    """`sqrt(2) (cos(w_k level), sin(w_k level))` with frequencies `w_k` in geometric progression, which are not trained.

    The slowest wave tells all levels in (-pi / lowest, pi / lowest] apart. The fastest bounds the derivative in time:
    samplers that differentiate or extrapolate through time suffer from what an untrained fast wave adds.

    Arguments:
        size: of the embedding, even; 16 to 64 are good values.
        lowest, highest: frequencies in radians per unit of level. 1 and 12 suit times in [0, 1] and EDM's
            `ln(sigma)/4`; a target that changes within 0.05 units of level needs 30 to 60.

    Raises:
        InputError: the size is odd or not positive, or the frequencies are not positive and in order.

    Source: the waves are those of Vaswani et al., Attention Is All You Need, 2017, section 3.5.
    """

    size: int = eqx.field(static=True)
    lowest: float = eqx.field(static=True, default=1.0, kw_only=True)
    highest: float = eqx.field(static=True, default=12.0, kw_only=True)

    def __check_init__(self):
        if self.size < 2 or self.size % 2:
            raise InputError(f"The size of a Fourier embedding is even and at least 2, and {self.size} was given.")
        if not 0 < self.lowest <= self.highest < math.inf:
            raise InputError(
                f"Frequencies from {self.lowest:g} to {self.highest:g} are not positive and in order; good values are "
                "lowest=1 and highest=12."
            )

    @property
    def frequencies(self) -> Float[np.ndarray, " frequency"]:
        """`w_k`, half as many as `size`."""
        return np.geomspace(self.lowest, self.highest, self.size // 2)

    def __call__(self, level: Real[ArrayLike, ""]) -> Float[Array, " size"]:
        """The waves at `level`, of variance one over many levels.

        Arguments:
            level: a time in [0, 1], or `ln(sigma)/4`.
        """
        level = jnp.asarray(level)
        level = level.astype(jnp.result_type(level, float))
        phases = level * jnp.asarray(self.frequencies, level.dtype)
        return math.sqrt(2) * jnp.concatenate([jnp.cos(phases), jnp.sin(phases)])
