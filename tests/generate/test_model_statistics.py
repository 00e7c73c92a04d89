"""Statistics of models whose Jacobian, expanded quantity and curves are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.model_statistics import ModelStatistics, _smoothed, expanded_and_rate, model_statistics
from pathline.generate.paths import Linear, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Adaptive, sample
from pathline.nets import ResidualMLP
from pathline.train import load_model, save_model

KEY = jax.random.key(0)
MEAN, VARIANCE = np.asarray([0.7, -1.2, 0.3]), np.asarray([0.5, 0.02, 2.0])
PATHS = [VariancePreserving(), VarianceExploding(0.02, 20.0), Linear()]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def gaussian(path):
    return exact_fields(path, GaussianMixture.of(MEAN[None], VARIANCE[None]))


def scales(path, half_log_snr):
    times = [float(path.time_at(level)) for level in half_log_snr]
    return (np.asarray([float(f(t)) for t in times])[:, None] for f in (path.target_scale, path.source_scale))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_gaussian_data(path):
    """`l` is exact from any sample, `f = -l m` does not depend on the state, and so `s = 0` and `b = -l' m`."""
    samples = np.random.default_rng(0).normal(size=(3, 3)) * np.sqrt(VARIANCE) + MEAN
    found = model_statistics(gaussian(path), samples, key=KEY, points=400, window=1, ridge=0.0)
    alpha, sigma = scales(path, found.half_log_snr)
    l = sigma**2 / (alpha**2 * VARIANCE + sigma**2)
    np.testing.assert_allclose(found.l, l, atol=1e-9)
    np.testing.assert_allclose(found.s, 0.0, atol=0.05)
    # With the mean of f this is f', from d/dlambda of e^(-2 lambda) / (c + e^(-2 lambda)).
    np.testing.assert_allclose((found.s * -l * MEAN + found.b)[1:-1], (2 * l * (1 - l) * MEAN)[1:-1], atol=1e-3)
    assert found.half_log_snr.dtype == found.s.dtype == np.float64
    np.testing.assert_allclose(np.diff(found.half_log_snr, 2), 0.0, atol=1e-6)


def test_gaussian_data_in_single_precision():
    with jax.enable_x64(False):
        fields = exact_fields(
            VariancePreserving(), GaussianMixture.of(MEAN[None].astype(np.float32), VARIANCE[None].astype(np.float32))
        )
        samples = (np.random.default_rng(0).normal(size=(64, 3)) * np.sqrt(VARIANCE) + MEAN).astype(np.float32)
        found = model_statistics(fields, samples, key=KEY, points=60)
    alpha, sigma = scales(VariancePreserving(), found.half_log_snr)
    np.testing.assert_allclose(found.l, sigma**2 / (alpha**2 * VARIANCE + sigma**2), atol=0.01)
    np.testing.assert_allclose(found.s, 0.0, atol=0.1)


def test_the_diagonal_is_that_of_the_whole_jacobian():
    path, samples = VariancePreserving(), np.random.default_rng(1).normal(size=(4000, 3))
    fields = Fields(path, ResidualMLP(3, 16, 2, key=KEY), "noise")
    found = model_statistics(fields, samples, key=KEY, points=2, start=0.3, stop=0.8, window=1)
    noise = jax.random.normal(jax.random.split(KEY)[0], samples.shape, float)
    for t, l in ((0.3, found.l[0]), (0.8, found.l[-1])):

        def diagonal(noise, target, t=t):
            x = path.point(t, noise, target)
            return path.source_scale(t) * jnp.diag(jax.jacfwd(lambda x: fields.noise(t, x))(x))

        each = jax.vmap(diagonal)(noise, jnp.asarray(samples))
        # The estimate differs by the entries beside the diagonal, with random signs.
        np.testing.assert_allclose(l, each.mean(axis=0), atol=0.02)
        assert float(jnp.abs(each.mean(axis=0)).max()) > 0.1


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_the_rate_is_the_total_derivative_along_the_flow(path):
    """Against differences of `f` on an accurately solved trajectory."""
    fields = exact_fields(path, GaussianMixture.of(np.asarray([[1.5, 0.0], [-1.0, 1.0]]), 0.1))
    t, step = jnp.asarray(0.55), 1e-4
    x = path.source_scale(t) * jnp.asarray([0.4, -0.9]) + path.target_scale(t) * jnp.asarray([0.2, 0.5])
    level = path.half_log_snr(t)

    def share(level):
        return jax.nn.sigmoid(-level) * jnp.asarray([1.0, 0.7])

    l, l_rate = jax.jvp(share, (level,), (jnp.ones_like(level),))
    _, rate, _ = expanded_and_rate(fields, t, x, l, l_rate)
    ends = []
    for sign in (1, -1):
        stop = path.time_at(level + sign * step)
        there = sample(fields, x[None], Adaptive(1e-12, start=float(t), stop=float(stop)))[0]
        ends.append(expanded_and_rate(fields, stop, there, share(level + sign * step), l_rate)[0])
    np.testing.assert_allclose(rate, (ends[0] - ends[1]) / (2 * step), rtol=2e-5)


def test_the_regression_leaves_no_mean_and_no_correlation():
    path = VariancePreserving()
    fields = exact_fields(path, GaussianMixture.of(np.asarray([[1.5, 0.0], [-1.0, 1.0]]), 0.1))
    samples = np.random.default_rng(2).normal(size=(200, 2))
    found = model_statistics(fields, samples, key=KEY, points=40, ridge=0.0, window=1)
    noise = jax.random.normal(jax.random.split(KEY)[0], samples.shape, float)
    l_rate = np.gradient(found.l, found.half_log_snr, axis=0)
    for point in (0, 17, 40):
        t = path.time_at(found.half_log_snr[point])
        x = jax.vmap(lambda n, y, t=t: path.point(t, n, y))(noise, jnp.asarray(samples))
        l, rate = jnp.asarray(found.l[point]), jnp.asarray(l_rate[point])
        f, f_rate, _ = jax.vmap(lambda x, t=t, l=l, rate=rate: expanded_and_rate(fields, t, x, l, rate))(x)
        residual = f_rate - found.s[point] * f - found.b[point]
        size = float(jnp.abs(f_rate).mean())
        np.testing.assert_allclose(residual.mean(axis=0) / size, 0.0, atol=1e-6)
        correlation = (residual * (f - f.mean(axis=0))).mean(axis=0) / (residual.std(axis=0) * f.std(axis=0))
        np.testing.assert_allclose(correlation, 0.0, atol=1e-6)


def test_the_prediction_does_not_matter_and_neither_do_batches():
    path = VariancePreserving()
    exact = exact_fields(path, GaussianMixture.of(np.asarray([[1.5, 0.0], [-1.0, 1.0]]), 0.1))
    velocity = Fields(path, lambda t, x, c: exact.velocity(t, x), "velocity")
    samples = np.random.default_rng(2).normal(size=(30, 2))
    found = model_statistics(exact, samples, key=KEY, points=8)
    for fields, batch in ((velocity, 256), (exact, 7)):
        other = model_statistics(fields, samples, key=KEY, points=8, batch_size=batch)
        for name in ("l", "s", "b"):
            np.testing.assert_allclose(getattr(other, name), getattr(found, name), rtol=1e-6, atol=1e-9)


def test_conditions_and_forward_derivatives_only():
    """A loop of unknown length has no reverse-mode derivative; conditions reach the model row by row."""
    path = VariancePreserving()

    def model(t, x, condition):
        turned = jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, 0.5 * c[1]), (0, x))[1]
        return condition * turned

    conditions = jnp.asarray([1.0, 2.0, 6.0])
    found = model_statistics(
        Fields(path, model, "noise"), np.ones((3, 2)), key=KEY, conditions=conditions, points=4, window=1
    )
    _, sigma = scales(path, found.half_log_snr)
    np.testing.assert_allclose(found.l, np.broadcast_to(3 * sigma / 8, (5, 2)), rtol=1e-9)


def test_moving_average():
    line = np.linspace(0, 1, 9)[:, None] * np.asarray([1.0, -2.0])
    np.testing.assert_allclose(_smoothed(line, 5), line, atol=1e-12)
    jagged = np.asarray([0.0, 3.0, 0.0, 0.0, 6.0, 0.0])[:, None]
    np.testing.assert_allclose(_smoothed(jagged, 3)[:, 0], [0, 1, 1, 2, 2, 0])
    np.testing.assert_allclose(_smoothed(jagged, 1), jagged)


def test_curves_are_linear_between_points_and_can_be_saved(tmp_path):
    levels = np.asarray([-2.0, 0.0, 3.0])
    curve = np.asarray([[1.0, 2.0], [0.0, 4.0], [3.0, 4.0]])
    found = ModelStatistics(levels, curve, 2 * curve, -curve)
    l, s, b = found.at(np.asarray([-2.0, -1.0, 0.0, 2.0, 3.0]))
    np.testing.assert_allclose(l, [[1, 2], [0.5, 3], [0, 4], [2, 4], [3, 4]])
    np.testing.assert_allclose(s, 2 * l)
    np.testing.assert_allclose(b, -l)
    save_model(tmp_path / "statistics", found)
    again = load_model(tmp_path / "statistics")
    np.testing.assert_array_equal(again.l, found.l)
    assert isinstance(again, ModelStatistics) and again.half_log_snr.dtype == np.float64


def test_mistakes():
    fields, samples = gaussian(VariancePreserving()), np.zeros((4, 3))
    with pytest.raises(InputError, match="Linear has a latent"):
        model_statistics(
            Fields(Linear(latent="brownian"), lambda t, x, c: (x, x), ("velocity", "score")), samples, key=KEY
        )
    with pytest.raises(InputError, match="1 were given"):
        model_statistics(fields, samples[:1], key=KEY)
    with pytest.raises(InputError, match="odd window"):
        model_statistics(fields, samples, key=KEY, window=4)
    with pytest.raises(InputError, match=r"from t = 0.9 to 0.1"):
        model_statistics(fields, samples, key=KEY, start=0.9, stop=0.1)
    with pytest.raises(InputError, match="two points at least"):
        ModelStatistics(np.zeros(2), np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)))
