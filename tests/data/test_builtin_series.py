"""The series that ship with Pathline are what their provenance says."""

import numpy as np
import pytest

from pathline.data import BUILTIN_SERIES, builtin_series
from pathline.errors import InputError


@pytest.mark.parametrize(
    ("name", "shape", "gaps", "unit", "first", "last", "period", "total"),
    [
        ("sunspots", (309, 1), 0, "year", 1700, 2008, None, 15373.4),
        ("co2", (2284, 1), 59, "day", "1958-03-29", "2001-12-29", 365.25, 756816.5),
        ("lynx", (114, 1), 0, "year", 1821, 1934, None, 175334),
        ("elnino", (732, 1), 0, "month", "1950-01-01", "2010-12-01", 12.0, 16903.80),
        ("gait", (3000, 9), 0, None, 0.0, 93.71875, None, 11281377),
    ],
)
def test_shapes_and_sums_are_those_of_the_source(name, shape, gaps, unit, first, last, period, total):
    series = builtin_series(name)
    assert series.values.shape == shape and (~series.mask).sum() == gaps and series.time_unit == unit
    assert series.is_regular and series.period == period
    assert series.title[0].isupper() and all(series.names)
    moments = series.axis_times()[[0, -1]]
    assert moments.tolist() == np.asarray([first, last], moments.dtype).tolist()
    np.testing.assert_allclose(np.nansum(series.values), total, rtol=1e-10)


def test_every_one_is_tested():
    assert set(BUILTIN_SERIES) == {"sunspots", "co2", "lynx", "elnino", "gait"}
    assert all("\n" not in line and line for line in BUILTIN_SERIES.values())


@pytest.mark.parametrize("name", ["sunspots", "co2", "elnino"])
def test_agrees_with_statsmodels(name):
    datasets = pytest.importorskip("statsmodels.api").datasets
    frame = getattr(datasets, name).load_pandas().data
    series = builtin_series(name)
    if name == "sunspots":
        np.testing.assert_array_equal(series.axis_times(), frame["YEAR"])
        values = frame["SUNACTIVITY"].to_numpy()
    elif name == "co2":
        np.testing.assert_array_equal(series.dates(), frame.index.to_numpy())
        values = frame["co2"].to_numpy()
    else:
        np.testing.assert_array_equal(
            series.axis_times()[::12].astype("datetime64[Y]").astype(str), frame["YEAR"].astype(int).astype(str)
        )
        values = frame.drop(columns="YEAR").to_numpy().ravel()
    np.testing.assert_array_equal(series.values[:, 0], values)


def test_unknown_name():
    with pytest.raises(InputError, match=r"no built-in series 'sunspot' \(did you mean 'sunspots'\?\); there are sun"):
        builtin_series("sunspot")
