"""Every sampler with fixed steps is a table of numbers, and one scan runs them all.

Row `m` of a table says at which time the model is evaluated at the present `point`, and with which weights the rest
is added up:

    record  = sum_k prediction[k] model_k(t, point) + point_weight point             (e.g. the velocity, or the data)
    anchor  = anchor_anchor anchor + anchor_point point + sum_j anchor_record[j] record_j        (the corrected state)
    point   = next_anchor anchor + sum_j next_record[j] record_j + next_start start + next_constant + next_noise xi

`record_0` is the newest of the last four. Multistep methods keep `anchor = point` and use older records; correctors
put the newest record into the anchor; Runge-Kutta methods leave the anchor where the step began until it is over;
stochastic methods have `next_noise`. Conversions between predictions are folded into the weights, in double precision.
So all samplers share one compiled program per model, and changing the sampler compiles nothing.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind

DEPTH = 4
"""Records that are kept: enough for third order with a corrector."""

Weights = Float[np.ndarray | Array, "row ..."]
"""A number for each row, or an array of the state's shape for each row."""


class Table(eqx.Module):
    """The weights of a sampler; see the top of `pathline.generate.samplers.table`.

    Arguments:
        times: where the model is evaluated.
        prediction: of each kind that the model predicts, `[row, kind]` or `[row, kind, *shape]`.
        point: of the point in the record.
        anchor_anchor, anchor_point, anchor_record: what the anchor becomes; `[row]`, `[row]` and `[row, DEPTH]`, each
            perhaps followed by the state's shape.
        next_anchor, next_record, next_start, next_constant, next_noise: what the next point is.
        first_noise: of noise added to the start.
        stochastic: whether random numbers are drawn at all.
    """

    times: Float[np.ndarray | Array, " row"]
    prediction: Float[np.ndarray | Array, "row kind ..."]
    point: Weights
    anchor_anchor: Weights
    anchor_point: Weights
    anchor_record: Float[np.ndarray | Array, "row record ..."]
    next_anchor: Weights
    next_record: Float[np.ndarray | Array, "row record ..."]
    next_start: Weights
    next_constant: Weights
    next_noise: Weights
    first_noise: Float[np.ndarray | Array, ""]
    stochastic: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        times: np.ndarray,
        prediction: np.ndarray,
        point: np.ndarray,
        *,
        anchor_anchor: np.ndarray | None = None,
        anchor_point: np.ndarray | None = None,
        anchor_record: np.ndarray | None = None,
        next_anchor: np.ndarray,
        next_record: np.ndarray,
        next_start: np.ndarray | None = None,
        next_constant: np.ndarray | None = None,
        next_noise: np.ndarray | None = None,
        first_noise: float = 0.0,
    ) -> "Table":
        """A table of double-precision arrays, checked and filled up: by default the anchor becomes the point, and there
        is neither noise nor constant.

        Raises:
            InputError: a weight is not finite, with the time at which it is not: the sampler cannot be there with this
                prediction.
        """
        rows = len(times)
        zeros, ones = np.zeros(rows), np.ones(rows)
        given = {
            "prediction": prediction,
            "point": point,
            "anchor_anchor": zeros if anchor_anchor is None else anchor_anchor,
            "anchor_point": (ones if anchor_anchor is None else zeros) if anchor_point is None else anchor_point,
            "anchor_record": np.zeros((rows, DEPTH)) if anchor_record is None else _filled(anchor_record),
            "next_anchor": next_anchor,
            "next_record": _filled(next_record),
            "next_start": zeros if next_start is None else next_start,
            "next_constant": zeros if next_constant is None else next_constant,
            "next_noise": zeros if next_noise is None else next_noise,
        }
        for weights in given.values():
            bad = ~np.isfinite(weights.reshape(rows, -1)).all(axis=1)
            if bad.any():
                raise InputError(
                    f"What the model predicts does not tell where to go at t = {times[np.argmax(bad)]:.3g} (there is no noise or "
                    "no signal); give the grid a start such as 1e-3 or a stop such as 1 - 1e-3."
                )
        return cls(
            times=np.asarray(times, np.float64),
            **given,
            first_noise=np.asarray(first_noise, np.float64),
            stochastic=next_noise is not None or first_noise != 0,
        )


