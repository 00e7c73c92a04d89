"""Every method keeps the one interface: saved and loaded, blind to the future, clear about what it cannot do."""

import dataclasses

import jax
import numpy as np
import pytest

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast import (
    METHODS,
    EchoState,
    Forecaster,
    ForecastMethod,
    Linear,
    NextGenerationReservoir,
    Persistence,
    SeasonalNaive,
    default_horizon,
    evaluate,
)
from pathline.train import load, save

KEY = jax.random.key(0)
HORIZON = 4
FAST: dict[str, ForecastMethod] = {
    "persistence": Persistence(),
    "seasonal_naive": SeasonalNaive(season=12),
    "linear": Linear(lags=6, ridge=1e-6),
    "next_generation_reservoir": NextGenerationReservoir(delays=2, ridge=1e-3),
    "echo_state": EchoState(size=20, spectral_radius=0.8, leak=1.0, ridge=1e-3, washout=20),
}
EVERY = pytest.mark.parametrize("name", FAST)


def waves(rows: int = 160, *, seed: int = 0) -> Series:
    """Two noisy oscillations with a gap in one of them, and a column that never changes."""
    rng = np.random.default_rng(seed)
    times = np.arange(rows) * 0.5 + 7.0
    values = np.stack([np.sin(times), 3.0 + np.cos(times), np.full(rows, 5.0)], axis=1)
    values[:, :2] += 0.1 * rng.normal(size=(rows, 2))
    values[60:64, 1] = np.nan
    return Series.from_arrays(times, values, names=("a", "b", "constant"), title="waves")


@pytest.fixture(scope="module")
def fitted() -> dict[str, Forecaster]:
    return {name: method.fit(waves(), horizon=HORIZON, key=KEY) for name, method in FAST.items()}


