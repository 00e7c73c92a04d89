"""`Fields`: quantities on a grid in space, followed over time, once or along several trajectories."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.data.checks import named, real_array, rising_times
from pathline.data.samples import Samples
from pathline.errors import InputError


class Fields(eqx.Module):
    """Quantities on a grid in space, followed over time along one or more trajectories.

    Arguments:
        values: `[trajectory, time, channel, *space]`; NaN where nothing is known (land in an ocean model).
        times: `[time]`, strictly increasing, the same for all trajectories; `0, 1, 2, ...` when absent.
        coordinates: of the grid points along each axis of space, each strictly rising or falling; `0, 1, 2, ...` when
            absent.
        names: of the channels, such as `"vorticity"`.
        axes: names of the axes of space, such as `"latitude"`.
        units: of the channels, `""` where unknown.
        title: of the whole, for people.
        time_unit: `"year"`, `"month"`, `"day"`, `"hour"`, `"minute"`, `"second"`, or `None` for plain numbers.
        origin: the ISO date that times count from; `None` for plain numbers.

    Raises:
        InputError: shapes disagree, an axis is empty, times do not increase, or a value is infinite.
    """

    values: Float[np.ndarray, "trajectory time channel *space"]
    times: Float[np.ndarray, " time"]
    coordinates: tuple[Float[np.ndarray, " _"], ...]
    names: tuple[str, ...] = eqx.field(static=True)
    axes: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)
    time_unit: str | None = eqx.field(static=True)
    origin: str | None = eqx.field(static=True)

    def __init__(
        self,
        values: Any,
        times: Any = None,
        coordinates: Sequence[Any] | None = None,
        *,
        names: Sequence[str] | None = None,
        axes: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        title: str = "fields",
        time_unit: str | None = None,
        origin: str | None = None,
    ):
        self.values = real_array(values, "the values", ("trajectory", "time", "channel", "..."), gaps=True)
        _, steps, channels, *space = self.values.shape
        self.times = rising_times(np.arange(steps) if times is None else times)
        if len(self.times) != steps:
            raise InputError(f"There are {len(self.times)} times for {steps} steps of the values; give one for each.")
        self.axes = named(axes, "axes of space", len(space), "space")
        given = [np.arange(size) for size in space] if coordinates is None else list(coordinates)
        if len(given) != len(space):
            raise InputError(f"There are coordinates for {len(given)} axes, and the values have {len(space)} of space.")
        self.coordinates = tuple(
            _coordinates(points, axis, size) for points, axis, size in zip(given, self.axes, space, strict=True)
        )
        self.names = named(names, "channels", channels, "u")
        self.units = ("",) * channels if units is None else tuple(str(unit) for unit in units)
        if len(self.units) != channels:
            raise InputError(f"There are {len(self.units)} units for {channels} channels; give one for each.")
        self.title, self.time_unit, self.origin = title, time_unit, origin

    def __len__(self) -> int:
        """The number of trajectories."""
        return len(self.values)

    @property
    def space(self) -> tuple[int, ...]:
        """The number of grid points along each axis of space."""
        return self.values.shape[3:]

    def frames(self) -> Samples:
        """Every moment of every trajectory as a sample `[channel, *space]`.

        Raises:
            InputError: a value is missing.
        """
        if np.isnan(self.values).any():
            raise InputError(f"{self.title!r} has gaps (land, or missing values), and samples have none; cut them out.")
        return Samples(self.values.reshape(-1, *self.values.shape[2:]), title=self.title)


def _coordinates(given: Any, axis: str, size: int) -> np.ndarray:
    points = real_array(given, f"the coordinates along {axis!r}", ("point",)).astype(np.float64)
    if len(points) != size:
        raise InputError(f"There are {len(points)} coordinates along {axis!r} for {size} grid points.")
    steps = np.diff(points)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise InputError(f"The coordinates along {axis!r} must rise or fall throughout; sort them.")
    return points
