"""Every method on one series: fitted, ranked on held-out data, the best kept. This is `--method auto`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast.forecaster import Forecaster, ForecastMethod, default_horizon, least_rows
from pathline.forecast.rolling_origin import Evaluation, evaluate, recalibrated
from pathline.measure import rmse
from pathline.train import NonFiniteError, save


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Arguments:
        best: the method with the smallest validation error.
        rows: one for each method, in the order of their validation errors and those that were skipped last:
            `method`, `validation` (RMSE in standard deviations), `seconds`, the metrics of the evaluation on the test
            rows, `skill` (1 - RMSE / RMSE of persistence) and `note`.
        forecasters: the fitted methods, their intervals calibrated on everything that was held out.
        evaluations: on the test rows.
        horizon: steps ahead.
    """

    best: str
    rows: list[dict[str, Any]]
    forecasters: dict[str, Forecaster]
    evaluations: dict[str, Evaluation]
    horizon: int

    @property
    def forecaster(self) -> Forecaster:
        """The best forecaster."""
        return self.forecasters[self.best]

    @property
    def evaluation(self) -> Evaluation:
        """That of the best forecaster."""
        return self.evaluations[self.best]


def compare(
    series: Series,
    methods: Mapping[str, ForecastMethod],
    *,
    key: Array,
    horizon: int | None = None,
    budget: float = 120.0,
    test: float = 0.2,
    run: Path | None = None,
    on_method: Callable[[str], None] | None = None,
) -> Comparison:
    """Fit every method to the first part of a series and compare them on the last.

    The last fifth is the test part: nothing is fitted to it or chosen by it. Of the rest, methods are fitted to the
    first three quarters; the last quarter ranks them (root mean square error in standard deviations, mean over columns
    and lead times) and calibrates their intervals.

    Arguments:
        series: at least some dozens of rows.
        methods: name to method, e.g. `default_methods()`, in the order in which they are fitted: the cheap first.
        key: of the random numbers that methods need.
        horizon: steps ahead; `default_horizon(series)` when absent.
        budget: seconds in all. A method that can bound itself (a field `seconds`) gets what is left; one that would
            begin after the end is skipped. The first method is always fitted.
        test: the share of rows held out for the final comparison.
        run: where the fitted methods are saved, each in `methods/<name>`.
        on_method: called with the name of each method before it is fitted.

    Returns:
        The table, the fitted methods and their evaluations.

    Raises:
        InputError: no method could be fitted; says why for the first.
    """
    ahead = default_horizon(series) if horizon is None else horizon
    _check_rows(series, ahead, test)
    start = _first_of_test(len(series), ahead, test)
    began, rows, fitted, evaluations = time.monotonic(), [], {}, {}
    for name, method in methods.items():
        left = budget - (time.monotonic() - began)
        if rows and left <= 0:
            rows.append({"method": name, "note": f"skipped: the budget of {budget:g} s was used up"})
            continue
        if on_method is not None:
            on_method(name)
        seconds: float | None = getattr(method, "seconds", None)
        bounded = method if seconds is None else replace(method, seconds=min(seconds, left))
        folder = None if run is None else run / "methods" / name
        started = time.monotonic()
        try:
            forecaster = bounded.fit(series[:start], horizon=ahead, key=key, run=folder)
            evaluation = evaluate(forecaster, series, start=start)
        except (InputError, NonFiniteError) as error:
            rows.append({"method": name, "note": f"skipped: {error}"})
            continue
        rows.append(
            {
                "method": name,
                "validation": rmse(np.zeros_like(forecaster.errors), forecaster.errors),
                "seconds": time.monotonic() - started,
                **evaluation.metrics(),
                "note": "",
            }
        )
        fitted[name] = recalibrated(forecaster, evaluation)
        evaluations[name] = evaluation
        if folder is not None:
            save(folder, fitted[name])
    if not fitted:
        reason = rows[0]["note"].removeprefix("skipped: ") if rows else "no methods were given."
        raise InputError(reason)
    reference = next((row["rmse"] for row in rows if row["method"] == "persistence" and "rmse" in row), float("nan"))
    for row in rows:
        if "rmse" in row:
            row["skill"] = 1.0 - row["rmse"] / reference if reference else float("nan")
    rows.sort(key=lambda row: row.get("validation", np.inf))
    return Comparison(rows[0]["method"], rows, fitted, evaluations, ahead)


def _check_rows(series: Series, horizon: int, test: float) -> None:
    """Refuse a series that is too short for its horizon, before anything is fitted.

    Raises:
        InputError: says how many rows are needed, the test part included.
    """
    if horizon < 1:
        raise InputError(f"The horizon must be at least 1 step, and {horizon} was asked for.")
    fitted = least_rows(horizon)
    needed = next(rows for rows in count(fitted + horizon) if _first_of_test(rows, horizon, test) >= fitted)
    if len(series) < needed:
        raise InputError(
            f"{series.title!r} has {len(series)} rows; comparing forecasts of {horizon} step{'s'[: horizon != 1]} needs "
            f"at least {needed}; give more data{' or a shorter horizon' if horizon > 1 else ''}."
        )


def _first_of_test(rows: int, horizon: int, test: float) -> int:
    return rows - max(round(test * rows), horizon)
