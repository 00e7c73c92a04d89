"""Evaluation as time passes, against the same thing written plainly."""

import jax
import numpy as np
import pytest

from pathline.data import Series
from pathline.forecast import LEVELS, Linear, Persistence, evaluate, recalibrated
from pathline.forecast.conformal import adapted, conformal_offsets, nested
from pathline.measure import crps

KEY = jax.random.key(0)


def walk(rows: int = 120, *, uneven: bool = False) -> Series:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(rows, 2)).cumsum(axis=0)
    values[rows - 20 : rows - 15, 1] = np.nan
    times = np.cumsum(rng.exponential(size=rows)) if uneven else np.arange(rows)
    return Series.from_arrays(times, values, names=("a", "b"))


def test_intervals_and_scores_use_what_each_origin_could_know_and_no_more():
    series, start, horizon = walk(), 90, 3
    forecaster = Persistence().fit(series[:start], horizon=horizon, key=KEY)
    found = evaluate(forecaster, series, start=start)
    scale = np.asarray(forecaster.standardiser.scale)
    asked = forecaster.miscoverage.copy()
    learnt = [0] * horizon
    for place, now in enumerate(found.origins):
        for lead in range(horizon):
            pool = forecaster.errors[:, lead]
            for earlier in range(place):
                if found.origins[earlier] + lead + 1 > now:
                    break
                error = found.errors[earlier, lead]
                pool = np.concatenate([pool, error[None]])
                if earlier >= learnt[lead]:
                    learnt[lead] = earlier + 1
                    low, high, truth = (part[..., earlier, lead, :] for part in (found.lower, found.upper, found.truth))
                    missed = np.where(np.isnan(error), np.nan, (truth < low) | (truth > high))
                    for number, level in enumerate(LEVELS):
                        asked[number, lead] = adapted(asked[number, lead], 1 - level, missed[number])
            for number, miscoverage in enumerate(nested(asked[:, lead])):
                low, high = conformal_offsets(pool, miscoverage)
                mean = found.predictions[place, lead]
                np.testing.assert_allclose(found.lower[number, place, lead], mean + scale * low, atol=1e-9)
                np.testing.assert_allclose(found.upper[number, place, lead], mean + scale * high, atol=1e-9)
    last = found.errors[:, 0, 0]
    pool = np.concatenate([forecaster.errors[:, 0, 0], last[:-1]])
    pool = pool[~np.isnan(pool)]
    alone = evaluate(forecaster, series, start=len(series) - 1)
    expected = [crps(forecaster.errors[:, 0, [column]], alone.errors[0, 0, [column]]) for column in range(2)]
    assert alone.crps[0] == pytest.approx(float(np.mean(expected * scale)))


def test_a_higher_level_never_lies_within_a_lower_one():
    """Each level adapts by itself; errors that come in runs would else make the narrow interval the wider one."""
    series, start = walk(400), 200
    forecaster = Persistence().fit(series[:start], horizon=12, key=KEY)
    found = evaluate(forecaster, series, start=start)
    forecast = recalibrated(forecaster, found).forecast(series)
    for one in (found, forecast):
        assert np.all(np.diff(one.lower, axis=0) <= 0) and np.all(np.diff(one.upper, axis=0) >= 0)


def test_methods_on_a_grid_take_a_part_of_uneven_times_for_a_part():
    """The median step of a part differs from that of the whole."""
    series = walk(uneven=True)
    assert series[:90].step != pytest.approx(series.step, rel=0.02)
    forecaster = Linear(lags=2).fit(series[:90], horizon=3, key=KEY)
    assert np.isfinite(evaluate(forecaster, series, start=90).metrics()["rmse"])
    assert forecaster.forecast(series).times == pytest.approx(
        series.times[-1] + series[:90].step * np.arange(1, 4), abs=0.5
    )
