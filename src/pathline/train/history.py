"""`history.csv`: one row for each step, on disk as soon as the steps are done."""

import csv
import io
from pathlib import Path

import numpy as np

from pathline.atomic import write_text
from pathline.errors import InputError

Columns = dict[str, np.ndarray]
"""Metrics by name, each `[steps]`, or `[steps, seeds]` where several seeds are trained together."""


class HistoryFile:
    """Appends rows to `history.csv` and cuts it back to a checkpoint when a run is taken up again.

    Arguments:
        path: of the file; `None` writes nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._started = False

    def append(self, first: int, metrics: Columns) -> None:
        """Add the rows of the steps `first + 1, first + 2, ...`, and the header if the file is new."""
        if self.path is None or not metrics:
            return
        flat = _flat(metrics)
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        if not self._started and not self.path.exists():
            writer.writerow(["step", *flat])
        self._started = True
        count = len(next(iter(flat.values())))
        writer.writerows([first + i + 1, *(repr(float(column[i])) for column in flat.values())] for i in range(count))
        try:
            with self.path.open("a") as file:
                file.write(rows.getvalue())
        except OSError as error:
            raise InputError(
                f"Cannot write {self.path}: {error.strerror}; free some space or choose another run."
            ) from error

    def cut(self, step: int) -> None:
        """Keep the whole rows of the first `step` steps only: what a killed process wrote later is done again."""
        if self.path is None:
            return
        if step == 0 or not self.path.exists():
            self.path.unlink(missing_ok=True)
            return
        lines = self.path.read_text().splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
        write_text(self.path, "".join([lines[0], *kept]))

    def read(self) -> Columns:
        """What the file holds."""
        return read_history(self.path) if self.path is not None and self.path.exists() else {}


def read_history(path: Path | str) -> Columns:
    """The metrics of a `history.csv`, by name, each `[steps]` or `[steps, seeds]`.

    Raises:
        InputError: the file is not a history.
    """
    try:
        with Path(path).open() as file:
            names, *rows = list(csv.reader(file))
        table = np.asarray(rows, dtype=float).reshape(len(rows), len(names))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a training history; repeat the run.") from error
    columns: dict[str, list[np.ndarray]] = {}
    for name, column in zip(names[1:], table.T[1:], strict=True):
        columns.setdefault(name.partition("[")[0], []).append(column)
    seeded = any("[" in name for name in names)
    return {name: np.stack(parts, axis=1) if seeded else parts[0] for name, parts in columns.items()}


def _flat(metrics: Columns) -> Columns:
    """One column for each metric, or for each metric and seed: `loss[0]`, `loss[1]`, ..."""
    flat: Columns = {}
    for name, values in metrics.items():
        if values.ndim == 1:
            flat[name] = values
        else:
            flat |= {f"{name}[{seed}]": values[:, seed] for seed in range(values.shape[1])}
    return flat
