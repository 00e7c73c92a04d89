"""Evaluation by rolling origin: forecast again and again as time passes, and look at what came."""

import warnings
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast.conformal import LEVELS, adapted, nested, offsets_of_ordered, stretched
from pathline.forecast.forecaster import Forecaster, season_of, spread_origins
from pathline.forecast.point import predict
from pathline.forecast.windows import future_windows
from pathline.measure import crps_by_entry, interval_coverage, interval_score, mase, rmse, smape


class Evaluation(eqx.Module):
    """How a forecaster did on data it had not seen. All in the data's units.

    Arguments:
        series: what was forecast, on even times if the method needs them.
        origins: rows of `series` from which forecasts started.
        times: of the targets.
        predictions: point forecasts.
        truth: what came; NaN where it was not observed or lies beyond the end.
        lower, upper: ends of the intervals, one for each level.
        crps: of each lead time, averaged over origins and columns.
        errors: truth minus prediction in standard units, for calibrating what follows.
        miscoverage: what the intervals are asked to miss after all this.
        levels: probabilities of the intervals.
        method: the forecaster's name.
    """

    series: Series
    origins: Int[np.ndarray, " origin"]
    times: Float[np.ndarray, "origin horizon"]
    predictions: Float[np.ndarray, "origin horizon dim"]
    truth: Float[np.ndarray, "origin horizon dim"]
    lower: Float[np.ndarray, "level origin horizon dim"]
    upper: Float[np.ndarray, "level origin horizon dim"]
    crps: Float[np.ndarray, " horizon"]
    errors: Float[np.ndarray, "origin horizon dim"]
    miscoverage: Float[np.ndarray, "level horizon dim"]
    levels: tuple[float, ...] = eqx.field(static=True)
    method: str = eqx.field(static=True)

    def coverage(self) -> dict[float, float]:
        """For each level, the share of observations inside their interval."""
        ends = zip(self.levels, self.lower, self.upper, strict=True)
        return {level: interval_coverage(lower, upper, self.truth) for level, lower, upper in ends}

    def rmse_by_horizon(self) -> Float[np.ndarray, " horizon"]:
        """Root mean square error at each lead time, over origins and columns."""
        return np.asarray([rmse(self.predictions[:, h], self.truth[:, h]) for h in range(self.times.shape[1])])

    def metrics(self) -> dict[str, Any]:
        """The overall scores, by name."""
        history = self.series.values[: self.origins[0] + 1]
        flat = (-1, self.truth.shape[2])
        predictions, truth = self.predictions.reshape(flat), self.truth.reshape(flat)
        widest = self.levels[-1]
        return {
            "rmse": rmse(predictions, truth),
            "mase": mase(predictions, truth, history, season=season_of(self.series)),
            "smape": smape(predictions, truth),
            "crps": float(np.nanmean(self.crps)),
            **{f"coverage_{level:g}": value for level, value in self.coverage().items()},
            f"interval_score_{widest:g}": interval_score(self.lower[-1], self.upper[-1], self.truth, widest),
            "origins": len(self.origins),
        }


def evaluate(forecaster: Forecaster, series: Series, *, start: int, horizon: int | None = None) -> Evaluation:
    """Forecast from every row after `start` and compare with what came.

    The intervals learn as time passes: at each origin they are calibrated on the errors of the forecaster's
    calibration and of all earlier forecasts whose targets have been observed by then, and the probability that they
    ask for follows how often they were right (adaptive conformal inference). Nothing later is used.

    Arguments:
        forecaster: fitted to rows before `start`.
        series: the whole series.
        start: the first row to be forecast.
        horizon: steps ahead; by default as many as were calibrated.

    Returns:
        Forecasts, what came, and scores.

    Raises:
        InputError: no row lies after `start`, or the history before it is too short.
    """
    ahead = forecaster.errors.shape[1] if horizon is None else horizon
    if not 0 < start < len(series):
        raise InputError(f"Row {start} cannot begin the evaluation: {series.title!r} has {len(series)} rows.")
    prepared = forecaster.prepared(series)
    # On a grid, the first row at or after the time that was asked for.
    first = int(np.searchsorted(prepared.times, series.times[start] - 1e-9)) - 1
    if first + 1 < forecaster.point.context:
        raise InputError(
            f"{forecaster.method} looks at {forecaster.point.context} rows and only {first + 1} come first."
        )
    origins = spread_origins(first, len(prepared) - 2)
    predictions = predict(forecaster.point, prepared, origins, ahead, forecaster.precision)
    times, truth = future_windows(prepared, origins, ahead)
    errors = truth - predictions
    asked = forecaster.miscoverage[:, np.minimum(np.arange(ahead), forecaster.miscoverage.shape[1] - 1)]
    standardiser = forecaster.standardiser
    least = standardiser.apply(forecaster.floor) - predictions
    offsets, scores, asked = _online(stretched(forecaster.errors, ahead), errors, least, origins, asked)
    return Evaluation(
        series=eqx.tree_at(lambda s: s.values, prepared, standardiser.undo(prepared.values)),
        origins=origins,
        times=times,
        predictions=forecaster.undo(predictions),
        truth=standardiser.undo(truth),
        lower=forecaster.undo(predictions + offsets[0]),
        upper=forecaster.undo(predictions + offsets[1]),
        crps=_mean_seen(scores * np.asarray(standardiser.scale), axis=1),
        errors=errors,
        miscoverage=asked,
        levels=LEVELS,
        method=forecaster.method,
    )