def assert_same(one, other):
    """Equal structure, types and numbers, NaN included."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (type(left), left.dtype) == (type(right), right.dtype)
        np.testing.assert_array_equal(left, right)


def test_the_methods_here_are_all_but_the_one_with_its_own_tests():
    assert set(METHODS) - set(FAST) == {"neural_ode"}
    assert all(METHODS[name] is type(method) and method.name == name for name, method in FAST.items())


@EVERY
def test_forecast_has_its_shapes_and_is_in_the_units_of_the_data(fitted, name):
    series = waves()
    forecast = fitted[name].forecast(series, HORIZON)
    np.testing.assert_allclose(forecast.times, series.times[-1] + 0.5 * np.arange(1, HORIZON + 1))
    assert forecast.mean.shape == (HORIZON, 3) and forecast.lower.shape == forecast.upper.shape == (3, HORIZON, 3)
    assert np.all(forecast.lower <= forecast.upper)
    assert np.all(np.diff(forecast.lower, axis=0) <= 0) and np.all(np.diff(forecast.upper, axis=0) >= 0)
    np.testing.assert_allclose(forecast.mean[:, 2], 5.0, atol=1e-9)
    assert np.all(np.abs(forecast.mean[:, 1] - 3.0) < 2.0)
    assert forecast.ensemble.shape[1:] == (HORIZON, 3) and np.isfinite(forecast.ensemble).all()
    assert (forecast.names, forecast.title) == (series.names, "waves")


@EVERY
def test_saved_and_loaded_it_forecasts_the_same(fitted, name, tmp_path):
    save(tmp_path, fitted[name])
    back = load(tmp_path)
    assert isinstance(back, Forecaster)
    assert_same(back, fitted[name])
    assert_same(back.forecast(waves(), 9), fitted[name].forecast(waves(), 9))


@EVERY
def test_nothing_of_the_future_is_used(fitted, name):
    """Whatever comes after an origin, fitted model, forecasts and intervals from there stay as they were."""
    series, start = waves(), 130
    changed = series.values.copy()
    changed[start + 10 :] = np.where(np.arange(3) == 2, 5.0, 40.0)
    other = Series.from_arrays(series.times, changed, names=series.names, title="waves")
    one, two = (
        evaluate(FAST[name].fit(s[:start], horizon=HORIZON, key=KEY), s, start=start, horizon=HORIZON)
        for s in (series, other)
    )
    known = one.origins < start + 10
    assert known.sum() == 11 and not np.array_equal(one.truth, two.truth, equal_nan=True)
    np.testing.assert_array_equal(one.predictions[known], two.predictions[known])
    np.testing.assert_array_equal(one.lower[:, known], two.lower[:, known])
    np.testing.assert_array_equal(one.upper[:, known], two.upper[:, known])
    # The next intervals have learnt from what came.
    assert not np.array_equal(one.upper, two.upper)


@EVERY
def test_only_the_last_rows_count_and_a_longer_horizon_begins_the_same(fitted, name):
    series = waves()
    context = fitted[name].point.context
    whole, short = fitted[name].forecast(series, 3 * HORIZON), fitted[name].forecast(series[-context:], HORIZON)
    np.testing.assert_allclose(whole.mean[:HORIZON], short.mean, rtol=1e-9)
    np.testing.assert_allclose(whole.lower[:, :HORIZON], short.lower, rtol=1e-9)
    widths = np.diff([whole.lower[-1, HORIZON - 1 :, 0], whole.upper[-1, HORIZON - 1 :, 0]], axis=0)[0]
    np.testing.assert_allclose(widths / widths[0], np.sqrt(np.arange(HORIZON, 3 * HORIZON + 1) / HORIZON))


@EVERY
def test_units_of_the_data_do_not_matter(fitted, name):
    series = waves()
    values = np.asarray([1e6, -1e-3, 1.0]) * series.values + np.asarray([1e7, 2.0, 0.0])
    scaled = Series.from_arrays(series.times, values, names=series.names, title="waves")
    found = FAST[name].fit(scaled, horizon=HORIZON, key=KEY).forecast(scaled, HORIZON).mean
    expected = np.asarray([1e6, -1e-3, 1.0]) * fitted[name].forecast(series, HORIZON).mean
    # The echo state network and the quadratic map are not odd in the sign of a column: only its scale is free.
    columns = [0, 2] if name in ("echo_state", "next_generation_reservoir") else [0, 1, 2]
    if columns == [0, 2]:
        values[:, 1] = series.values[:, 1]
        scaled = Series.from_arrays(series.times, values, names=series.names, title="waves")
        found = FAST[name].fit(scaled, horizon=HORIZON, key=KEY).forecast(scaled, HORIZON).mean
    shift = np.asarray([1e7, 2.0, 0.0])
    np.testing.assert_allclose(found[:, columns], (expected + shift)[:, columns], rtol=1e-6)


@EVERY
def test_the_same_key_gives_the_same_numbers(fitted, name):
    again = FAST[name].fit(waves(), horizon=HORIZON, key=KEY)
    assert_same(again, fitted[name])


@EVERY
def test_mistakes_are_told(fitted, name):
    forecaster, series = fitted[name], waves()
    with pytest.raises(InputError, match="columns a, b, and this model was fitted to a, b, constant; select"):
        forecaster.forecast(series.select(["a", "b"]), HORIZON)
    with pytest.raises(InputError, match=r"step of 1, and this model was fitted to 0.5; resample"):
        forecaster.forecast(series[::2], HORIZON)
    with pytest.raises(InputError, match="at least 1 step, and 0 was asked"):
        forecaster.forecast(series, 0)
    if forecaster.point.context > 1:
        with pytest.raises(InputError, match=f"looks at the last {forecaster.point.context}; give a longer"):
            forecaster.forecast(series[: forecaster.point.context - 1], HORIZON)
    with pytest.raises(InputError, match=r"has 13 rows; a forecast of 4 steps needs at least 16"):
        FAST[name].fit(series[:13], horizon=4, key=KEY)
    with pytest.raises(InputError, match=r"a forecast of 90 steps needs at least 186"):
        FAST[name].fit(series, horizon=90, key=KEY)
    dates = Series.from_arrays(np.arange("2000", "2160", dtype="datetime64[Y]"), series.values, names=series.names)
    with pytest.raises(InputError, match="in year, and this model was fitted in plain numbers"):
        forecaster.forecast(dates, HORIZON)


@EVERY
@pytest.mark.parametrize("rows", [16, 17, 20, 24, 33])
def test_short_series_are_forecast_or_refused_in_a_sentence(name, rows):
    series = waves(rows).select(["a"])
    method = dataclasses.replace(FAST[name], **({"season": 3} if name == "seasonal_naive" else {}))
    try:
        forecaster = method.fit(series, horizon=default_horizon(series), key=KEY)
    except InputError as error:
        assert name in ("linear", "next_generation_reservoir", "echo_state") and "rows to learn from" in str(error)
        return
    forecast = forecaster.forecast(series)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(forecast))


@pytest.mark.parametrize("name", [name for name in FAST if name != "next_generation_reservoir"])
def test_a_horizon_longer_than_a_quarter_still_gives_finite_intervals(name):
    series = waves(90).select(["a"])
    forecast = FAST[name].fit(series, horizon=30, key=KEY).forecast(series)
    assert forecast.mean.shape == (30, 1) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(forecast))


def test_a_column_not_observed_of_late_is_named():
    values = waves().values.copy()
    values[110:, 1] = np.nan
    series = Series.from_arrays(None, values, names=("a", "b", "c"), title="waves")
    with pytest.raises(InputError, match="Column 'b' of 'waves' has too few observations in the last 40 rows"):
        Persistence().fit(series, horizon=4, key=KEY)


def test_counts_are_never_forecast_below_zero():
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, size=(200, 1)).astype(float)
    for shift, lowest in ((0.0, 0.0), (-3.0, -np.inf), (30.0, -np.inf)):
        series = Series.from_arrays(None, counts + shift)
        forecaster = Persistence().fit(series, horizon=3, key=KEY)
        assert forecaster.floor.tolist() == [lowest]
        low = Series.from_arrays(None, counts * 0.0 + shift)
        forecast = forecaster.forecast(low)
        ends = [forecast.lower[-1].min(), forecast.ensemble.min()]
        assert ends == [0.0, 0.0] if lowest == 0.0 else max(ends) < shift
        evaluation = evaluate(forecaster, series, start=150)
        assert (evaluation.lower.min() >= 0.0) == (shift >= 0.0)


def test_uneven_times_are_put_on_a_grid():
    times = np.arange(80) + np.where(np.arange(80) % 3 == 0, 0.1, 0.0)
    series = Series.from_arrays(times, np.sin(times / 2))
    forecaster = Linear(lags=8, ridge=1e-8).fit(series, horizon=4, key=KEY)
    forecast = forecaster.forecast(series)
    np.testing.assert_allclose(forecast.mean[:, 0], np.sin(forecast.times / 2), atol=0.15)


def test_a_history_of_one_row_continues_at_the_step_of_the_data():
    series = waves()
    forecaster = Persistence().fit(series, horizon=2, key=KEY)
    forecast = forecaster.forecast(series[-1:])
    np.testing.assert_allclose(forecast.times, series.times[-1] + np.asarray([0.5, 1.0]))
    np.testing.assert_allclose(forecast.mean, np.tile(series.values[-1], (2, 1)))


@pytest.mark.parametrize(
    ("rows", "period", "horizon"), [(309, None, 15), (20, None, 2), (732, 12.0, 12), (50, 12.0, 6)]
)
def test_default_horizon(rows, period, horizon):
    assert default_horizon(Series.from_arrays(None, np.arange(float(rows)), period=period)) == horizon
