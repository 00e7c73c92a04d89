"""Densities of times: normalised, sampled as they say, and inverse to their quantiles."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pathline.errors import InputError
from pathline.generate.paths import Linear, VarianceExploding, VariancePreserving
from pathline.generate.times import LogitNormal, LogNormalLevel, Uniform, UShaped

SAMPLERS = {
    "uniform": Uniform(),
    "part": Uniform(0.1, 0.7),
    "u-shaped": UShaped(),
    "steep": UShaped(9.0),
    "logit-normal": LogitNormal(0.4, 0.8),
    "edm": LogNormalLevel(VarianceExploding()),
    "edm-vp": LogNormalLevel(VariancePreserving()),
    "edm-linear": LogNormalLevel(Linear(), -0.8, 1.5),
}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", SAMPLERS)
def test_quantiles_are_the_inverse_of_the_distribution_function(name):
    sampler = SAMPLERS[name]
    u = jnp.linspace(0.02, 0.98, 49)
    t = sampler.quantile(u)
    assert ((t >= 0) & (t <= 1)).all() and (jnp.diff(t) > 0).all()
    np.testing.assert_allclose(sampler.cdf(t), u, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_densities_integrate_to_their_distribution_function(name):
    sampler = SAMPLERS[name]
    low, high = (float(sampler.quantile(jnp.asarray(u))) for u in (0.05, 0.95))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    density = sampler.density(jnp.asarray(low + (high - low) * (nodes + 1) / 2))
    assert (high - low) / 2 * float(weights @ density) == pytest.approx(0.9, abs=1e-8)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_follow_the_distribution_function(name):
    """Each draw by itself: one from each of many calls, as those of one call are spread evenly on purpose."""
    sampler = SAMPLERS[name]
    drawn = jax.jit(jax.vmap(lambda key: sampler.sample(key, 16)[0]))(jax.random.split(jax.random.key(0), 2000))
    assert stats.kstest(np.asarray(drawn), lambda t: np.asarray(sampler.cdf(jnp.asarray(t)))).pvalue > 0.01


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_call_has_one_draw_in_each_share(name):
    sampler = SAMPLERS[name]
    shares = np.sort(sampler.cdf(sampler.sample(jax.random.key(1), 40))) * 40
    np.testing.assert_array_equal(np.floor(shares + 1e-6), np.arange(40))


@pytest.mark.parametrize("a", [0.5, 4.0, 9.0])
def test_u_shaped_closed_form(a):
    """The density (a/2)(exp(a t) + exp(a (1-t))) / (exp(a) - 1), which is proportional to cosh(a (t - 1/2))."""
    sampler = UShaped(a, margin=0.0)
    t = jnp.linspace(0.001, 0.999, 101)
    recipe = 0.5 * a * (jnp.exp(a * t) + jnp.exp(a * (1 - t))) / math.expm1(a)
    np.testing.assert_allclose(sampler.density(t), recipe, rtol=1e-10)
    shape = recipe / jnp.cosh(a * (t - 0.5))
    np.testing.assert_allclose(shape, shape[0], rtol=1e-10)
    np.testing.assert_allclose(sampler.density(t), sampler.density(1 - t), rtol=1e-10)


def test_u_shaped_is_the_published_way_of_sampling():
    """Exponential times, half of them reflected, squeezed into the margins."""
    a, margin = 4.0, 1e-5
    rng = np.random.default_rng(0)
    t = np.log1p(rng.uniform(size=5000) * math.expm1(a)) / a
    t = margin + (1 - 2 * margin) * np.where(rng.uniform(size=5000) < 0.5, t, 1 - t)
    assert stats.kstest(t, lambda t: np.asarray(UShaped(a, margin).cdf(jnp.asarray(t)))).pvalue > 0.01


def test_u_shaped_becomes_uniform():
    t = jnp.linspace(0.01, 0.99, 21)
    np.testing.assert_allclose(UShaped(1e-3, margin=0.0).density(t), 1.0, atol=1e-6)
    np.testing.assert_allclose(UShaped(1e-3, margin=0.0).quantile(t), t, atol=1e-6)


def test_u_shaped_stays_in_its_margins():
    ends = UShaped().quantile(jnp.asarray([0.0, 1.0]))
    np.testing.assert_allclose(ends, [1e-5, 1 - 1e-5], atol=1e-12)
    # In single precision too, where 1/t and ln(t/(1-t)) are taken next.
    single = UShaped().sample(jax.random.key(0), 4096).astype(jnp.float32)
    assert (single > 0).all() and (single < 1).all()


def test_noise_levels_are_log_normal():
    """Where the span of the path does not cut them off."""
    path = VarianceExploding(1e-6, 1e6)
    times = LogNormalLevel(path).sample(jax.random.key(2), 4000)
    levels = np.log(jax.vmap(path.noise_level)(times))
    assert stats.kstest(levels, stats.norm(-1.2, 1.2).cdf).pvalue > 0.01
    cut = LogNormalLevel(VarianceExploding(0.1, 1.0)).sample(jax.random.key(2), 1000)
    assert cut.min() >= 0 and cut.max() <= 1


def test_logit_normal_against_scipy():
    t = jnp.linspace(0.05, 0.95, 19)
    logit = jnp.log(t / (1 - t))
    expected = stats.norm(0.4, 0.8).pdf(logit) / (t * (1 - t))
    np.testing.assert_allclose(SAMPLERS["logit-normal"].density(t), expected, rtol=1e-8)


def test_refusals():
    with pytest.raises(InputError, match="positive steepness"):
        UShaped(0.0)
