"""Where arrays live: batches split over all devices of a mesh, everything else on each of them."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from pathline.errors import InputError


def automatic(mesh: Mesh) -> Mesh:
    """The same devices, with the compiler left to derive how intermediate arrays are split.

    `jax.make_mesh` asks for explicit axes, under which every model would have to spell its shardings out.
    """
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """A batch must fall into equal parts.

    Raises:
        InputError: `batch_size` is not a multiple of the number of devices.
    """
    if batch_size % mesh.size:
        raise InputError(
            f"A batch of {batch_size} cannot be split over {mesh.size} devices; use a multiple of {mesh.size}."
        )


def replicate(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Every array on every device of the mesh. With several processes, all must hold the same values."""
    return tree if mesh is None else _put(tree, NamedSharding(mesh, PartitionSpec()))


def split_streamed(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Stacked batches `[step, sample, ...]` with the sample axis split; each process brings its own samples.

    What is one number for a whole batch, `[step]`, is on every device.

    Raises:
        InputError: the samples do not fall into equal parts.
    """
    if mesh is None:
        return jax.tree.map(jax.numpy.asarray, tree)

    def one(leaf: np.ndarray) -> jax.Array:
        if leaf.ndim > 1:
            check_batch(mesh, jax.process_count() * leaf.shape[1])
        split = PartitionSpec(None, mesh.axis_names) if leaf.ndim > 1 else PartitionSpec()
        return jax.make_array_from_process_local_data(NamedSharding(mesh, split), leaf)

    return jax.tree.map(one, tree)


def split_batch(batch: PyTree, mesh: Mesh | None) -> PyTree:
    """Inside a compiled step: the batch `[sample, ...]` split over all devices."""
    if mesh is None:
        return batch

    def one(leaf: jax.Array) -> jax.Array:
        split = PartitionSpec(mesh.axis_names) if leaf.ndim else PartitionSpec()
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, split))

    return jax.tree.map(one, batch)


def gather(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Inside a compiled step: every array whole on every device again."""
    return tree if mesh is None else eqx.filter_shard(tree, NamedSharding(mesh, PartitionSpec()))


def is_main() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return jax.process_index() == 0


def agreed(*values: int) -> tuple[int, ...]:
    """The values that the first process has: clocks differ, and all processes must take the same steps."""
    if jax.process_count() == 1:
        return values
    return tuple(int(value) for value in multihost_utils.broadcast_one_to_all(np.asarray(values)))


def wait_for_all(name: str) -> None:
    """Return when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    def one(leaf: Any) -> Any:
        return jax.device_put(leaf, sharding) if eqx.is_array(leaf) else leaf

    return jax.tree.map(one, tree)