def _filled(record: np.ndarray) -> np.ndarray:
    """Weights of up to DEPTH records, with zeros for the older ones."""
    missing = DEPTH - record.shape[1]
    return np.pad(record, ((0, 0), (0, missing), *((0, 0),) * (record.ndim - 2)))


class Sampler(eqx.Module):
    """A way from the start of a path to its end. Abstract.

    Called with fields and a start it gives the end; `pathline.generate.sample` does it for many starts.
    """

    @abstractmethod
    def __call__(
        self, fields: Fields, start: Float[Array, "*shape"], *, key: Array | None = None, condition: PyTree = None
    ) -> Float[Array, "*shape"]:
        """The end of the path of one start."""


class TableSampler(Sampler):
    """A sampler with fixed steps: it needs to give its table only. Abstract."""

    @abstractmethod
    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """The weights, for a model of these kinds on this path, in double precision."""

    def evaluations(self, path: AffinePath, predicts: Sequence[Kind]) -> int:
        """How often the model is evaluated: the number of function evaluations (NFE)."""
        return len(self.table(path, predicts).times)

    def __call__(
        self, fields: Fields, start: Float[Array, "*shape"], *, key: Array | None = None, condition: PyTree = None
    ) -> Float[Array, "*shape"]:
        """The end of the path of one start."""
        return run_table(self.table(fields.path, fields.predicts), fields, start, key=key, condition=condition)[0]


def table_of(sampler: TableSampler, fields: Fields) -> Table:
    """The table of a sampler for these fields, remembered: it can take as long to compute as a small network takes to run.

    Arguments:
        sampler: the sampler.
        fields: a model on a path.
    """
    try:
        hash((sampler, fields.path))
    except TypeError:
        # It holds arrays, which can change or be traced.
        return sampler.table(fields.path, fields.predicts)
    return _remembered(sampler, fields.path, fields.predicts)


@lru_cache(maxsize=64)
def _remembered(sampler: TableSampler, path: AffinePath, predicts: tuple[Kind, ...]) -> Table:
    return sampler.table(path, predicts)


def run_table(
    table: Table,
    fields: Fields,
    start: Float[Array, "*shape"],
    *,
    key: Array | None = None,
    condition: PyTree = None,
) -> tuple[Float[Array, "*shape"], Float[Array, "row *shape"]]:
    """Follow a table from one start.

    Arguments:
        table: from a sampler, made for these fields.
        fields: the model.
        start: the state at the first time.
        key: for stochastic tables.
        condition: for the model.

    Returns:
        The end, and the point at which the model was evaluated in each row.

    Raises:
        InputError: the table is stochastic and there is no key.
    """
    if table.stochastic and key is None:
        raise InputError("A stochastic sampler needs a random key; pass key=jax.random.key(0), for example.")
    dtype = start.dtype
    point, scan_key = start, None
    if table.stochastic and key is not None:
        first_key, scan_key = jax.random.split(key)
        point = start + jnp.asarray(table.first_noise, dtype) * jax.random.normal(first_key, start.shape, dtype)
    # In the state's precision from here on: the tables are double only to be computed.
    rows = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), eqx.filter(table, eqx.is_array))
    rows = eqx.tree_at(lambda t: t.first_noise, rows, None)
    # The steps of a stochastic table differ in their noise.
    numbers = jnp.arange(len(table.times))

    def step(carry: tuple[Array, Array, tuple[Array, ...]], row_and_number):
        point, anchor, records = carry
        row, number = row_and_number
        predicted = fields.predictions(row.times, point, condition)
        record = row.point * point + _total(row.prediction, predicted)
        records = (record, *records[:-1])
        anchor = row.anchor_anchor * anchor + row.anchor_point * point + _total(row.anchor_record, records)
        new = row.next_anchor * anchor + _total(row.next_record, records)
        new = new + row.next_start * start + row.next_constant
        if scan_key is not None:
            draw = jax.random.normal(jax.random.fold_in(scan_key, number), start.shape, dtype)
            new = new + row.next_noise * draw
        return (new, anchor, records), point

    nothing = jnp.zeros_like(start)
    (end, _, _), points = jax.lax.scan(step, (point, point, (nothing,) * DEPTH), (rows, numbers))
    return end, points


