"""Tables in text files: encoding, separator, decimal mark and header, recognised from the file itself."""

import csv
import io
import re
import warnings
from pathlib import Path

import pandas as pd

from pathline.data.dates import is_date
from pathline.data.number_style import decimal_mark, restyled
from pathline.data.numbers import is_missing, to_number
from pathline.errors import InputError

_SEPARATORS = ("\t", ";", "|", ",")
_SAMPLE = 200


def read_text_table(path: Path) -> pd.DataFrame:
    """A table of text cells, with one row for each line.

    Encodings are UTF-8, UTF-16 with its mark, and Windows-1252. Cells are separated by tabs, semicolons, bars or
    commas, whichever gives rows of one width, or else by blanks; a first line such as `sep=;` decides. Lines that
    begin with `#` are comments, the last of which names the columns if nothing else does; a line of one cell above the
    names is a title. Numbers come out with a decimal point and nothing between thousands. A first line of nothing but
    numbers, dates and gaps is data, and so is one that goes on like the second; a line of text between the names and
    the numbers holds units.

    Raises:
        InputError: the file is no text, holds no data, or a row is wider than the header; two columns have one name.
    """
    text = _decoded(path)
    declared = re.match(r"sep=(.)[\r\n]+", text)
    text = text[declared.end() :] if declared else text
    separator = declared[1] if declared else "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    rows, comment = _rows(text, separator)
    rows = _without_title(rows)
    if not rows:
        raise InputError(f"{path} holds no rows of data; export it again.")
    rows = _with_points(rows, separator, path)
    headless = _is_headless(rows)
    header = (comment if len(comment) == len(rows[0]) else []) if headless else rows[0]
    body = rows if headless else rows[1:]
    if not headless and _are_units(body):
        warnings.warn(f"The line below the names in {path} is taken for units and left out.", stacklevel=4)
        body = body[1:]
    if not body:
        raise InputError(f"{path} holds no rows of data; export it again.")
    return _framed(header, body, path)


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    if re.search(r"[\x00-\x08\x0e-\x1f]", text) or text.count("\ufffd") > len(text) // 100:
        raise InputError(f"{path} is not a text file; give a table with one row for each time.")
    return text


def _separator(text: str) -> str | None:
    """Which mark gives rows of one width; `None` for blanks or a single column."""
    head = "\n".join(text.splitlines()[: _SAMPLE + 1])
    found = {mark: [row for row in _rows(head, mark)[0] if any(row)] for mark in _SEPARATORS}
    for mark, rows in found.items():
        rows = _without_title(rows)[:_SAMPLE]
        widths = {len(row) for row in rows}
        # Ends of lines differ between exporters: a mark more there is no further cell.
        trimmed = {len(row) - (row[-1] == "") for row in rows}
        if 1 in (len(widths), len(trimmed)) and max(trimmed) > 1:
            return mark
    return next((mark for mark in (",", ";", "\t", "|") if found[mark] and len(found[mark][0]) > 1), None)


def _rows(text: str, separator: str | None) -> tuple[list[list[str]], list[str]]:
    """Rows of cells, and the cells of the last comment before them.

    Blank lines are left out, unless there is but one column; a row of empty cells is a row, but not at the end.
    """
    single = False
    if separator is None:
        lines = [line.split() for line in text.splitlines()]
        if not _blank_separated([row for row in lines if row and not row[0].startswith("#")][:_SAMPLE]):
            lines, single = [[line.strip().strip('"')] for line in text.splitlines()], True
    else:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t")
    rows, comment, empty = [], [], []
    for cells in lines:
        row = [cell.strip() for cell in cells]
        if not any(row):
            # Below a name alone a blank line is for the eye.
            below_values = rows and (len(rows) > 1 or _is_value(rows[0][0]))
            empty += [row] if (below_values if single else rows and row) else []
        elif not row[0].startswith("#"):
            rows += [*empty, row]
            empty = []
        elif not rows:
            row[0] = row[0].lstrip("# ")
            comment = row if row[0] else row[1:]
    return rows, comment


def _blank_separated(rows: list[list[str]]) -> bool:
    return bool(rows) and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and _numeric(rows[-1])


def _numeric(row: list[str]) -> bool:
    return any(to_number(cell.replace(",", ".")) is not None for cell in row)


def _without_title(rows: list[list[str]]) -> list[list[str]]:
    """From the first row of several cells on, if these are names: a line of one cell above them is a title."""
    start = next((place for place, row in enumerate(rows[:20]) if len(row) > 1 and any(row[1:])), 0)
    return rows[start:] if start and not any(map(_is_value, rows[start])) else rows


def _with_points(rows: list[list[str]], separator: str | None, path: Path) -> list[list[str]]:
    decimal, doubtful = decimal_mark((cell for row in rows for cell in row), separator)
    if doubtful is not None:
        meaning = "a decimal mark" if doubtful.find(decimal) > 0 else "a mark between thousands"
        warnings.warn(f"{doubtful!r} in {path} is read with {meaning}; if it is none, change the file.", stacklevel=5)
    return [[restyled(cell, decimal) for cell in row] for row in rows]


def _is_headless(rows: list[list[str]]) -> bool:
    if all(is_missing(cell) or _is_value(cell) for cell in rows[0]):
        return True
    if len(rows) < 2:
        return False
    # Numbers may name columns (years, quantiles), but not the column of times or labels, which comes first.
    both = list(zip(rows[0], rows[1], strict=False))
    return all(map(_is_value, both[0])) or any(is_date(above) and is_date(below) for above, below in both)


def _are_units(body: list[list[str]]) -> bool:
    """Whether the first row holds no value and stands in part above values."""
    if len(body) < 2 or len(body[0]) < 2 or any(map(_is_value, body[0])):
        return False
    pairs = zip(body[0], body[1], strict=False)
    return any(not is_missing(above) and _is_value(below) for above, below in pairs)


def _is_value(cell: str) -> bool:
    return not is_missing(cell) and (to_number(cell) is not None or is_date(cell))


def _framed(header: list[str], body: list[list[str]], path: Path) -> pd.DataFrame:
    width = max(map(len, body))
    while width > max(len(header), 1) and all(len(row) < width or not row[-1] for row in body):
        body = [row[: width - 1] for row in body]
        width -= 1
    if header and width > len(header):
        row = next(place for place, cells in enumerate(body) if len(cells) > len(header))
        raise InputError(
            f"Row {row + 1} of {path} has {len(body[row])} cells and the header has {len(header)}; mend the file."
        )
    width = max(width, len(header))
    columns = list(zip(*(row + [""] * (width - len(row)) for row in body), strict=True))
    names = [" ".join(name.split()) for name in [*header, *[""] * (width - len(header))]]
    kept = [place for place in range(width) if names[place] or any(columns[place])]
    if not kept:
        raise InputError(f"{path} holds no rows of data; export it again.")
    names = [names[place] or f"column{place + 1}" for place in kept]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path} has two columns called {twice[0][:40]!r}; rename one.")
    return pd.DataFrame({name: list(columns[place]) for name, place in zip(names, kept, strict=True)}, dtype=object)
