"""Read a `Series` from a user's table or array file."""

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathline.data.files import existing, read_archive, told_in_one_sentence
from pathline.data.series import Series
from pathline.errors import InputError, nearest

SERIES_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".npz", ".nc")
"""The endings that `read_series` takes."""

_TIME_NAME = re.compile(r"(time|date|datetime|timestamp|year|month|day|t)\b.*", re.IGNORECASE)
_MISSING = {"", "na", "nan", "n/a", "null", "none", "-", "--", "?", ".", "nat", "missing"}


def read_series(
    path: Path | str,
    *,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    start: float | str | None = None,
    stop: float | str | None = None,
) -> Series:
    """Quantities measured over time, from a file.

    Tables (.csv .tsv .txt .parquet) have one row for each time. The time column is the one named `time`; else the
    first whose name begins with time, date, timestamp, year or t; else the first that holds dates; else the rows are
    counted. Whole numbers in a column called year are calendar years. Empty cells, `NA`, `nan`, `null`, `?` and `-`
    are gaps. NPZ files hold `values` `[time]` or `[time, column]` and optionally `times`, `mask` (true where observed)
    and `names`. NetCDF files (.nc) give every numeric variable with one dimension, the same for all.

    Arguments:
        path: the file.
        columns: which columns to keep, in that order; by default all that are numeric.
        time: which column holds the times.
        start, stop: leave out what lies before and after: a number on the time axis, a calendar year, or a date.

    Returns:
        The series, sorted by time, with gaps as a mask.

    Raises:
        InputError: the file is missing, empty, damaged or of another kind; a column does not exist or is not numeric
            (naming the cell); two rows have the same time; nothing is left.
    """
    path = existing(path, SERIES_SUFFIXES)
    if path.suffix.lower() == ".npz":
        table, moments = _from_archive(path)
    else:
        with told_in_one_sentence(path, f"a {path.suffix[1:]} table"):
            readers = {".parquet": pd.read_parquet, ".nc": _from_netcdf}
            frame = readers.get(path.suffix.lower(), _from_text)(path)
        if frame.empty:
            raise InputError(f"{path} holds no rows of data; export it again.")
        table, moments = _split_time(_flat_index(frame), time, path)
    values, names = _numeric(table, columns, path)
    with told_in_one_sentence(path, "a series"):
        order = _sorted_order(moments, path)
        found = Series.from_arrays(moments[order], values[order], names=names, title=path.stem)
        return found if start is None and stop is None else found.between(start, stop)


def _from_text(path: Path) -> pd.DataFrame:
    text = path.read_bytes().decode("utf-8-sig")
    if "\0" in text:
        raise InputError(f"{path} is not a text file; give a table with one row for each time.")
    lines = [line for line in text.splitlines()[:200] if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path} holds no rows of data; export it again.")
    delimiter = _delimiter(path, lines)
    decimal = "," if delimiter != "," and re.search(r"\d,\d", text) and not re.search(r"\d\.\d", text) else "."
    # Where the first line is all numbers there is no header.
    first = (
        next(csv.reader([lines[0]], delimiter=delimiter))
        if delimiter.strip() or delimiter == "\t"
        else lines[0].split()
    )
    headless = all(_is_number(cell.replace(decimal, ".")) for cell in first)

    frame = pd.read_csv(
        io.StringIO(text),
        sep=delimiter if delimiter != " " else r"\s+",
        decimal=decimal,
        header=None if headless else 0,
        comment="#" if text.lstrip().startswith("#") else None,
        skipinitialspace=True,
        dtype=str,
        keep_default_na=False,
        index_col=False,
        on_bad_lines="error",
    )
    if headless:
        frame.columns = [f"column{i + 1}" for i in range(frame.shape[1])]
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame.map(lambda cell: cell.strip().replace(decimal, ".") if isinstance(cell, str) else cell)


def _delimiter(path: Path, lines: list[str]) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    counts = {mark: [line.count(mark) for line in lines] for mark in ("\t", ";", ",")}
    steady = [mark for mark, found in counts.items() if min(found) > 0 and max(found) == min(found)]
    if steady:
        return steady[0]
    common = [mark for mark in (",", ";", "\t") if counts[mark][0] > 0]
    if common:
        return common[0]
    return " " if path.suffix.lower() == ".txt" and len(lines[0].split()) > 1 else ","


def _from_netcdf(path: Path) -> pd.DataFrame:
    import xarray

    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    with xarray.open_dataset(path, engine="scipy" if classic else "h5netcdf") as data:
        flat = {str(name): array for name, array in data.data_vars.items() if array.ndim == 1}
        if not flat:
            raise InputError(f"{path} has no variable with a single dimension; read it as fields instead.")
        dimensions = {array.dims[0] for array in flat.values()}
        if len(dimensions) > 1:
            raise InputError(
                f"{path} has variables along {', '.join(map(str, sorted(dimensions, key=str)))}; keep one."
            )
        return data[list(flat)].load().to_dataframe().reset_index()


