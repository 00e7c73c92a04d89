"""`Series`: one or several quantities measured over time, with gaps and uneven times allowed."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from pathline.data.calendar import UNITS, time_bound, to_counts, to_dates
from pathline.data.parts import part_sizes
from pathline.errors import InputError, nearest


class Series(eqx.Module):
    """Quantities measured over time.

    Arguments:
        times: strictly increasing, in units of `time_unit` since `origin`, or plain numbers.
        values: one column for each quantity; NaN exactly where `mask` is false.
        mask: true where a value was observed.
        names: of the columns.
        title: of the whole, for people.
        time_unit: `"year"`, `"month"`, `"day"`, `"hour"`, `"minute"`, `"second"`, or `None` for plain numbers.
        origin: the ISO date that times count from; `None` for plain numbers.
        period: the known seasonal period, in units of `times`; `None` when unknown.

    Raises:
        InputError: shapes disagree, times do not increase, a value is infinite, or the mask contradicts the values.

    Most users want `read_series`, `Series.from_arrays` or `Series.from_frame` rather than this constructor.
    """

    times: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "time dim"]
    mask: Bool[np.ndarray, "time dim"]
    names: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True, default="series")
    time_unit: str | None = eqx.field(static=True, default=None)
    origin: str | None = eqx.field(static=True, default=None)
    period: float | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        rows, columns = self.values.shape
        if self.times.shape != (rows,) or self.mask.shape != (rows, columns) or len(self.names) != columns:
            raise InputError(
                f"A series of {rows} rows and {columns} columns needs as many times ({len(self.times)} given) and "
                f"names ({len(self.names)} given)."
            )
        if rows == 0 or columns == 0:
            raise InputError(f"The series {self.title!r} is empty; it needs at least one row and one column.")
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise InputError(f"Two columns of {self.title!r} are called {twice[0]!r}; rename one.")
        if not np.all(np.isfinite(self.times)):
            raise InputError(f"Row {int(np.argmin(np.isfinite(self.times))) + 1} has no finite time.")
        if rows > 1 and not np.all(np.diff(self.times) > 0):
            row = int(np.argmin(np.diff(self.times) > 0)) + 1
            raise InputError(
                f"The time of row {row + 1} does not come after that of row {row}; sort or merge the rows."
            )
        if np.any(np.isinf(self.values)):
            row, column = np.argwhere(np.isinf(self.values))[0]
            raise InputError(f"Row {row + 1} of column {self.names[column]!r} is infinite; mark it as missing.")
        if np.any(np.isnan(self.values) == self.mask):
            raise InputError("The mask must be true exactly where a value is not NaN.")
        if self.time_unit is not None and self.time_unit not in UNITS:
            raise InputError(f"The time unit {self.time_unit!r} is unknown; it is one of {', '.join(UNITS)}.")

    @classmethod
    def from_arrays(
        cls,
        times: Any,
        values: Any,
        *,
        names: tuple[str, ...] | list[str] | None = None,
        title: str = "series",
        period: float | int | None = None,
    ) -> "Series":
        """A series from anything array-like.

        Arguments:
            times: `[time]` numbers, or dates (`datetime64`, strings in ISO 8601); `None` counts the rows.
            values: `[time]` or `[time, dim]`; NaN or a masked entry is a gap.
            names: of the columns; `x` or `x1, x2, ...` when absent.
            title: of the whole.
            period: the known seasonal period, in the units that the times come to have.

        Raises:
            InputError: shapes disagree, times do not increase, or something is not a number.
        """
        try:
            given = np.ma.asarray(values)
            if given.dtype.kind in "cmM":
                raise TypeError
            table = np.ma.filled(given.astype(float), np.nan)
        except (ValueError, TypeError):
            raise InputError("The values are not all numbers; leave out what is text.") from None
        if table.ndim == 1:
            table = table[:, None]
        if table.ndim != 2:
            raise InputError(f"Values have {table.ndim} axes and must have one or two: [time] or [time, column].")
        columns = table.shape[1]
        default = ("x",) if columns == 1 else tuple(f"x{i + 1}" for i in range(columns))
        named = default if names is None else tuple(str(name) for name in names)
        unit, origin = None, None
        moments = np.arange(len(table), dtype=float) if times is None else np.asarray(times)
        if moments.ndim != 1:
            raise InputError(f"Times have {moments.ndim} axes and must have one.")
        if len(moments) != len(table):
            raise InputError(f"There are {len(moments)} times for {len(table)} rows of values; give one for each row.")
        if moments.dtype.kind in "iuf":
            moments = moments.astype(float)
        elif len(moments):
            moments, unit, origin = to_counts(times)
        season = None if period is None else float(period)
        return cls(moments, table, ~np.isnan(table), named, title, unit, origin, season)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, title: str = "series", period: float | int | None = None) -> "Series":
        """A series from a pandas table whose index holds the times (dates, periods or numbers)."""
        index = frame.index.to_timestamp() if isinstance(frame.index, pd.PeriodIndex) else frame.index
        return cls.from_arrays(index, frame.to_numpy(), names=list(map(str, frame.columns)), title=title, period=period)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: slice | int) -> "Series":
        """A stretch of rows: `series[:100]`, `series[-50:]`.

        Raises:
            InputError: the stretch is empty, or what is given is not a slice.
        """
        if not isinstance(rows, slice):
            raise InputError(f"A series is cut by a slice such as series[:100]; {rows!r} is none.")
        return self._with_rows(np.arange(len(self))[rows])

    @property
    def dim(self) -> int:
        """The number of columns."""
        return self.values.shape[1]

    @property
    def step(self) -> float:
        """The median spacing of the times; 1 for a single row."""
        return float(np.median(np.diff(self.times))) if len(self) > 1 else 1.0

    @property
    def is_regular(self) -> bool:
        """Whether all spacings agree within a millionth, or within rounding where times are large numbers."""
        rounding = 2 * float(np.spacing(np.abs(self.times).max()))
        return len(self) < 3 or bool(np.allclose(np.diff(self.times), self.step, rtol=1e-6, atol=rounding))

    def dates(self) -> np.ndarray | None:
        """The times as `datetime64[us]`, or `None` when they are plain numbers."""
        return self.as_dates(self.times)

    def as_dates(self, times: Float[np.ndarray, " other"]) -> np.ndarray | None:
        """Other times on this series' axis as `datetime64[us]`, or `None` when they are plain numbers."""
        if self.time_unit is None or self.origin is None:
            return None
        return to_dates(times, self.time_unit, self.origin)

    def axis_times(self) -> np.ndarray:
        """What to draw on the time axis: calendar years of a yearly series, dates, or the plain numbers."""
        dates = self.dates()
        if dates is None or self.origin is None:
            return self.times
        return int(self.origin[:4]) + self.times if self.time_unit == "year" else dates

    def select(self, names: tuple[str, ...] | list[str] | str) -> "Series":
        """Only the columns named, in that order.

        Raises:
            InputError: a name is not among the columns.
        """
        wanted = (names,) if isinstance(names, str) else tuple(names)
        for name in wanted:
            if name not in self.names:
                raise InputError(
                    f"There is no column {name!r} in {self.title!r}{nearest(name, self.names)}; "
                    f"it has {', '.join(self.names)}."
                )
        places = [self.names.index(name) for name in wanted]
        return replace(self, values=self.values[:, places], mask=self.mask[:, places], names=wanted)

    def between(self, start: float | int | str | None = None, stop: float | int | str | None = None) -> "Series":
        """The rows from `start` to `stop`, both included.

        Arguments:
            start, stop: of a series with dates, an ISO date, which may be cut short: from `"1990"` to `"1990-07"` runs
                from the first day of 1990 to the last of July. Of any series, a number on the axis of `axis_times`
                (a calendar year of a yearly series) or else of `times`.

        Raises:
            InputError: a moment cannot be read, or no row lies between.
        """
        low = -np.inf if start is None else time_bound(start, self.time_unit, self.origin, upper=False)
        high = np.inf if stop is None else time_bound(stop, self.time_unit, self.origin, upper=True)
        rows = np.flatnonzero((self.times >= low) & (self.times <= high))
        if not len(rows):
            asked = " ".join(f"{word} {bound}" for word, bound in (("from", start), ("to", stop)) if bound is not None)
            raise InputError(f"{self.title!r} has no row {asked}; it {self._span()}.")
        return self._with_rows(rows)

    def split(self, validation: float | int = 0.15, test: float | int = 0.15) -> tuple["Series", "Series", "Series"]:
        """Cut by time into training, validation and test parts; never shuffled.

        Arguments:
            validation, test: fractions below 1, or numbers of rows.

        Raises:
            InputError: a part would be empty; the message says how many rows are needed.
        """
        rows = part_sizes(len(self), validation, test, self.title)
        return self[: rows[0]], self[rows[0] : rows[0] + rows[1]], self[rows[0] + rows[1] :]

    def on_grid(self, step: float | int | None = None) -> "Series":
        """On evenly spaced times: each observation goes to its nearest grid point, several are averaged, and a point
        without observations is a gap.

        Arguments:
            step: the spacing; by default the median one. A regular series with that step is returned as it is.

        Raises:
            InputError: the step is no positive number, or the grid would have over a hundred times as many points as
                there are rows.
        """
        spacing = self.step if step is None else step
        if not np.isreal(spacing) or not 0 < spacing < np.inf:
            raise InputError(f"The step of a grid must be a positive number; {step!r} is none.")
        if self.is_regular and np.isclose(spacing, self.step, rtol=1e-6):
            return self
        if (self.times[-1] - self.times[0]) / spacing > 100 * len(self) + 100:
            raise InputError(f"A step of {spacing:g} is too fine for the times of {self.title!r}; give a larger one.")
        places = np.round((self.times - self.times[0]) / spacing).astype(int)
        count = places[-1] + 1
        totals, counts = np.zeros((count, self.dim)), np.zeros((count, self.dim))
        np.add.at(totals, places, np.where(self.mask, self.values, 0.0))
        np.add.at(counts, places, self.mask)
        values = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
        times = self.times[0] + spacing * np.arange(count)
        return self._like(times, values)

    def filled(self) -> Float[np.ndarray, "time dim"]:
        """The values with gaps interpolated linearly in time, and the nearest observation at the ends.

        Raises:
            InputError: a column has no observation at all.
        """
        columns = []
        for name, column, seen in zip(self.names, self.values.T, self.mask.T, strict=True):
            if not seen.any():
                raise InputError(f"Column {name!r} of {self.title!r} has no observation here; leave it out.")
            columns.append(np.interp(self.times, self.times[seen], column[seen]))
        return np.stack(columns, axis=1)

    def described(self, *, title: str | None = None, period: float | int | None = None) -> "Series":
        """The same data under another title, or with its seasonal period (in units of `times`) told."""
        return replace(
            self, title=self.title if title is None else title, period=self.period if period is None else period
        )

    def future_times(self, horizon: int) -> Float[np.ndarray, " horizon"]:
        """The next `horizon` times, one step apart.

        Raises:
            InputError: the horizon is not positive.
        """
        if horizon < 1:
            raise InputError(f"The horizon must be at least one step; it is {horizon}.")
        return self.times[-1] + self.step * np.arange(1, horizon + 1)

    def _with_rows(self, rows: np.ndarray) -> "Series":
        if not len(rows):
            raise InputError(f"That stretch of {self.title!r} is empty; it has {len(self)} rows.")
        return self._like(self.times[rows], self.values[rows])

    def _span(self) -> str:
        moments = self.axis_times()[[0, -1]]
        first, last = (np.datetime_as_string(moments, "auto") if moments.dtype.kind == "M" else moments).tolist()
        return f"runs from {first} to {last}"

    def _like(self, times: np.ndarray, values: np.ndarray) -> "Series":
        return replace(self, times=times, values=values, mask=~np.isnan(values))
