"""Crossing noise: its law for Gaussian data is known, and so is its autocorrelation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.crossing import CrossingNoise, crossing_noise
from pathline.generate.laws import Gaussian, StudentT
from pathline.generate.paths import Linear, VariancePreserving

KEY = jax.random.key(0)


def pairs(count=4000, shape=(4, 4), scale=1.0):
    source_key, target_key = jax.random.split(KEY)
    return Paired(
        jax.random.normal(source_key, (count, *shape)), scale * jax.random.normal(target_key, (count, *shape))
    )


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()], ids=["Linear", "VariancePreserving"])
@pytest.mark.parametrize("t", [0.3, 0.5])
def test_norms_of_gaussian_pairs(path, t):
    """n' + (b/a)(x' - x'') has the variance 1 + 2 (b/a)^2 s^2 in each entry, so its norms are a chi-square."""
    scale = 0.7
    found = crossing_noise(pairs(scale=scale), t, key=KEY, path=path)
    factor = float(path.target_scale(t) / path.source_scale(t))
    variance = 1 + 2 * (factor * scale) ** 2
    assert stats.kstest(found.square_norms() / variance, stats.chi2(16).cdf).pvalue > 0.01
    expected = stats.chi2(16).sf(stats.chi2(16).ppf(0.99) / variance)
    assert found.share_beyond(0.99) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 4000))


def test_the_segments_do_cross():
    given = pairs(50)
    found = crossing_noise(given, 0.3, key=KEY)
    points = 0.7 * given.source + 0.3 * given.target
    # Another pair's data, joined with the new noise, passes through the same point.
    others = (points - 0.7 * found.noise) / 0.3
    distance = jnp.abs(others[:, None] - given.target[None]).reshape(50, 50, -1).max(axis=2)
    assert float(distance.min(axis=1).max()) < 1e-5
    partner = np.asarray(distance.argmin(axis=1))
    assert (partner != np.arange(50)).all(), "no pair meets itself"
    assert len(set(partner.tolist())) == 50, "each is met once"


def test_at_the_noise_it_is_the_noise_itself():
    given = pairs(200)
    np.testing.assert_allclose(crossing_noise(given, 0.0, key=KEY).noise, given.source)


def test_autocorrelation():
    white = CrossingNoise(jax.random.normal(KEY, (4000, 4, 6)), Gaussian())
    correlation = white.autocorrelation()
    assert correlation.shape == (4, 6) and correlation[0, 0] == pytest.approx(1.0)
    assert np.abs(correlation.ravel()[1:]).max() < 5 / np.sqrt(24 * 4000)
    # A moving average of neighbours along one periodic axis is correlated by one half at lag one.
    smooth = white.noise + jnp.roll(white.noise, 1, axis=2)
    found = CrossingNoise(smooth, Gaussian()).autocorrelation()
    direct = np.mean(
        [np.sum(one * np.roll(one, -2, axis=1)) / np.sum(one**2) for one in np.asarray(smooth, np.float64)]
    )
    np.testing.assert_allclose(found[0, 2], direct, rtol=1e-6)
    assert found[0, 1] == pytest.approx(0.5, abs=0.03)
    assert found[1, 0] == pytest.approx(0.0, abs=0.02)


def test_share_beyond_of_typical_noise_is_the_tail():
    for law in (Gaussian(), StudentT(3.0)):
        draws = jax.vmap(lambda key, law=law: law.sample(key, (10,)))(jax.random.split(KEY, 20_000))
        assert CrossingNoise(draws, law).share_beyond(0.9) == pytest.approx(0.1, abs=0.01)


def test_refusals():
    with pytest.raises(InputError, match="two pairs"):
        crossing_noise(pairs(1), 0.5, key=KEY)
    with pytest.raises(InputError, match="no noise left"):
        crossing_noise(pairs(4), 1.0, key=KEY)
    with pytest.raises(InputError, match="starts from data"):
        crossing_noise(pairs(4), 0.5, key=KEY, path=Linear(law=None))
