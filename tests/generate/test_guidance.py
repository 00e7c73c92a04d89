"""Guidance of Gaussian mixtures, where classes, classifiers and guided scores are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.guidance import guided, guided_by_classifier
from pathline.generate.laws import StudentT
from pathline.generate.mixtures import GaussianMixture
from pathline.generate.paths import Linear, VarianceExploding, VariancePreserving
from pathline.generate.predictions import conversion
from pathline.generate.samplers import Heun, UniformTime, sample

MEANS, VARIANCES = np.asarray([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]), np.asarray([0.2, 0.5, 0.3])
CLASSES = len(MEANS)
KINDS = ["noise", "data", "velocity", "v", "score"]
PATHS = [Linear(), VariancePreserving(), VarianceExploding(0.02, 20.0)]
T, X = 0.6, np.asarray([0.4, -0.3])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def state():
    return jnp.asarray(X)


def denoised(path, t, x, label):
    """Of one class, or of all for the null label."""

    def of(rows):
        mixture = GaussianMixture.of(MEANS[rows], VARIANCES[rows])
        return mixture.posterior_mean(x, path.target_scale(t), path.source_scale(t))

    each = jnp.stack([*(of([row]) for row in range(CLASSES)), of(list(range(CLASSES)))])
    return each[label]


def conditional(path, kind):
    """The exact conditional model in any kind."""

    def model(t, x, label):
        state, weights = conversion(path, ("data",), kind, t)
        return state * x + weights[0] * denoised(path, t, x, label)

    return Fields(path, model, kind)


def log_density(path, t, x, label):
    """Of `x_t` given the class."""
    total = path.target_scale(t) ** 2 * jnp.asarray(VARIANCES) + path.source_scale(t) ** 2
    square = jnp.sum((x - path.target_scale(t) * MEANS) ** 2, axis=1)
    each = -0.5 * square / total - jnp.log(total)
    return jnp.append(each, jax.scipy.special.logsumexp(each) - np.log(CLASSES))[label]


def log_probability(path):
    return lambda t, x, label: log_density(path, t, x, label) - log_density(path, t, x, CLASSES) - np.log(CLASSES)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_classifier_free_guidance_is_a_power_of_the_densities(path, kind):
    fields = guided(conditional(path, kind), 1.5, null=jnp.asarray(CLASSES))
    wanted = jax.grad(lambda x: 2.5 * log_density(path, T, x, 1) - 1.5 * log_density(path, T, x, CLASSES))(state())
    np.testing.assert_allclose(fields.score(T, state(), jnp.asarray(1)), wanted, rtol=1e-9)
    assert fields.predicts == (kind,)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_the_ends_of_classifier_free_guidance(weight):
    fields = conditional(PATHS[0], "velocity")
    label = jnp.asarray(1 if weight == 0 else CLASSES)
    found = guided(fields, weight, null=jnp.asarray(CLASSES)).velocity(T, state(), jnp.asarray(1))
    np.testing.assert_allclose(found, fields.velocity(T, state(), label), rtol=1e-12)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_classifier_gives_the_conditional_model(path, kind):
    fields = conditional(path, kind)
    found = guided_by_classifier(fields, log_probability(path), null=jnp.asarray(CLASSES))
    for label in range(CLASSES):
        at = jnp.asarray(label)
        (wanted,), (given,) = fields.predictions(T, state(), at), found.predictions(T, state(), at)
        np.testing.assert_allclose(given, wanted, rtol=1e-8)
    stronger = guided_by_classifier(fields, log_probability(path), 3.0, null=jnp.asarray(CLASSES))
    wanted = jax.grad(lambda x: log_density(path, T, x, CLASSES) + 3 * log_probability(path)(T, x, 0))(state())
    np.testing.assert_allclose(stronger.score(T, state(), jnp.asarray(0)), wanted, rtol=1e-8)


def test_both_sample_the_class():
    path = Linear()
    starts = jax.vmap(lambda key: path.start(key, (2,)))(jax.random.split(jax.random.key(0), 500))
    labels, null = jnp.ones(500, int), jnp.asarray(CLASSES)
    free = guided(conditional(path, "velocity"), 0.0, null=null)
    led = guided_by_classifier(conditional(path, "velocity"), log_probability(path), null=null)
    # The velocity of the data prediction does not follow at the very ends.
    ends = [sample(one, starts, Heun(40, UniformTime(1e-3, 1 - 1e-3)), conditions=labels) for one in (free, led)]
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-6)
    np.testing.assert_allclose(ends[0].mean(axis=0), MEANS[1], atol=4 * np.sqrt(VARIANCES[1] / 500))
    np.testing.assert_allclose(ends[0].var(axis=0), VARIANCES[1], rtol=0.25)


def test_without_signal_the_classifier_is_silent():
    fields = Fields(Linear(), lambda t, x, c: -x, "velocity")
    found = guided_by_classifier(fields, lambda t, x, label: jnp.sum(x) * label)
    np.testing.assert_array_equal(found.velocity(0.0, state(), jnp.asarray(2.0)), -state())
    assert not np.allclose(found.velocity(0.1, state(), jnp.asarray(2.0)), -state())


def test_models_of_several_predictions():
    path = Linear(latent="brownian")
    fields = Fields(path, lambda t, x, c: (c * x, c + x), ("velocity", "score"))
    velocity, score = guided(fields, 2.0, null=jnp.asarray(0.0)).predictions(T, state(), jnp.asarray(1.0))
    np.testing.assert_allclose(velocity, 3 * state())
    np.testing.assert_allclose(score, state() + 3)


@pytest.mark.parametrize("path", [Linear(latent="brownian"), Linear(law=StudentT(3.0))])
def test_a_classifier_needs_a_score(path):
    fields = Fields(path, lambda t, x, c: x, "velocity")
    with pytest.raises(InputError, match="without a latent"):
        guided_by_classifier(fields, lambda t, x, label: jnp.sum(x))
