"""Polynomials of delays: exact where the truth is a polynomial, long-lived on Lorenz's attractor, bounded elsewhere."""

from itertools import combinations_with_replacement
from math import prod

import jax
import numpy as np
import pytest

from pathline.data import Series, Standardiser
from pathline.errors import InputError
from pathline.forecast import NextGenerationReservoir, evaluate
from pathline.forecast.forecaster import standardised
from pathline.forecast.next_generation_reservoir import polynomial_features
from pathline.forecast.point import predict
from pathline.measure import valid_prediction_time
from pathline.systems import LORENZ63_LYAPUNOV, lorenz63

KEY = jax.random.key(0)


def henon(rows: int) -> np.ndarray:
    """Hénon's map in one variable: `x(t + 1) = 1 - 1.4 x(t)^2 + 0.3 x(t - 1)`."""
    values = [0.1, 0.2]
    for _ in range(rows - 2):
        values.append(1.0 - 1.4 * values[-1] ** 2 + 0.3 * values[-2])
    return np.asarray(values)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_features_are_all_distinct_monomials(degree):
    entries = np.random.default_rng(0).normal(size=(2, 3))
    expected = [prod(c) for d in range(degree + 1) for c in combinations_with_replacement(entries.ravel(), d)]
    with jax.enable_x64(True):
        found = np.asarray(polynomial_features(jax.numpy.asarray(entries), degree))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_quadratic_map_is_recovered():
    values = henon(300)
    method = NextGenerationReservoir(delays=2, ridge=1e-16)
    series = Series.from_arrays(None, values)
    evaluation = evaluate(method.fit(series[:200], horizon=5, key=KEY), series, start=250)
    np.testing.assert_allclose(evaluation.predictions[:-5], evaluation.truth[:-5], atol=1e-6)


def test_left_alone_it_finds_the_map():
    series = Series.from_arrays(None, henon(300))
    evaluation = evaluate(NextGenerationReservoir().fit(series[:200], horizon=5, key=KEY), series, start=250)
    assert evaluation.metrics()["rmse"] < 1e-3


def test_lorenz_is_forecast_for_five_lyapunov_times_from_400_points():
    """The setting of Gauthier et al.: two delays, 400 points 0.025 apart; median over ten starts."""
    times, values = lorenz63(4600, key=jax.random.key(7))
    series = Series.from_arrays(times, values)
    scale = Standardiser.of(series[:400])
    series = standardised(series, scale)
    with jax.enable_x64(True):
        method = NextGenerationReservoir(delays=2, ridge=1e-9)
        point = method.fit_point(series[:400], horizon=20, key=KEY, run=None)
    assert point.weights.shape == (28, 3)
    origins, horizon = 400 + 380 * np.arange(10), 400
    found = predict(point, series, origins, horizon, 64)
    valid = [
        valid_prediction_time(
            path, series.values[o + 1 : o + 1 + horizon], step=0.025, scale=np.ones(3), lyapunov=LORENZ63_LYAPUNOV
        )
        for o, path in zip(origins, found, strict=True)
    ]
    assert np.median(valid) >= 5.0


def test_skipped_delays():
    """A map of the last value and the one three before it: two delays reach it with a skip of three only."""
    values = np.empty(400)
    values[:4] = [0.1, 0.3, -0.2, 0.2]
    for t in range(4, 400):
        values[t] = 1.0 - 1.4 * values[t - 4] ** 2 + 0.1 * values[t - 1]
    series = Series.from_arrays(None, values)
    rmse = [
        evaluate(
            NextGenerationReservoir(delays=2, skip=skip, ridge=1e-14).fit(series[:300], horizon=2, key=KEY),
            series,
            start=300,
        ).metrics()["rmse"]
        for skip in (3, 1)
    ]
    assert rmse[0] < 1e-8 and rmse[1] > 1e-2


def test_a_diverging_rollout_stays_within_the_range_told():
    rng = np.random.default_rng(0)
    series = Series.from_arrays(None, rng.standard_t(2, size=120).cumsum())
    point = NextGenerationReservoir(delays=5, degree=3, ridge=1e-12).fit(series, horizon=3, key=KEY)
    wild = Series.from_arrays(None, 1e6 * series.values)
    forecast = point.forecast(wild, 200)
    low, high = series.values[:90].min(), series.values[:90].max()
    assert np.all(forecast.mean >= low - (high - low) - 1e-9) and np.all(forecast.mean <= high + (high - low) + 1e-9)


def test_many_columns_still_find_a_polynomial_that_fits():
    values = np.random.default_rng(0).normal(size=(150, 8)).cumsum(axis=0)
    forecaster = NextGenerationReservoir(degree=2).fit(Series.from_arrays(None, values), horizon=3, key=KEY)
    assert forecaster.point.context == 1


def test_mistakes_are_told():
    series = Series.from_arrays(None, henon(60))
    with pytest.raises(InputError, match=r"45 rows to learn from, too few for 8 delays 5 apart"):
        NextGenerationReservoir(delays=8, skip=5).fit(series, horizon=4, key=KEY)
    with pytest.raises(InputError, match="must be at least 1"):
        NextGenerationReservoir(skip=0).fit(series, horizon=4, key=KEY)
    with pytest.raises(InputError, match="must be at least 1"):
        NextGenerationReservoir(delays=0).fit(series, horizon=4, key=KEY)


def test_noise_of_heavy_tails_does_not_make_rollouts_run_away():
    """A quadratic map of it diverges at every penalty; the linear one, which is tried too, does not."""
    values = np.random.default_rng(1).standard_t(2, size=(400, 3))
    series = Series.from_arrays(None, values)
    wild, tame = (
        evaluate(method.fit(series[:300], horizon=20, key=KEY), series, start=300).metrics()["rmse"]
        for method in (NextGenerationReservoir(degree=2), NextGenerationReservoir())
    )
    assert tame < 1.3 * values[300:].std() and tame <= wild
