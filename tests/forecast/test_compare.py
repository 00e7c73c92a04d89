"""The comparison of methods: a fair ranking, within a budget, and clear about what it cannot do."""

import jax
import numpy as np
import pytest

from pathline.data import Series, builtin_series
from pathline.errors import InputError
from pathline.forecast import METHODS, Linear, Persistence, SeasonalNaive, compare

KEY = jax.random.key(0)


def noise(rows: int) -> Series:
    return Series.from_arrays(None, np.random.default_rng(0).normal(size=(rows, 1)), title="noise")


@pytest.mark.parametrize("horizon", [1, 3, 10])
def test_a_series_too_short_is_refused_with_the_rows_that_do(horizon):
    methods = {"persistence": Persistence()}
    with pytest.raises(InputError, match=r"'noise' has 8 rows; .* needs at least (\d+); give more data") as told:
        compare(noise(8), methods, horizon=horizon, key=KEY)
    needed = int(str(told.value).split("at least ")[1].split(";")[0])
    assert compare(noise(needed), methods, horizon=horizon, key=KEY).best == "persistence"
    with pytest.raises(InputError, match=f"has {needed - 1} rows"):
        compare(noise(needed - 1), methods, horizon=horizon, key=KEY)


def test_ranked_by_validation_and_measured_on_the_rest():
    series = builtin_series("elnino")
    methods = {"persistence": Persistence(), "seasonal_naive": SeasonalNaive(), "linear": Linear(lags=16)}
    done = compare(series, methods, horizon=12, key=KEY)
    errors = [row["validation"] for row in done.rows]
    assert errors == sorted(errors) and done.best == done.rows[0]["method"] == "linear"
    assert done.rows[0]["skill"] > 0.5 and done.rows[-1]["skill"] == 0.0
    covered = done.evaluation.coverage()
    assert all(abs(covered[level] - level) < 0.05 for level in done.evaluation.levels)


def test_a_spent_budget_skips_what_comes_later_and_says_so():
    done = compare(noise(60), {"persistence": Persistence(), "linear": Linear()}, key=KEY, budget=1e-9)
    assert done.best == "persistence" and "budget" in done.rows[1]["note"]


def test_a_method_that_cannot_be_fitted_is_skipped_with_its_reason():
    done = compare(noise(60), {"linear": Linear(lags=500), "persistence": Persistence()}, key=KEY)
    assert done.best == "persistence" and "too few for 500 lags" in done.rows[1]["note"]


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        *((name, setting, least - 1) for name, method in METHODS.items() for setting, least in method.least.items()),
        ("linear", "ridge", float("nan")),
        ("neural_ode", "learning_rate", float("inf")),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, setting, value):
    with pytest.raises(InputError, match=rf"{setting} of {name} cannot be .*; it must be at least"):
        METHODS[name](**{setting: value}).fit(noise(60), key=KEY)
