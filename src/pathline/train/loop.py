"""The one training loop: many steps in one dispatch, exact resume, a stop at the first number that is not finite."""

import time
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
from pathline.train.checkpoints import Checkpoints, signature
from pathline.train.dispatch import Update, dispatch
from pathline.train.history import Columns, HistoryFile
from pathline.train.interrupts import Interrupts
from pathline.train.progress import ProgressBar
from pathline.train.sharding import agreed, automatic, check_batch, is_main, replicate, split_streamed

DISPATCH_SECONDS = 0.3
CHECKPOINT_SECONDS = 30.0


class NonFiniteError(ArithmeticError):
    """A metric or a weight stopped being finite.

    Arguments:
        step: the first step (counted from 1) with a metric that is not finite.
        metric: which; "update" when the metrics are finite and the weights after the step are not.
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

    Ctrl-C stops at the end of a dispatch (a third of a second), a second one at once; the state is kept either way.

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
    for what, value in {"steps": steps, "seeds": seeds, "checkpoint_every": checkpoint_every}.items():
        if value is not None and value < 1:
            raise InputError(f"Training needs {what} of at least one, and {value} was given.")
    mesh = None if mesh is None else automatic(mesh)
    data_key, step_key = jax.random.split(key)
    source = _source(data, batch_size, data_key, seeds or 1, mesh)
    step_keys = jax.random.split(step_key, seeds) if seeds else step_key
    update = replicate(update, mesh)
    state = replicate(jax.tree.map(lambda leaf: jnp.asarray(leaf) if eqx.is_array(leaf) else leaf, state), mesh)
    folder = None if run is None else Path(run)
    checkpoints, step, saved = None, 0, 0
    if folder is not None:
        checkpoints = Checkpoints(folder / "checkpoints", signature(state, data, batch_size, seeds, key))
    try:
        with Interrupts() as interrupts, ProgressBar(name, steps, progress if is_main() else False) as bar:
            if checkpoints and (found := checkpoints.restore(state)):
                step, state, position = found
                saved = step
                if step > steps:
                    raise InputError(f"{folder} holds a training of {step} steps already; ask for more than {steps}.")
                source.resume(step, position)
            history_file = HistoryFile(folder / "history.csv" if folder else None, writes=is_main())
            parts, begun = [history_file.resume(step)], step

            # One step at first, which compiles, and one more, whose time says how many fit into a dispatch.
            size, compiled, saved_at = 1, False, time.monotonic()
            count = _next_count(step, size, steps, checkpoint_every, source)
            prepared = source.prepare(step, count) if count else None
            take = partial(dispatch, update, source.take, capacity=source.per_dispatch, mesh=mesh, seeds=seeds)
            while step < steps:
                began = time.monotonic()
                done, new_state, buffer, broken = take(state, prepared, step_keys, step, count)
                # The device works on; meanwhile the host makes the next batches ready.
                following = _next_count(step + count, size, steps, checkpoint_every, source)
                upcoming = source.prepare(step + count, following) if following else None
                # Sliced by NumPy: JAX would compile a slice for each length.
                metrics = {label: np.asarray(rows)[: int(done)].copy() for label, rows in buffer.items()}
                if (bad := _not_finite(metrics)) or broken:
                    again = partial(take, state, prepared, step_keys, step)
                    row, label, good = _last_good(again, *(bad or (count, "update")))
                    history_file.append(step, {label: rows[: row + 1] for label, rows in metrics.items()})
                    where = checkpoints.save(step + row, good, source.position(step + row)) if checkpoints else None
                    raise NonFiniteError(step + row + 1, label, where)
                history_file.append(step, metrics)
                parts.append(metrics)
                state, step, prepared = new_state, step + count, upcoming
                elapsed = max(time.monotonic() - began, 1e-9)
                bar.update(step, count / elapsed, _newest(metrics))
                wanted = int(count * DISPATCH_SECONDS / elapsed) if compiled else 1
                compiled = True
                size, waited = agreed(int(np.clip(wanted, 1, 32 * size)), int(time.monotonic() - saved_at))
                due = step % checkpoint_every == 0 if checkpoint_every else waited >= CHECKPOINT_SECONDS
                if checkpoints and (due or step == steps):
                    checkpoints.save(step, state, source.position(step))
                    saved, saved_at = step, time.monotonic()
                count = following
                interrupts.pass_on()
    except NonFiniteError:
        raise
    except BaseException:
        # Interrupted, or a stream broke off. Several processes may be at different steps: then the last common
        # checkpoint stands.
        if checkpoints and step > saved and jax.process_count() == 1:
            checkpoints.save(step, state, source.position(step))
        raise
    finally:
        if checkpoints:
            checkpoints.close()
    return state, _joined(parts, begun)


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


def _last_good(again: Callable[[int], tuple[Any, ...]], row: int, label: str) -> tuple[int, str, PyTree]:
    """The last good state, at most `row` steps into a dispatch: `(its row, what the step after it broke, state)`.

    The same compiled loop, stopped earlier, gives it exactly.
    """
    _, good, _, broken = again(row)
    if not broken:
        return row, label, good
    # The weights broke before a metric told.
    low, high = 0, row
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if again(middle)[3] else (middle, high)
    return low, "update", again(low)[1]


def _newest(metrics: Columns) -> float:
    if not metrics:
        return float("nan")
    values = metrics["loss"] if "loss" in metrics else next(iter(metrics.values()))
    return float(np.mean(values[-1]))


def _joined(parts: list[Columns], begun: int) -> Columns:
    """All the history; the rows of the `begun` steps before are NaN where their file was lost."""
    before, *after = parts
    if after and not before:
        before = {label: np.full((begun, *rows.shape[1:]), np.nan) for label, rows in after[0].items()}
    return {label: np.concatenate([part[label] for part in (before, *after)]) for label in before}
