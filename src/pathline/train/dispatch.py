"""Many steps of an update in one compiled loop, which ends early at the first metric that is not finite."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from pathline.errors import InputError
from pathline.train.sharding import gather, split_batch

Update = Callable[..., tuple[PyTree, dict[str, Array]]]
"""`update(state, batch, key) -> (state, metrics)`: one step of any learning rule. A fourth argument, if the function
has one without a default, is the number of steps already taken, for whatever is annealed. It may have a method
`nonfinite(state)`, the number of entries of the state that ought to be finite and are not."""


def dispatch(
    update: Update,
    take: Callable[..., PyTree],
    state: PyTree,
    prepared: Any,
    keys: Array,
    first: int,
    count: int,
    *,
    capacity: int,
    mesh: Mesh | None,
    seeds: int | None,
) -> tuple[Array, PyTree, dict[str, Array], Array]:
    """Set `count` steps going, from the step `first` on; returns before they are done.

    How many steps is not compiled in: one compilation serves every length.

    Arguments:
        update: one step.
        take: `(prepared, step, offset, seed) -> batch`; a small value that compares by content.
        state: before the step `first`. It is not donated, so that the caller can go back to it.
        prepared: what `take` picks from.
        keys: the random key of the updates, or with `seeds` one for each seed.
        first: steps already taken.
        count: steps to take, at most `capacity`.
        capacity: rows of the buffer for metrics.
        mesh: devices over which each batch is split.
        seeds: how many states are stacked in `state`.

    Returns:
        The steps done (those after a metric that is not finite are not), the state after them, the metrics, each
        `[capacity]` or `[capacity, seeds]`, of which the rows up to the steps done count, and whether the state has
        more entries that are not finite (and ought to be, by the update's own account) than before.

    Raises:
        InputError: the update does not return a state of the same form and a dict of scalars.
    """
    arrays, rest = eqx.partition((update, state), eqx.is_array)
    leaves, structure = jax.tree.flatten(rest)
    done, new, metrics, broken = _steps(
        arrays,
        prepared,
        keys,
        first,
        count,
        rest=(tuple(leaves), structure),
        take=take,
        capacity=capacity,
        mesh=mesh,
        seeds=seeds,
    )
    return done, eqx.combine(new, rest[1]), metrics, broken


def takes_step(function: Callable[..., Any]) -> bool:
    """Whether a loss or an update has a fourth argument without default, and so asks for the number of steps taken."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(one.kind in kinds and one.default is inspect.Parameter.empty for one in parameters) >= 4


# Not eqx.filter_jit: it waits for the result, and the host could not prepare the next batches meanwhile.
@partial(jax.jit, static_argnames=("rest", "take", "capacity", "mesh", "seeds"))
def _steps(
    arrays: PyTree,
    prepared: Any,
    keys: Array,
    first: Array,
    count: Array,
    *,
    rest: tuple[tuple[Any, ...], Any],
    take: Callable[..., PyTree],
    capacity: int,
    mesh: Mesh | None,
    seeds: int | None,
) -> tuple[Array, PyTree, dict[str, Array], Array]:
    update_arrays, dynamic = arrays
    update_rest, static = jax.tree.unflatten(rest[1], rest[0])
    update = eqx.combine(update_arrays, update_rest)
    with_step = takes_step(update)

    def one(dynamic: PyTree, key: Array, seed: Array, offset: Array) -> tuple[PyTree, dict[str, Array]]:
        step = first + offset
        batch = split_batch(take(prepared, step, offset, seed), mesh)
        arguments = (eqx.combine(dynamic, static), batch, jax.random.fold_in(key, step))
        found = update(*arguments, step) if with_step else update(*arguments)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
            raise InputError(
                "An update must return a state and a dict of metrics; return (state, {}) when there are none."
            )
        new, metrics = found
        _check_state(eqx.combine(dynamic, static), new)
        return eqx.filter(new, eqx.is_array), {name: _scalar(name, value) for name, value in metrics.items()}

    # Jitted, it is traced once, for the shapes of its metrics and for the loop alike: tracing a solver takes seconds.
    every = jax.jit(one if seeds is None else jax.vmap(one, in_axes=(0, 0, 0, None)))
    seed = jnp.asarray(0) if seeds is None else jnp.arange(seeds)

    def body(carry: Any) -> Any:
        offset, dynamic, buffer, _ = carry
        dynamic, metrics = every(dynamic, keys, seed, offset)
        finite = [jnp.all(jnp.isfinite(value)) for value in metrics.values()]
        buffer = jax.tree.map(lambda rows, value: rows.at[offset].set(value), buffer, metrics)
        return offset + 1, dynamic, buffer, jnp.all(jnp.stack(finite)) if finite else True

    shapes = jax.eval_shape(every, dynamic, keys, seed, jnp.asarray(0))[1]
    buffer = jax.tree.map(lambda shape: jnp.zeros((capacity, *shape.shape), shape.dtype), shapes)
    start = (jnp.asarray(0), dynamic, buffer, True)
    done, new, buffer, _ = jax.lax.while_loop(lambda carry: (carry[0] < count) & carry[3], body, start)
    nonfinite = getattr(update, "nonfinite", lambda state: jnp.asarray(0))
    broken = nonfinite(eqx.combine(new, static)) > nonfinite(eqx.combine(dynamic, static))
    return gather((done, new, buffer, broken), mesh)


def _check_state(old: PyTree, new: PyTree) -> None:
    """The update must give back a state of the form that it was given."""
    before, after = _forms(old), _forms(new)
    for place in [*before, *after]:
        given, found = before.get(place, "absent"), after.get(place, "absent")
        if given != found:
            raise InputError(
                f"The update must keep the form of the state, and state{place} is {given} before a step and {found} "
                "after it; begin with an array of the shape and type that the update returns."
            )


def _forms(tree: PyTree) -> dict[str, str]:
    def form(leaf: Any) -> str:
        if eqx.is_array(leaf):
            return f"{leaf.dtype}{list(leaf.shape)}"
        return f"the constant {leaf!r}" if isinstance(leaf, bool | int | float | str) else type(leaf).__name__

    return {jax.tree_util.keystr(place): form(leaf) for place, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _scalar(name: str, value: Any) -> Array:
    value = jnp.asarray(value)
    if value.ndim or jnp.iscomplexobj(value):
        raise InputError(
            f"The metric {name} is {value.dtype}{list(value.shape)}, not a real number; take its mean, or name its parts."
        )
    return value
