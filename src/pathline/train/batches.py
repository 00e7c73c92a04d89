"""Where batches come from. Each batch is a function of the random key and the step alone, so that a run which was
interrupted sees exactly the batches that an undisturbed one sees.

A source prepares what one dispatch of many steps needs (`prepare`, on the host) and picks one step's batch from it
(`take`, inside the compiled loop; `take(prepared, step, offset, seed)` with `offset` counted from the dispatch's first
step). `position` and `resume` let an interrupted run find its place. What is compiled into the loop is a small value
that compares by content, so that two trainings alike share one compilation.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from pathline.errors import InputError

STREAMED_PER_DISPATCH = 16
STREAMED_BYTES = 2**27


class InMemory:
    """Arrays with a common leading axis; shuffled anew each epoch, the incomplete last batch of an epoch left out.

    Arguments:
        data: a tree of arrays, each `[samples, ...]`.
        batch_size: samples in a batch; `None` gives all of them, unshuffled, at every step.
        key: of the shuffling.
        seeds: how many different orders to draw.

    Raises:
        InputError: there are no arrays, the leading axes differ, or the batch is larger than the data.
    """

    def __init__(self, data: PyTree, batch_size: int | None, key: Array, seeds: int):
        self.data = data
        leaves = jax.tree.leaves(self.data)
        sizes = sorted({leaf.shape[0] if leaf.ndim else 0 for leaf in leaves})
        if len(sizes) != 1 or sizes[0] == 0:
            raise InputError(f"Training data must be arrays with one common, non-zero leading axis; it has {sizes}.")
        (self.samples,) = sizes
        if batch_size is not None and not 1 <= batch_size <= self.samples:
            raise InputError(
                f"A batch of {batch_size} cannot be drawn from {self.samples} samples; use 1 to all of them."
            )
        self.batch_size = batch_size
        self._entropy = np.asarray(jax.random.key_data(jax.random.split(key, seeds))).tolist()
        self.steps_per_epoch = 1 if batch_size is None else self.samples // batch_size
        # The rows of one dispatch's batches take at most about sixteen megabytes for each seed.
        self.per_dispatch = 4096 if batch_size is None else int(np.clip(2**22 // batch_size, 64, 4096))
        self._orders: dict[int, np.ndarray] = {}

    def prepare(self, first: int, count: int) -> Any:
        """The data and, where it is shuffled, which rows make up each step's batch: `[seed, step, sample]`."""
        if self.batch_size is None:
            return self.data, None
        epochs = range(first // self.steps_per_epoch, (first + count - 1) // self.steps_per_epoch + 1)
        self._orders = {epoch: self._orders[epoch] if epoch in self._orders else self._order(epoch) for epoch in epochs}
        offset = first - epochs.start * self.steps_per_epoch
        rows = np.empty((len(self._entropy), self.per_dispatch, self.batch_size), np.int32)
        orders = np.concatenate(list(self._orders.values()), axis=1)
        rows[:, :count] = orders[:, offset : offset + count]
        # Those after `count` are never looked at. Not copied where the device can read the host's memory.
        return self.data, jax.device_put(rows)

    @property
    def take(self) -> "TakeShuffled":
        """Picks the samples of one step."""
        return TakeShuffled(self.batch_size is not None)

    def position(self, step: int) -> None:
        """The step says it all."""

    def resume(self, step: int, position: Any) -> None:
        """The step says it all."""

    def _order(self, epoch: int) -> np.ndarray:
        """`[seed, step, sample]`, by NumPy: XLA takes many seconds to compile a sort of this kind."""
        used = self.samples - self.samples % (self.batch_size or 1)
        drawn = [np.random.default_rng([*words, epoch]).permutation(self.samples)[:used] for words in self._entropy]
        return np.stack(drawn).astype(np.int32).reshape(len(drawn), self.steps_per_epoch, -1)


@dataclass(frozen=True)
class TakeShuffled:
    """Picks one step's samples out of in-memory data."""

    shuffled: bool

    def __call__(self, prepared: Any, step: Array, offset: Array, seed: Array) -> PyTree:
        """The samples of one step."""
        data, rows = prepared
        if not self.shuffled:
            return data
        # Promised to be inside: the check would cost as much as the rows of a small batch.
        chosen = rows[seed, offset]
        return jax.tree.map(lambda leaf: leaf.at[chosen].get(mode="promise_in_bounds"), data)


class Stream:
    """Batches made one after the other: by a function of the step, or by an iterator.

    Arguments:
        data: `step -> batch`, or an iterable of batches. A function resumes at once; an iterator that offers
            `get_state` and `set_state` (as Grain's do) is set back; any other is run through.
        place: puts the stacked batches on their devices.

    Raises:
        InputError: at `prepare`, when the iterator ends before the training does or batches differ in form; at
            `resume`, when the iterator is another one.
    """

    def __init__(self, data: Callable[[int], PyTree] | Iterable[PyTree], place: Callable[[PyTree], PyTree]):
        self.place = place
        self._at: Callable[[int], PyTree] | None = None
        self._iterator: Iterator[PyTree] = iter(())
        if isinstance(data, Iterable):
            self._iterator = iter(data)
        else:
            self._at = data
        # One batch, until the size of a batch is known.
        self.per_dispatch = 1
        self._form: list[str] = []
        self._positions: dict[int, Any] = {0: self._state()}

    def prepare(self, first: int, count: int) -> Any:
        """The next batches, stacked; short of a full dispatch, the last one is repeated to keep the shape."""
        batches = [self._checked(first + i, self._next(first + i)) for i in range(count)]
        batches += [batches[-1]] * (self.per_dispatch - count)
        self._positions[first + count] = self._state()
        return self.place(jax.tree.map(lambda *leaves: np.stack(leaves), *batches))

    @property
    def take(self) -> "TakeStacked":
        """The batch of one step; every seed sees the same."""
        return TakeStacked()

    def position(self, step: int) -> Any:
        """The iterator's own state, if it has one, at the last known step before or at `step`."""
        known = max(at for at in self._positions if at <= step)
        self._positions = {at: state for at, state in self._positions.items() if at >= known}
        state = self._positions[known]
        return None if state is None else {"step": known, "state": state}

    def resume(self, step: int, position: Any) -> None:
        """Set the iterator back, and run through the batches after that which were already used."""
        if self._at is not None:
            return
        known = 0
        if position is not None and hasattr(self._iterator, "set_state"):
            state = position["state"]
            plain = base64.b64decode(state["base64"]) if "base64" in state else state["json"]
            try:
                self._iterator.set_state(plain)  # pyright: ignore[reportAttributeAccessIssue]
            except Exception as error:  # Each kind of iterator raises its own.
                problem = str(error).partition("\n")[0]
                raise InputError(
                    f"The stream cannot be set back to step {position['step']} ({problem}); give the stream that the "
                    "run began with, or choose another run directory."
                ) from error
            known = position["step"]
        for done in range(known, step):
            self._next(done)
        self._positions = {step: self._state()}

    def _next(self, step: int) -> PyTree:
        if self._at is not None:
            return self._at(step)
        try:
            return next(self._iterator)
        except StopIteration:
            raise InputError(
                f"The stream of batches ended after {step} steps; give a longer one or train less."
            ) from None

    def _checked(self, step: int, batch: PyTree) -> PyTree:
        """The batch on the host, after comparing it with the first one: each other form would be compiled anew."""
        leaves, structure = jax.tree.flatten(batch)
        if not leaves or not all(eqx.is_array_like(leaf) and not _is_key(leaf) for leaf in leaves):
            raise InputError(f"The batch of step {step + 1} must be a tree of arrays, not {structure}.")
        hosted = [np.asarray(leaf) for leaf in leaves]
        form = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in hosted] + [str(structure)]
        if not self._form:
            self._form = form
            size = sum(leaf.nbytes for leaf in hosted)
            self.per_dispatch = int(np.clip(STREAMED_BYTES // max(size, 1), 1, STREAMED_PER_DISPATCH))
        if form != self._form:
            was, now = next((a, b) for a, b in zip_longest(self._form, form) if a != b)
            raise InputError(
                f"The batch of step {step + 1} differs in shape or structure from the first ({now}, not {was}); "
                "make them all alike, e.g. leave an incomplete last batch out."
            )
        return jax.tree.unflatten(structure, hosted)

    def _state(self) -> dict[str, Any] | None:
        """As JSON data, into which Grain's states (plain data or bytes) fit."""
        if not hasattr(self._iterator, "get_state"):
            return None
        state = self._iterator.get_state()  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(state, bytes):
            return {"base64": base64.b64encode(state).decode()}
        try:
            copy = json.loads(json.dumps(state))
        except (TypeError, ValueError):
            return None
        return {"json": copy} if copy == state else None


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@dataclass(frozen=True)
class TakeStacked:
    """Picks one step's batch out of a stack of them."""

    def __call__(self, prepared: Any, step: Array, offset: Array, seed: Array) -> PyTree:
        """The batch of one step."""
        return jax.tree.map(lambda leaf: leaf[offset], prepared)


Source = InMemory | Stream
"""Where the loop gets its batches."""
