"""The one training loop: many steps in one dispatch, exact resume, a stop at the first number that is not finite."""

import inspect
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from pathline.errors import InputError
from pathline.train.batches import InMemory, Source, Stream
from pathline.train.checkpoints import Checkpoints
from pathline.train.history import Columns, HistoryFile
from pathline.train.progress import ProgressBar
from pathline.train.sharding import automatic, check_batch, gather, is_main, replicate, split_batch, split_streamed

Update = Callable[..., tuple[PyTree, dict[str, Array]]]
"""`update(state, batch, key) -> (state, metrics)`: one step of any learning rule. A fourth argument, if the function
has one, is the number of steps already taken, for whatever is annealed."""

DISPATCH_SECONDS = 0.3
CHECKPOINT_SECONDS = 30.0


class NonFiniteError(ArithmeticError):
    """A metric stopped being finite.

    Arguments:
        step: the first step (counted from 1) with a metric that is not finite.
        metric: which.
        checkpoint: where the state before that step was saved, or `None` without a run directory.
    """

    def __init__(self, step: int, metric: str, checkpoint: Path | None):
        saved = f"the state before it is in {checkpoint}" if checkpoint else "give run=... to keep the state before it"
        super().__init__(f"The {metric} of step {step} is not finite; {saved}; try a smaller learning rate or float64.")
        self.step, self.metric, self.checkpoint = step, metric, checkpoint


def run_updates(
    update: Update,
    state: PyTree,
    data: PyTree | Callable[[int], PyTree] | Iterable[PyTree],
    *,
    steps: int,
    key: Array,
    batch_size: int | None = None,
    seeds: int | None = None,
    run: Path | str | None = None,
    mesh: Mesh | None = None,
    checkpoint_every: int | None = None,
    progress: bool | None = None,
    name: str = "fit",
) -> tuple[PyTree, Columns]:
    """Repeat `state, metrics = update(state, batch, key)`.

    The steps run inside `lax.while_loop`, thousands to a dispatch, so that Python costs nothing. Batch and key of a
    step depend on `key` and the step alone: a run that is killed and started again ends with the same bits.

    Arguments:
        update: one step of any learning rule: by gradients, alternating (adversarial), or without gradients. Metrics
            are scalars; those that should stop the training when they are not finite belong among them. Compilations
            are shared between calls with the same `update` object.
        state: any tree; its arrays change, the rest stays.
        data: a tree of arrays `[samples, ...]` held in memory, or a stream of batches: a function of the step, or an
            iterable (of which a Grain data set is one).
        steps: how many in all, those of an interrupted run included.
        key: the random key that shuffling and updates derive from.
        batch_size: samples in a batch of in-memory data; all of them when absent.
        seeds: train that many at once by `vmap`: every array of `state` has a leading axis of this length; each seed
            has its own keys and its own order of the data.
        run: directory for `history.csv` and `checkpoints/`. If it holds checkpoints, training goes on from there.
        mesh: devices over which each batch is split; with `jax.distributed`, over several hosts.
        checkpoint_every: steps between checkpoints; every 30 seconds when absent. One is always written at the end.
        progress: show a bar; by default on a terminal only.
        name: what the bar says.

    Returns:
        `(state, history)`: the state after `steps` steps and each metric by name, `[steps]` or `[steps, seeds]`.

    Raises:
        NonFiniteError: at the first step with a metric that is not finite.
        InputError: the data, batch size or checkpoints do not fit.
    """
    if steps < 1:
        raise InputError(f"Training takes at least one step, and {steps} were asked for.")
    mesh = None if mesh is None else automatic(mesh)
    data_key, step_key = jax.random.split(key)
    source = _source(data, batch_size, data_key, seeds or 1, mesh)
    step_keys = jax.random.split(step_key, seeds) if seeds else step_key
    state = replicate(jax.tree.map(lambda x: jnp.asarray(x) if eqx.is_array_like(x) else x, state), mesh)
    folder = None if run is None else Path(run)
    history_file = HistoryFile(folder / "history.csv" if folder and is_main() else None)
    checkpoints, step = None, 0
    if folder is not None:
        checkpoints = Checkpoints(folder / "checkpoints", _signature(state, data, batch_size, seeds, key))
        if found := checkpoints.restore(state):
            step, state, position = found
            source.resume(step, position)
        history_file.cut(step)
    parts = [history_file.read()] if step else []
    dispatch = partial(_dispatch, update, source.take, mesh=mesh, seeds=seeds)

    size, saved, saved_at = 1, step, time.monotonic()
    count = _next_count(step, size, steps, checkpoint_every, source)
    prepared = source.prepare(step, count) if step < steps else None
    try:
        with ProgressBar(name, steps, progress if is_main() else False) as bar:
            while step < steps:
                began = time.monotonic()
                inputs = (prepared, step_keys, jnp.asarray(step))
                done, new_state, buffer = dispatch(state, *inputs, jnp.asarray(count), capacity=source.per_dispatch)
                # The device works on; meanwhile the host makes the next batches ready.
                following = _next_count(step + count, size, steps, checkpoint_every, source)
                upcoming = source.prepare(step + count, following) if following else None
                metrics = {label: np.asarray(values[: int(done)]) for label, values in buffer.items()}
                if bad := _not_finite(metrics):
                    row, label = bad
                    # The same compiled loop, stopped one step earlier, gives the last good state exactly.
                    _, good, _ = dispatch(state, *inputs, jnp.asarray(row), capacity=source.per_dispatch)
                    kept = {other: values[: row + 1] for other, values in metrics.items()}
                    history_file.append(step, kept)
                    where = checkpoints.save(step + row, good, source.position(step + row)) if checkpoints else None
                    raise NonFiniteError(step + row + 1, label, where)
                history_file.append(step, metrics)
                parts.append(metrics)
                state, step, prepared = new_state, step + count, upcoming
                elapsed = max(time.monotonic() - began, 1e-9)
                bar.update(step, count / elapsed, _newest(metrics))
                # The first dispatch is mostly compilation and says nothing about speed.
                wanted = 8 if size == 1 else int(count * DISPATCH_SECONDS / elapsed)
                size, count = int(np.clip(wanted, 1, 8 * size)), following
                due = (
                    step - saved >= checkpoint_every
                    if checkpoint_every
                    else time.monotonic() - saved_at > CHECKPOINT_SECONDS
                )
                if checkpoints and (due or step == steps):
                    checkpoints.save(step, state, source.position(step))
                    saved, saved_at = step, time.monotonic()
    except KeyboardInterrupt:
        if checkpoints:
            checkpoints.save(step, state, source.position(step))
        raise
    finally:
        if checkpoints:
            checkpoints.close()
    names = parts[0].keys() if parts else ()
    return state, {label: np.concatenate([part[label] for part in parts]) for label in names}


