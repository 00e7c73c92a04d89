"""Pairs of a flow on disk, in shards: made once, resumed after an interruption, larger than memory."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.atomic import write_arrays, write_json
from pathline.data.files import read_archive, told_in_one_sentence
from pathline.errors import InputError
from pathline.generate.couplings import Coupling, Pairs
from pathline.generate.fields import Fields
from pathline.generate.reflow import generate_pairs
from pathline.generate.samplers import Sampler

SHARD = 10_000
"""Pairs in a shard: 1 GB of images of 64 x 64 pixels before compression."""


class StoredPairs(Coupling):
    """Pairs in a folder of NPZ files, from `store_pairs`.

    As a `Coupling` it serves `Regression`. Where memory holds all pairs, train on `data`; else on `batches`, which holds
    one shard at a time.

    Arguments:
        folder: where they lie.

    Raises:
        InputError: there are no pairs, or some of them are still to be made.
    """

    folder: str = eqx.field(static=True)
    count: int = eqx.field(static=True)
    shard: int = eqx.field(static=True)

    def __init__(self, folder: Path | str):
        about = _about(Path(folder))
        if about is None:
            raise InputError(f"There are no stored pairs in {folder}; make them with store_pairs.")
        self.folder, self.count, self.shard = str(folder), about["count"], about["shard"]
        made = sum(place.exists() for place in _places(Path(folder), self.count, self.shard))
        if made < self.shards:
            raise InputError(
                f"{folder} holds {made} of {self.shards} shards; call store_pairs as before, and it makes the others."
            )

    def __len__(self) -> int:
        """How many pairs there are."""
        return self.count

    @property
    def shards(self) -> int:
        """How many files hold them."""
        return -(-self.count // self.shard)

    @property
    def data(self) -> PyTree:
        """Sources, targets and conditions of all shards, in memory.

        Raises:
            InputError: a shard is damaged.
        """
        parts = [self.read(number) for number in range(self.shards)]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Sources, targets and conditions of one shard.

        Arguments:
            number: from 0.

        Raises:
            InputError: the shard is damaged or missing.
        """
        place = _places(Path(self.folder), self.count, self.shard)[number]
        return _read(place, min(self.shard, self.count - number * self.shard))

    def pair(self, batch: PyTree, key: Array) -> Pairs:
        """As they are."""
        return Pairs(*batch)

    def batches(self, batch_size: int, *, key: Array) -> Callable[[int], PyTree]:
        """A stream of batches for `pathline.train.fit`, by the number of the step, so that a training can be taken up again.

        In each pass over the pairs shards come in a new order, and pairs within a shard too. What is left of a shard after
        its last whole batch is not used in that pass.

        Arguments:
            batch_size: pairs in each batch, at most those of a shard.
            key: of the orders.

        Raises:
            InputError: the batch is larger than a shard.
        """
        sizes = [min(self.shard, self.count - number * self.shard) // batch_size for number in range(self.shards)]
        if batch_size < 1 or not all(sizes):
            raise InputError(
                f"Batches of {batch_size} cannot be cut from every shard of at most {self.shard} pairs in {self.folder}; ask "
                "for smaller ones."
            )
        return _Batches(self, batch_size, sizes, int(jax.random.bits(key)))


def store_pairs(
    folder: Path | str,
    fields: Fields,
    count: int,
    *,
    key: Array,
    sampler: Sampler | None = None,
    shape: tuple[int, ...],
    conditions: Array | np.ndarray | None = None,
    shard: int = SHARD,
    batch_size: int | None = None,
) -> StoredPairs:
    """Make pairs of a flow from noise and write them shard by shard; one that exists is not made again.

    Shards are whole or absent, each has its own random numbers, and a generation that was interrupted ends with the same
    pairs as one that was not.

    Arguments:
        folder: where they are written.
        fields: the flow.
        count: pairs in all; a million for images of 32 x 32 pixels, five for 64 x 64.
        key: of the starts.
        sampler: of an ODE, as for `generate_pairs`; `EDMHeun(18)` to `EDMHeun(40)` for images.
        shape: of one state.
        conditions: for the model, an array with a row for each pair, such as class labels.
        shard: pairs in each file.
        batch_size: so many at once, to bound the memory.

    Returns:
        The stored pairs.

    Raises:
        InputError: the folder cannot be written or holds pairs of another making, a shard is damaged, or as of
            `generate_pairs`.

    Source: the recipe of Lee et al., Improving the Training of Rectified Flows, 2024, appendix.
    """
    folder = Path(folder)
    if count < 1 or shard < 1:
        raise InputError(f"Stored pairs need at least one pair and one in a shard; {count} and {shard} were asked for.")
    if conditions is not None and len(conditions) != count:
        raise InputError(f"There are {len(conditions)} conditions for {count} pairs; give one for each.")
    _begin(folder, _description(fields, count, key, sampler, shape, conditions, shard))
    for number, place in enumerate(_places(folder, count, shard)):
        size = min(shard, count - number * shard)
        if place.exists():
            # A damaged shard is told of now, not after hours of making the others.
            _read(place, size)
            continue
        keys = jax.random.split(jax.random.fold_in(key, number), size)
        starts = jax.vmap(lambda one: fields.path.start(one, shape))(keys)
        told = None if conditions is None else jnp.asarray(conditions[number * shard : number * shard + size])
        found = generate_pairs(fields, starts, sampler, conditions=told, batch_size=batch_size)
        arrays = {"source": np.asarray(found.source), "target": np.asarray(found.target)}
        write_arrays(place, arrays if told is None else arrays | {"condition": np.asarray(told)})
    return StoredPairs(folder)


class _Batches:
    """Batches by the number of the step."""

    def __init__(self, stored: StoredPairs, batch_size: int, sizes: list[int], seed: int):
        self.stored, self.batch_size, self.sizes, self.seed = stored, batch_size, sizes, seed
        self._open: tuple[tuple[int, int], PyTree] | None = None

    def __call__(self, step: int) -> PyTree:
        """The batch of a step, counted from 0."""
        turn, left = divmod(step, sum(self.sizes))
        order = np.random.default_rng((self.seed, turn)).permutation(len(self.sizes))
        # The shard in which the step falls, and how far into it.
        ends = np.cumsum([self.sizes[number] for number in order])
        place = int(np.searchsorted(ends, left, side="right"))
        number = int(order[place])
        left -= int(ends[place]) - self.sizes[number]
        if self._open is None or self._open[0] != (turn, number):
            rows = self.stored.read(number)
            order = np.random.default_rng((self.seed, turn, number)).permutation(len(rows[0]))
            self._open = (turn, number), jax.tree.map(lambda leaf: leaf[order], rows)
        first = left * self.batch_size
        return jax.tree.map(lambda leaf: leaf[first : first + self.batch_size], self._open[1])


def _description(
    fields: Fields,
    count: int,
    key: Array,
    sampler: Sampler | None,
    shape: tuple[int, ...],
    conditions: Array | np.ndarray | None,
    shard: int,
) -> dict[str, Any]:
    """What the pairs depend on: pairs of two makings must not be mixed."""
    return {
        "count": count,
        "shard": shard,
        "shape": list(shape),
        "sampler": repr(sampler),
        "random key": np.asarray(jax.random.key_data(key)).tolist(),
        "model": _checksum(fields),
        "conditions": _checksum(conditions),
    }


def _checksum(tree: PyTree) -> int:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]
    total = 0
    for leaf in leaves:
        total = zlib.crc32(leaf.tobytes(), zlib.crc32(f"{leaf.dtype}{leaf.shape}".encode(), total))
    return total


