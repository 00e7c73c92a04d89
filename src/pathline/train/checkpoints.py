"""Training checkpoints by Orbax: written whole or not at all, the newest two kept, restored bit for bit."""

import json
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from pathline.errors import InputError
from pathline.train.interrupts import uninterrupted
from pathline.train.sharding import is_main, wait_for_all

KEPT = 2


class Checkpoints:
    """The checkpoints of one run.

    Arguments:
        folder: usually `<run>/checkpoints`.
        signature: plain JSON data that must agree between the run that wrote a checkpoint and the run that takes it
            up: a mismatch means that another training was asked for.

    Raises:
        InputError: the folder cannot be written, or its name holds what Orbax cannot stand.
    """

    def __init__(self, folder: Path, signature: dict[str, Any]):
        # Importing Orbax takes a second: only those who checkpoint pay for it.
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self.folder = folder.resolve()
        self.signature = signature
        # TensorStore reads these as patterns: what is written there is not found again.
        if unfit := set("[]\\") & set(str(self.folder)):
            raise InputError(
                f"Checkpoints cannot be kept in {self.folder}, for the {min(unfit)!r} in it; choose another run directory."
            )
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise InputError(f"Cannot write {folder}: {error.strerror}; choose another run directory.") from error

    def save(self, step: int, state: PyTree, position: Any) -> Path:
        """Write the state after `step` steps; returns its folder.

        Raises:
            InputError: the folder cannot be written.
        """
        if step not in self._manager.all_steps():
            leaves = _leaves(state)
            about = {"signature": self.signature, "position": position, "checksums": _checksums(leaves)}
            sealed = about | {"checksum": _seal(about)}
            items = {"state": self._ocp.args.StandardSave(leaves), "about": self._ocp.args.JsonSave(sealed)}
            try:
                with uninterrupted():
                    self._manager.save(step, args=self._ocp.args.Composite(**items))
                    self._manager.wait_until_finished()
            except OSError as error:
                raise InputError(
                    f"Cannot write {self.folder}: {error.strerror}; free some space and start again."
                ) from error
        return self.folder / str(step)

    def restore(self, like: PyTree) -> tuple[int, PyTree, Any] | None:
        """The newest whole checkpoint as `(step, state, position)`; `None` when there is none.

        Damaged ones that are newer are set aside, with a warning: those steps are done again.

        Arguments:
            like: a state of the same structure, whose arrays also say where the restored ones are placed.

        Raises:
            InputError: the signature differs (the message says in what), or every checkpoint is damaged.
        """
        damaged: list[int] = []
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                about = self._read(step, about=self._ocp.args.JsonRestore())["about"]
                if about.pop("checksum") != _seal(about):
                    raise ValueError("the checksums differ")
                self._check(about["signature"])
                found = self._read(step, state=self._ocp.args.StandardRestore(_leaves(like)))["state"]
                if _checksums(found) != about["checksums"]:
                    raise ValueError("the checksums differ")
            except InputError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged file.
                problem = str(error).partition("\n")[0]
                warnings.warn(f"The checkpoint {self.folder / str(step)} is damaged: {problem}", stacklevel=2)
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return step, _with_leaves(like, found), about["position"]
        if damaged:
            raise InputError(f"Every checkpoint in {self.folder} is damaged; choose another run directory.")
        return None

    def close(self) -> None:
        """Let go of the folder."""
        self._manager.close()

    def _read(self, step: int, **items: Any) -> Any:
        with uninterrupted():
            return self._manager.restore(step, args=self._ocp.args.Composite(**items))

    def _set_aside(self, steps: list[int]) -> None:
        """Out of the way of the checkpoints to come, but not deleted: nothing that was written is lost."""
        for step in steps:
            if is_main():
                place, number = self.folder / f"damaged-{step}", 1
                while place.exists():
                    number += 1
                    place = self.folder / f"damaged-{step}-{number}"
                (self.folder / str(step)).rename(place)
        if steps:
            wait_for_all("damaged checkpoints are set aside")
            self._manager.reload()

    def _check(self, found: dict[str, Any]) -> None:
        for name, wanted in self.signature.items():
            if found.get(name) != wanted:
                raise InputError(
                    f"The checkpoints in {self.folder} belong to a training with another {name} "
                    f"({found.get(name)}, now {wanted}); choose another run directory."
                )


def signature(state: PyTree, data: Any, batch_size: int | None, seeds: int | None, key: Array) -> dict[str, Any]:
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


def _leaves(state: PyTree) -> dict[str, Array]:
    """The arrays of a state by position: names of classes and fields may change, a checkpoint stays readable."""
    arrays = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    return {f"{i:05d}": _unwrap(leaf) for i, leaf in enumerate(arrays)}


def _with_leaves(like: PyTree, found: dict[str, Array]) -> PyTree:
    arrays, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    new = [_rewrap(old, found[f"{i:05d}"]) for i, old in enumerate(leaves)]
    return eqx.combine(jax.tree.unflatten(structure, new), static)


def _checksums(leaves: dict[str, Array]) -> dict[str, int]:
    """A flipped bit is not always noticed by the decompression."""
    return {name: zlib.crc32(np.asarray(leaf).tobytes()) for name, leaf in leaves.items()}


def _seal(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _unwrap(leaf: Array) -> Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _rewrap(old: Array, data: Array) -> Array:
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(old)) if _is_key(old) else data
