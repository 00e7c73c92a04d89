"""The small velocity of all experiments here."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pathline.generate.paths import Time
from pathline.nets import FourierEmbedding


class Velocity(eqx.Module):
    """A multilayer perceptron of the flattened state and an embedding of the time.

    Arguments:
        shape: of a state.
        width: of its three hidden layers.
        key: of the weights.
    """

    layers: eqx.nn.MLP
    embedding: FourierEmbedding

    def __init__(self, shape: tuple[int, ...], width: int, *, key: Array):
        size = math.prod(shape)
        self.embedding = FourierEmbedding(8)
        self.layers = eqx.nn.MLP(size + self.embedding.size, size, width, 3, jax.nn.silu, key=key)

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: None = None) -> Float[Array, "*shape"]:
        """The velocity."""
        told = self.embedding(jnp.asarray(t, x.dtype))
        return self.layers(jnp.concatenate([x.reshape(-1), told])).reshape(x.shape)
