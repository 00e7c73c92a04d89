"""The loss of every model on a path: a regression on what is known of a pair."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.couplings import Coupling, Independent, Pairs
from pathline.generate.discrepancies import Discrepancy, Squared
from pathline.generate.fields import Fields
from pathline.generate.predictions import Kind, truth
from pathline.generate.times import TimeSampler, Uniform
from pathline.generate.weightings import Constant, Weighting


class Term(eqx.Module):
    """One part of the loss.

    Arguments:
        kind: in which the prediction is compared; need not be what the model predicts.
        discrepancy: how.
        weighting: of each time.
    """

    kind: Kind = eqx.field(static=True)
    discrepancy: Discrepancy = Squared()
    weighting: Weighting = Constant()


class Regression(eqx.Module):
    """`E w(t) m(prediction(t, x_t), truth(t, x0, x1, z))` over times, pairs and latents, as a loss for `pathline.train.fit`.

    The square makes the prediction the mean of the truth given `x_t`: flow matching, score matching, denoising and
    stochastic interpolants are this with other paths and kinds. It differs from the losses `E[|b|^2 / 2 - b . truth]` of
    the stochastic interpolants by a constant and a factor, and has their gradient.

    Arguments:
        coupling: which source belongs to which target.
        terms: parts of the loss; by default one for each kind that the model predicts.
        times: where it is learnt; `Uniform`, within [1e-4, 1 - 1e-4] where the path has a latent, when absent.
        antithetic: use `z` and `-z` for each pair: where `gamma'` is infinite the loss has no useful variance
            otherwise. By default on when the path has a latent; it doubles the evaluations.
        drop_condition: the share of pairs whose condition is replaced by `null`, for guidance; 0.1 is a good value.
        null: the condition that says nothing, e.g. the label after the last class.

    Source: Albergo et al., Stochastic Interpolants, 2025, equations 2.13 to 2.19 and section 6.2.
    """

    coupling: Coupling
    terms: tuple[Term, ...]
    times: TimeSampler | None
    antithetic: bool | None = eqx.field(static=True)
    drop_condition: float = eqx.field(static=True)
    null: PyTree

    def __init__(
        self,
        coupling: Coupling,
        terms: Sequence[Term] = (),
        times: TimeSampler | None = None,
        *,
        antithetic: bool | None = None,
        drop_condition: float = 0.0,
        null: PyTree = None,
    ):
        if drop_condition and null is None:
            raise InputError("To drop conditions, give the null condition, e.g. the label after the last class.")
        self.coupling, self.terms, self.times = coupling, tuple(terms), times
        self.antithetic, self.drop_condition, self.null = antithetic, drop_condition, null

    def __call__(self, fields: Fields, batch: PyTree, key: Array) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss of a batch of rows of `coupling.data`.

        Arguments:
            fields: what is trained.
            batch: rows of `coupling.data`.
            key: of times, sources, latents and dropped conditions.

        Returns:
            The loss and, with several terms, each of them by the name of its kind.
        """
        law = fields.path.law
        if isinstance(self.coupling, Independent) and law != self.coupling.law:
            raise InputError(
                f"The path starts from {law or 'data'} and the coupling from {self.coupling.law or 'data'}; give the path "
                f"law={self.coupling.law}, or the coupling that source."
            )
        pair_key, time_key, latent_key, drop_key = jax.random.split(key, 4)
        pairs = self.coupling.pair(batch, pair_key)
        times = self.times or (Uniform(1e-4, 1 - 1e-4) if fields.path.has_latent else Uniform())
        drawn = times.sample(time_key, len(pairs))
        latent = jax.random.normal(latent_key, pairs.target.shape) if fields.path.has_latent else pairs.source
        condition = pairs.condition
        if self.drop_condition and condition is not None:
            dropped = jax.random.bernoulli(drop_key, self.drop_condition, (len(pairs),))
            condition = jax.tree.map(
                lambda kept, null: jnp.where(dropped.reshape(-1, *(1,) * (kept.ndim - 1)), null, kept),
                condition,
                self.null,
            )
        terms = self.terms or tuple(Term(kind) for kind in fields.predicts)
        antithetic = fields.path.has_latent if self.antithetic is None else self.antithetic

        def losses(t: Array, source: Array, target: Array, latent: Array, condition: PyTree) -> Array:
            found = loss_terms(fields, terms, t, source, target, latent, condition)
            if antithetic and fields.path.has_latent:
                found = 0.5 * (found + loss_terms(fields, terms, t, source, target, -latent, condition))
            return found

        each = jax.vmap(losses)(drawn, pairs.source, pairs.target, latent, condition).mean(axis=0)
        named = {term.kind: each[place] for place, term in enumerate(terms)} if len(terms) > 1 else {}
        return each.sum(), named


def loss_terms(
    fields: Fields,
    terms: Sequence[Term],
    t: Float[Array, ""],
    source: Float[Array, "*shape"],
    target: Float[Array, "*shape"],
    latent: Float[Array, "*shape"],
    condition: PyTree = None,
) -> Float[Array, " term"]:
    """The weighted discrepancy of each term for one pair at one time, from one evaluation of the model."""
    path = fields.path
    x = path.point(t, source, target, latent if path.has_latent else None)
    known = fields.predictions(t, x, condition)
    found = []
    for term in terms:
        predicted = fields.combined(known, term.kind, t, x)
        wanted = truth(path, term.kind, t, source, target, latent)
        found.append(term.weighting(path, t) * term.discrepancy(predicted, wanted))
    return jnp.stack(found)


def losses_by_time(
    fields: Fields,
    pairs: Pairs,
    times: Float[Array, " time"],
    *,
    key: Array,
    term: Term | None = None,
) -> Float[Array, " time"]:
    """The mean loss at each of several times: where on the path learning is left to be done.

    Arguments:
        fields: the model.
        pairs: held-out pairs.
        times: where to look.
        key: of the latents.
        term: which loss; the square of the first prediction when absent.
    """
    terms = (Term(fields.predicts[0]) if term is None else term,)
    latents = jax.random.normal(key, pairs.target.shape)

    def at(t: Array) -> Array:
        one = jax.vmap(lambda *row: loss_terms(fields, terms, t, *row))
        return one(pairs.source, pairs.target, latents, pairs.condition).mean()

    return jax.lax.map(at, times)
