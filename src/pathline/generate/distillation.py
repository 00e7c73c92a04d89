"""Distillation: a straight flow becomes a map of one step, or of a few."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.fields import Fields
from pathline.generate.objectives import Regression, Term
from pathline.generate.paths import Linear
from pathline.generate.times import TimeSampler
from pathline.train import fit
from pathline.train.fit import DEFAULT_OPTIMISER


def distill(
    fields: Fields,
    pairs: Paired,
    *,
    steps: int,
    key: Array,
    k: int = 1,
    terms: Sequence[Term] = (Term("velocity"),),
    batch_size: int = 256,
    optimiser: optax.GradientTransformation = DEFAULT_OPTIMISER,
    ema: float | None = 0.999,
    progress: bool | None = None,
) -> Fields:
    """Fit the map `T(z0) = z0 + v(z0, 0)` to pairs of a flow: the regression at `t = 0` alone.

    With `k` steps the times are `0, 1/k, ..., (k-1)/k`, where `Euler(k)` evaluates the velocity. The result is a map and no
    flow any more: between these times its velocity means nothing. As published it comes last, after reflow, when the weights
    begin close to the map; on small images it works as well without.

    Arguments:
        fields: the flow, on the path `Linear()`; one on another path is read on it by `fields.on(Linear())`.
        pairs: of this flow, from `generate_pairs`.
        steps: updates; about as many as for a round of reflow.
        key: of the batches and times.
        k: steps of the map; 1 to 4.
        terms: of the loss. Perceptual ones compare the data: `Term("data", Features(network))`.
        batch_size: pairs in each batch.
        optimiser: any of Optax.
        ema: decay of the moving average of the weights, which is returned; `None` returns the last weights.
        progress: show a bar; by default on a terminal.

    Returns:
        Fields to be sampled by `Euler(k)`.

    Raises:
        InputError: the path is not `Linear()` without a latent, or there are no steps.
        NonFiniteError: the training diverged.

    Source: Liu et al., Flow Straight and Fast, 2023, the paragraph on distillation.
    """
    if not isinstance(fields.path, Linear) or fields.path.has_latent:
        raise InputError(
            f"A map is distilled on the straight path, and these fields are on {type(fields.path).__name__} "
            f"{'with a latent ' if fields.path.has_latent else ''}; read them on it first: fields.on(Linear())."
        )
    coupling = Paired(*jax.tree.map(jnp.asarray, pairs.data))
    found = fit(
        fields,
        coupling.data,
        Regression(coupling, terms, StepTimes(k)),
        steps=steps,
        batch_size=min(batch_size, len(coupling.source)),
        key=key,
        optimiser=optimiser,
        ema=ema,
        progress=progress,
        name="distill",
    )
    return found.model if found.ema_model is None else found.ema_model


class StepTimes(TimeSampler):
    """The times `0, 1/k, ..., (k-1)/k` at which `Euler(k)` evaluates a model, each as often.

    Arguments:
        steps: `k`.

    Raises:
        InputError: there are no steps.
    """

    steps: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.steps < 1:
            raise InputError(f"A map needs at least one step, and {self.steps} were asked for.")

    def quantile(self, u: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """`floor(k u) / k`."""
        return jnp.minimum(jnp.floor(u * self.steps), self.steps - 1) / self.steps

    def cdf(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The share of times up to `t`: a staircase, which has no density."""
        return jnp.clip((jnp.floor(t * self.steps) + 1) / self.steps, 0.0, 1.0)
