"""`Series` against pandas and NumPy, and every mistake that its constructors name."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathline.data import Series, Standardiser
from pathline.errors import InputError

NAN = np.nan


def example(rows: int = 10) -> Series:
    values = np.stack([np.arange(float(rows)), np.arange(float(rows)) ** 2], axis=1)
    values[3, 1] = NAN
    return Series.from_arrays(np.arange(float(rows)), values, names=["a", "b"], title="example", period=4)


def test_from_arrays_takes_what_users_have():
    series = Series.from_arrays([0, 1, 2.5], [1, NAN, 3])
    assert (series.dim, len(series), series.names, series.time_unit) == (1, 3, ("x",), None)
    assert series.mask.tolist() == [[True], [False], [True]] and series.values.dtype == np.float64
    assert Series.from_arrays(None, np.ones((2, 3))).names == ("x1", "x2", "x3")
    masked = np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]])
    np.testing.assert_array_equal(Series.from_arrays(None, masked).values, [[1, NAN], [3, 4]])
    nullable = pd.Series([1, None], dtype="Int64")
    assert Series.from_arrays([0, 1], nullable.to_numpy(float, na_value=NAN)).mask.ravel().tolist() == [True, False]
    assert Series.from_arrays(["2020-01-01", "2020-02-01"], [1, 2]).time_unit == "month"
    zoned = pd.date_range("2020-01-01", periods=2, freq="D", tz="Asia/Tokyo")
    assert Series.from_arrays(zoned, [1, 2]).origin == "2019-12-31T15:00:00"


def test_from_frame():
    frame = pd.DataFrame({"a": [1.0, NAN], "b": [2, 3]}, pd.period_range("2020-01", periods=2, freq="M"))
    series = Series.from_frame(frame, title="t", period=12)
    assert (series.names, series.time_unit, series.period, series.title) == (("a", "b"), "month", 12.0, "t")
    np.testing.assert_array_equal(series.values, frame.to_numpy(float))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [0, 1], "values": [1, 2, 3]}, "There are 2 times for 3 rows"),
        ({"times": [0, 0], "values": [1, 2]}, "time of row 2 does not come after that of row 1"),
        ({"times": [1, 0], "values": [1, 2]}, "does not come after"),
        ({"times": [0, NAN], "values": [1, 2]}, "Row 2 has no finite time"),
        ({"times": [0, np.inf], "values": [1, 2]}, "Row 2 has no finite time"),
        ({"times": [0, 1], "values": [1, -np.inf]}, "Row 2 of column 'x' is infinite"),
        ({"times": [], "values": []}, "is empty"),
        ({"times": [0], "values": np.ones((1, 0))}, "is empty"),
        ({"times": [0], "values": np.ones((1, 1, 1))}, "Values have 3 axes"),
        ({"times": [[0]], "values": [1]}, "Times have 2 axes"),
        ({"times": [0, 1], "values": ["a", "b"]}, "not all numbers"),
        ({"times": [0, 1], "values": [1j, 2]}, "not all numbers"),
        ({"times": [0, 1], "values": [[1], [2, 3]]}, "not all numbers"),
        ({"times": [0, 1], "values": np.asarray(["2020", "2021"], "datetime64[D]")}, "not all numbers"),
        ({"times": [0, 1], "values": [1, 2], "names": ["a", "b"]}, "names (2 given)"),
        ({"times": [0, 1], "values": np.ones((2, 2)), "names": ["a", "a"]}, "Two columns of 'series' are called 'a'"),
        ({"times": ["2020-01-01", "x"], "values": [1, 2]}, "cannot be read as dates"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Series.from_arrays(**arguments)
    assert "\n" not in str(caught.value)


def test_constructor_holds_mask_and_values_together():
    times, values = np.arange(2.0), np.asarray([[1.0], [NAN]])
    with pytest.raises(InputError, match="mask must be true exactly"):
        Series(times, values, np.asarray([[True], [True]]), ("x",))
    with pytest.raises(InputError, match="'week' is unknown"):
        Series(times, values, ~np.isnan(values), ("x",), time_unit="week", origin="2020-01-01")


def test_select_and_slice_keep_what_is_known():
    series = example()
    one = series.select("b")
    assert (one.names, one.title, one.period) == (("b",), "example", 4.0)
    np.testing.assert_array_equal(one.values[:, 0], series.values[:, 1])
    np.testing.assert_array_equal(series.select(["b", "a"]).values, series.values[:, ::-1])
    part = series[2:5]
    np.testing.assert_array_equal(part.times, [2, 3, 4])
    assert part.period == 4.0 and not part.mask[1, 1]
    with pytest.raises(InputError, match=r"no column 'aa' in 'example' \(did you mean 'a'\?\); it has a, b"):
        series.select("aa")
    with pytest.raises(InputError, match="empty"):
        series[20:]
    with pytest.raises(InputError, match="slice"):
        series[3]
    with pytest.raises(InputError, match="does not come after"):
        series[::-1]


def test_between():
    series = example()
    assert series.between(2, 4).times.tolist() == [2, 3, 4]
    assert series.between(None, "4").times.tolist() == [0, 1, 2, 3, 4]
    dated = Series.from_arrays(pd.date_range("2020-01-01", periods=400, freq="D"), np.arange(400.0))
    frame = pd.Series(np.arange(400.0), pd.date_range("2020-01-01", periods=400, freq="D"))
    for start, stop in (("2020", "2020"), ("2020-03", "2020-04-15"), ("2020-12-30", "2021")):
        np.testing.assert_array_equal(dated.between(start, stop).values[:, 0], frame.loc[start:stop])
    assert len(dated.between(0, 9)) == 10
    with pytest.raises(InputError, match="has no row from 2030; it runs from 2020-01-01 to 2021-02-03"):
        dated.between("2030")


def test_split_is_by_time():
    parts = example(100).split(validation=0.2, test=10)
    assert [len(part) for part in parts] == [70, 20, 10]
    np.testing.assert_array_equal(np.concatenate([part.times for part in parts]), np.arange(100.0))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.integers(1, 60),
    st.one_of(st.integers(1, 40), st.floats(0.01, 0.9)),
    st.one_of(st.integers(1, 40), st.floats(0.01, 0.9)),
)
def test_split_of_too_short_a_series_says_how_long_it_must_be(rows, validation, test):
    series = Series.from_arrays(None, np.arange(float(rows)))
    try:
        parts = series.split(validation, test)
    except InputError as error:
        if found := re.search(r"at least (\d+) are needed", str(error)):
            needed = int(found[1])
            assert needed > rows
            assert sum(map(len, Series.from_arrays(None, np.arange(float(needed))).split(validation, test))) == needed
            if needed > 1:
                with pytest.raises(InputError):
                    Series.from_arrays(None, np.arange(needed - 1.0)).split(validation, test)
        else:
            assert "leave nothing to train on" in str(error) and validation + test >= 1
    else:
        assert sum(map(len, parts)) == rows


@pytest.mark.parametrize("share", [0, -1, 1.5, NAN, np.inf])
def test_split_by_no_share(share):
    with pytest.raises(InputError, match="neither a fraction"):
        example().split(validation=share)


def test_regular_and_step():
    assert example().is_regular and example().step == 1
    assert not Series.from_arrays([0, 1, 2.1], [0, 0, 0]).is_regular
    assert Series.from_arrays([5], [0]).step == 1 and Series.from_arrays([5], [0]).is_regular
    # Seconds since 1970 at 100 Hz are rounded to a quarter of a microsecond.
    assert Series.from_arrays(1.7e9 + 0.01 * np.arange(1000), np.arange(1000.0)).is_regular


def test_axis_times():
    yearly = Series.from_arrays(["1700-01-01", "1701-01-01", "1703-01-01"], [1, 2, 3])
    assert yearly.axis_times().tolist() == [1700, 1701, 1703]
    daily = Series.from_arrays(["2020-01-30", "2020-02-02"], [1, 2])
    np.testing.assert_array_equal(daily.axis_times(), np.asarray(["2020-01-30", "2020-02-02"], "datetime64[us]"))
    assert example().axis_times().tolist() == list(range(10)) and example().dates() is None


def test_future_times():
    monthly = Series.from_arrays(pd.date_range("2020-01-31", periods=5, freq="ME"), np.arange(5.0))
    dates = monthly.as_dates(monthly.future_times(3))
    np.testing.assert_array_equal(dates, pd.date_range("2020-06-30", periods=3, freq="ME").to_numpy())
    with pytest.raises(InputError, match="at least one step"):
        monthly.future_times(0)


def test_on_grid_agrees_with_pandas_resampling():
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.choice(np.arange(1, 3000), 400, replace=False))
    seconds = np.concatenate([[0], seconds[seconds % 10 != 5]])  # A tie between two grid points may go either way.
    values = rng.normal(size=len(seconds))
    values[rng.random(len(seconds)) < 0.1] = NAN
    start = pd.Timestamp("2020-01-01")
    found = Series.from_arrays(start + pd.to_timedelta(seconds, "s"), values).on_grid(10)
    frame = pd.Series(values, start + pd.to_timedelta(seconds + 5, "s"))
    expected = frame.resample("10s", origin=start).mean()
    np.testing.assert_allclose(found.values[:, 0], expected.to_numpy(), rtol=1e-12)
    assert found.is_regular and found.step == 10 and found.time_unit == "second"
    np.testing.assert_array_equal(found.mask, ~np.isnan(found.values))


def test_on_grid_keeps_what_is_regular():
    series = example()
    assert series.on_grid() is series and series.on_grid(1) is series
    gap = Series.from_arrays([0, 1, 2, 5, 6], [0, 1, 2, 5, 6]).on_grid()
    np.testing.assert_array_equal(gap.values[:, 0], [0, 1, 2, NAN, NAN, 5, 6])


@pytest.mark.parametrize("step", [0, -1, NAN, np.inf, 1e-9])
def test_on_grid_with_no_step(step):
    with pytest.raises(InputError, match="step"):
        example().on_grid(step)


def test_filled_is_linear_inside_and_nearest_at_the_ends():
    times = np.asarray([0.0, 1.0, 3.0, 4.0, 9.0])
    values = np.asarray([NAN, 1.0, NAN, 4.0, NAN])
    expected = pd.Series(values, times).interpolate("index", limit_direction="both")
    np.testing.assert_allclose(Series.from_arrays(times, values).filled()[:, 0], expected.to_numpy())
    with pytest.raises(InputError, match="Column 'b' of 'series' has no observation"):
        Series.from_arrays([0, 1], [[1, NAN], [2, NAN]], names=["a", "b"]).filled()


def test_standardiser():
    values = np.random.default_rng(0).normal(5.0, 3.0, (200, 4))
    values[::7, 1] = NAN
    values[:, 2] = 0.1
    values[:, 3] = NAN
    values[5, 3] = 2.0
    standardiser = Standardiser.of(Series.from_arrays(None, values))
    found = standardiser.apply(values)
    np.testing.assert_allclose(np.nanmean(found, 0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(found[:, :2], axis=0), 1)
    assert standardiser.scale[2] == 1 and standardiser.scale[3] == 1
    np.testing.assert_allclose(standardiser.undo(found), values, rtol=1e-14)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))


def test_standardiser_inside_jit_and_grad():
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    standardiser = Standardiser.of(Series.from_arrays(None, [[1.0, 2.0], [3.0, 6.0]]))
    as_jax = jax.tree.map(jnp.asarray, standardiser)
    state = jnp.asarray([5.0, 5.0])
    found = eqx.filter_jit(lambda s, x: s.undo(s.apply(x)))(as_jax, state)
    np.testing.assert_allclose(found, state)
    np.testing.assert_allclose(jax.jacfwd(standardiser.apply)(state), np.diag([1.0, 0.5]))
