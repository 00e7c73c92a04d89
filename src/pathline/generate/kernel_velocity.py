"""A flow without a network: the mean of the target, or of the velocity, by kernel regression over pairs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.couplings import Paired, Pairs
from pathline.generate.paths import AffinePath, Time


class KernelVelocity(eqx.Module):
    """`E[x1 | x_t = x]` by the estimator of Nadaraya and Watson: a model that predicts `"data"` and is not trained.

        D(t, x) = sum_i w_i x1_i,    w = softmax(-|x - X_t^i|^2 / (2 h^2)),    X_t^i = a(t) x0_i + b(t) x1_i

    On the linear path the velocity is then `sum_i w_i (x1_i - x) / (1-t)`. It costs all pairs at every evaluation, and is for
    the plane and some thousand pairs.

    Arguments:
        path: the path, without a latent.
        pairs: the coupling.
        bandwidth: `h`, in units of the state; towards zero each state follows the nearest pair. A tenth of the spacing of the
            modes is a good value.

    Raises:
        InputError: the bandwidth is not positive, or the path has a latent.

    Source: Liu et al., Flow Straight and Fast, 2023, the nonparametric velocity.
    """

    path: AffinePath
    source: Float[Array, "pair *shape"]
    target: Float[Array, "pair *shape"]
    bandwidth: float = eqx.field(static=True)

    def __init__(self, path: AffinePath, pairs: Pairs | Paired, bandwidth: float):
        if path.has_latent or not bandwidth > 0:
            raise InputError(
                f"Kernel regression needs a path without a latent and a positive bandwidth, and {type(path).__name__} and "
                f"{bandwidth} were given."
            )
        self.path, self.bandwidth = path, bandwidth
        self.source, self.target = jnp.asarray(pairs.source), jnp.asarray(pairs.target)

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> Float[Array, "*shape"]:
        """The mean of the target given the state."""
        points = jax.vmap(lambda source, target: self.path.point(t, source, target))(self.source, self.target)
        squares = jnp.sum((points - x).reshape(len(points), -1) ** 2, axis=1)
        weights = jax.nn.softmax(-0.5 * squares / self.bandwidth**2)
        return jnp.tensordot(weights, self.target, axes=1)
