"""How a prediction is compared with the truth of one pair.

On pairs that are not deterministic the mean is wanted, so only the square will do. On deterministic pairs (reflow, paired
data) every discrepancy that vanishes for equal arguments alone has the same minimiser, and some are learnt faster.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pathline.errors import InputError


class Discrepancy(eqx.Module):
    """`m(predicted, truth)`, zero when they are equal. Abstract."""

    @abstractmethod
    def __call__(self, predicted: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The discrepancy of one prediction."""


class Squared(Discrepancy):
    """The mean square over components: its minimiser is the conditional mean."""

    def __call__(self, predicted: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
        """`|p - q|^2 / d`."""
        return jnp.mean((predicted - truth) ** 2)


class PseudoHuber(Discrepancy):
    """`(sqrt(|p - q|^2 + c^2) - c) / d` with the sum of squares over the `d` components and `c = per_component d`.

    Quadratic for small errors and linear for large ones, so that a few large ones do not rule the gradient. For
    deterministic pairs only.

    Arguments:
        per_component: `c / d`; 0.00054 as published.

    Raises:
        InputError: it is not positive.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024, section 4.2 (the constant from the authors'
    configuration).
    """

    per_component: float = eqx.field(static=True, default=0.00054)

    def __check_init__(self):
        if not self.per_component > 0:
            raise InputError(f"PseudoHuber needs a positive constant, and {self.per_component} was given.")

    def __call__(self, predicted: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The pseudo-Huber discrepancy."""
        size = predicted.size
        c = self.per_component * size
        square = jnp.sum((predicted - truth) ** 2)
        # sqrt(s + c^2) - c without the cancellation for small s.
        return square / (jnp.sqrt(square + c**2) + c) / size


class Features(Discrepancy):
    """The mean square between features, each normalised to unit length: a perceptual distance. Best of the
    data prediction, and for deterministic pairs only.

    Arguments:
        features: a frozen network, from a state to a vector (or a tuple of vectors, one for each layer).

    Source: after Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, with
    features of the user's own.
    """

    features: Callable[[Array], Array | tuple[Array, ...]]

    def __call__(self, predicted: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
        """The sum over layers of the squared distance of unit vectors."""
        layers = [found if isinstance(found, tuple) else (found,) for found in map(self.features, (predicted, truth))]
        total = jnp.zeros(())
        for one, other in zip(*layers, strict=True):
            total = total + jnp.sum((_unit(one) - _unit(other)) ** 2)
        return total


def _unit(vector: Array) -> Array:
    return vector / jnp.sqrt(jnp.sum(vector**2) + 1e-10)