def _from_archive(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    arrays = read_archive(path)
    if "values" not in arrays:
        held = ", ".join(arrays) or "nothing"
        raise InputError(f"{path} has no array 'values' (it holds {held}); save it with numpy.savez(path, values=...).")
    values = arrays["values"]
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "iufb" or values.size == 0:
        raise InputError(
            f"'values' in {path} must be numbers of shape [time, column]; it is {values.dtype}{values.shape}."
        )
    values = values.astype(float)
    if "mask" in arrays:
        mask = arrays["mask"].astype(bool) if arrays["mask"].dtype.kind in "biu" else arrays["mask"]
        mask = mask[:, None] if mask.ndim == 1 else mask
        if mask.dtype != bool or mask.shape not in (values.shape, (len(values), 1)):
            raise InputError(
                f"'mask' in {path} has shape {mask.shape}, and 'values' has {values.shape}; make them agree."
            )
        values = np.where(mask, values, np.nan)
    times = arrays.get("times", np.arange(len(values), dtype=float))
    if times.shape != (len(values),) or times.dtype.kind not in "iufMUS":
        raise InputError(f"'times' in {path} must be {len(values)} numbers or dates; it is {times.dtype}{times.shape}.")
    default = [f"x{i + 1}" for i in range(values.shape[1])] if values.shape[1] > 1 else ["x"]
    names = [str(name) for name in np.atleast_1d(arrays["names"]).ravel()] if "names" in arrays else default
    if len(names) != values.shape[1]:
        raise InputError(f"'names' in {path} has {len(names)} entries and 'values' has {values.shape[1]} columns.")
    return pd.DataFrame(values, columns=names), times


def _flat_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Times that a Parquet table keeps in its index become a column."""
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _split_time(frame: pd.DataFrame, time: str | None, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    frame.columns = [str(name) for name in frame.columns]
    if twice := [name for name in frame.columns if list(frame.columns).count(name) > 1]:
        raise InputError(f"{path} has two columns called {twice[0]!r}; rename one.")
    if time is not None:
        if time not in frame.columns:
            raise InputError(
                f"{path} has no column {time!r}{nearest(time, frame.columns)}; it has {', '.join(frame.columns)}."
            )
        chosen = time
    else:
        named = [name for name in frame.columns if _TIME_NAME.fullmatch(name) and _as_moments(frame[name]) is not None]
        dated = [name for name in frame.columns if _holds_dates(frame[name])]
        chosen = next(iter([*named, *dated]), None)
    if chosen is None or (time is None and frame.shape[1] == 1):
        return frame, np.arange(len(frame), dtype=float)
    moments = _as_moments(frame[chosen])
    if moments is None:
        for row, cell in enumerate(frame[chosen]):
            if _as_moments(frame[chosen].iloc[[row]]) is None:
                raise InputError(
                    f"Row {row + 1} of {path} has the time {str(cell)[:40]!r}, neither a number nor a date."
                )
        raise InputError(f"The times in column {chosen!r} of {path} mix numbers and dates; use one of them.")
    return frame.drop(columns=chosen), moments


def _as_moments(column: Any) -> np.ndarray | None:
    """Numbers, dates, or `None` when the column holds neither throughout."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return None if column.isna().any() else column.to_numpy()
    numbers = _to_floats(column)
    if np.all(np.isfinite(numbers)):
        years = str(column.name).lower() == "year" and np.all(numbers == np.round(numbers))
        if years and np.all((numbers > 0) & (numbers < 9999)):
            return np.asarray([f"{int(year):04d}-01-01" for year in numbers], dtype="datetime64[s]")
        return numbers
    if np.isfinite(numbers).any():
        return None
    try:
        dates = pd.to_datetime(column, errors="raise", utc=True, format="ISO8601").dt.tz_localize(None)
    except (ValueError, TypeError, OverflowError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dates = pd.to_datetime(column, errors="raise", utc=True).dt.tz_localize(None)
        except (ValueError, TypeError, OverflowError):
            return None
    return None if dates.isna().any() else dates.to_numpy()


def _to_floats(column: Any) -> np.ndarray:
    numbers: Any = pd.to_numeric(column, errors="coerce")
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _holds_dates(column: Any) -> bool:
    found = None if pd.api.types.is_numeric_dtype(column) else _as_moments(column)
    return found is not None and found.dtype.kind == "M"


def _numeric(frame: pd.DataFrame, columns: Sequence[str] | None, path: Path) -> tuple[np.ndarray, list[str]]:
    for name in columns or ():
        if name not in frame.columns:
            raise InputError(
                f"{path} has no column {name!r}{nearest(name, frame.columns)}; it has {', '.join(frame.columns)}."
            )
    parsed, complaints = {}, []
    for name in columns or frame.columns:
        numbers, complaint = _as_numbers(frame[name])
        if complaint is None:
            parsed[str(name)] = numbers
        else:
            complaints.append(f"Row {complaint[0] + 1} of column {name!r} in {path} is {complaint[1]!r}, not a number")
    if complaints and (columns or not parsed):
        raise InputError(f"{complaints[0]}; mend it, or name the columns to use.")
    if not parsed:
        raise InputError(f"{path} has no column besides the time; it needs at least one.")
    if complaints:
        warnings.warn(f"{complaints[0]}; the column is left out.", stacklevel=3)
    return np.stack(list(parsed.values()), axis=1), list(parsed)


def _as_numbers(column: Any) -> tuple[np.ndarray, tuple[int, str] | None]:
    """The numbers of a column, and the first cell that is neither a number nor a gap, if there is one."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan), None
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.empty(0), (0, str(column.iloc[0]))
    cells = [cell.strip() if isinstance(cell, str) else cell for cell in column]
    gaps = np.asarray([cell is None or cell is pd.NA or str(cell).lower() in _MISSING for cell in cells])
    text = pd.Series([None if gap else cell for cell, gap in zip(cells, gaps, strict=True)], dtype=object)
    numbers = _to_floats(text)
    wrong = np.isnan(numbers) & ~gaps
    if wrong.any():
        row = int(np.argmax(wrong))
        return numbers, (row, str(cells[row])[:40])
    return numbers, None


def _sorted_order(moments: Any, path: Path) -> np.ndarray:
    order = np.argsort(moments, kind="stable")
    ordered = np.asarray(moments)[order]
    if len(ordered) > 1 and (same := ordered[1:] == ordered[:-1]).any():
        raise InputError(f"{path} has two rows for the time {ordered[int(np.argmax(same))]}; merge them.")
    return order


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING
    return True
