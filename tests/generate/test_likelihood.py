"""Densities by the flow against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import StudentT
from pathline.generate.likelihood import log_density
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Mirror, Trigonometric, VarianceExploding, VariancePreserving

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def densities(fields, points, **options):
    return np.asarray(eqx.filter_jit(jax.vmap(lambda x: log_density(fields, x, **options)))(points))


def mixture():
    return GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-1.0, 1.0]]), 0.3, jnp.asarray([0.7, 0.3]))


@pytest.mark.parametrize(
    "path",
    [Linear(), Trigonometric(), VariancePreserving(end=1e-4), VarianceExploding(0.01, 300.0)],
    ids=lambda p: type(p).__name__,
)
def test_the_density_of_a_mixture(path):
    """At the end of the path, a trifle of noise included, and from a start that is all but noise."""
    points = jax.random.normal(KEY, (20, 2)) * 1.5
    target = mixture()

    def law(t):
        signal, noise = float(path.target_scale(t)), float(path.source_scale(t))
        return GaussianMixture.of(signal * target.means, signal**2 * 0.3 + noise**2, jnp.asarray([0.7, 0.3]))

    first, last = path.span
    last = last if path.source_scale(last) > 1e-3 else 1 - 1e-4
    fields, expected = exact_fields(path, target), jax.vmap(law(last).log_density)(points)
    exact = densities(fields, points, tolerance=1e-9, base=law(first).log_density)
    np.testing.assert_allclose(exact, expected, atol=1e-5)
    # Means of the data are 2 at most: what the start keeps of them is missing in the noise alone.
    left = 2 * float(path.target_scale(first) / path.source_scale(first))
    np.testing.assert_allclose(densities(fields, points, tolerance=1e-6), expected, atol=1e-4 + 4 * left)


def test_it_integrates_to_one():
    """On the line, for a model that is not exact: every velocity is the flow of some density."""

    def model(t, x, condition):
        return jnp.sin(3 * x + t) + 0.5 * x * jnp.cos(5 * t)

    x = jnp.linspace(-12, 12, 2001)[:, None]
    found = np.exp(densities(Fields(Linear(), model), x, tolerance=1e-7))
    assert np.trapezoid(found, np.asarray(x[:, 0])) == pytest.approx(1.0, abs=1e-5)
    assert (found > 0).all()


def test_between_two_mixtures_with_a_base():
    """From data to data, with a latent: the density is that of the target, with a margin at the ends of the span."""
    path = Linear(latent="brownian", strength=2.0, law=None)
    source = GaussianMixture.of(jnp.asarray([[-3.0, 0.0], [3.0, 1.0]]), 0.4)
    fields = exact_fields(path, mixture(), source)
    points = jax.random.normal(KEY, (12, 2))
    begin, end = (fields.model.density(t) for t in path.span)
    found = densities(fields, points, tolerance=1e-8, base=begin.log_density)
    np.testing.assert_allclose(found, jax.vmap(end.log_density)(points), atol=1e-5)


def test_noise_with_a_latent_starts_wider():
    """`a n + gamma z` at the start of the span is one Gaussian."""
    path = Linear(latent="brownian", strength=2.0)
    source = GaussianMixture.of(jnp.zeros((1, 2)), 1.0)
    fields = exact_fields(path, GaussianMixture.of(jnp.zeros((1, 2)), 0.5), source)
    points = jax.random.normal(KEY, (12, 2))
    expected = jax.vmap(fields.model.density(path.span[1]).log_density)(points)
    np.testing.assert_allclose(densities(fields, points, tolerance=1e-8), expected, atol=5e-5)


def test_heavy_tails():
    """The start is Student's law. A velocity `-c x` only scales it."""
    path = VarianceExploding(0.02, 2.0, law=StudentT(3.0))
    fields = Fields(path, lambda t, x, condition: -1.5 * x, "velocity")
    points = jax.random.normal(KEY, (5, 2))
    shrink = np.exp(-1.5)
    expected = jax.vmap(path.law.log_density)(points / (2.0 * shrink)) - 2 * np.log(2.0 * shrink)
    np.testing.assert_allclose(densities(fields, points, tolerance=1e-9), expected, atol=1e-6)


def test_hutchinson_is_unbiased():
    """With off-diagonal slopes, so that one probe is wrong and the mean of many right; on the line one is exact."""
    turn = jnp.asarray([[0.3, 0.9, 0.0], [0.5, -0.4, 0.2], [0.0, -0.6, 0.2]])
    fields = Fields(Linear(), lambda t, x, condition: jnp.tanh(turn @ x), "velocity")
    x = jnp.asarray([0.4, -1.0, 0.3])
    exact = float(log_density(fields, x, tolerance=1e-7))
    keys = jax.random.split(KEY, 400)
    found = jax.jit(jax.vmap(lambda key: log_density(fields, x, tolerance=1e-5, divergence="hutchinson", key=key)))(
        keys
    )
    assert float(found.std()) > 0.1
    assert abs(float(found.mean()) - exact) < 4 * float(found.std()) / 20
    many = jax.jit(
        jax.vmap(lambda key: log_density(fields, x, tolerance=1e-5, divergence="hutchinson", probes=16, key=key))
    )(keys[:50])
    assert float(many.std()) < 0.5 * float(found.std())
    line = Fields(Linear(), lambda t, x, condition: jnp.sin(2 * x) * t)
    one = log_density(line, x[:1], divergence="hutchinson", key=KEY)
    np.testing.assert_allclose(one, log_density(line, x[:1]), atol=1e-6)


def test_conditions_shapes_and_precision():
    """The shift of a condition moves the density, whatever the shape of a state."""

    def model(t, x, condition):
        return jnp.full_like(x, condition)

    x = jnp.zeros((1, 2, 2))
    found = log_density(Fields(Linear(), model), x, condition=jnp.asarray(2.0))
    assert float(found) == pytest.approx(-0.5 * 4 * 4 - 2 * np.log(2 * np.pi), abs=1e-6)
    with jax.enable_x64(False):
        assert log_density(Fields(Linear(), model), jnp.zeros(2), condition=jnp.asarray(1.0)).dtype == jnp.float32


def test_gradients_flow_through_it():
    """Training by likelihood: the derivative in a scale `c` of `b = c x` is that of `-n c` and of the start."""

    def density(c):
        return log_density(Fields(Linear(), lambda t, x, condition: c * x), jnp.asarray([0.7, -0.2]), tolerance=1e-9)

    square = 0.7**2 + 0.2**2
    np.testing.assert_allclose(jax.grad(density)(0.3), -2 + square * np.exp(-0.6), rtol=1e-5)


def test_what_cannot_be_told():
    fields = Fields(Linear(law=None), lambda t, x, condition: x, "velocity")
    x = jnp.zeros(2)
    with pytest.raises(InputError, match="starts from data, whose density is not known; give base"):
        log_density(fields, x)
    with pytest.raises(InputError, match="Mirror starts from data"):
        jax.jit(lambda x: log_density(Fields(Mirror(), lambda t, x, condition: x, "velocity"), x))(x)
    noise = Fields(Linear(), lambda t, x, condition: 50 * jnp.sin(40 * x), "velocity")
    with pytest.raises(InputError, match=r"random; pass key"):
        log_density(noise, x, divergence="hutchinson")
    with pytest.raises(InputError, match="at least one probe"):
        log_density(noise, x, divergence="hutchinson", probes=0, key=KEY)
    assert np.isnan(log_density(noise, x + 0.1, max_steps=3)), "too few steps"
