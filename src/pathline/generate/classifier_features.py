"""A small classifier whose hidden layer serves as features: for Fréchet distances and perceptual losses on small data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pathline.data import Samples
from pathline.errors import InputError
from pathline.train import fit


class ClassifierFeatures(eqx.Module):
    """A multilayer perceptron of two hidden layers, of which the second is the feature vector.

    Distances in these features are not those of the literature, which uses Inception's: they compare methods with one
    another on one data set, and nothing else.

    Arguments:
        layers: three linear layers.
        mean, scale: pixels are standardised by these.
    """

    layers: tuple[eqx.nn.Linear, ...]
    mean: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, " feature"]:
        """The features of one sample."""
        hidden = (x.reshape(-1) - self.mean) / self.scale
        for layer in self.layers[:-1]:
            hidden = jax.nn.silu(layer(hidden))
        return hidden

    def logits(self, x: Float[Array, "*shape"]) -> Float[Array, " class"]:
        """The logarithm of each class's probability, up to a constant."""
        return self.layers[-1](self(x))


def fit_classifier_features(
    samples: Samples, *, key: Array, width: int = 64, steps: int = 1000, noise: float = 0.3
) -> ClassifierFeatures:
    """Train the classifier, in a few seconds.

    Arguments:
        samples: with labels.
        key: of weights and batches.
        width: of the feature vector; 32 to 128: a Fréchet distance needs several samples for each feature.
        steps: updates of Adam at 1e-3 with 128 samples each.
        noise: standard deviation of noise that is added to the standardised samples, against learning by heart.

    Raises:
        InputError: there are no labels, or only one class.
    """
    if samples.labels is None or len(samples.classes) < 2:
        raise InputError(
            f"Features of a classifier need labels of two classes at least, which {samples.title!r} has not."
        )
    model_key, fit_key = jax.random.split(key)
    values = samples.values.reshape(len(samples), -1).astype("float32")
    sizes = (values.shape[1], 2 * width, width, len(samples.classes))
    keys = jax.random.split(model_key, 3)
    layers = tuple(
        eqx.nn.Linear(inward, outward, key=one) for inward, outward, one in zip(sizes, sizes[1:], keys, strict=False)
    )
    model = ClassifierFeatures(layers, float(values.mean()), float(values.std()) or 1.0)
    found = fit(
        model,
        (values, jnp.asarray(samples.labels)),
        _CrossEntropy(noise),
        steps=steps,
        batch_size=min(128, len(samples)),
        key=fit_key,
        optimiser=optax.adamw(1e-3, weight_decay=1e-3),
        progress=False,
    )
    return found.model


class _CrossEntropy(eqx.Module):
    noise: float = eqx.field(static=True)

    def __call__(
        self, model: ClassifierFeatures, batch: tuple[Float[Array, "batch dim"], Int[Array, " batch"]], key: Array
    ) -> Float[Array, ""]:
        values, labels = batch
        noisy = values + self.noise * model.scale * jax.random.normal(key, values.shape)
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model.logits)(noisy), labels).mean()
