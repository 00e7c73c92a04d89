"""Read a `Series` from a user's table or array file."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pathline.data.datasets import open_dataset
from pathline.data.files import check_size, existing, read_archive, told_in_one_sentence
from pathline.data.numbers import column_numbers, listed
from pathline.data.series import Series
from pathline.data.text_table import read_text_table
from pathline.data.time_column import split_time
from pathline.errors import InputError, nearest

SERIES_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".npz", ".nc")
"""The endings that `read_series` takes."""


def read_series(
    path: Path | str,
    *,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    start: float | int | str | None = None,
    stop: float | int | str | None = None,
) -> Series:
    """Quantities measured over time, from a file.

    Tables (.csv .tsv .txt .parquet) have one row for each time. The time column is the one named `time`; else columns
    year and month (and day, hour, minute, second), or date and time of day, together; else the first called time,
    date, timestamp, epoch, year, when or t, perhaps with a unit, as in `time (s)`; else the first that holds dates;
    else a counter (step, index, month, ...) that increases throughout; else the rows are counted. Whole numbers in a
    column called year are calendar years, those like 20240131 are dates, and those called timestamp, epoch or unix are
    seconds since 1970 (or thousandths, ...) where that gives years from 2001 to 2099. Of dates like 31.12.1999 the day
    comes first; 12/31/1999 is read where only one order is possible in the whole column. Empty cells, `NA`, `nan`,
    `null`, `?` and `-` are gaps.

    NPZ files hold `values` `[time]` or `[time, column]` and optionally `times`, `mask` (true where observed) and
    `names`. NetCDF files (.nc) give every numeric variable with one dimension, the same for all; dimensions of length
    one are left out.

    Arguments:
        path: the file.
        columns: which columns to keep, in that order; by default all that are numeric.
        time: which column holds the times.
        start, stop: leave out what lies before and after: a number on the time axis, a calendar year, or a date.

    Returns:
        The series, sorted by time, with gaps as a mask. Text columns that were not asked for are left out with a
        warning.

    Raises:
        InputError: the file is missing, empty, damaged or of another kind; a column does not exist or is not numeric
            (naming the cell); two rows have the same time; nothing is left.
    """
    path = Path(path)
    wanted = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    with told_in_one_sentence(path, f"a {path.suffix[1:].lower()} table"):
        existing(path, SERIES_SUFFIXES)
        readers = {".parquet": _from_parquet, ".nc": _from_netcdf, ".npz": _from_archive}
        frame, dimension = readers.get(path.suffix.lower(), _from_text)(path, wanted)
        if frame.empty:
            raise InputError(f"{path} holds no rows of data; export it again.")
        if twice := [name for name in frame.columns if list(frame.columns).count(name) > 1]:
            raise InputError(f"{path} has two columns called {str(twice[0])[:40]!r}; rename one.")
        if None not in (time, dimension) and time != dimension:
            frame = frame.drop(columns=dimension)
        table, moments = split_time(frame, dimension if time is None else time, path)
        table = table.drop(columns=frame.attrs.get("numbering", []), errors="ignore")
        values, names = _numeric(table, wanted, path)
        order = _sorted_order(moments, path)
        found = Series.from_arrays(moments[order], values[order], names=names, title=path.stem)
        return found if start is None and stop is None else found.between(start, stop)


def _from_text(path: Path, wanted: list[str] | None) -> tuple[pd.DataFrame, None]:
    # In memory a cell of a few characters is an object of some sixty bytes.
    check_size(path, 8 * path.stat().st_size)
    return read_text_table(path), None


def _from_parquet(path: Path, wanted: list[str] | None) -> tuple[pd.DataFrame, None]:
    import pyarrow
    import pyarrow.parquet

    # Repeated texts and lists take next to no room in the file: texts are kept once each, lists left alone.
    schema = pyarrow.parquet.read_schema(path)
    texts = [field.name for field in schema if _is_text(field.type)]
    flat = [field.name for field in schema if not pyarrow.types.is_nested(field.type)]
    with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
        groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        check_size(path, sum(max(8 * chunk.num_values, chunk.total_uncompressed_size) for chunk in chunks))
        frame = file.read(columns=flat).to_pandas()
    # Times may be kept in the index. Numbers that have no name are those of the rows, and nothing that was measured.
    counted = isinstance(frame.index, pd.RangeIndex)
    unnamed = not counted and frame.index.name is None and pd.api.types.is_numeric_dtype(frame.index.dtype)
    frame = frame if counted else frame.reset_index()
    names = [" ".join(str(name).split()) or f"column{place + 1}" for place, name in enumerate(frame.columns)]
    frame.columns = names
    frame.attrs["numbering"] = names[:1] if unnamed else []
    return frame, None


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _from_netcdf(path: Path, wanted: list[str] | None) -> tuple[pd.DataFrame, str | None]:
    with open_dataset(path) as data:
        flat = {}
        for name in data.data_vars:
            array = data[name]
            array = array.squeeze(drop=True) if array.ndim > 1 else array
            if array.ndim == 1 and (array.dtype.kind in "iufbM" if wanted is None else name in wanted):
                flat[str(name)] = array
        if not flat:
            asked = "" if wanted is None else f" among {listed(wanted)}"
            raise InputError(f"{path} has no variable with a single dimension{asked}; read it as fields instead.")
        lengths = {str(array.dims[0]): array for array in flat.values()}
        if len(lengths) > 1:
            raise InputError(
                f"{path} has variables along {listed(lengths)}; choose those along one of them with columns=..."
            )
        (dimension, first), *_ = lengths.items()
        along = {str(name): axis for name, axis in first.coords.items() if axis.dims == first.dims}
        times = [name for name in along if name == dimension] or [
            name for name, axis in along.items() if axis.dtype.kind == "M"
        ]
        chosen = {**{name: along[name] for name in times[:1]}, **flat}
        check_size(path, sum(8 * array.size for array in chosen.values()))
        # Columns are named last: two names may differ in nothing but blanks.
        frame = pd.DataFrame(dict(enumerate(array.to_numpy() for array in chosen.values())))
        frame.columns = [" ".join(name.split()) for name in chosen]
        return frame, " ".join(times[0].split()) if times else None


def _from_archive(path: Path, wanted: list[str] | None) -> tuple[pd.DataFrame, str | None]:
    arrays = read_archive(path)
    if "values" not in arrays:
        held = listed(arrays) or "nothing"
        raise InputError(f"{path} has no array 'values' (it holds {held}); save it with numpy.savez(path, values=...).")
    values = arrays["values"]
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "iufb" or values.size == 0:
        raise InputError(
            f"'values' in {path} must be numbers of shape [time, column]; it is {values.dtype}{values.shape}."
        )
    values = values.astype(float)
    if "mask" in arrays:
        mask = arrays["mask"][:, None] if arrays["mask"].ndim == 1 else arrays["mask"]
        if mask.dtype.kind not in "biu" or mask.shape not in (values.shape, (len(values), 1)):
            raise InputError(
                f"'mask' in {path} is {mask.dtype}{mask.shape}, and 'values' is {values.shape}; make it "
                "true or false for each."
            )
        values = np.where(mask.astype(bool), values, np.nan)
    default = [f"x{i + 1}" for i in range(values.shape[1])] if values.shape[1] > 1 else ["x"]
    given = arrays.get("names", np.asarray(default)).ravel()
    if len(given) != values.shape[1]:
        raise InputError(
            f"'names' in {path} has {len(given)} entries and 'values' has {values.shape[1]} columns; give one for each."
        )
    names = [" ".join(str(name).split()) for name in given]
    if "times" in names:
        raise InputError(f"A column of {path} is called 'times', as the array of the times is; rename it.")
    times = arrays.get("times", np.arange(len(values), dtype=float))
    if times.shape != (len(values),) or times.dtype.kind not in "iufMU":
        raise InputError(f"'times' in {path} must be {len(values)} numbers or dates; it is {times.dtype}{times.shape}.")
    moments = pd.Series(times.astype(object) if times.dtype.kind == "U" else times, name="times")
    return pd.concat([moments, pd.DataFrame(values, columns=names)], axis=1), "times"


def _numeric(frame: pd.DataFrame, columns: list[str] | None, path: Path) -> tuple[np.ndarray, list[str]]:
    for name in columns or ():
        if name not in frame.columns:
            raise InputError(
                f"{path} has no column {name!r}{nearest(name, frame.columns)} besides the time; it has "
                f"{listed(frame.columns)}."
            )
    parsed, complaints = {}, []
    for name in frame.columns if columns is None else columns:
        numbers, wrong = column_numbers(frame[name])
        if wrong is not None:
            cell = " ".join(str(frame[name].iloc[wrong]).split())[:40]
            complaints.append(f"Row {wrong + 1} of column {name!r} in {path} is {cell!r}, not a number")
            continue
        if np.isinf(numbers).any():
            row = int(np.argmax(np.isinf(numbers)))
            raise InputError(f"Row {row + 1} of column {name!r} in {path} is infinite; leave the cell empty.")
        parsed[name] = numbers
    if complaints and (columns is not None or not parsed):
        raise InputError(f"{complaints[0]}; mend it, or name the columns to use with columns=...")
    if not parsed:
        raise InputError(f"{path} has no column besides the time; it needs at least one.")
    if complaints:
        warnings.warn(f"{complaints[0]}; the column is left out.", stacklevel=3)
    return np.stack(list(parsed.values()), axis=1), list(parsed)


def _sorted_order(moments: np.ndarray, path: Path) -> np.ndarray:
    # What differs by less than a microsecond becomes the same.
    moments = moments.astype("datetime64[us]") if moments.dtype.kind == "M" else moments
    order = np.argsort(moments, kind="stable")
    ordered = moments[order]
    if (same := ordered[1:] == ordered[:-1]).any():
        raise InputError(f"{path} has two rows for the time {ordered[int(np.argmax(same))]}; merge them.")
    return order
