"""The training loop: what `fit` costs over a loop written by hand, and what several seeds cost over one.

The peer is what a careful user would write: one jitted `lax.scan` over all steps with the order of the samples drawn
beforehand. Both do the same work: the same shuffled batches of the same size, clipped gradients, Adam, and the loss and
the gradient's norm of every step brought back to the host. `fit` does more besides (it stops at what is not finite,
adapts the length of its dispatches, can be interrupted), and must hide that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from benchmarks.timing import row, take_turns
from jaxtyping import Array, PyTree

from pathline.train import DEFAULT_OPTIMISER, fit

REPEATS = 25
SEEDS = 3


@dataclass(frozen=True)
class Size:
    """A regression by an MLP with two hidden layers."""

    name: str
    inputs: int
    width: int
    batch_size: int
    samples: int
    steps: int

    def __str__(self) -> str:
        return (
            f"MLP {self.inputs}-{self.width}-{self.width}-1, batch {self.batch_size} of {self.samples}, "
            f"{self.steps} steps a call"
        )

    def model(self, key: Array) -> eqx.nn.MLP:
        """A new network."""
        return eqx.nn.MLP(self.inputs, 1, self.width, 2, key=key)

    def data(self) -> tuple[Array, Array]:
        """Inputs and targets."""
        x = np.random.default_rng(0).normal(size=(self.samples, self.inputs)).astype(np.float32)
        return jnp.asarray(x), jnp.asarray(np.sin(x.sum(axis=1, keepdims=True)))


TINY = Size("tiny", inputs=2, width=16, batch_size=32, samples=1024, steps=20_000)
MODERATE = Size("moderate", inputs=16, width=128, batch_size=128, samples=8192, steps=2_000)


def loss(model: eqx.nn.MLP, batch: tuple[Array, Array], key: Array | None) -> Array:
    """Mean square error."""
    x, y = batch
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


@eqx.filter_jit
def scan(model: eqx.nn.MLP, data: PyTree, rows: Array) -> tuple[eqx.nn.MLP, Array, Array]:
    """The peer: all steps in one `lax.scan`."""
    weights, static = eqx.partition(model, eqx.is_inexact_array)

    def body(carry: PyTree, chosen: Array) -> tuple[PyTree, tuple[Array, Array]]:
        weights, state = carry
        batch = jax.tree.map(lambda leaf: leaf[chosen], data)
        value, gradient = jax.value_and_grad(lambda w: loss(eqx.combine(w, static), batch, None))(weights)
        changes, state = DEFAULT_OPTIMISER.update(gradient, state, weights)
        return (optax.apply_updates(weights, changes), state), (value, optax.tree.norm(gradient))

    (weights, _), (losses, norms) = jax.lax.scan(body, (weights, DEFAULT_OPTIMISER.init(weights)), rows)
    return eqx.combine(weights, static), losses, norms


def by_hand(size: Size, data: PyTree, model: eqx.nn.MLP) -> Callable[[], Any]:
    """The loop written by hand, as a call that returns when the numbers are on the host."""

    def call() -> Any:
        rng = np.random.default_rng(0)
        per_epoch = size.samples // size.batch_size
        orders = [rng.permutation(size.samples) for _ in range(-(-size.steps // per_epoch))]
        rows = np.concatenate([order[: per_epoch * size.batch_size].reshape(per_epoch, -1) for order in orders])
        found, losses, norms = scan(model, data, jnp.asarray(rows[: size.steps], jnp.int32))
        jax.block_until_ready(found)
        return np.asarray(losses), np.asarray(norms)

    return call


def overhead(size: Size) -> dict[str, Any]:
    """`fit` against the loop written by hand."""
    data, key = size.data(), jax.random.key(0)
    model = size.model(key)
    options = {"steps": size.steps, "key": key, "batch_size": size.batch_size, "progress": False}
    seconds = take_turns(
        {"ours": lambda: fit(model, data, loss, **options), "peer": by_hand(size, data, model)}, repeats=REPEATS
    )
    name = f"a training, {size.name} network"
    return row(name, seconds["ours"], seconds["peer"], against="lax.scan by hand", sizes=str(size), target=1 / 1.05)


def seeds(size: Size) -> dict[str, Any]:
    """Several seeds at once against one after the other."""
    data, key = size.data(), jax.random.key(0)
    options = {"steps": size.steps, "key": key, "batch_size": size.batch_size, "progress": False}

    def one_by_one() -> None:
        for seed in range(SEEDS):
            fit(size.model(jax.random.key(seed)), data, loss, **options)

    seconds = take_turns(
        {"ours": lambda: fit(size.model, data, loss, seeds=SEEDS, **options), "peer": one_by_one}, repeats=REPEATS
    )
    name = f"{SEEDS} seeds, {size.name} network"
    return row(name, seconds["ours"], seconds["peer"], against="one by one", sizes=str(size), target=1.2)


def main() -> list[dict[str, Any]]:
    """The rows of the table."""
    return [overhead(TINY), overhead(MODERATE), seeds(TINY), seeds(MODERATE)]