def _total(weights: Array, parts: Sequence[Array]) -> Array:
    total = weights[0] * parts[0]
    for place in range(1, len(parts)):
        total = total + weights[place] * parts[place]
    return total


def sample(
    fields: Fields,
    starts: Float[Array | np.ndarray, "sample *shape"],
    sampler: Sampler,
    *,
    key: Array | None = None,
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> Float[Array, "sample *shape"]:
    """The ends of many starts, compiled once for a model and a shape: another sampler with as many evaluations of the
    model compiles nothing new.

    Arguments:
        fields: a model on a path.
        starts: states at the first time of the sampler's grid; `jax.vmap(path.start)` draws them where the source is noise.
        sampler: any of `pathline.generate.samplers`.
        key: for stochastic samplers.
        conditions: for the model, with a leading axis as long as `starts`; `None` when there are none.
        batch_size: so many at once, to bound the memory; all when absent.

    Returns:
        The states at the last time.

    Raises:
        InputError: the sampler needs a key, or does not fit the path.
    """
    starts = jnp.asarray(starts)
    keys = None if key is None else jax.random.split(key, len(starts))
    if isinstance(sampler, TableSampler):
        table = table_of(sampler, fields)
        return _batched(lambda *given: _run_many(table, fields, *given), batch_size, starts, keys, conditions)
    return _batched(lambda *given: _solve_many(sampler, fields, *given), batch_size, starts, keys, conditions)


def trajectories(
    fields: Fields,
    starts: Float[Array | np.ndarray, "sample *shape"],
    sampler: TableSampler,
    *,
    key: Array | None = None,
    conditions: PyTree = None,
) -> tuple[Float[np.ndarray, " time"], Float[Array, "sample time *shape"]]:
    """Like `sample`, with every state at which the model was evaluated, and the end.

    Returns:
        The times of the states, of which the last is the end of the sampler's grid, and the states.
    """
    starts = jnp.asarray(starts)
    keys = None if key is None else jax.random.split(key, len(starts))
    table = table_of(sampler, fields)
    ends, points = _run_many_recorded(table, fields, starts, keys, conditions)
    times = np.append(np.asarray(table.times), sampler_end(sampler, fields.path))
    return times, jnp.concatenate([points, ends[:, None]], axis=1)


def sampler_end(sampler: TableSampler, path: AffinePath) -> float:
    """The last time of a sampler's grid."""
    grid = getattr(sampler, "grid", None)
    return path.span[1] if grid is None or grid.stop is None else grid.stop


def _batched(run, batch_size: int | None, starts: Array, keys: Array | None, conditions: PyTree) -> Array:
    if batch_size is None or len(starts) <= batch_size:
        return run(starts, keys, conditions)
    # Padded to whole batches, so that the last one compiles nothing of its own.
    count = math.ceil(len(starts) / batch_size)
    rows = np.minimum(np.arange(count * batch_size), len(starts) - 1).reshape(count, batch_size)
    parts = [
        run(starts[row], None if keys is None else keys[row], jax.tree.map(lambda leaf, row=row: leaf[row], conditions))
        for row in rows
    ]
    return jnp.concatenate(parts)[: len(starts)]


@eqx.filter_jit
def _run_many(table: Table, fields: Fields, starts: Array, keys: Array | None, conditions: PyTree) -> Array:
    return jax.vmap(lambda start, key, one: run_table(table, fields, start, key=key, condition=one)[0])(
        starts, keys, conditions
    )


@eqx.filter_jit
def _run_many_recorded(
    table: Table, fields: Fields, starts: Array, keys: Array | None, conditions: PyTree
) -> tuple[Array, Array]:
    return jax.vmap(lambda start, key, one: run_table(table, fields, start, key=key, condition=one))(
        starts, keys, conditions
    )


@eqx.filter_jit
def _solve_many(sampler: Sampler, fields: Fields, starts: Array, keys: Array | None, conditions: PyTree) -> Array:
    return jax.vmap(lambda start, key, one: sampler(fields, start, key=key, condition=one))(starts, keys, conditions)
