"""Dates as evenly spaced numbers: counts of the coarsest calendar unit that represents all of them exactly.

Months differ in length, yet a monthly series is evenly sampled in every sense that a forecaster cares about; counting
in months keeps it so.
"""

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from pathline.errors import InputError

UNITS = ("year", "month", "day", "hour", "minute", "second")
"""Calendar units, coarsest first."""

_SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
# NumPy would read any whole number as a year.
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ][\d:.]+Z?)?)?)?")
_DAY = np.timedelta64(1, "D")


def to_counts(dates: Any) -> tuple[Float[np.ndarray, " time"], str, str]:
    """Dates as numbers.

    Arguments:
        dates: anything that pandas reads as dates, to the microsecond; time zones are converted to UTC.

    Returns:
        `(times, unit, origin)`: counts of `unit` since the ISO date `origin`, which is the first date.

    Raises:
        InputError: a date is missing, cannot be read, or lies outside the years 1 to 9999.
    """
    stamps = _stamps(dates)
    if not len(stamps):
        return np.empty(0), "day", "1970-01-01T00:00:00"
    if stamps.min() < np.datetime64("0001-01-01") or stamps.max() >= np.datetime64("10000-01-01"):
        raise InputError("A date lies outside the years 1 to 9999; give such times as numbers.")
    first = stamps[0]
    months = stamps.astype("datetime64[M]")
    counts = (months - months[0]).astype(int)
    # A series that starts on the last day of a month counts in months if it keeps to last days (28 February, 31 March);
    # any other one if it keeps to the same place in the month.
    if _is_month_end(first):
        monthly = np.all(stamps == _month_end(months))
    else:
        monthly = np.all(stamps - months == first - months[0])
    if len(stamps) > 1 and monthly:
        yearly = np.all(counts % 12 == 0)
        return counts / (12.0 if yearly else 1.0), "year" if yearly else "month", _iso(first)
    elapsed = (stamps - first).astype(np.int64)
    unit = next((unit for unit, size in _SECONDS.items() if np.all(elapsed % (size * 1_000_000) == 0)), "second")
    return _elapsed(stamps - first, unit), unit, _iso(first)


def to_dates(times: Float[np.ndarray, " time"], unit: str, origin: str) -> Shaped[np.ndarray, " time"]:
    """The inverse of `to_counts`, as `datetime64[us]`; fractions of a year or month are spread over its days.

    Arguments:
        times: counts of `unit` since `origin`.
        unit: one of `UNITS`.
        origin: an ISO date.
    """
    start = np.datetime64(origin, "us")
    if unit in _SECONDS:
        return start + np.round(np.asarray(times) * (_SECONDS[unit] * 1e6)).astype("timedelta64[us]")
    counts = np.asarray(times, dtype=float) * (12 if unit == "year" else 1)
    whole = np.floor(counts + 1e-9)
    months = start.astype("datetime64[M]") + whole.astype("timedelta64[M]")
    length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")) / _DAY
    if _is_month_end(start):
        base = _month_end(months)
    else:
        base = months.astype("datetime64[us]") + (start - start.astype("datetime64[M]"))
    rest = np.where(np.abs(counts - whole) < 1e-9, 0.0, counts - whole)
    return base + np.round(rest * length * 86_400e6).astype("timedelta64[us]")


def time_bound(value: float | int | str, unit: str | None, origin: str | None, *, upper: bool) -> float:
    """A moment that a user named, as a bound (inclusive) on the time axis of a series.

    Arguments:
        value: an ISO date (of a series with dates), which may be cut short (`"1998"`, `"1998-07"`); or a number as on
            the axis of the series: a calendar year when `unit` is year, else a count of `unit`.
        unit, origin: of the series; `None` when its times are plain numbers.
        upper: whether the bound is from above. Then a date cut short means its end, else its start.

    Raises:
        InputError: it is neither.
    """
    text = str(value).strip()
    if isinstance(value, str) and unit is not None and origin is not None and _DATE.fullmatch(text):
        return _date_bound(text, unit, origin, upper)
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        remedy = "neither a date like 1998-07-01 nor a number" if unit else "not a number"
        raise InputError(f"The time {text!r} is {remedy}; this series runs on {_axis(unit)}.")
    # Times such as 0.1 + 0.2 miss the decimal number that a user types by rounding.
    number += (1e-12 if upper else -1e-12) * abs(number)
    return number - int(origin[:4]) if unit == "year" and origin is not None else number


def _date_bound(text: str, unit: str, origin: str, upper: bool) -> float:
    try:
        date = np.datetime64(text.removesuffix("Z"))
    except ValueError:
        raise InputError(f"The time {text!r} is not a date; write it like 1998-07-01.") from None
    cut_short = upper and np.datetime_data(date.dtype)[0] in ("Y", "M", "D", "h", "m", "s")
    moment = (date + 1 if cut_short else date).astype("datetime64[us]")
    start = np.datetime64(origin, "us")
    if unit in _SECONDS:
        count = _elapsed(moment - start, unit)
    else:
        # Where the moment lies between the dates of whole months, which differ in length.
        near = (moment.astype("datetime64[M]") - start.astype("datetime64[M]")).astype(int) + np.arange(-1.0, 3.0)
        dates = to_dates(near, "month", origin)
        count = float(np.interp((moment - dates[0]) / _DAY, (dates - dates[0]) / _DAY, near))
        count = count / 12.0 if unit == "year" else count
    return float(np.nextafter(count, -np.inf)) if cut_short else float(count)


def _stamps(dates: Any) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            index = pd.DatetimeIndex(pd.to_datetime(dates, utc=True)).tz_localize(None)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"The times cannot be read as dates ({str(error).splitlines()[0]}); use ISO 8601.") from error
    if index.hasnans:
        raise InputError(f"Row {int(np.flatnonzero(index.isna())[0]) + 1} has no date; remove the row or fill it in.")
    return index.to_numpy().astype("datetime64[us]")


def _elapsed(span: Any, unit: str) -> Any:
    return span.astype(np.int64) / (_SECONDS[unit] * 1_000_000)


def _is_month_end(moment: np.datetime64) -> bool:
    return bool((moment.astype("datetime64[D]") + 1).astype("datetime64[M]") > moment.astype("datetime64[M]"))


def _month_end(months: np.ndarray) -> np.ndarray:
    return (months + 1).astype("datetime64[us]") - _DAY


def _iso(moment: np.datetime64) -> str:
    """To the second, or to the microsecond where that is needed."""
    short = moment.astype("datetime64[s]")
    return str(short if short == moment else moment)


def _axis(unit: str | None) -> str:
    return "plain numbers" if unit is None else "calendar years" if unit == "year" else f"dates counted in {unit}s"
