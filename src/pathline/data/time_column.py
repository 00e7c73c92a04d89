"""Which column of a table holds the times, and what they are."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathline.data.numbers import column_numbers, is_missing, listed
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
_COMPACT = re.compile(r"(1[6-9]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_DOTTED = re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}.*")
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d([.]\d+)?)?")
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-]\d{4}.*")


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
        return frame.drop(columns=time), _moments_of(frame[time], path)
    if (joined := _from_parts(frame)) is not None:
        return joined
    if frame.shape[1] == 1:
        return frame, np.arange(len(frame), dtype=float)
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
            numbers, _ = column_numbers(frame[name])
            if np.all(np.isfinite(numbers)) and np.all(np.diff(numbers) > 0):
                return frame.drop(columns=name), numbers
    return frame, np.arange(len(frame), dtype=float)


def as_moments(column: Any) -> tuple[np.ndarray, int | None]:
    """Times, and the row of the first cell that is none.

    Of dates like 31.12.1999 the day comes first. Those like 12/31/1999 are read in the one order in which all of them
    exist; if both do, the first row counts as no date.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _checked(pd.to_datetime(column, utc=True))
    numbers, wrong = column_numbers(column)
    if wrong is None and np.all(np.isfinite(numbers)):
        return _as_calendar(numbers, str(column.name)), None
    if np.isfinite(numbers).any():
        return numbers, int(np.argmin(np.isfinite(numbers)))
    return _as_dates([str(cell).strip() for cell in column])


def _as_dates(cells: list[str]) -> tuple[np.ndarray, int | None]:
    # Without a year pandas makes a date of almost anything.
    undated = next((row for row, cell in enumerate(cells) if is_missing(cell) or not re.search(r"\d{4}", cell)), None)
    if undated is not None:
        return np.empty(0, "datetime64[us]"), undated
    attempts: list[dict[str, Any]] = [{"format": "ISO8601"}, {}]
    if _DOTTED.fullmatch(cells[0]):
        attempts = [{"dayfirst": True}]
    elif _SLASHED.fullmatch(cells[0]):
        parts = [match for match in map(_SLASHED.fullmatch, cells) if match]
        day_first, month_first = (all(int(match[place]) <= 12 for match in parts) for place in (2, 1))
        if day_first and month_first and any(int(match[1]) != int(match[2]) for match in parts):
            return np.empty(0, "datetime64[us]"), 0
        attempts = [{"dayfirst": day_first}]
    results = []
    for options in attempts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(_checked(pd.to_datetime(pd.Series(cells), errors="coerce", utc=True, **options)))
        if results[-1][1] is None:
            return results[-1]
    return max(results, key=lambda result: result[1] or 0)


def _checked(dates: Any) -> tuple[np.ndarray, int | None]:
    stamps = dates.dt.tz_localize(None).to_numpy()
    missing = np.isnat(stamps)
    return stamps, int(np.argmax(missing)) if missing.any() else None


def _as_calendar(numbers: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers called year are calendar years, and those called date may be 20240131."""
    whole = np.all(numbers == np.round(numbers))
    if whole and re.fullmatch(r"years?", name, re.IGNORECASE) and np.all((numbers > 0) & (numbers < 9999)):
        return np.asarray([f"{int(year):04d}-01-01" for year in numbers], dtype="datetime64[us]")
    if whole and "date" in name.lower() and all(_COMPACT.fullmatch(f"{number:.0f}") for number in numbers):
        dates = pd.to_datetime([f"{number:.0f}" for number in numbers], format="%Y%m%d", errors="coerce")
        return numbers if dates.hasnans else dates.to_numpy()
    return numbers


def _from_parts(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray] | None:
    """Times from columns date and time of day, or year, month and perhaps day."""
    found = {str(name).lower(): name for name in frame.columns}
    if {"date", "time"} <= found.keys():
        used = ["date", "time"]
        if not all(_TIME_OF_DAY.fullmatch(str(cell)) for cell in frame[found["time"]]):
            return None
        moments, wrong = _as_dates(
            [f"{day} {hour}" for day, hour in zip(frame[found["date"]], frame[found["time"]], strict=True)]
        )
        if wrong is not None:
            return None
    elif {"year", "month"} <= found.keys():
        used = [part for part in ("year", "month", "day") if part in found]
        numbers = {part: column_numbers(frame[found[part]])[0] for part in used}
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


def _neither(column: Any, row: int, path: Path) -> InputError:
    cell = " ".join(str(column.iloc[row]).split())[:40]
    if _SLASHED.fullmatch(cell):
        return InputError(
            f"Row {row + 1} of {path} has the time {cell!r}, which may have the day or the month first; write it like "
            "1998-07-01."
        )
    return InputError(f"Row {row + 1} of {path} has the time {cell!r}, neither a number nor a date; mend it.")
