"""A transformer of patches for images, series and volumes, told of level and condition in every block."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num, Real

from pathline.errors import InputError
from pathline.nets.conditioning import Conditioning, check_sizes, check_state

_TOKENS = 25


class PatchTransformer(eqx.Module):
    """A network `F(level, x, condition)` for states `[channel, *space]` with one, two or three axes of space.

    The state is cut into patches, each a token of `width` numbers, and every token knows its position. A block is
    attention between the tokens and then a perceptron of each, `h <- h + g f((1 + s) norm(h) + b)` with the scale `s`,
    the shift `b` and the gate `g` linear in the vector of level and condition. Gates and the last layer start from zero:
    the network begins as zero, and every block as the identity.

    Positions are learnt and start with unit variance, as large as what is in the patch. That matters when training is
    short: after 500 updates on handwritten digits the loss on unseen ones was 0.56, and 0.65 from the customary 0.02.

    Arguments:
        shape: of a state, `[channel, *space]`.
        patch: edge of a patch, one for all axes or one for each; `default_patch(shape)` when absent.
        width: of a token; 96 to 128 trains in minutes on two cores, 384 and more on an accelerator.
        depth: how many blocks; 4 is a good value.
        heads: of the attention, a divisor of the width; 16 to 64 numbers each are good values.
        classes: how many classes there are, when the condition is a label; the label `classes` stands for none.
        condition_dim: of the condition, when it is a vector.
        embedding: size of the vector of level and condition, even.
        key: of the weights.

    Raises:
        InputError: the shape has no or too many axes of space, patches do not fit, the heads do not divide the width,
            sizes are not positive, or both kinds of condition are asked for.

    Source: Peebles and Xie, Scalable Diffusion Models with Transformers (DiT), 2023, section 3.2.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    patch: tuple[int, ...] = eqx.field(static=True)
    conditioning: Conditioning
    inward: eqx.nn.Linear
    positions: Float[Array, "token width"]
    blocks: tuple["_Block", ...]
    modulation: eqx.nn.Linear
    outward: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: int | tuple[int, ...] | None = None,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        *,
        classes: int | None = None,
        condition_dim: int | None = None,
        embedding: int = 64,
        key: Array,
    ):
        check_sizes(shape=shape, width=(width,), depth=(depth,), heads=(heads,))
        if width % heads:
            raise InputError(f"A width of {width} cannot be shared by {heads} heads; give a multiple of {heads}.")
        self.shape = tuple(shape)
        self.patch = default_patch(self.shape) if patch is None else _patches_that_fit(self.shape, patch)
        tokens = math.prod(n // edge for n, edge in zip(self.shape[1:], self.patch, strict=True))
        pixels = self.shape[0] * math.prod(self.patch)
        conditioning_key, inward_key, position_key, *block_keys = jax.random.split(key, 3 + depth)
        self.conditioning = Conditioning(embedding, classes=classes, condition_dim=condition_dim, key=conditioning_key)
        self.inward = eqx.nn.Linear(pixels, width, key=inward_key)
        self.positions = jax.random.normal(position_key, (tokens, width))
        self.blocks = tuple(_Block(width, heads, embedding, key=block_key) for block_key in block_keys)
        self.modulation = _zero_linear(embedding, 2 * width)
        self.outward = _zero_linear(width, pixels)

    def __call__(
        self,
        level: Real[ArrayLike, ""],
        state: Float[Array, "*shape"],
        condition: Num[ArrayLike, "..."] | None = None,
    ) -> Float[Array, "*shape"]:
        """What the network says about one state, in the precision of the state.

        Arguments:
            level: a time in [0, 1], or `ln(sigma)/4`.
            state: of the network's shape, about unit variance.
            condition: a class label, a vector, or `None` for no condition.

        Raises:
            InputError: the state or the condition is not of the kind that the network was made for.
        """
        check_state(state, self.shape)
        embedding = self.conditioning(jnp.asarray(level, state.dtype), condition)
        tokens = jax.vmap(self.inward)(self._cut(state)) + self.positions
        for block in self.blocks:
            tokens = block(tokens, embedding)
        shift, scale = jnp.split(self.modulation(embedding), 2)
        return self._join(jax.vmap(self.outward)(_modulated(tokens, shift, scale))).astype(state.dtype)

    def _cut(self, state: Float[Array, "channel *space"]) -> Float[Array, "token pixel"]:
        split = [length for n, edge in zip(self.shape[1:], self.patch, strict=True) for length in (n // edge, edge)]
        axes = len(self.patch)
        # [channel, n1, p1, n2, p2, ...] becomes [n1, n2, ..., channel, p1, p2, ...].
        order = (*range(1, 2 * axes, 2), 0, *range(2, 2 * axes + 1, 2))
        return state.reshape(self.shape[0], *split).transpose(order).reshape(len(self.positions), -1)

    def _join(self, tokens: Float[Array, "token pixel"]) -> Float[Array, "channel *space"]:
        axes = len(self.patch)
        counts = [n // edge for n, edge in zip(self.shape[1:], self.patch, strict=True)]
        order = (axes, *(place for axis in range(axes) for place in (axis, axes + 1 + axis)))
        return tokens.reshape(*counts, self.shape[0], *self.patch).transpose(order).reshape(self.shape)


def default_patch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Edges of patches that give about 25 tokens, and never many more: each costs time.

    An axis whose length has no suitable divisor becomes one patch: cut or pad such data beforehand.

    Arguments:
        shape: of a state, `[channel, *space]`.

    Returns:
        An edge for each axis of space: 2 for images of 8 x 8 and 14 x 14, 7 for 28 x 28.

    Raises:
        InputError: there are no or more than three axes of space.
    """
    space = _space_of(shape)
    wanted = _TOKENS ** (1 / len(space))

    def edge(length: int) -> int:
        counts = [length // edge for edge in _divisors(length) if length // edge <= 2.5 * wanted]
        return length // min(counts, key=lambda count: abs(math.log(count / wanted)))

    return tuple(edge(length) for length in space)


class _Block(eqx.Module):
    modulation: eqx.nn.Linear
    attention_inward: eqx.nn.Linear
    attention_outward: eqx.nn.Linear
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, embedding: int, *, key: Array):
        inward_key, outward_key, first_key, second_key = jax.random.split(key, 4)
        self.modulation = _zero_linear(embedding, 6 * width)
        self.attention_inward = eqx.nn.Linear(width, 3 * width, key=inward_key)
        self.attention_outward = eqx.nn.Linear(width, width, key=outward_key)
        self.first = eqx.nn.Linear(width, 2 * width, key=first_key)
        self.second = eqx.nn.Linear(2 * width, width, key=second_key)
        self.heads = heads

    def __call__(
        self, tokens: Float[Array, "token width"], embedding: Float[Array, " size"]
    ) -> Float[Array, "token width"]:
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.split(self.modulation(embedding), 6)
        tokens = tokens + gate1 * self._attend(_modulated(tokens, shift1, scale1))
        return tokens + gate2 * jax.vmap(self._transform)(_modulated(tokens, shift2, scale2))

    def _attend(self, tokens: Float[Array, "token width"]) -> Float[Array, "token width"]:
        projected = jax.vmap(self.attention_inward)(tokens).reshape(len(tokens), 3, self.heads, -1)
        query, key, value = projected[:, 0], projected[:, 1], projected[:, 2]
        # Not jax.nn.dot_product_attention, which takes its softmax in single precision whatever it is given.
        scores = jnp.einsum("qhd,khd->hqk", query, key) / math.sqrt(query.shape[-1])
        found = jnp.einsum("hqk,khd->qhd", jax.nn.softmax(scores), value)
        return jax.vmap(self.attention_outward)(found.reshape(tokens.shape))

    def _transform(self, token: Float[Array, " width"]) -> Float[Array, " width"]:
        return self.second(jax.nn.silu(self.first(token)))


def _modulated(
    tokens: Float[Array, "token width"], shift: Float[Array, " width"], scale: Float[Array, " width"]
) -> Float[Array, "token width"]:
    centred = tokens - tokens.mean(axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + 1e-6)
    return (1 + scale) * normal + shift


def _zero_linear(inward: int, outward: int) -> eqx.nn.Linear:
    return jax.tree.map(jnp.zeros_like, eqx.nn.Linear(inward, outward, key=jax.random.key(0)))


def _space_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not 2 <= len(shape) <= 4:
        raise InputError(
            f"A transformer of patches needs states [channel, *space] with 1 to 3 axes of space, and {tuple(shape)} was "
            "given; add a channel axis of length 1, or use ResidualMLP."
        )
    return tuple(shape[1:])


def _patches_that_fit(shape: tuple[int, ...], patch: int | tuple[int, ...]) -> tuple[int, ...]:
    space = _space_of(shape)
    edges = (patch,) * len(space) if isinstance(patch, int) else tuple(patch)
    if len(edges) != len(space):
        raise InputError(f"{len(edges)} edges of a patch were given for {len(space)} axes of space; give one for each.")
    for axis, (length, edge) in enumerate(zip(space, edges, strict=True)):
        if edge < 1 or length % edge:
            raise InputError(
                f"Axis {axis + 1} of the shape {tuple(shape)} has {length} points, which patches of {edge} do not fill; "
                f"{', '.join(map(str, _divisors(length)))} would fit."
            )
    return edges


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
