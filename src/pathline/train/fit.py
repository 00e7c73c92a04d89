"""`fit`: gradient descent on a loss, for any model."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from pathline.errors import InputError
from pathline.train.dispatch import takes_step
from pathline.train.history import Columns
from pathline.train.loop import run_updates

DEFAULT_OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
"""Adam at 1e-3 with the gradient's global norm clipped to 1."""


class Fitted(eqx.Module):
    """What training leaves.

    Arguments:
        model: after the last step; with `seeds`, every array has a leading axis of that length.
        ema_model: the exponential moving average of the model, when one was asked for.
        history: each metric by name, `[steps]` or `[steps, seeds]`; always `loss` and `gradient_norm`.
    """

    model: PyTree
    ema_model: PyTree | None
    history: Columns


class TrainState(eqx.Module):
    """What a gradient step changes."""

    model: PyTree
    optimiser_state: PyTree
    average: PyTree | None


class GradientUpdate(eqx.Module):
    """One step of gradient descent, as an `update` for `run_updates`.

    Arguments:
        loss: `(model, batch, key) -> scalar` or `(scalar, metrics)`; a fourth argument is the number of steps taken.
            It may be a module with arrays of its own, which are not trained.
        optimiser: any Optax optimiser, those that look at the loss (line searches, plateaus) included.
        ema: decay of the moving average, or `None`. It warms up: the decay of step `t` is `min(ema, (1+t)/(10+t))`.
    """

    loss: Callable[..., Any]
    optimiser: optax.GradientTransformation
    ema: float | None = None

    def begin(self, model: PyTree) -> TrainState:
        """The state before the first step."""
        weights = eqx.filter(model, eqx.is_inexact_array)
        return TrainState(model, self.optimiser.init(weights), None if self.ema is None else weights)

    def nonfinite(self, state: TrainState) -> Array:
        """How many weights are NaN or infinite; the training stops when there are more than before."""
        leaves = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
        return sum((jnp.sum(~jnp.isfinite(leaf)) for leaf in leaves), jnp.asarray(0))

    def __call__(
        self, state: TrainState, batch: PyTree, key: Array, step: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        """The state after one more step, and the metrics of the state before it."""

        weights, rest = eqx.partition(state.model, eqx.is_inexact_array)

        def value(weights: PyTree) -> tuple[Array, dict[str, Array]]:
            model = eqx.combine(weights, rest)
            found = self.loss(model, batch, key, step) if takes_step(self.loss) else self.loss(model, batch, key)
            return found if isinstance(found, tuple) else (found, {})

        (loss, metrics), gradient = jax.value_and_grad(value, has_aux=True)(weights)
        if taken := sorted({"loss", "gradient_norm"} & set(metrics)):
            raise InputError(f"The metric {taken[0]!r} is always kept; give the one of your loss another name.")
        # For a complex weight JAX gives the conjugate of the direction of steepest ascent.
        gradient = jax.tree.map(jnp.conj, gradient)
        changes, optimiser_state = optax.with_extra_args_support(self.optimiser).update(
            gradient, state.optimiser_state, weights, value=loss, grad=gradient, value_fn=lambda at: value(at)[0]
        )
        model = eqx.apply_updates(state.model, changes)
        average = state.average
        if self.ema is not None:
            decay = jnp.minimum(self.ema, (1.0 + step) / (10.0 + step))
            new = eqx.filter(model, eqx.is_inexact_array)
            average = jax.tree.map(lambda old, now: (decay * old + (1 - decay) * now).astype(now.dtype), average, new)
        return TrainState(model, optimiser_state, average), {
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradient),
            **metrics,
        }


def fit(
    model: PyTree | Callable[[Array], PyTree],
    data: PyTree | Callable[[int], PyTree] | Iterable[PyTree],
    loss: Callable[..., Any],
    *,
    steps: int,
    key: Array,
    batch_size: int | None = None,
    optimiser: optax.GradientTransformation = DEFAULT_OPTIMISER,
    ema: float | None = None,
    seeds: int | None = None,
    run: Path | str | None = None,
    mesh: Mesh | None = None,
    checkpoint_every: int | None = None,
    progress: bool | None = None,
    name: str = "fit",
) -> Fitted:
    """Minimise the mean of a loss over data.

    Arguments:
        model: any Equinox module or tree; its floating-point arrays are trained. With `seeds`, a function
            `key -> model`, called once for each seed.
        data: a tree of arrays `[samples, ...]` held in memory, or a stream of batches: a function of the step, or an
            iterable (of which a Grain data set is one).
        loss: `loss(model, batch, key)` gives a scalar, or a scalar and a dict of scalar metrics for the history. If it
            has a fourth argument it is given the number of steps taken, for whatever is annealed.
        steps: how many updates in all, those of an interrupted run included.
        key: the random key that everything derives from.
        batch_size: samples in a batch of in-memory data (32 to 512 are good values); all of them when absent.
        optimiser: any Optax optimiser, with clipping and schedules chained in Optax's way.
        ema: decay of an exponential moving average of the weights, e.g. 0.999.
        seeds: train that many models at once, which costs far less than one after the other.
        run: directory for `history.csv` and `checkpoints/`; if it holds checkpoints, training goes on from there.
        mesh: devices over which each batch is split.
        checkpoint_every: steps between checkpoints; every 30 seconds when absent. One is always written at the end.
        progress: show a bar; by default on a terminal only.
        name: what the bar says.

    Returns:
        The fitted model, its moving average and the history.

    Raises:
        NonFiniteError: the loss, the gradient's norm, another metric or the weights stopped being finite; names the
            step and the last good state.
        InputError: the data, batch size or checkpoints do not fit.
    """
    if ema is not None and not 0 <= ema < 1:
        raise InputError(f"The decay of the moving average is from 0 to below 1, e.g. 0.999, and {ema} was given.")
    update = GradientUpdate(loss, optimiser, ema)
    if seeds is None:
        state = update.begin(model)
    else:
        if isinstance(model, eqx.Module) or not callable(model):
            raise InputError("To train several seeds at once, give a function from a random key to a model.")
        key, model_key = jax.random.split(key)
        models = eqx.filter_vmap(model)(jax.random.split(model_key, seeds))
        state = eqx.filter_vmap(lambda model: update.begin(model))(models)
    state, history = run_updates(
        update,
        state,
        data,
        steps=steps,
        key=key,
        batch_size=batch_size,
        seeds=seeds,
        run=run,
        mesh=mesh,
        checkpoint_every=checkpoint_every,
        progress=progress,
        name=name,
    )
    average = None if ema is None else eqx.combine(state.average, state.model)
    return Fitted(state.model, average, history)


def pick_seed(tree: PyTree, seed: int) -> PyTree:
    """One model out of those that `fit(..., seeds=n)` trained together."""
    return jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, tree)
