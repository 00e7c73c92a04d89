"""What a network is told beside the state: the level, and a class or a vector."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Num, Real

from pathline.errors import InputError
from pathline.nets.time_embedding import FourierEmbedding


class ClassEmbedding(eqx.Module):
    """A learnt vector for each class, and one more for "no class": the label `classes`, the null label.

    Training that replaces some labels by the null label learns the unconditional law too, which classifier-free
    guidance needs.

    Arguments:
        classes: how many; labels run from 0 to `classes - 1`.
        size: of each vector.
        key: of the vectors.

    Raises:
        InputError: there is no class.

    Source: Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, section 3.2.
    """

    table: Float[Array, "label size"]

    def __init__(self, classes: int, size: int, *, key: Array):
        if classes < 1:
            raise InputError(f"A class embedding needs at least one class, and {classes} were given.")
        self.table = jax.random.normal(key, (classes + 1, size))

    @property
    def null(self) -> int:
        """The label that names no class."""
        return len(self.table) - 1

    def __call__(self, label: Num[ArrayLike, "..."] | None = None) -> Float[Array, " size"]:
        """The vector of a label; of the null label when it is `None`.

        Arguments:
            label: from 0 to `null`. Under `jit` or `vmap` one outside this range gives NaN.

        Raises:
            InputError: the label is not a whole number in this range.
        """
        if label is None:
            return self.table[self.null]
        label = jnp.asarray(label)
        if label.shape or not jnp.issubdtype(label.dtype, jnp.integer):
            raise InputError(
                f"A condition of shape {label.shape} and type {label.dtype} is no class label; give one whole number to each "
                "sample, and batches by jax.vmap."
            )
        if not isinstance(label, Tracer) and not 0 <= label <= self.null:
            raise InputError(f"There is no class {label}; labels run from 0 to {self.null}, the last for no class.")
        # JAX would take the nearest label instead, and count negative ones from the end.
        return self.table.at[label].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


class Conditioning(eqx.Module):
    """`e = silu(B silu(A waves(level) + c) + b)`, the vector by which every block of a network knows its level and
    condition. `c` is the vector of the class, or a linear map of the condition.

    Arguments:
        size: of the vector, even; 32 to 128 are good values.
        classes: how many classes there are, when the condition is a label.
        condition_dim: of the condition, when it is a vector. The zero vector then says as much as `None`.
        key: of the weights.

    Raises:
        InputError: the sizes are not positive, or both kinds of condition are asked for.
    """

    waves: FourierEmbedding
    inward: eqx.nn.Linear
    outward: eqx.nn.Linear
    condition: ClassEmbedding | eqx.nn.Linear | None

    def __init__(self, size: int, *, classes: int | None = None, condition_dim: int | None = None, key: Array):
        if classes is not None and condition_dim is not None:
            raise InputError(
                "A network is conditioned on a class or on a vector: give classes or condition_dim, not both."
            )
        if condition_dim is not None and condition_dim < 1:
            raise InputError(
                f"condition_dim is at least 1, and {condition_dim} was given; leave it out for no condition."
            )
        inward_key, outward_key, condition_key = jax.random.split(key, 3)
        self.waves = FourierEmbedding(size)
        self.inward = eqx.nn.Linear(size, size, key=inward_key)
        self.outward = eqx.nn.Linear(size, size, key=outward_key)
        if classes is not None:
            self.condition = ClassEmbedding(classes, size, key=condition_key)
        elif condition_dim is not None:
            self.condition = eqx.nn.Linear(condition_dim, size, use_bias=False, key=condition_key)
        else:
            self.condition = None

    def __call__(
        self, level: Real[ArrayLike, ""], condition: Num[ArrayLike, "..."] | None = None
    ) -> Float[Array, " size"]:
        """The vector `e`.

        Arguments:
            level: a time in [0, 1], or `ln(sigma)/4`.
            condition: a class label, a vector, or `None`.

        Raises:
            InputError: the condition is not of the kind that the network was made for.
        """
        hidden = self.inward(self.waves(level))
        if isinstance(self.condition, ClassEmbedding):
            hidden = hidden + self.condition(condition)
        elif condition is not None:
            if self.condition is None:
                raise InputError(
                    "A condition was given to a network without one; make it with classes or condition_dim."
                )
            condition, dim = jnp.asarray(condition), self.condition.weight.shape[1]
            if condition.shape != (dim,):
                raise InputError(
                    f"A condition of shape {condition.shape} was given to a network made with condition_dim={dim}; give one "
                    "vector of that length to each sample, and batches by jax.vmap."
                )
            hidden = hidden + self.condition(condition)
        return jax.nn.silu(self.outward(jax.nn.silu(hidden)))


def check_sizes(**sizes: tuple[int, ...]) -> None:
    """Refuse a network with a size below one.

    Arguments:
        **sizes: by the name of the argument.

    Raises:
        InputError: a size is not positive.
    """
    for name, values in sizes.items():
        if not values or min(values) < 1:
            given = values[0] if len(values) == 1 else values
            raise InputError(f"The {name} of a network is at least 1, and {given} was given.")


def check_state(state: Array, shape: tuple[int, ...]) -> None:
    """Refuse a state of another shape.

    Arguments:
        state: as given.
        shape: that the network was made for.

    Raises:
        InputError: the shapes differ.
    """
    if state.shape != shape:
        raise InputError(
            f"A state of shape {state.shape} was given to a network for states of shape {shape}; give it one such sample, "
            "and batches by jax.vmap."
        )
