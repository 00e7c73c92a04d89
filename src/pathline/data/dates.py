"""Dates as people write them, by rules that never guess: what could be two dates is none."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_CLOCK = (
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?P<half>[AaPp][Mm])? ?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_FORMS = [
    re.compile(form + _CLOCK, re.ASCII)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2}))?",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<left>\d{1,2})(?P<mark>[-/.])(?P<right>\d{1,2})(?P=mark)(?P<year>\d{4})",
        rf"(?P<day>\d{{1,2}})[ .-]*{_NAME}[ ,-]+(?P<year>\d{{4}})",
        rf"{_NAME} +(?P<day>\d{{1,2}}),? +(?P<year>\d{{4}})",
        rf"{_NAME}[ /-](?P<year>\d{{4}})",
        rf"(?P<year>\d{{4}})[ /-]?{_NAME}",
        r"(?P<month>\d{1,2})/(?P<year>\d{4})",
        r"(?P<year>\d{4})[ -]?[Qq](?P<quarter>[1-4])",
        r"[Qq](?P<quarter>[1-4])[ /-]?(?P<year>\d{4})",
    )
]
# Nothing but what pandas reads in one way.
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)
_NEITHER = "neither a number nor a date; write it like 1998-07-01, or mend it"

Wrong = tuple[int, str]
"""The row of a cell that is no time, and why."""


def is_date(cell: str) -> bool:
    """Whether a cell has the form of a date."""
    return any(form.fullmatch(cell) for form in _FORMS)


def month_number(cell: str) -> int | None:
    """The number of a month of which the English name, or its first three letters, is given."""
    start = cell.strip(" .").lower()[:3]
    return _MONTHS.index(start) + 1 if start in _MONTHS else None


def as_dates(cells: Sequence[str]) -> tuple[np.ndarray, Wrong | None]:
    """Dates as `datetime64[us]` in UTC, and the first cell that is none.

    Of dates like 31.12.1999 the day comes first. Those like 12/31/1999 are read in the one order in which all of them
    exist; if both do, the first is no date.
    """
    if all(map(_ISO.fullmatch, cells)):
        return _parsed(cells)
    none = np.empty(0, "datetime64[us]")
    matches = [next((found for form in _FORMS if (found := form.fullmatch(cell))), None) for cell in cells]
    if None in matches:
        return none, (matches.index(None), _NEITHER)
    found = [{name: part for name, part in match.groupdict().items() if part} for match in matches if match]
    day_first = True
    if marked := [(row, parts) for row, parts in enumerate(found) if "left" in parts and parts["mark"] != "."]:
        orders = [all(int(parts[side]) <= 12 for _, parts in marked) for side in ("right", "left")]
        if all(orders) and any(int(parts["left"]) != int(parts["right"]) for _, parts in marked):
            return none, (marked[0][0], "which may have the day or the month first; write it like 1998-07-01")
        day_first = orders[0]
    zoned = ["zone" in parts for parts in found]
    if any(zoned) and not all(zoned):
        return none, (zoned.index(False), "without a time zone, and other rows have one; give it to all")
    return _parsed([_iso(parts, day_first) for parts in found])


def _parsed(cells: Sequence[str]) -> tuple[np.ndarray, Wrong | None]:
    stamps = pd.to_datetime(pd.Series(cells, dtype=object), format="ISO8601", errors="coerce", utc=True)
    moments = stamps.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    missing = np.isnat(moments)
    return moments, (int(np.argmax(missing)), _NEITHER) if missing.any() else None


def _iso(parts: dict[str, str], day_first: bool) -> str:
    """ISO 8601 to the microsecond; nonsense stays nonsense, such as a month 13."""
    day, month, hour = (int(parts.get(name, default)) for name, default in (("day", 1), ("month", 1), ("hour", 0)))
    if "left" in parts:
        month, day = int(parts["left"]), int(parts["right"])
        if day_first or parts["mark"] == ".":
            month, day = day, month
    elif "name" in parts:
        month = month_number(parts["name"]) or 0
    elif "quarter" in parts:
        month = 3 * int(parts["quarter"]) - 2
    if "half" in parts:
        hour = hour % 12 + 12 * (parts["half"].lower() == "pm") if 1 <= hour <= 12 else 99
    zone = parts.get("zone", "Z").replace("UTC", "Z").replace("GMT", "Z")
    clock = f"{hour:02}:{parts.get('minute', '00')}:{parts.get('second', '00')}.{parts.get('fraction', '0')[:6]}"
    return f"{parts['year']}-{month:02}-{day:02}T{clock}{zone}"
