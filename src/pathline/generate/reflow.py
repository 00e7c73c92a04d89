"""Reflow: a flow learns its own pairs of start and end anew, and becomes straight."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.discrepancies import PseudoHuber
from pathline.generate.fields import Fields
from pathline.generate.objectives import Regression, Term
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import solvable_span
from pathline.generate.samplers import Adaptive, Sampler, TableSampler, sample
from pathline.generate.samplers.table import table_of
from pathline.generate.times import TimeSampler, UShaped
from pathline.train import fit
from pathline.train.fit import DEFAULT_OPTIMISER


def reflow(
    fields: Fields,
    pairs: Paired | Float[Array | np.ndarray, "start *shape"],
    *,
    steps: int,
    key: Array,
    batch_size: int = 256,
    optimiser: optax.GradientTransformation = DEFAULT_OPTIMISER,
    ema: float | None = 0.999,
    terms: Sequence[Term] = (),
    times: TimeSampler | None = None,
    progress: bool | None = None,
) -> Fields:
    """The next rectified flow: regression on pairs `(Z0, Z1)` of the present one, beginning with its weights.

    Its marginals are those of the flow before, the convex transport costs `E c(Z1 - Z0)` are no larger, and its paths are
    straighter: `min_k S = O(1/K)` over `K` rounds. One round is nearly always enough, and each adds the errors of its
    pairs and of its fit: at many steps a reflowed model is worse than the first, at few steps much better.

    Arguments:
        fields: the present flow; with the path `Linear()` the next one becomes straight.
        pairs: from `generate_pairs`, or the starts to make them from. Random pairs, or those of the data, would be
            mere further training.
        steps: updates; about half of those of the first flow.
        key: of the batches and times.
        batch_size: pairs in each batch.
        optimiser: any of Optax; a fresh schedule from 1e-3 down to zero is a good one.
        ema: decay of the moving average of the weights, which is returned; `None` returns the last weights.
        terms, times: of the `Regression`; as published the square at uniform times. `reflow_regression` gives what has since
            been found better.
        progress: show a bar; by default on a terminal.

    Returns:
        The next flow.

    Raises:
        InputError: the pairs are not finite or do not fit.
        NonFiniteError: the training diverged.

    Source: Liu et al., Flow Straight and Fast, 2023, algorithm 1 and theorems 3.3, 3.5 and 3.7.
    """
    coupling = pairs if isinstance(pairs, Paired) else generate_pairs(fields, pairs)
    coupling = Paired(*jax.tree.map(jnp.asarray, coupling.data))
    found = fit(
        fields,
        coupling.data,
        Regression(coupling, terms, times),
        steps=steps,
        batch_size=min(batch_size, len(coupling.source)),
        key=key,
        optimiser=optimiser,
        ema=ema,
        progress=progress,
        name="reflow",
    )
    return found.model if found.ema_model is None else found.ema_model


def reflow_regression(fields: Fields) -> tuple[tuple[Term, ...], TimeSampler]:
    """The terms and times of a regression that suit the deterministic pairs of a flow: the pseudo-Huber discrepancy, and
    times near both ends.

    Both are for such pairs only: on independent ones the mean is wanted, which the square alone finds.

    Arguments:
        fields: what is to be trained.

    Returns:
        `terms` and `times` for `reflow` or `Regression`.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024, sections 4.1 and 4.2.
    """
    return tuple(Term(kind, PseudoHuber()) for kind in fields.predicts), UShaped()


def generate_pairs(
    fields: Fields,
    starts: Float[Array | np.ndarray, "start *shape"],
    sampler: Sampler | None = None,
    *,
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> Paired:
    """Pairs `(Z0, Z1)` of a start and where the flow carries it: the coupling of the next rectified flow.

    Arguments:
        fields: the flow.
        starts: states at the first time, drawn anew: `jax.vmap(fields.path.start)` for noise, other data otherwise.
        sampler: of an ODE, from source to target. The error of a coarse one is baked into whatever learns the pairs, so by
            default it is `Adaptive()`; with fixed steps at least 64 of second order.
        conditions: for the model, with a leading axis as long as `starts`.
        batch_size: so many at once, to bound the memory.

    Returns:
        The pairs, with the conditions. Where the path starts from noise the sources are in its unit scale.

    Raises:
        InputError: the sampler is stochastic or runs backwards, or a pair is not finite.
    """
    method = Adaptive() if sampler is None else sampler
    ends = transfer(fields, starts, sampler=method, conditions=conditions, batch_size=batch_size)
    return Paired(jnp.asarray(starts) / _start_scale(fields.path, _ends(method, fields.path)[0]), ends, conditions)


def invert_pairs(
    fields: Fields,
    targets: Float[Array | np.ndarray, "target *shape"],
    sampler: Sampler | None = None,
    *,
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> Paired:
    """Pairs of given data and the starts from which the flow comes to them: real data among the pairs of a reflow.

    Arguments:
        fields: the flow.
        targets: the data.
        sampler: from target to source; see `transfer`.
        conditions: for the model, with a leading axis as long as `targets`.
        batch_size: so many at once, to bound the memory.

    Returns:
        The pairs, in the form of `generate_pairs`.

    Raises:
        InputError: the sampler is stochastic or runs forwards, or a pair is not finite.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024, section 4.4.
    """
    method = _backwards(fields) if sampler is None else sampler
    starts = transfer(fields, targets, reverse=True, sampler=method, conditions=conditions, batch_size=batch_size)
    return Paired(starts / _start_scale(fields.path, _ends(method, fields.path)[1]), jnp.asarray(targets), conditions)


def transfer(
    fields: Fields,
    x: Float[Array | np.ndarray, "sample *shape"],
    *,
    reverse: bool = False,
    sampler: Sampler | None = None,
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> Float[Array, "sample *shape"]:
    """Carry samples of one end of a path to the other: between two data sets, or from data to their noise and back.

    Arguments:
        fields: the flow.
        x: states at the first time of the path's span; at the last with `reverse`.
        reverse: from target to source.
        sampler: of an ODE; `Adaptive()` when absent. With `reverse` its grid must run backwards, as in
            `Heun(64, UniformTime(1.0, 0.0))` or `Adaptive(start=1.0, stop=0.0)`.
        conditions: for the model, with a leading axis as long as `x`.
        batch_size: so many at once, to bound the memory.

    Returns:
        The states at the other end. Backwards, where the velocity does not follow from the prediction at the data, the
        default begins 1e-4 before them.

    Raises:
        InputError: the sampler is stochastic or runs the other way, or an end is not finite.

    Source: Liu et al., Flow Straight and Fast, 2023, algorithm 1.
    """
    if sampler is None:
        sampler = _backwards(fields) if reverse else Adaptive()
    first, last = _ends(sampler, fields.path)
    if isinstance(sampler, TableSampler) and table_of(sampler, fields).stochastic:
        raise InputError(
            f"{type(sampler).__name__} is stochastic, so an end does not belong to its start; use an ODE sampler."
        )
    if (first > last) != reverse:
        raise InputError(
            f"This sampler runs from t = {first:g} to {last:g}, the wrong way; give one from "
            + ("target to source, such as Adaptive(start=1.0, stop=0.0)." if reverse else "source to target.")
        )
    found = sample(fields, x, sampler, conditions=conditions, batch_size=batch_size)
    bad = np.flatnonzero(~np.isfinite(np.asarray(found).reshape(len(found), -1)).all(axis=1))
    if len(bad):
        raise InputError(
            f"{len(bad)} of {len(found)} samples are not finite at the other end, the first of them number {bad[0]}; "
            "the model may have diverged, or Adaptive needs a larger tolerance or max_steps."
        )
    return found


def _backwards(fields: Fields) -> Adaptive:
    first, last = fields.path.span
    begin, _ = solvable_span(fields.path, fields.predicts, last, first)
    return Adaptive(start=begin, stop=first)


def _ends(sampler: Sampler, path: AffinePath) -> tuple[float, float]:
    """The first and the last time of a sampler."""
    holder = getattr(sampler, "grid", sampler)
    given = getattr(holder, "start", None), getattr(holder, "stop", None)
    first, last = (span if end is None else end for end, span in zip(given, path.span, strict=True))
    return float(first), float(last)


def _start_scale(path: AffinePath, first: float) -> Array:
    """The scale of unit noise at the first time; one for data."""
    return jnp.ones(()) if path.law is None else path.source_scale(first)