def takes_step(function: Callable[..., Any]) -> bool:
    """Whether a loss or an update has a fourth argument, and so asks for the number of steps taken."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values()) >= 4


@eqx.filter_jit
def _dispatch(
    update: Update,
    take: Callable[..., PyTree],
    state: PyTree,
    prepared: Any,
    keys: Array,
    first: Array,
    count: Array,
    *,
    capacity: int,
    mesh: Mesh | None,
    seeds: int | None,
) -> tuple[Array, PyTree, dict[str, Array]]:
    """`count` steps from `first` on, fewer if a metric is not finite: steps done, state, metrics `[capacity, ...]`."""
    dynamic, static = eqx.partition(state, eqx.is_array)
    with_step = takes_step(update)

    def one(dynamic: PyTree, key: Array, seed: Array, offset: Array) -> tuple[PyTree, dict[str, Array]]:
        step = first + offset
        batch = split_batch(take(prepared, step, offset, seed), mesh)
        arguments = (eqx.combine(dynamic, static), batch, jax.random.fold_in(key, step))
        new, metrics = update(*arguments, step) if with_step else update(*arguments)
        return eqx.filter(new, eqx.is_array), metrics

    every = one if seeds is None else jax.vmap(one, in_axes=(0, 0, 0, None))
    seed = jnp.asarray(0) if seeds is None else jnp.arange(seeds)

    def body(carry: Any) -> Any:
        offset, dynamic, buffer, _ = carry
        dynamic, metrics = every(dynamic, keys, seed, offset)
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(value)) for value in metrics.values()]))
        buffer = jax.tree.map(lambda rows, value: rows.at[offset].set(value), buffer, metrics)
        return offset + 1, dynamic, buffer, finite

    shapes = jax.eval_shape(every, dynamic, keys, seed, jnp.asarray(0))[1]
    buffer = jax.tree.map(lambda shape: jnp.zeros((capacity, *shape.shape), shape.dtype), shapes)
    start = (jnp.asarray(0), dynamic, buffer, jnp.asarray(True))
    done, dynamic, buffer, _ = jax.lax.while_loop(lambda carry: (carry[0] < count) & carry[3], body, start)
    return gather((done, eqx.combine(dynamic, static), buffer), mesh)


def _source(data: Any, batch_size: int | None, key: Array, seeds: int, mesh: Mesh | None) -> Source:
    streamed = isinstance(data, Iterator) or not all(eqx.is_array_like(leaf) for leaf in jax.tree.leaves(data))
    if not streamed:
        source = InMemory(replicate(jax.tree.map(jnp.asarray, data), mesh), batch_size, key, seeds)
        if mesh is not None:
            check_batch(mesh, batch_size or source.samples)
        return source
    if batch_size is not None:
        raise InputError("A stream brings its own batches; leave batch_size out.")
    if not callable(data) and not isinstance(data, Iterable):
        raise InputError(
            f"Training data must be arrays, a function of the step or an iterable, not {type(data).__name__}."
        )
    return Stream(data, partial(split_streamed, mesh=mesh))


def _next_count(step: int, size: int, steps: int, checkpoint_every: int | None, source: Source) -> int:
    """Steps of the next dispatch: it ends at the latest where a checkpoint is due."""
    to_checkpoint = checkpoint_every - step % checkpoint_every if checkpoint_every else steps
    return max(0, min(size, source.per_dispatch, steps - step, to_checkpoint))


def _not_finite(metrics: Columns) -> tuple[int, str] | None:
    """The first row with a metric that is not finite, and which metric."""
    rows = {label: ~np.isfinite(values.reshape(len(values), -1)).all(axis=1) for label, values in metrics.items()}
    found = [(int(np.argmax(row)), label) for label, row in rows.items() if row.any()]
    return min(found, default=None, key=lambda row_and_label: row_and_label[0])


def _newest(metrics: Columns) -> float:
    values = metrics["loss"] if "loss" in metrics else next(iter(metrics.values()))
    return float(np.mean(values[-1]))


def _signature(state: PyTree, data: Any, batch_size: int | None, seeds: int | None, key: Array) -> dict[str, Any]:
    """What must not change between the run that was interrupted and the run that takes it up."""

    def shapes(tree: Any) -> str:
        leaves = [] if isinstance(tree, Iterator) else [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
        text = " ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
        return f"{len(leaves)} arrays, {zlib.crc32(text.encode()):08x}"

    raw = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return {
        "batch size": batch_size,
        "number of seeds": seeds,
        "random key": np.asarray(raw).tolist(),
        "shape of the model": shapes(state),
        "shape of the data": shapes(data),
    }
