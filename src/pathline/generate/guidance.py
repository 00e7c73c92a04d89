"""Guidance: a model led towards a condition, by itself or by a classifier; the result is a model like any other."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Real

from pathline.errors import InputError
from pathline.generate.fields import Fields, Model
from pathline.generate.paths import AffinePath, Time
from pathline.generate.predictions import Kind, conversion

LogProbability = Callable[[Time, Float[Array, "*shape"], PyTree], Float[Array, ""]]
"""`log p(condition | x_t)` of a classifier of noisy states."""


def guided(fields: Fields, weight: Real[Array, ""] | float, *, null: PyTree = None) -> Fields:
    """Fields with classifier-free guidance; see `ClassifierFree`.

    Arguments:
        fields: of a conditional model that was trained with some conditions dropped.
        weight: `w`.
        null: the condition that says nothing, with the structure of a condition: the label after the last class, for
            example.

    Returns:
        Fields of the same kinds on the same path.
    """
    return Fields(fields.path, ClassifierFree(fields.model, jnp.asarray(weight, float), null), fields.predicts)


class ClassifierFree(eqx.Module):
    """`m_w(t, x, c) = (1 + w) m(t, x, c) - w m(t, x, null)`, in whatever the model predicts.

    For the score this is that of `p_t(x | c)^(1+w) / p_t(x)^w`; every other kind is the score up to a factor and a multiple
    of the state, so the same combination holds. The model is evaluated twice at each step.

    Arguments:
        model: conditional, trained with some conditions dropped (`Regression(..., drop_condition=0.1, null=...)`).
        weight: `w`: 0 is the conditional model, -1 the unconditional one, 1 to 7 are typical of images.
        null: the condition that says nothing.

    Source: Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, equation 6.
    """

    model: Model
    weight: Float[Array, ""]
    null: PyTree = None

    def __call__(
        self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None
    ) -> Float[Array, "*shape"] | tuple[Array, ...]:
        """The guided prediction of one state, or several."""
        with_it, without = self.model(t, x, condition), self.model(t, x, self.null)
        return jax.tree.map(lambda one, other: one + self.weight.astype(x.dtype) * (one - other), with_it, without)


def guided_by_classifier(
    fields: Fields, log_probability: LogProbability, scale: Real[Array, ""] | float = 1.0, *, null: PyTree = None
) -> Fields:
    """Fields with classifier guidance; see `ClassifierGuided`.

    Arguments:
        fields: of a model that knows no conditions.
        log_probability: `log p(c | x_t)`, as a function of time, state and condition.
        scale: of its gradient.
        null: the condition that the model itself is given.

    Returns:
        Fields of the same kinds on the same path, whose condition is the classifier's.

    Raises:
        InputError: the path has a latent, or noise without a score.
    """
    if fields.path.has_latent or not fields.path.has_score:
        raise InputError(
            f"A classifier's gradient is added to the score, and on the path {type(fields.path).__name__} the score does not "
            "determine the other fields; use a path from Gaussian noise without a latent."
        )
    model = ClassifierGuided(fields, log_probability, jnp.asarray(scale, float), null)
    return Fields(fields.path, model, fields.predicts)


class ClassifierGuided(eqx.Module):
    """A model with `scale grad_x log p(c | x_t)` added to its score, told in the model's own kinds.

    A kind that is `w_x x + w_s score` changes by `w_s scale grad_x log p`; the noise, for example, by `-a scale grad_x log p`.
    With the exact classifier and `scale = 1` the result is the exact conditional model, by Bayes' rule. Exactly where there
    is no signal the state says nothing of the class, and the model is left as it is.

    Arguments:
        fields: of the model, with its path.
        log_probability: `log p(c | x_t)`.
        scale: 1 for the conditional law, 1 to 10 for more typical samples.
        null: the condition that the model itself is given.

    Source: Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021, section 4 and algorithm 2.
    """

    fields: Fields
    log_probability: LogProbability
    scale: Float[Array, ""]
    null: PyTree = None

    def __call__(self, t: Time, x: Float[Array, "*shape"], condition: PyTree = None) -> tuple[Array, ...]:
        """The guided predictions of one state."""
        path = self.fields.path
        found = self.fields.predictions(t, x, self.null)
        gradient = self.scale.astype(x.dtype) * jax.grad(lambda x: self.log_probability(t, x, condition))(x)
        weights = [_weight_of_score(path, kind, t).astype(x.dtype) for kind in self.fields.predicts]
        return tuple(part + weight * gradient for part, weight in zip(found, weights, strict=True))


def _weight_of_score(path: AffinePath, kind: Kind, t: Time) -> Float[Array, ""]:
    """`w_s` of a kind; zero where there is no signal."""
    if kind == "score":
        return jnp.ones_like(path.source_scale(t))
    # By way of the noise, which is -a score and stays finite where there is no noise.
    _, (weight,) = conversion(path, ("noise",), kind, t)
    return jnp.where(path.target_scale(t) == 0, 0.0, -path.source_scale(t) * weight)
