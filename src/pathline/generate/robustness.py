"""How much a model suffers when it is not followed exactly: noise on the way, few steps, coarse weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, schedule
from pathline.generate.samplers.table import Table, TableSampler, sample


class Injected(TableSampler):
    """Another sampler with noise injected: before every step `x += amount a(t) xi` with `xi ~ N(0, I)`, of which the
    model is not told.

    Arguments:
        sampler: any with fixed steps, without a corrector.
        amount: in units of the noise level; 0.1 to 0.5 tell models apart.

    Source: Xu et al., PFGM++, 2023, section 6.
    """

    sampler: TableSampler
    amount: float = eqx.field(static=True)

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """The sampler's own table with more noise.

        Raises:
            InputError: a corrector would take the noise out again.
        """
        table = self.sampler.table(path, predicts)
        if np.any(table.anchor_record):
            raise InputError(
                f"{type(self.sampler).__name__} corrects the state after the step, so that noise cannot be injected before it; "
                "use a sampler without a corrector."
            )
        # A step begins where the anchor is put to the point. What is added to the point there comes from the row before.
        begins = (np.reshape(table.anchor_anchor, (len(table.times), -1)) == 0).all(axis=1)
        added = self.amount * schedule(path, "source_scale", np.asarray(table.times)) * begins
        before = np.asarray(table.next_noise)
        noise = np.hypot(before, np.append(added[1:], 0.0).reshape(-1, *(1,) * (before.ndim - 1)))
        first = np.asarray(np.hypot(table.first_noise, added[0]))
        return replace(table, next_noise=noise, first_noise=first, stochastic=table.stochastic or self.amount != 0)


def quantise(model: PyTree, bits: int) -> PyTree:
    """A model with coarse weights: every floating-point array with two axes or more is rounded to `2^bits - 1` evenly
    spaced values, symmetric about zero, up to its own largest magnitude. Biases stay as they are.

    Arguments:
        model: any tree.
        bits: 8 is nearly lossless; 6 to 4 tell models apart.

    Raises:
        InputError: there are fewer than two bits.

    Source: Xu et al., PFGM++, 2023, section 6; rounding to nearest, one scale for each array.
    """
    if bits < 2:
        raise InputError(f"Weights need at least two bits, and {bits} was given.")
    levels = 2 ** (bits - 1) - 1

    def rounded(leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf) or leaf.ndim < 2:
            return leaf
        largest = jnp.max(jnp.abs(leaf))
        # An array of zeros stays one.
        step = jnp.where(largest > 0, largest, 1.0) / levels
        return jnp.round(leaf / step) * step

    return jax.tree.map(rounded, model)


def robustness_sweep(
    fields: Fields,
    starts: Float[Array, "sample *shape"],
    sampler: TableSampler,
    quality: Callable[[Float[np.ndarray, "sample *shape"]], float],
    *,
    key: Array,
    inject: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5),
    steps: Sequence[int] = (),
    bits: Sequence[int] = (),
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> Mapping[str, dict[float, float]]:
    """The quality of samples when the sampler is disturbed in three ways, one at a time.

    All runs share starts and keys. Judge the slope: what is lost from the undisturbed value, not one end alone.

    Arguments:
        fields: the model.
        starts: states at the first time of the sampler's grid.
        sampler: undisturbed; with `steps`, one that has them.
        quality: of samples, e.g. their Frechet distance to data; smaller is better.
        key: of the noise.
        inject: amounts of noise for `Injected`.
        steps: numbers of steps.
        bits: of the weights, for `quantise`.
        conditions: for the model, a row for each start.
        batch_size: so many samples at once; all when absent.

    Returns:
        `"inject"`, `"steps"` and `"bits"`: the quality at each value.

    Source: Xu et al., PFGM++, 2023, section 6.
    """

    def judged(fields: Fields, sampler: TableSampler) -> float:
        found = sample(fields, starts, sampler, key=key, conditions=conditions, batch_size=batch_size)
        return float(quality(np.asarray(found)))

    return {
        "inject": {amount: judged(fields, Injected(sampler, amount)) for amount in inject},
        "steps": {count: judged(fields, replace(sampler, steps=count)) for count in steps},
        "bits": {count: judged(quantise(fields, count), sampler) for count in bits},
    }
