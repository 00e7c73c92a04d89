"""What a report is made of: figures, tables and text, in the order in which they are read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.figure


@dataclass(frozen=True)
class Badge:
    """A word in a table cell that carries a judgement, e.g. `Badge("holds", good=True)`.

    Arguments:
        text: the word; the judgement is never told by colour alone.
        good: which of the two colours and signs.
    """

    text: str
    good: bool


Cell = str | int | float | None | Badge
"""One entry of a table. Numbers are set flush right with three significant digits; `None` and NaN leave a dash."""


@dataclass(frozen=True)
class Figure:
    """A picture.

    Arguments:
        name: of its files, lower case with hyphens, e.g. `"forecast"`.
        caption: one or two sentences; also what a screen reader says.
        draw: returns the figure. It is called several times, in `pathline.report.themed` contexts of both themes and
            layouts, so it takes colours and sizes from Matplotlib's settings and draws the same every time.

    Raises:
        ValueError: the name would not be a safe file name.
    """

    name: str
    caption: str
    draw: Callable[[], matplotlib.figure.Figure]

    def __post_init__(self):
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(f"the figure name {self.name!r} is not lower-case words joined by hyphens")


@dataclass(frozen=True)
class Table:
    """Rows and columns.

    Arguments:
        columns: the heads.
        rows: a sequence of cells for each row, as long as `columns`.
        caption: what the table shows.
        highlight_row: index of the row that answers the question, e.g. the best method.

    Raises:
        ValueError: a row is longer or shorter than the heads.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    highlight_row: int | None = None

    def __post_init__(self):
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Text:
    """Plain prose; an empty line begins a new paragraph.

    Arguments:
        text: the prose. Markup in it is shown as it is written, not interpreted.
        heading: set above it, or nothing.
    """

    text: str
    heading: str = ""


Block = Figure | Table | Text
"""Anything that a report can hold."""
