"""`history.csv`: one row for each step, on disk as soon as the steps are done."""

import csv
import io
import re
import warnings
from pathlib import Path

import numpy as np

from pathline.atomic import write_text
from pathline.errors import InputError

Columns = dict[str, np.ndarray]
"""Metrics by name, each `[steps]`, or `[steps, seeds]` where several seeds are trained together."""

_OF_SEED = re.compile(r"(.*)\[\d+\]")


class HistoryFile:
    """Appends rows to `history.csv` and takes up the rows of an interrupted run.

    Arguments:
        path: of the file; `None` keeps none.
        writes: whether this process is the one that writes.
    """

    def __init__(self, path: Path | None, writes: bool):
        self.path = path
        self.writes = writes and path is not None
        self._header: list[str] | None = None

    def resume(self, steps: int) -> Columns:
        """Keep the rows of the first `steps` steps and return them: what a killed process wrote later is done again.

        Rows that are missing, because the file was deleted or damaged, are NaN, with a warning.
        """
        if self.path is None:
            return {}
        if steps == 0:
            if self.writes:
                self.path.unlink(missing_ok=True)
            return {}
        header, rows = _rows(self.path)
        kept = {number: row for number, row in rows.items() if number <= steps}
        if len(kept) < steps:
            warnings.warn(f"{self.path} lacks {steps - len(kept)} of {steps} steps; they are left empty.", stacklevel=2)
        if header:
            self._header = header
            if self.writes:
                write_text(self.path, _csv([header, *(row for _, row in sorted(kept.items()))]))
        elif self.writes:
            self.path.unlink(missing_ok=True)
        table = np.full((steps, max(len(header) - 1, 0)), np.nan)
        for number, row in kept.items():
            table[number - 1] = [float(value) for value in row[1:]]
        return _columns(header[1:], table)

    def append(self, first: int, metrics: Columns) -> None:
        """Add the rows of the steps `first + 1, first + 2, ...`, and the header if the file is new.

        Raises:
            InputError: the run was begun with other metrics, or the file cannot be written.
        """
        if not metrics or self.path is None:
            return
        flat = _flat(metrics)
        wanted = ["step", *flat]
        if self._header is not None and self._header != wanted:
            raise InputError(
                f"{self.path} has the columns {', '.join(self._header)}, and this training gives {', '.join(wanted)}; "
                "choose another run directory."
            )
        if not self.writes:
            return
        table = np.stack([np.asarray(column, float) for column in flat.values()], axis=1).tolist()
        rows: list[list[object]] = [[first + 1 + i, *map(repr, row)] for i, row in enumerate(table)]
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_csv(rows if self._header else [wanted, *rows]))
        except OSError as error:
            raise InputError(
                f"Cannot write {self.path}: {error.strerror}; free some space or choose another run."
            ) from error
        self._header = wanted


def read_history(path: Path | str) -> Columns:
    """The metrics of a `history.csv`, by name, each `[steps]` or `[steps, seeds]`.

    Raises:
        InputError: the file is not a history.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            names, *rows = list(csv.reader(file))
        table = np.asarray(rows, dtype=float).reshape(len(rows), len(names))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a training history; repeat the run.") from error
    return _columns(names[1:], table[:, 1:])


def _rows(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The header and the whole, readable rows by step; a row torn by a kill is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return [], {}
    header, *rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
    if header[:1] != ["step"]:
        return [], {}
    found = {}
    for row in rows:
        try:
            numbers = [float(value) for value in row]
        except ValueError:
            continue
        if len(row) == len(header) and numbers[0] >= 1:
            found[int(numbers[0])] = row
    return header, found


def _columns(names: list[str], table: np.ndarray) -> Columns:
    """Columns `loss[0]`, `loss[1]`, ... belong together."""
    parts = [_OF_SEED.fullmatch(name) for name in names]
    if not names or not all(parts):
        return {name: table[:, i] for i, name in enumerate(names)}
    metrics = [part[1] for part in parts if part]
    return {metric: table[:, [i for i, name in enumerate(metrics) if name == metric]] for metric in metrics}


def _flat(metrics: Columns) -> Columns:
    """One column for each metric, or for each metric and seed."""
    flat: Columns = {}
    for name, values in metrics.items():
        if values.ndim == 1:
            flat[name] = values
        else:
            flat |= {f"{name}[{seed}]": values[:, seed] for seed in range(values.shape[1])}
    return flat


def _csv(rows: list) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
