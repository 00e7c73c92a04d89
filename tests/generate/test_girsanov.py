"""Girsanov's bound against divergences that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.couplings import Pairs
from pathline.generate.fields import Fields
from pathline.generate.girsanov import FieldErrors, field_errors
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear

PATH = Linear(latent="brownian", strength=2.0, law=None)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def setting(velocity, score):
    """Exact fields between two Gaussians, and the same with errors added."""
    source = GaussianMixture.of(jnp.zeros((1, 1)), 1.0)
    exact = exact_fields(PATH, GaussianMixture.of(jnp.ones((1, 1)), 0.5), source)

    def model(t, x, condition):
        b, s = exact.model(t, x, condition)
        return b + velocity(t, x), s + score(t, x)

    return exact, Fields(PATH, model, ("velocity", "score"))


def pairs(count=2000):
    keys = jax.random.split(jax.random.key(0))
    return Pairs(jax.random.normal(keys[0], (count, 1)), 1 + np.sqrt(0.5) * jax.random.normal(keys[1], (count, 1)))


def test_errors_that_are_known():
    """Constant errors have these squares and this product; with time their integrals."""
    exact, model = setting(lambda t, x: 0.3 * t, lambda t, x: -0.2)
    times = jnp.linspace(0.01, 0.99, 99)
    errors = field_errors(model, exact, pairs(10), times, key=jax.random.key(1))
    np.testing.assert_allclose(errors.velocity, 0.09 * times**2, rtol=1e-9)
    np.testing.assert_allclose(errors.score, 0.04, rtol=1e-9)
    np.testing.assert_allclose(errors.product, -0.06 * times, rtol=1e-9)
    span = times[-1] - times[0]
    square = 0.09 * (times[-1] ** 3 - times[0] ** 3) / 3
    np.testing.assert_allclose(errors.separate_bound(0.5), square + 0.01 * span, rtol=1e-3)
    np.testing.assert_allclose(errors.best_diffusion, np.sqrt(square / (0.04 * span)), rtol=1e-3)


def test_the_mean_is_over_the_states_of_the_path():
    """An error that is the state itself has the second moment of the path."""
    exact, model = setting(lambda t, x: x, lambda t, x: 0 * x)
    times = jnp.asarray([0.2, 0.5, 0.8])
    errors = field_errors(model, exact, pairs(40000), times, key=jax.random.key(1))
    variance = (1 - times) ** 2 + times**2 * 0.5 + 2 * times * (1 - times)
    np.testing.assert_allclose(errors.velocity, variance + times**2, rtol=0.03)


def test_the_best_strength_is_best():
    errors = FieldErrors(jnp.linspace(0, 1, 5), jnp.full(5, 0.3), jnp.full(5, 0.07), jnp.full(5, 0.05))
    best = errors.best_diffusion
    for bound in (errors.bound, errors.separate_bound):
        values = [float(bound(best * factor)) for factor in (0.5, 0.9, 1.0, 1.1, 2.0)]
        assert np.argmin(values) == 2
    np.testing.assert_allclose(errors.separate_bound(best), jnp.sqrt(0.3 * 0.07), rtol=1e-12)
    # (u + v)^2 <= 2 u^2 + 2 v^2
    assert all(float(errors.bound(eps)) <= float(errors.separate_bound(eps)) for eps in (0.01, 1.0, 50.0))
    np.testing.assert_allclose(errors.bound(jnp.full(5, 2.0)), errors.bound(2.0))


@pytest.mark.parametrize("eps", [0.1, 0.5, 2.0, 8.0])
def test_the_divergence_of_a_shifted_drift_is_below(eps):
    """With a constant error of the velocity the ends are a Gaussian with another mean, which solves a linear equation:
    its divergence is known, and below the bound for every noise."""
    shift = 0.4
    exact, model = setting(lambda t, x: shift, lambda t, x: 0 * x)
    times = jnp.linspace(1e-3, 1 - 1e-3, 4001)
    density = jax.vmap(lambda t: exact.model.density(t).variances[0, 0])(times)
    rate = jax.vmap(jax.grad(lambda t: exact.model.density(t).variances[0, 0]))(times)
    # The mean's error obeys d delta/dt = shift + (C'/2C - eps/C) delta.
    slope = (0.5 * rate - eps) / density
    h = times[1] - times[0]
    delta = jax.lax.scan(lambda d, k: (d + h * (shift + k * d), None), 0.0, slope)[0]
    divergence = delta**2 / (2 * density[-1])
    bound = field_errors(model, exact, pairs(4), times[::100], key=jax.random.key(2)).bound(eps)
    np.testing.assert_allclose(bound, shift**2 / (4 * eps), rtol=5e-3)
    assert 0 < float(divergence) < float(bound)


def test_a_path_without_score_is_refused():
    path = Linear(law=None)
    fields = Fields(path, lambda t, x, condition: x, "velocity")
    with pytest.raises(InputError, match="no score"):
        field_errors(fields, fields, pairs(4), jnp.asarray([0.2, 0.4]), key=jax.random.key(0))
