"""Cells of a table as numbers: what is a number, what is a gap, and which cell is neither."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

_MISSING = {"", "na", "nan", "n/a", "#n/a", "null", "none", "-", "--", "?", ".", "nat", "missing", "<na>"}


def to_number(cell: Any) -> float | None:
    """The number that a cell holds, or `None`."""
    try:
        # Python reads 1_000 as a number; in a file it is more likely a label. An array of one number is none.
        return None if (isinstance(cell, str) and "_" in cell) or isinstance(cell, np.ndarray) else float(cell)
    except (ValueError, TypeError, OverflowError):
        return None


def is_missing(cell: Any) -> bool:
    """Whether a cell says that nothing was observed."""
    return cell is None or cell is pd.NA or cell is pd.NaT or str(cell).strip().lower() in _MISSING


def column_numbers(column: Any) -> tuple[Float[np.ndarray, " row"], int | None]:
    """The numbers of a column, NaN where one is missing, and the row of the first cell that is neither."""
    kind = column.dtype
    if pd.api.types.is_complex_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
        return np.full(len(column), np.nan), 0
    if pd.api.types.is_timedelta64_dtype(kind):
        return column.dt.total_seconds().to_numpy(dtype=float), None
    if pd.api.types.is_numeric_dtype(kind):
        return column.to_numpy(dtype=float, na_value=np.nan), None
    numbers, wrong = np.full(len(column), np.nan), None
    for row, cell in enumerate(column):
        number = to_number(cell)
        if number is not None:
            numbers[row] = number
        elif wrong is None and not is_missing(cell):
            wrong = row
    return numbers, wrong


def listed(names: Any) -> str:
    """Names for a message: the first dozen of them."""
    shown = [str(name)[:40] for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
