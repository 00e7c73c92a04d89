"""Vector fields for neural differential equations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BoundedField(eqx.Module):
    """An autonomous vector field `f(z) = s tanh((A z + MLP(z)) / s)` with a learnt bound `s` for each component.

    Close to linear where it is small, bounded wherever the state goes: solutions stay finite whatever the weights.

    Arguments:
        dim: of the state.
        width, depth: of the network's hidden layers; 16 to 128 and 1 to 3 are good values.
        bound: `s` before training, in units of the state per unit of time: a few times what is usual in the data.
        key: of the weights.

    Source: the bound after Kidger, On Neural Differential Equations, 2022, section 2.3.
    """

    linear: Float[Array, "dim dim"]
    network: eqx.nn.MLP
    bound: Float[Array, " dim"]

    def __init__(self, dim: int, width: int, depth: int, *, bound: float = 2.0, key: Array):
        self.linear = jnp.zeros((dim, dim))
        network = eqx.nn.MLP(dim, dim, width, depth, activation=jax.nn.silu, key=key)
        # A small last layer: training starts from a state that hardly moves, which is persistence.
        last = network.layers[-1]
        self.network = eqx.tree_at(lambda n: n.layers[-1], network, jax.tree.map(lambda w: 0.1 * w, last))
        self.bound = jnp.full(dim, bound)

    def __call__(self, state: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The time derivative of `state`."""
        return self.bound * jnp.tanh((self.linear @ state + self.network(state)) / self.bound)
