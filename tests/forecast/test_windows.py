"""What a forecaster may look at, by hand."""

import numpy as np

from pathline.data import Series
from pathline.forecast.windows import future_windows, past_windows

NAN = float("nan")


def test_gaps_are_filled_from_the_past_alone():
    series = Series.from_arrays(None, [1.0, NAN, 3.0, NAN, NAN, 9.0])
    times, values, mask = past_windows(series, np.asarray([2, 4, 5]), 3)
    assert times.tolist() == [[0, 1, 2], [2, 3, 4], [3, 4, 5]]
    # At row 4 the nine is not known yet: the three is held. At row 5 it is, and the gap is interpolated.
    assert values[..., 0].tolist() == [[1, 2, 3], [3, 3, 3], [5, 7, 9]]
    assert mask[..., 0].tolist() == [[True, False, True], [True, False, False], [False, False, True]]


def test_before_the_first_observation_there_is_the_mean():
    series = Series.from_arrays(None, [[NAN, NAN], [NAN, 1.0], [4.0, NAN]])
    _, values, _ = past_windows(series, np.asarray([1]), 2)
    assert values[0].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_targets_beyond_the_end_are_not_observed_but_have_times():
    series = Series.from_arrays([0.0, 0.5, 1.0, 1.5], [1.0, NAN, 3.0, 4.0])
    times, values = future_windows(series, np.asarray([0, 2]), 3)
    assert times.tolist() == [[0.5, 1.0, 1.5], [1.5, 2.0, 2.5]]
    assert np.array_equal(values[..., 0], [[NAN, 3.0, 4.0], [4.0, NAN, NAN]], equal_nan=True)
