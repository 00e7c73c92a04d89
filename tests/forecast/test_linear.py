"""Linear regression on delays recovers what is linear."""

import jax
import numpy as np
import pytest

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast import Linear, evaluate

KEY = jax.random.key(0)


def second_order(rows: int, *, noise: float = 0.0) -> np.ndarray:
    """`x(t + 1) = 1.6 x(t) - 0.95 x(t - 1) + e(t)`."""
    rng = np.random.default_rng(0)
    values = [1.0, 0.7]
    for _ in range(rows - 2):
        values.append(1.6 * values[-1] - 0.95 * values[-2] + noise * rng.normal())
    return np.asarray(values)


def test_an_oscillation_is_continued_exactly():
    times = np.arange(240.0)
    values = np.stack([np.sin(0.3 * times) + 2.0, np.cos(0.3 * times) + np.sin(0.71 * times)], axis=1)
    forecast = (
        Linear()
        .fit(Series.from_arrays(times, values), horizon=10, key=KEY)
        .forecast(Series.from_arrays(times[:-40], values[:-40]), 40)
    )
    np.testing.assert_allclose(forecast.mean, values[-40:], atol=1e-6)


def test_an_autoregression_is_recovered():
    values = second_order(200)
    series = Series.from_arrays(None, values[:60])
    forecast = Linear(lags=2, ridge=1e-14).fit(series, horizon=5, key=KEY).forecast(series, 12)
    np.testing.assert_allclose(forecast.mean[:, 0], values[60:72], atol=1e-6)


def test_errors_on_a_noisy_autoregression_are_the_least_possible():
    """The best possible error at lead `h` has the variance `sum_{j < h} psi_j^2` of the moving-average form."""
    series = Series.from_arrays(None, second_order(6000, noise=1.0))
    evaluation = evaluate(Linear(lags=4, ridge=1e-6).fit(series[:4000], horizon=8, key=KEY), series, start=4000)
    response = np.zeros(8)
    response[:2] = 1.0, 1.6
    for lead in range(2, 8):
        response[lead] = 1.6 * response[lead - 1] - 0.95 * response[lead - 2]
    least = np.sqrt(np.cumsum(response**2))
    np.testing.assert_allclose(evaluation.rmse_by_horizon(), least, rtol=0.15)
    # And with errors that are stationary, the intervals hold what they promise.
    for level, coverage in evaluation.coverage().items():
        assert coverage == pytest.approx(level, abs=0.04)


def test_a_trend_far_beyond_the_training_range_is_followed():
    series = Series.from_arrays(None, 0.5 * np.arange(400.0) + np.sin(np.arange(400.0)))
    evaluation = evaluate(Linear().fit(series[:200], horizon=6, key=KEY), series, start=350)
    assert evaluation.metrics()["rmse"] < 1e-4


def test_noise_is_not_learnt():
    """On white noise nothing beats the mean, whose error is the standard deviation."""
    series = Series.from_arrays(None, np.random.default_rng(0).normal(size=4000))
    evaluation = evaluate(Linear().fit(series[:3000], horizon=3, key=KEY), series, start=3000)
    assert evaluation.metrics()["rmse"] == pytest.approx(np.nanstd(evaluation.truth), rel=0.02)


def test_too_many_lags_are_refused():
    series = Series.from_arrays(None, np.arange(40.0))
    with pytest.raises(InputError, match="30 rows to learn from, too few for 20 lags and a horizon of 4"):
        Linear(lags=20).fit(series, horizon=4, key=KEY)
    with pytest.raises(InputError, match="lags of linear cannot be 0; it must be at least 1"):
        Linear(lags=0).fit(series, horizon=4, key=KEY)
