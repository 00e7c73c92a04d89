"""Tables in text files: encoding, separator, decimal mark and header, recognised from the file itself."""

import csv
import io
import re
from pathlib import Path

import pandas as pd

from pathline.data.numbers import is_missing, to_number
from pathline.errors import InputError

_SEPARATORS = ("\t", ";", "|", ",")
_ISO_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ].*)?)?")
_COMMA_NUMBER = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_POINT_NUMBER = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")
_SAMPLE = 200


def read_text_table(path: Path) -> pd.DataFrame:
    """A table of text cells, with one row for each line.

    Encodings are UTF-8, UTF-16 with its mark, and Windows-1252. Cells are separated by tabs, semicolons, bars or
    commas, whichever gives rows of one width, or else by blanks. Numbers may have a decimal comma where commas do not
    separate; it becomes a point. Lines that begin with `#` are comments, the last of which names the columns if nothing
    else does. A first line of nothing but numbers, dates and gaps is data.

    Raises:
        InputError: the file is no text, holds no data, or a row is wider than the header; two columns have one name.
    """
    text = _decoded(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    rows, comment = _rows(text, separator)
    if not rows:
        raise InputError(f"{path} holds no rows of data; export it again.")
    decimal = "," if separator != "," and _has_decimal_commas(rows) else "."
    if decimal == ",":
        rows = [[cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell for cell in row] for row in rows]
    headless = all(_is_data(cell) for cell in rows[0])
    header = (comment if len(comment) == len(rows[0]) else []) if headless else rows[0]
    body = rows if headless else rows[1:]
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
    widths = {}
    for mark in _SEPARATORS:
        rows, _ = _rows(head, mark)
        # Ends of lines differ between exporters: a mark more there is no further cell.
        widths[mark] = [len(row) - (row[-1] == "") for row in rows[:_SAMPLE]] or [1]
    for mark, found in widths.items():
        if found[0] > 1 and len(set(found)) == 1:
            return mark
    return next((mark for mark in (",", ";", "\t", "|") if widths[mark][0] > 1), None)


def _rows(text: str, separator: str | None) -> tuple[list[list[str]], list[str]]:
    """Rows of cells, without blank lines, and the cells of the last comment before them."""
    if separator is None:
        lines = [line.split() for line in text.splitlines()]
        if not _blank_separated([row for row in lines if row and not row[0].startswith("#")][:_SAMPLE]):
            lines = [[line.strip().strip('"')] for line in text.splitlines()]
    else:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t")
    rows, comment = [], []
    for cells in lines:
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        if not row[0].startswith("#"):
            rows.append(row)
        elif not rows:
            row[0] = row[0].lstrip("# ")
            comment = row if row[0] else row[1:]
    return rows, comment


def _blank_separated(rows: list[list[str]]) -> bool:
    return bool(rows) and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and _numeric(rows[-1])


def _numeric(row: list[str]) -> bool:
    return any(to_number(cell.replace(",", ".")) is not None for cell in row)


def _has_decimal_commas(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows[: 5 * _SAMPLE] for cell in row]
    return any(map(_COMMA_NUMBER.fullmatch, cells)) and not any(map(_POINT_NUMBER.fullmatch, cells))


def _is_data(cell: str) -> bool:
    return is_missing(cell) or to_number(cell) is not None or bool(_ISO_DATE.fullmatch(cell))


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