def recalibrated(forecaster: Forecaster, evaluation: Evaluation) -> Forecaster:
    """The same point forecaster with intervals that know the evaluation too: for what lies ahead."""
    errors = np.concatenate([forecaster.errors, stretched(evaluation.errors, forecaster.errors.shape[1])])
    lead = np.minimum(np.arange(errors.shape[1]), evaluation.miscoverage.shape[1] - 1)
    new = errors, evaluation.miscoverage[:, lead]
    return eqx.tree_at(lambda f: (f.errors, f.miscoverage), forecaster, new)


def _online(
    calibration: np.ndarray, errors: np.ndarray, least: np.ndarray, origins: np.ndarray, miscoverage: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each origin could know of the errors, and no more.

    Arguments:
        calibration: errors known before the first origin `[sample, horizon, dim]`.
        errors: of the forecasts from each origin `[origin, horizon, dim]`.
        least: that an ensemble member may add to its forecast `[origin, horizon, dim]`.
        origins: in order.
        miscoverage: asked for at first `[level, horizon, dim]`.

    Returns:
        Offsets of the intervals `[end, level, origin, horizon, dim]`, scores of the ensembles `[horizon, dim]`, and the
        miscoverage to ask for after the last origin `[level, horizon, dim]`.
    """
    count, horizon, dim = errors.shape
    offsets = np.empty((2, len(LEVELS), count, horizon, dim))
    scores = np.full((count, horizon, dim), np.nan)
    asked = miscoverage.copy()
    known = _KnownErrors(calibration, count)
    leads, learnt = np.arange(horizon), np.zeros(horizon, int)
    # The last turn gives no forecast: it learns from what has come since, for forecasts beyond the series.
    for place, now in enumerate([*origins, origins[-1] + 1]):
        # An earlier forecast teaches once its target, `lead + 1` rows after its origin, has passed.
        passed = np.minimum(np.searchsorted(origins, now - leads - 1, side="right"), place)
        while (new := leads[learnt < passed]).size:
            low, high, error = *offsets[:, :, learnt[new], new], errors[learnt[new], new]
            missed = np.where(np.isnan(error), np.nan, (error < low) | (error > high))
            for number, level in enumerate(LEVELS):
                asked[number, new] = adapted(asked[number, new], 1.0 - level, missed[number])
            known.add(new, error)
            learnt[new] += 1
        if place == count:
            break
        ordered = known.in_order()
        for number, each in enumerate(nested(asked)):
            offsets[:, number, place] = offsets_of_ordered(ordered, known.count, each)
        members = np.maximum(np.moveaxis(ordered, -1, 0), least[place])
        scores[place] = crps_by_entry(members, errors[place])
    return offsets, _mean_seen(scores, axis=0), asked


def _mean_seen(scores: np.ndarray, axis: int) -> np.ndarray:
    """The mean over what was observed; NaN, and no warning, where nothing was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(scores, axis=axis)


class _KnownErrors:
    """The errors of each lead time and column that have been seen so far, in order, NaN after the last.

    Arguments:
        calibration: known at first `[sample, horizon, dim]`.
        room: how many more will come.
    """

    def __init__(self, calibration: np.ndarray, room: int):
        at_first = np.sort(np.moveaxis(calibration, 0, -1), axis=-1)
        self._ordered = np.concatenate([at_first, np.full((*at_first.shape[:-1], room), np.nan)], axis=-1)
        self.count = (~np.isnan(at_first)).sum(axis=-1)

    def add(self, leads: np.ndarray, errors: np.ndarray) -> None:
        """Take note of one error `[lead, dim]` of each of some lead times."""
        places = self.count[leads][..., None]
        rows = self._ordered[leads]
        np.put_along_axis(rows, places, errors[..., None], axis=-1)
        self._ordered[leads] = rows
        self.count[leads] += ~np.isnan(errors)

    def in_order(self) -> np.ndarray:
        """All of them `[horizon, dim, sample]`."""
        # All but the newest are in order, which a stable sort makes use of.
        self._ordered.sort(axis=-1, kind="stable")
        return self._ordered[..., : int(self.count.max(initial=1))]