def _begin(folder: Path, wanted: dict[str, Any]) -> None:
    found = _about(folder)
    if found is None:
        write_json(folder / _ABOUT, wanted)
        return
    for name, value in wanted.items():
        if found.get(name) != value:
            raise InputError(
                f"{folder} holds pairs with another {name} ({str(found.get(name))[:60]}, now {str(value)[:60]}); choose another "
                "folder, or ask for the same."
            )


def _about(folder: Path) -> dict[str, Any] | None:
    place = folder / _ABOUT
    if not place.exists():
        return None
    with told_in_one_sentence(place, "the description of stored pairs"):
        about = json.loads(place.read_text())
        if not all(isinstance(about.get(name), int) and about[name] > 0 for name in ("count", "shard")):
            raise ValueError("count or shard is missing")
    return about


def _places(folder: Path, count: int, shard: int) -> list[Path]:
    return [folder / f"pairs-{number:05d}.npz" for number in range(-(-count // shard))]


def _read(place: Path, size: int) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], np.ndarray | None]:
    if not place.exists():
        raise InputError(f"There is no file {place}; call store_pairs as before, and it makes it.")
    arrays = read_archive(place)
    if not {"source", "target"} <= set(arrays) or any(len(array) != size for array in arrays.values()):
        raise InputError(f"{place} does not hold {size} pairs; delete it and call store_pairs as before.")
    return arrays["source"], arrays["target"], arrays.get("condition")


_ABOUT = "pairs.json"
