"""A network made into a denoiser that works at every noise level: EDM's preconditioning."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pathline.generate.paths import AffinePath, Time


class Denoiser(eqx.Module):
    """`D(x) = c_skip x + c_out F(c_in x, ln(sigma)/4)` for `x = x_t / b(t)`, the state in units of the signal, and its
    noise level `sigma = a/b`. It predicts `"data"`.

    With `sd = data_scale`: `c_skip = sd^2 / (sigma^2 + sd^2)`, `c_out = sigma sd / sqrt(sigma^2 + sd^2)` and
    `c_in = 1 / sqrt(sigma^2 + sd^2)`: input and target of the network have unit variance at every level. It works on
    every path from noise: on `Linear` it is a rectified flow that starts from a diffusion's weights.

    Arguments:
        network: `F(level, x, condition)`, with `level = ln(sigma)/4`.
        path: the path on which states lie.
        data_scale: standard deviation of the data; 0.5 for photographs in [-1, 1].

    Source: Karras et al. (EDM), 2022, table 1; on rectified flows Lee et al., 2024, table 2.
    """

    network: Callable[..., Array]
    path: AffinePath
    data_scale: float = eqx.field(static=True, default=0.5)

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """The denoised state."""
        # In terms of a and b themselves nothing is infinite where there is no signal (b = 0).
        noise, signal, sd = self.path.source_scale(t), self.path.target_scale(t), self.data_scale
        norm = jnp.sqrt(noise**2 + (signal * sd) ** 2)
        level = jnp.clip(0.25 * -self.path.half_log_snr(t), _LEAST, _MOST)
        skip, out, into = signal * sd**2 / norm**2, noise * sd / norm, 1 / norm
        inner = self.network(level.astype(x.dtype), into.astype(x.dtype) * x, condition)
        return skip.astype(x.dtype) * x + out.astype(x.dtype) * inner


_LEAST, _MOST = -3.0, 1.25
"""The network is told of no level beyond `sigma = exp(5)`, where there is nothing but noise: a path that begins without
signal (`sigma` infinite) would otherwise be asked there about levels that training hardly ever draws."""
