"""Which column of a table holds the times, and what they are."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathline.data.dates import Wrong, as_dates, month_number
from pathline.data.numbers import column_numbers, listed
from pathline.errors import InputError, nearest

_UNIT = r"([ _]*(\(.*\)|\[.*\]|utc|gmt|ms|s|sec|seconds?|min|minutes?|h|hours?|d|days?|years?))?"
_NAMES = re.compile(
    rf"(time|times|date|dates|date[ _]?time|time[ _]?stamp|epoch|year|years|when){_UNIT}", re.IGNORECASE
)
# A capital T is a temperature more often than a time.
_SYMBOL = re.compile(r"t([ _]*(\(.*\)|\[.*\]|ms|s|min|h|d))?")
# These may also be features of a moment (the month of a daily record), and are times only where they increase throughout.
_COUNTERS = re.compile(
    rf"(second|seconds|minute|hour|day|week|month|quarter|step|steps|index|frame){_UNIT}", re.IGNORECASE
)
# Digits without marks, by how many there are: the year and month alone could be a count.
_COMPACT = {6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_COMPACT_DIGITS = re.compile(r"(1[6-9]|20|21)\d\d(0[1-9]|1[0-2])\d*")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d([.]\d+)?)?( ?[AaPp][Mm])?")


def split_time(frame: pd.DataFrame, time: str | None, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table without its time column, and the times: numbers, or `datetime64`.

    Arguments:
        frame: a table whose columns have different names.
        time: the name of the time column; `None` to recognise it. Columns year and month (and day) may do together.
        path: of the file, for messages.

    Raises:
        InputError: there is no such column, or a cell of it is neither a number nor a date.
    """
    if time is not None:
        if time not in frame.columns:
            raise InputError(
                f"{path} has no column {time!r}{nearest(time, frame.columns)}; it has {listed(frame.columns)}."
            )
        frame = _without_empty_rows(frame)
        return frame.drop(columns=time), _moments_of(frame[time], path)
    # A row of empty cells is a gap where rows are counted, and nothing where they have times.
    counted, frame = frame, _without_empty_rows(frame)
    if (joined := _from_parts(frame)) is not None:
        return joined
    if frame.shape[1] == 1:
        moments, wrong = as_moments(frame.iloc[:, 0])
        if wrong is None and moments.dtype.kind == "M":
            raise InputError(f"{path} has no column besides the time; it needs at least one.")
        return counted, np.arange(len(counted), dtype=float)
    for name in (name for name in frame.columns if _NAMES.fullmatch(name) or _SYMBOL.fullmatch(name)):
        moments, wrong = as_moments(frame[name])
        if wrong is None:
            return frame.drop(columns=name), moments
        if any(re.search(r"\d", str(cell)) for cell in frame[name].head(20)):
            raise _neither(frame[name], wrong, path)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            moments, wrong = as_moments(frame[name])
            if wrong is None and moments.dtype.kind == "M":
                return frame.drop(columns=name), moments
    for place, name in enumerate(frame.columns):
        # The counter that some programs write first has no name, which has become `column1`.
        if _COUNTERS.fullmatch(name) or (place == 0 and name == "column1" and "column2" not in frame.columns):
            moments, wrong = as_moments(frame[name])
            if wrong is None and np.all(moments[1:] > moments[:-1]):
                return frame.drop(columns=name), moments
    return counted, np.arange(len(counted), dtype=float)


def _without_empty_rows(frame: pd.DataFrame) -> pd.DataFrame:
    empty = np.all([frame[name].astype(object) == "" for name in frame.columns], axis=0)
    return frame.loc[~empty].reset_index(drop=True) if empty.any() else frame


def as_moments(column: Any) -> tuple[np.ndarray, Wrong | None]:
    """Times, numbers or `datetime64`, and the first cell that is none."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        stamps = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy()
        missing = np.isnat(stamps)
        return stamps, (int(np.argmax(missing)), "which is missing; mend it") if missing.any() else None
    numbers, wrong = column_numbers(column)
    finite = np.isfinite(numbers)
    if wrong is None and finite.all():
        return _as_calendar(numbers, str(column.name)), None
    if finite.any():
        return numbers, (int(np.argmin(finite)), "which is not a number, as others are; mend it")
    return as_dates([str(cell).strip() for cell in column])


def _as_calendar(numbers: np.ndarray, name: str) -> np.ndarray:
    """Dates, where the name of the column and all its numbers say so: years, 20240131, or seconds since 1970."""
    whole = len(numbers) > 0 and np.all(numbers == np.round(numbers))
    if whole and re.fullmatch(r"years?", name, re.IGNORECASE) and np.all((numbers > 0) & (numbers < 9999)):
        return np.asarray([f"{int(year):04d}-01-01" for year in numbers], dtype="datetime64[us]")
    if whole and re.search(r"date|time|stamp|month", name, re.IGNORECASE):
        written = [f"{number:.0f}" for number in numbers]
        digits = len(written[0])
        known = digits in _COMPACT and (digits > 6 or re.search(r"date|month", name, re.IGNORECASE))
        if known and all(len(text) == digits and _COMPACT_DIGITS.fullmatch(text) for text in written):
            dates = pd.to_datetime(pd.Series(written), format=_COMPACT[digits], errors="coerce")
            return numbers if dates.isna().any() else dates.to_numpy()
    if len(numbers) and re.search(r"date|stamp|epoch|unix", name, re.IGNORECASE):
        for per_second in (1, 1e3, 1e6, 1e9):
            # From 2001 to 2100: smaller ones may count something else.
            if np.all((numbers >= 1e9 * per_second) & (numbers < 4.1e9 * per_second)):
                return np.round(numbers / (per_second / 1e6)).astype(np.int64).view("datetime64[us]")
    return numbers


def _from_parts(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Times from columns date and time of day, or year, month and perhaps day, hour, minute and second."""
    found = {str(name).lower(): name for name in frame.columns}
    if {"date", "time"} <= found.keys():
        used = ["date", "time"]
        pairs = list(zip(frame[found["date"]], frame[found["time"]], strict=True))
        if not all(_TIME_OF_DAY.fullmatch(str(hour)) for _, hour in pairs):
            return None
        moments, wrong = as_dates([f"{day} {hour}" for day, hour in pairs])
        if wrong is not None:
            return None
    elif {"year", "month"} <= found.keys():
        used = ["year", "month"]
        for part in ("day", "hour", "minute", "second"):
            if part not in found:
                break
            used.append(part)
        numbers = {part: column_numbers(frame[found[part]])[0] for part in used}
        if np.isnan(numbers["month"]).all():
            names = [month_number(str(cell)) for cell in frame[found["month"]]]
            numbers["month"] = np.asarray([np.nan if number is None else number for number in names], float)
        if not all(np.all(np.isfinite(part)) and np.all(part == np.round(part)) for part in numbers.values()):
            return None
        dates = pd.to_datetime(pd.DataFrame({"day": 1.0, **numbers}), errors="coerce")
        if dates.isna().any():
            return None
        moments = dates.to_numpy()
    else:
        return None
    rest = frame.drop(columns=[found[part] for part in used])
    return (rest, moments) if rest.shape[1] else None


def _moments_of(column: Any, path: Path) -> np.ndarray:
    moments, wrong = as_moments(column)
    if wrong is not None:
        raise _neither(column, wrong, path)
    return moments


def _neither(column: Any, wrong: Wrong, path: Path) -> InputError:
    row, reason = wrong
    cell = " ".join(str(column.iloc[row]).split())[:40]
    return InputError(f"Row {row + 1} of {path} has the time {cell!r}, {reason}.")
