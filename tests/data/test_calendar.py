"""Dates to counts and back, against pandas' own calendar."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathline.data.calendar import UNITS, time_bound, to_counts, to_dates
from pathline.errors import InputError


@pytest.mark.parametrize(
    ("frequency", "unit", "step"),
    [
        ("YS", "year", 1),
        ("YE", "year", 1),
        ("YE-JUN", "year", 1),
        ("MS", "month", 1),
        ("ME", "month", 1),
        ("QS", "month", 3),
        ("QE", "month", 3),
        ("W", "day", 7),
        ("D", "day", 1),
        ("6h", "hour", 6),
        ("90min", "minute", 90),
        ("20s", "second", 20),
        ("250ms", "second", 0.25),
    ],
)
def test_coarsest_unit_makes_regular_dates_evenly_spaced(frequency, unit, step):
    dates = pd.date_range("1899-02-28", periods=40, freq=frequency)
    counts, found, origin = to_counts(dates)
    assert found == unit
    np.testing.assert_allclose(counts, step * np.arange(40), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(to_dates(counts, found, origin), dates.to_numpy())
    # The step goes on as the calendar does.
    further = pd.date_range("1899-02-28", periods=60, freq=frequency)[40:]
    np.testing.assert_array_equal(to_dates(step * np.arange(40.0, 60.0), found, origin), further.to_numpy())


@pytest.mark.parametrize(
    ("dates", "unit"),
    [
        # 28 February is a last day, 28 March is none: neither the same place in the month nor all last days.
        (["2021-02-28", "2021-03-28", "2021-04-28"], "day"),
        (["2021-01-31", "2021-02-28", "2021-03-30"], "day"),
        (["2021-01-15", "2021-02-15", "2021-04-15"], "month"),
        (["2020-02-29", "2021-02-28", "2024-02-29"], "year"),
        (["2021-01-31T12:00", "2021-03-31T12:00"], "day"),
        (["2021-01-01T06:00", "2021-02-01T06:00"], "month"),
        (["2021-01-01"], "day"),
    ],
)
def test_no_date_is_moved(dates, unit):
    counts, found, origin = to_counts(dates)
    assert found == unit
    np.testing.assert_array_equal(to_dates(counts, found, origin), np.asarray(dates, "datetime64[us]"))


moments = st.datetimes(pd.Timestamp("0001-01-02").to_pydatetime(), pd.Timestamp("9999-12-30").to_pydatetime())


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(moments, min_size=1, max_size=8, unique=True), st.sampled_from(["us", "s", "h", "D", "M", "Y"]))
def test_round_trip_of_any_dates(dates, resolution):
    stamps = np.unique(np.asarray(dates, "datetime64[us]").astype(f"datetime64[{resolution}]")).astype("datetime64[us]")
    stamps = stamps[stamps >= np.datetime64("0001-01-01")]
    if len(stamps):
        counts, unit, origin = to_counts(stamps)
        assert unit in UNITS and counts[0] == 0 and np.all(np.diff(counts) > 0)
        # Sixteen digits hold the microseconds of three centuries.
        error = np.abs(to_dates(counts, unit, origin) - stamps) / np.timedelta64(1, "us")
        assert error.max() <= (64 if stamps[-1] - stamps[0] > np.timedelta64(200 * 365, "D") else 0)


def test_dates_outside_the_range_of_nanoseconds():
    counts, unit, origin = to_counts(["1000-01-01", "1001-01-01", "2500-01-01"])
    assert (unit, origin) == ("year", "1000-01-01T00:00:00") and counts.tolist() == [0, 1, 1500]
    with pytest.raises(InputError, match="outside the years 1 to 9999"):
        to_counts(np.asarray(["12000-01-01", "12001-01-01"], "datetime64[s]"))


def test_time_zones_become_utc():
    # Clocks change between the second and the third: three steps of an hour all the same.
    dates = pd.date_range("2024-10-27 00:30", periods=4, freq="h", tz="Europe/Berlin")
    counts, unit, origin = to_counts(dates)
    assert (counts.tolist(), unit, origin) == ([0, 1, 2, 3], "hour", "2024-10-26T22:30:00")


def test_fractions_of_a_month_are_spread_over_its_days():
    found = to_dates(np.asarray([0.5, 1.5]), "month", "2021-01-01")
    assert found.astype("datetime64[h]").astype(str).tolist() == ["2021-01-16T12", "2021-02-15T00"]


@pytest.mark.parametrize("unit", ["year", "month", "day", "hour"])
@pytest.mark.parametrize("origin", ["2000-01-01", "2000-01-31", "1999-12-31", "2001-02-28"])
def test_a_date_bounds_exactly_the_rows_on_its_side(unit, origin):
    counts = np.arange(-30.0, 30.0)
    dates = to_dates(counts, unit, origin)
    for date in dates:
        for upper in (False, True):
            bound = time_bound(str(date), unit, origin, upper=upper)
            kept = counts <= bound if upper else counts >= bound
            np.testing.assert_array_equal(kept, dates <= date if upper else dates >= date)


@pytest.mark.parametrize("unit", ["year", "month", "day", "hour"])
def test_a_date_cut_short_includes_all_of_it(unit):
    counts = np.arange(0.0, 40_000.0 if unit == "hour" else 1500.0)
    dates = to_dates(counts, unit, "1996-07-31")
    for short, first, last in (
        ("1998", "1998-01-01", "1998-12-31T23:59:59.999999"),
        ("1998-07", "1998-07-01", "1998-07-31T23:59:59.999999"),
        ("1998-07-31", "1998-07-31", "1998-07-31T23:59:59.999999"),
    ):
        low, high = (time_bound(short, unit, "1996-07-31", upper=upper) for upper in (False, True))
        inside = (dates >= np.datetime64(first)) & (dates <= np.datetime64(last))
        np.testing.assert_array_equal((counts >= low) & (counts <= high), inside)


def test_numbers_are_counts_or_calendar_years():
    assert time_bound(12, "day", "2000-01-01", upper=False) == pytest.approx(12)
    assert time_bound("12", "day", "2000-01-01", upper=True) == pytest.approx(12)
    assert time_bound(1950, "year", "1700-01-01", upper=False) == pytest.approx(250)
    assert time_bound(0.3, None, None, upper=True) >= 0.1 + 0.2 >= time_bound(0.3, None, None, upper=False)


@pytest.mark.parametrize("unit", [None, "year", "day"])
@pytest.mark.parametrize("value", ["soon", "", "nan", float("inf"), "2001-13", "2001-02-30"])
def test_what_is_no_time(value, unit):
    with pytest.raises(InputError, match=r"is not a|neither a date"):
        time_bound(value, unit, None if unit is None else "2000-01-01", upper=False)


@pytest.mark.parametrize("dates", [["2021-01-01", None], ["yesterday week"], ["2021-01-01", "nonsense"], [True, False]])
def test_what_is_no_date(dates):
    with pytest.raises(InputError):
        to_counts(dates)
