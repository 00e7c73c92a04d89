"""The interface of every forecasting method: a point forecaster, made probabilistic by its own past errors."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from pathline.data import Series, Standardiser
from pathline.errors import InputError
from pathline.forecast.conformal import LEVELS, completed, conformal_offsets, nested, stretched
from pathline.forecast.point import PointForecaster, predict
from pathline.forecast.windows import future_windows

MOST_ORIGINS = 250
"""Calibration and evaluation use at most so many origins, evenly spread."""


class Forecast(eqx.Module):
    """What is expected next, and how surely. All in the data's units.

    Arguments:
        times: on the axis of the series.
        mean: the point forecast.
        lower, upper: ends of the prediction interval of each level.
        ensemble: the point forecast plus each known error: draws from the predictive distribution of each entry.
        levels: probabilities of the intervals.
        names, title, time_unit, origin: of the series.
    """

    times: Float[np.ndarray, " horizon"]
    mean: Float[np.ndarray, "horizon dim"]
    lower: Float[np.ndarray, "level horizon dim"]
    upper: Float[np.ndarray, "level horizon dim"]
    ensemble: Float[np.ndarray, "member horizon dim"]
    levels: tuple[float, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)
    time_unit: str | None = eqx.field(static=True)
    origin: str | None = eqx.field(static=True)


class Forecaster(eqx.Module):
    """A fitted forecasting method with calibrated intervals.

    Arguments:
        point: predicts in standard units.
        standardiser: to and from standard units.
        errors: truth minus forecast on data that `point` was not fitted to, in standard units; NaN if not observed.
        floor: in the data's units; no forecast and no end of an interval lies below it. Zero for a column that was
            never negative and came close to zero, as counts do; else minus infinity.
        miscoverage: what each interval is asked to miss; it follows what was seen when the forecaster is evaluated.
        method: its name.
        precision: 32 or 64 bits.
        gridded: whether histories are first put on evenly spaced times.
        names, time_unit, step, period: of the series it was fitted to.
    """

    point: PointForecaster
    standardiser: Standardiser
    errors: Float[np.ndarray, "sample horizon dim"]
    floor: Float[np.ndarray, " dim"]
    miscoverage: Float[np.ndarray, "level horizon dim"]
    method: str = eqx.field(static=True)
    precision: int = eqx.field(static=True)
    gridded: bool = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    time_unit: str | None = eqx.field(static=True)
    step: float = eqx.field(static=True)
    period: float | None = eqx.field(static=True)

    def forecast(self, history: Series, horizon: int | None = None, *, key: Array | None = None) -> Forecast:
        """Forecast what follows a history.

        Arguments:
            history: with the columns and the step of the data that the method was fitted to; its last
                `point.context` rows are used.
            horizon: steps ahead; by default as many as were calibrated. Beyond that the intervals widen by rule.
            key: not needed by the methods here, whose forecasts are deterministic; accepted so that all are alike.

        Returns:
            Point forecast, intervals and ensemble.

        Raises:
            InputError: the columns, the unit or the step differ, the history is too short, or the horizon is not
                positive.
        """
        ahead = self.errors.shape[1] if horizon is None else horizon
        if ahead < 1:
            raise InputError(f"The horizon must be at least 1 step, and {ahead} was asked for.")
        series = self.prepared(history)
        mean = predict(self.point, series, np.asarray([len(series) - 1]), ahead, self.precision, step=self.step)[0]
        errors = stretched(self.errors, ahead)
        asked = self.miscoverage[:, np.minimum(np.arange(ahead), self.miscoverage.shape[1] - 1)]
        offsets = [conformal_offsets(errors, each) for each in nested(asked)]
        return Forecast(
            times=series.times[-1] + self.step * np.arange(1, ahead + 1),
            mean=self.undo(mean),
            lower=self.undo(mean + np.stack([lower for lower, _ in offsets])),
            upper=self.undo(mean + np.stack([upper for _, upper in offsets])),
            ensemble=self.undo(mean + completed(errors)),
            levels=LEVELS,
            names=self.names,
            title=history.title,
            time_unit=history.time_unit,
            origin=history.origin,
        )

    def undo(self, values: Float[np.ndarray, "*shape dim"]) -> Float[np.ndarray, "*shape dim"]:
        """Forecasts from standard units to those of the data, not below the floor."""
        return np.maximum(self.standardiser.undo(values), self.floor)

    def prepared(self, history: Series) -> Series:
        """The history as the point forecaster wants it: checked, on a grid if need be, in standard units.

        Raises:
            InputError: the columns, the unit or the step differ, or the history is too short.
        """
        if history.names != self.names:
            raise InputError(
                f"{history.title!r} has the columns {', '.join(history.names)}, and this model was fitted to "
                f"{', '.join(self.names)}; select those."
            )
        if history.time_unit != self.time_unit:
            raise InputError(
                f"The times of {history.title!r} are in {history.time_unit or 'plain numbers'}, and this model was "
                f"fitted in {self.time_unit or 'plain numbers'}; convert them."
            )
        series = history
        if self.gridded:
            # The median step of uneven times differs from stretch to stretch.
            even = history.is_regular
            if len(history) > 1 and not np.isclose(history.step, self.step, rtol=0.02 if even else 0.5):
                raise InputError(
                    f"{history.title!r} has a step of {history.step:g}, and this model was fitted to {self.step:g}; "
                    "resample it, or fit anew."
                )
            series = history if even else history.on_grid(self.step)
        if len(series) < self.point.context:
            raise InputError(
                f"{history.title!r} has {len(series)} rows, and {self.method} looks at the last {self.point.context}; "
                "give a longer history."
            )
        return standardised(series, self.standardiser)


@dataclass(frozen=True)
class ForecastMethod:
    """The hyperparameters of a method; `fit` turns data into a `Forecaster`. Abstract: use a member of `METHODS`."""

    name: ClassVar[str]
    precision: ClassVar[int] = 64
    """Bits of its arithmetic: least squares on near-collinear delays needs 64."""
    gridded: ClassVar[bool] = True
    """Whether it needs evenly spaced times."""
    least: ClassVar[Mapping[str, float]] = {}
    """The smallest value that makes sense for each number among the hyperparameters."""

    @abstractmethod
    def fit_point(self, training: Series, *, horizon: int, key: Array, run: Path | None) -> PointForecaster:
        """Fit to `training`, which is in standard units and, for a gridded method, on even times."""

    def fit(self, data: Series, *, horizon: int | None = None, key: Array, run: Path | None = None) -> Forecaster:
        """Fit to the first three quarters of the data and calibrate the intervals on the rest.

        When a quarter would give fewer than four errors for the last lead time, the rest is made longer.

        Arguments:
            data: at least some dozens of rows.
            horizon: steps ahead that the method is tuned and calibrated for; `default_horizon(data)` when absent.
            key: of the random numbers that a method needs.
            run: directory for training checkpoints, of methods that train.

        Returns:
            The fitted forecaster.

        Raises:
            InputError: there are too few rows, and the message says how many are needed; or a hyperparameter makes no
                sense.
        """
        self.check()
        ahead = default_horizon(data) if horizon is None else horizon
        if ahead < 1:
            raise InputError(f"The horizon must be at least 1 step, and {ahead} was asked for.")
        series = data.on_grid() if self.gridded else data
        held = max(len(series) // 4, ahead + 3)
        rows, needed = len(series) - held, least_rows(ahead)
        if len(series) < needed:
            raise InputError(
                f"{data.title!r} has {len(series)} rows; a forecast of {ahead} steps needs at least {needed}; "
                "give more data or a shorter horizon."
            )
        standardiser = Standardiser.of(series[:rows])
        series = standardised(series, standardiser)
        with jax.enable_x64(self.precision == 64):
            point = self.fit_point(series[:rows], horizon=ahead, key=key, run=run)
        if point.context > rows:
            raise InputError(f"{self.name} looks at {point.context} rows and only {rows} are there to fit; give more.")
        origins = spread_origins(rows - 1, len(series) - 2)
        _, truth = future_windows(series, origins, ahead)
        errors = truth - predict(point, series, origins, ahead, self.precision)
        rare = np.flatnonzero((~np.isnan(errors)).sum(axis=0).min(axis=0) < 2)
        if len(rare):
            raise InputError(
                f"Column {data.names[rare[0]]!r} of {data.title!r} has too few observations in the last {held} rows, "
                "which calibrate the intervals; leave it out or give more data."
            )
        return Forecaster(
            point,
            standardiser,
            errors,
            floor_of(data),
            initial_miscoverage(ahead, data.dim),
            self.name,
            self.precision,
            self.gridded,
            data.names,
            data.time_unit,
            data.step,
            data.period,
        )

    def check(self) -> None:
        """Refuse hyperparameters that make no sense.

        Raises:
            InputError: one is below the least that makes sense, or not finite.
        """
        for setting, least in self.least.items():
            value = getattr(self, setting)
            if value is not None and not least <= value < np.inf:
                raise InputError(f"{setting} of {self.name} cannot be {value:g}; it must be at least {least:g}.")


def default_horizon(series: Series) -> int:
    """How far ahead to forecast when nobody says: a season where it is known, else a twentieth of the series, from 5
    to 50 steps; never more than an eighth of it."""
    wanted = round(series.period / series.step) if series.period else int(np.clip(len(series) // 20, 5, 50))
    return max(1, min(wanted, len(series) // 8))


def least_rows(horizon: int) -> int:
    """The rows without which nothing can be fitted and calibrated."""
    return max(16, 2 * horizon + 6)


def initial_miscoverage(horizon: int, dim: int) -> Float[np.ndarray, "level horizon dim"]:
    """What the intervals promise to miss, before anything was seen."""
    return np.broadcast_to(1.0 - np.asarray(LEVELS)[:, None, None], (len(LEVELS), horizon, dim)).copy()


def floor_of(series: Series) -> Float[np.ndarray, " dim"]:
    """Zero for each column that was never negative and came within a twentieth of its range of zero, else minus
    infinity."""
    low, high = (limit(series.values, axis=0) for limit in (np.nanmin, np.nanmax))
    return np.where((low >= 0) & (low <= 0.05 * (high - low)), 0.0, -np.inf)


def season_of(series: Series) -> int:
    """The steps in a known season; 1 when none is known."""
    return max(1, round(series.period / series.step)) if series.period else 1


def standardised(series: Series, standardiser: Standardiser) -> Series:
    """The series in standard units."""
    return eqx.tree_at(lambda s: s.values, series, standardiser.apply(series.values))


def spread_origins(first: int, last: int) -> Int[np.ndarray, " origin"]:
    """Row numbers from `first` to `last`, all of them or `MOST_ORIGINS` evenly spread."""
    count = min(last - first + 1, MOST_ORIGINS)
    return np.unique(np.round(np.linspace(first, last, count)).astype(int))
