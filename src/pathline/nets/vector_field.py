"""Vector fields for neural differential equations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BoundedField(eqx.Module):
    """An autonomous vector field `f(z) = s tanh(MLP(z))` with a learnt scale `s` for each component.

    The bound keeps solutions finite whatever the weights; smooth activations keep them easy to solve.

    Arguments:
        dim: of the state.
        width, depth: of the hidden layers; 16 to 128 and 1 to 3 are good values.
        scale: of `s` before training, in units of the state per unit of time.
        key: of the weights.

    Source: Kidger, On Neural Differential Equations, 2022, section 2.3.
    """

    network: eqx.nn.MLP
    scale: Float[Array, " dim"]

    def __init__(self, dim: int, width: int, depth: int, *, scale: float = 1.0, key: Array):
        self.network = eqx.nn.MLP(dim, dim, width, depth, activation=jax.nn.silu, key=key)
        self.scale = jnp.full(dim, scale)

    def __call__(self, state: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The time derivative of `state`."""
        return self.scale * jnp.tanh(self.network(state))
