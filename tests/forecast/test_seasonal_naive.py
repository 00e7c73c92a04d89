"""Seasons, known and found."""

import jax
import numpy as np
import pytest

from pathline.data import Series, builtin_series
from pathline.errors import InputError
from pathline.forecast import Persistence, SeasonalNaive
from pathline.forecast.seasonal_naive import season_length

KEY = jax.random.key(0)


@pytest.mark.parametrize("season", [3, 7, 12, 40])
def test_any_periodic_series_is_continued_exactly(season):
    values = np.tile(np.random.default_rng(season).normal(size=season), 8)
    assert season_length(values[:, None]) % season == 0
    series = Series.from_arrays(None, values)
    forecast = SeasonalNaive().fit(series, horizon=5, key=KEY).forecast(series, 2 * season)
    np.testing.assert_allclose(forecast.mean[:, 0], np.tile(values[:season], 2), atol=1e-12)


def test_the_solar_cycle_is_found():
    assert season_length(builtin_series("sunspots").filled()) in (10, 11)


def test_a_known_period_is_used():
    series = builtin_series("elnino")
    assert SeasonalNaive().fit(series, horizon=3, key=KEY).point.context == 12


def test_without_a_season_it_is_persistence():
    values = np.random.default_rng(0).normal(size=3000)
    assert season_length(values[:, None]) == 1 and season_length(np.ones((50, 1))) == 1
    series = Series.from_arrays(None, values)
    one, other = (m.fit(series, horizon=4, key=KEY).forecast(series) for m in (SeasonalNaive(), Persistence()))
    np.testing.assert_array_equal(one.mean, other.mean)


def test_a_trend_is_not_a_season():
    assert season_length(np.linspace(0, 1, 100)[:, None]) == 1


@pytest.mark.parametrize("season", [0, 400])
def test_an_impossible_season_is_refused(season):
    with pytest.raises(
        InputError, match=rf"season of seasonal_naive cannot be 0|A season of {season} steps does not fit into the"
    ):
        SeasonalNaive(season=season).fit(builtin_series("sunspots"), horizon=4, key=KEY)
