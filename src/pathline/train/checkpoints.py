"""Training checkpoints by Orbax: written whole or not at all, the newest two kept, restored bit for bit."""

import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pathline.errors import InputError

KEPT = 2


class Checkpoints:
    """The checkpoints of one run.

    Arguments:
        folder: usually `<run>/checkpoints`.
        signature: plain JSON data that must agree between the run that wrote a checkpoint and the run that takes it
            up: a mismatch means that another training was asked for.

    Raises:
        InputError: at `restore`, when the signature differs (naming what), or every checkpoint is damaged.
    """

    def __init__(self, folder: Path, signature: dict[str, Any]):
        # Importing Orbax takes a second: only those who checkpoint pay for it.
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self.folder = folder.resolve()
        self.signature = signature
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise InputError(f"Cannot write {folder}: {error.strerror}; choose another run directory.") from error

    def save(self, step: int, state: PyTree, position: Any) -> Path:
        """Write the state after `step` steps; returns its folder."""
        if step not in self._manager.all_steps():
            self._manager.save(
                step,
                args=self._ocp.args.Composite(
                    state=self._ocp.args.StandardSave(_leaves(state)),
                    about=self._ocp.args.JsonSave({"signature": self.signature, "position": position}),
                ),
            )
            self._manager.wait_until_finished()
        return self.folder / str(step)

    def restore(self, like: PyTree) -> tuple[int, PyTree, Any] | None:
        """The newest readable checkpoint as `(step, state, position)`; `None` when there is none.

        Arguments:
            like: a state of the same structure, whose arrays also say where the restored ones are placed.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                about = self._read(step, about=self._ocp.args.JsonRestore())["about"]
                self._check(about["signature"])
                target = self._ocp.args.StandardRestore(_leaves(like))
                found = self._read(step, state=target)["state"]
                return step, _with_leaves(like, found), about["position"]
            except InputError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged file.
                damage = f"The checkpoint {self.folder / str(step)} is damaged ({type(error).__name__}) and removed."
                warnings.warn(damage, stacklevel=2)
                self._manager.delete(step)
        if steps:
            raise InputError(
                f"Every checkpoint in {self.folder} is damaged; choose another run directory to start anew."
            )
        return None

    def close(self) -> None:
        """Let go of the folder."""
        self._manager.close()

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=self._ocp.args.Composite(**items))

    def _check(self, found: dict[str, Any]) -> None:
        for name, wanted in self.signature.items():
            if found.get(name) != wanted:
                raise InputError(
                    f"The checkpoints in {self.folder} belong to a training with another {name} "
                    f"({found.get(name)}, now {wanted}); choose another run directory."
                )


def _leaves(state: PyTree) -> dict[str, Array]:
    """The arrays of a state by position: names of classes and fields may change, a checkpoint stays readable."""
    arrays = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    return {f"{i:05d}": _unwrap(leaf) for i, leaf in enumerate(arrays)}


def _with_leaves(like: PyTree, found: dict[str, Array]) -> PyTree:
    arrays, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    new = [_rewrap(old, found[f"{i:05d}"]) for i, old in enumerate(leaves)]
    return eqx.combine(jax.tree.unflatten(structure, new), static)


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _unwrap(leaf: Array) -> Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _rewrap(old: Array, data: Array) -> Array:
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(old)) if _is_key(old) else data
