"""Dates as evenly spaced numbers: counts of the coarsest calendar unit that represents all of them exactly.

Months differ in length, yet a monthly series is evenly sampled in every sense that a forecaster cares about; counting
in months keeps it so.
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from pathline.errors import InputError

UNITS = ("year", "month", "day", "hour", "minute", "second")
"""Calendar units, coarsest first."""

_SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def to_counts(dates: Any) -> tuple[Float[np.ndarray, " time"], str, str]:
    """Dates as numbers.

    Arguments:
        dates: anything that pandas reads as dates, sorted; time zones are converted to UTC.

    Returns:
        `(times, unit, origin)`: counts of `unit` since the ISO date `origin`, which is the first date.

    Raises:
        InputError: a date is missing or cannot be read.
    """
    try:
        index = pd.DatetimeIndex(pd.to_datetime(dates, utc=True)).tz_localize(None)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"The times cannot be read as dates ({str(error).splitlines()[0]}); use ISO 8601.") from error
    if index.hasnans:
        raise InputError(f"Row {int(np.flatnonzero(index.isna())[0]) + 1} has no date; remove the row or fill it in.")
    stamps = index.to_numpy().astype("datetime64[ns]")
    first = stamps[0]
    months = stamps.astype("datetime64[M]")
    counts = (months - months[0]).astype(int)
    # Within the month every stamp stands at the same place: the same day and time, or always the last day.
    same_place = np.all(stamps - months == first - months[0])
    month_ends = np.all((stamps + np.timedelta64(1, "D")).astype("datetime64[M]") == months + 1) and np.all(
        stamps.astype("datetime64[D]") == stamps
    )
    if len(stamps) > 1 and (same_place or month_ends):
        origin = str(stamps[0].astype("datetime64[s]"))
        if np.all(counts % 12 == 0):
            return counts / 12.0, "year", origin
        return counts.astype(float), "month", origin
    elapsed = (stamps - first) / np.timedelta64(1, "s")
    unit = next((unit for unit, size in _SECONDS.items() if np.all(elapsed % size == 0)), "second")
    return elapsed / _SECONDS[unit], unit, str(first.astype("datetime64[ms]" if unit == "second" else "datetime64[s]"))


def to_dates(times: Float[np.ndarray, " time"], unit: str, origin: str) -> np.ndarray:
    """The inverse of `to_counts`, as `datetime64[ms]`; fractions of a year or month are spread over its days.

    Arguments:
        times: counts of `unit` since `origin`.
        unit: one of `UNITS`.
        origin: an ISO date.
    """
    start = np.datetime64(origin, "ms")
    if unit in _SECONDS:
        return start + np.round(np.asarray(times) * _SECONDS[unit] * 1000).astype("timedelta64[ms]")
    counts = np.asarray(times, dtype=float) * (12 if unit == "year" else 1)
    whole = np.floor(counts + 1e-9)
    first_month = start.astype("datetime64[M]")
    month_end = (start.astype("datetime64[D]") + 1).astype("datetime64[M]") > first_month
    months = first_month + whole.astype("timedelta64[M]")
    length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(float)
    inside = start - first_month.astype("datetime64[ms]")
    if month_end:
        base = (months + 1).astype("datetime64[D]").astype("datetime64[ms]") - np.timedelta64(1, "D")
    else:
        base = months.astype("datetime64[ms]") + inside
    rest = np.where(np.abs(counts - whole) < 1e-9, 0.0, counts - whole)
    return base + np.round(rest * length * 86_400_000).astype("timedelta64[ms]")


def parse_time(value: float | str, unit: str | None, origin: str | None) -> float:
    """A moment that a user named, on a series' own time axis.

    Arguments:
        value: a number on that axis, or an ISO date (of a series with dates).
        unit, origin: of the series; `None` when its times are plain numbers.

    Raises:
        InputError: it is neither.
    """
    try:
        number = float(value)
    except ValueError:
        number = None
    if number is not None and unit != "year":
        return number
    if unit is None or origin is None:
        if number is not None:
            return number
        raise InputError(f"The time {value!r} is not a number, and this series has no dates; give a number.")
    try:
        # A bare year, as on the axis of a yearly series: 1950.
        moment = np.datetime64(f"{int(number):04d}" if number is not None else str(value), "ms")
    except ValueError:
        raise InputError(f"The time {value!r} is not a date; write it like 1998-07-01.") from None
    start = np.datetime64(origin, "ms")
    if unit in _SECONDS:
        return float((moment - start) / np.timedelta64(1, "s")) / _SECONDS[unit]
    months = float((moment.astype("datetime64[M]") - start.astype("datetime64[M]")).astype(int))
    fraction = (moment - moment.astype("datetime64[M]")) - (start - start.astype("datetime64[M]"))
    months += float(fraction / np.timedelta64(1, "D")) / 31.0
    return months / 12.0 if unit == "year" else months
