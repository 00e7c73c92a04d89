"""The laws of noise against SciPy, the construction of PFGM++, and each other in the limit."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pathline.errors import InputError
from pathline.generate.laws import Gaussian, StudentT, align, noise_law
from pathline.generate.paths import VarianceExploding
from pathline.generate.predictions import check_kinds

KEY = jax.random.key(0)


def draws(law, size, count=20_000, key=KEY):
    return np.asarray(jax.vmap(lambda key: law.sample(key, (size,)))(jax.random.split(key, count)), float)


@pytest.mark.parametrize("size", [3, 64])
@pytest.mark.parametrize("degrees", [1.0, 2.5, 16.0, 128.0])
def test_the_norm_has_the_law_of_fisher(size, degrees):
    squares = (draws(StudentT(degrees), size) ** 2).sum(axis=1) / size
    assert scipy.stats.kstest(squares, scipy.stats.f(size, degrees).cdf).pvalue > 0.01
    # One variate for each coordinate instead of one for all would have another norm.
    if size == 64:
        wrong = np.random.default_rng(0).standard_t(degrees, (20_000, size))
        assert scipy.stats.kstest((wrong**2).sum(axis=1) / size, scipy.stats.f(size, degrees).cdf).pvalue < 1e-6


@pytest.mark.parametrize("degrees", [2.0, 40.0])
def test_the_construction_by_a_beta_variable_is_the_same_law(degrees):
    """PFGM++ draws `|n| = r sqrt(B / (1 - B))` with `B ~ Beta(N/2, D/2)` and `r = sigma sqrt(D)`."""
    size, sigma = 12, 3.0
    share = np.random.default_rng(1).beta(size / 2, degrees / 2, 20_000)
    published = float(align(sigma, degrees)) * np.sqrt(share / (1 - share))
    found = np.linalg.norm(sigma * draws(StudentT(degrees), size), axis=1)
    assert scipy.stats.ks_2samp(found, published).pvalue > 0.01


def test_every_direction_is_alike():
    noise = draws(StudentT(3.0), 2)
    angle = np.arctan2(noise[:, 1], noise[:, 0])
    assert scipy.stats.kstest(angle, scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01


def test_laws_share_directions_and_meet_in_the_limit():
    plain = draws(Gaussian(), 8, 2000)
    for degrees in (1.0, 30.0):
        heavy = draws(StudentT(degrees), 8, 2000)
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (plain, heavy)]
        np.testing.assert_allclose(*unit, atol=1e-5)
    # The norm differs by sqrt(1/(2 D)).
    np.testing.assert_allclose(draws(StudentT(1e6), 8, 2000), plain, rtol=5e-3)
    assert scipy.stats.kstest(draws(StudentT(1e6), 8).ravel(), scipy.stats.norm.cdf).pvalue > 0.01
    assert noise_law(math.inf) == Gaussian() and noise_law(4.0) == StudentT(4.0)


@pytest.mark.parametrize("degrees", [1.5, 3.0, 50.0])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_density_against_scipy(size, degrees):
    with jax.enable_x64(True):
        points = np.random.default_rng(0).normal(size=(20, size)) * 3
        found = jax.vmap(StudentT(degrees).log_density)(jnp.asarray(points))
        wanted = scipy.stats.multivariate_t(np.zeros(size), np.eye(size), degrees).logpdf(points)
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
        plain = jax.vmap(Gaussian().log_density)(jnp.asarray(points))
        np.testing.assert_allclose(plain, scipy.stats.norm.logpdf(points).sum(axis=1), rtol=1e-10)


@pytest.mark.parametrize("degrees", [1.5, 3.0, 50.0])
@pytest.mark.parametrize("size", [1, 2])
def test_density_integrates_to_one(size, degrees):
    """Over radii `r = tan(a)`, which reach infinity."""
    with jax.enable_x64(True):
        angle = (np.arange(20_000) + 0.5) * (np.pi / 2) / 20_000
        radius = np.tan(angle)
        points = np.stack([radius] + [np.zeros_like(radius)] * (size - 1), axis=1)
        density = np.exp(jax.vmap(StudentT(degrees).log_density)(jnp.asarray(points)))
        shell = {1: 2.0, 2: 2 * np.pi * radius}[size]
        total = (density * shell / np.cos(angle) ** 2).mean() * np.pi / 2
        assert total == pytest.approx(1.0, abs=2e-3 if degrees < 2 else 1e-6)


def test_density_keeps_its_digits_for_many_degrees():
    """In single precision the two values of log Gamma alone would be off by one."""
    noise = jnp.asarray(np.random.default_rng(0).normal(size=64), jnp.float32)
    assert float(StudentT(1e6).log_density(noise)) == pytest.approx(float(Gaussian().log_density(noise)), abs=5e-3)


@pytest.mark.parametrize("law", [Gaussian(), StudentT(2.0), StudentT(100.0), StudentT(1e6)], ids=str)
def test_quantiles_of_the_norm(law):
    shares = np.asarray([0.05, 0.5, 0.95])
    norms = np.linalg.norm(draws(law, 10), axis=1)
    below = (norms[:, None] <= law.norm_quantile(shares, 10)).mean(axis=0)
    np.testing.assert_allclose(below, shares, atol=4 * np.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("law", [Gaussian(), StudentT(64.0), StudentT(400.0)], ids=str)
def test_spread_of_the_norm(law):
    norms = np.linalg.norm(draws(law, 64), axis=1) / 8
    assert law.norm_spread(64) == pytest.approx(norms.std(), rel=0.05)


def test_a_path_with_heavy_tails_has_no_score():
    heavy = VarianceExploding(law=StudentT(16.0))
    assert not heavy.has_score and VarianceExploding().has_score
    with pytest.raises(InputError, match="no score is known"):
        check_kinds(heavy, ("score",))


@pytest.mark.parametrize("degrees", [0.0, -1.0, math.inf, math.nan])
def test_impossible_degrees(degrees):
    with pytest.raises(InputError, match="degrees"):
        StudentT(degrees)
