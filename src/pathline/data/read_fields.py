"""Read `Fields` from a user's array file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from pathline.data.calendar import to_counts
from pathline.data.datasets import open_dataset
from pathline.data.fields import Fields
from pathline.data.files import check_size, existing, read_archive, told_in_one_sentence
from pathline.errors import InputError, nearest

FIELDS_SUFFIXES = (".nc", ".zarr", ".h5", ".hdf5", ".npz")
"""The endings that `read_fields` takes."""

_ROLES = {
    "trajectory": {
        "trajectory",
        "trajectories",
        "sample",
        "samples",
        "batch",
        "ensemble",
        "member",
        "run",
        "simulation",
        "case",
        "realization",
        "realisation",
    },
    "time": {"time", "times", "t", "date", "datetime", "valid_time", "step", "frame"},
    "channel": {"channel", "channels", "component", "components", "variable", "variables", "feature", "features"},
}


def read_fields(
    path: Path | str, *, variables: Sequence[str] | str | None = None, dims: Sequence[str] | None = None
) -> Fields:
    """Quantities on a grid in space over time, from a file.

    In NetCDF (.nc), Zarr (.zarr, a folder) and HDF5 files (.h5 .hdf5) axes are told apart by their names: trajectory
    (or sample, batch, ensemble, member, run, ...), time (or t, date, step, frame, or an axis with dates), channel (or
    component, variable, feature); all others are axes of space. A trajectory or channel axis that is absent is added.
    Several variables become channels. In NPZ files an array called `values` has the shape `[trajectory, time, channel,
    *space]`, and `times` may stand beside it. Where the file does not name axes, one-dimensional arrays with the names
    in `dims` are the coordinates along them.

    Arguments:
        path: the file, or the folder of a Zarr store.
        variables: which to read, all on the same grid; by default all numeric ones that have the most axes.
        dims: what the axes are, in order, such as `("time", "y", "x")`. Needed where the file does not name them
            (plain HDF5, arrays of other names in NPZ) or names them in another way.

    Returns:
        The fields, sorted by time; axes without coordinates of their own count `0, 1, 2, ...`.

    Raises:
        InputError: the file is missing, damaged or of another kind; a variable does not exist, is not numeric or lies
            on another grid; no axis is time; two times are the same; it would take over 4 GiB.
    """
    path = Path(path)
    wanted = [variables] if isinstance(variables, str) else None if variables is None else list(variables)
    with told_in_one_sentence(path, f"{path.suffix[1:].lower()} fields"), _opened(path) as data:
        chosen = _choose(data, wanted, path)
        axes = _axes(data[chosen[0]], dims, path)
        roles = _roles(data[chosen[0]], axes, path)
        check_size(path, sum(data[name].nbytes for name in chosen))
        arrays = [np.asarray(data[name].to_numpy()) for name in chosen]
        points = [_coordinate(data, chosen[0], place, axes[place], path) for place in range(len(axes))]
        units = [" ".join(str(data[name].attrs.get("units", "")).split()) for name in chosen]

        space = [place for place in range(len(axes)) if place not in roles.values()]
        values, names = _channels_joined(arrays, chosen, roles, space, points)
        times, time_unit, origin = _times(points[roles["time"]], values.shape[1])
        order = np.argsort(times, kind="stable")
        if (same := times[order][1:] == times[order][:-1]).any():
            raise InputError(f"{path} has two steps for the time {times[order][int(np.argmax(same))]:g}; keep one.")
        return Fields(
            values[:, order],
            times[order],
            [_numbers_or_counts(points[place], arrays[0].shape[place]) for place in space],
            names=names,
            axes=[axes[place] for place in space],
            units=np.repeat(units, values.shape[2] // len(units)).tolist(),
            title=path.stem,
            time_unit=time_unit,
            origin=origin,
        )


@contextmanager
def _opened(path: Path) -> Iterator[xarray.Dataset]:
    existing(path, FIELDS_SUFFIXES)
    with _archive_as_dataset(path) if path.suffix.lower() == ".npz" else open_dataset(path) as data:
        yield data


def _archive_as_dataset(path: Path) -> xarray.Dataset:
    arrays = read_archive(path)
    coordinates = {}
    if "values" in arrays and (times := arrays.pop("times", None)) is not None:
        steps = arrays["values"].shape[1:2]
        if times.shape != steps or times.dtype.kind not in "iufM":
            raise InputError(
                f"'times' in {path} must be {'x'.join(map(str, steps))} numbers or dates; it is "
                f"{times.dtype}{times.shape}."
            )
        coordinates["time"] = times
    layouts = {name: [f"phony_dim_{name}_{place}" for place in range(array.ndim)] for name, array in arrays.items()}
    if "values" in arrays:
        known = ["trajectory", "time", "channel"]
        if arrays["values"].ndim < len(known):
            raise InputError(
                f"'values' in {path} has shape {arrays['values'].shape} and must be [trajectory, time, channel, *space]."
            )
        layouts["values"] = [*known, *(f"space{i + 1}" for i in range(arrays["values"].ndim - len(known)))]
    found = xarray.Dataset({name: (layouts[name], array) for name, array in arrays.items()})
    return found.assign_coords({name: (name, points) for name, points in coordinates.items()})


def _choose(data: xarray.Dataset, wanted: list[str] | None, path: Path) -> list[str]:
    numeric = [str(name) for name, array in data.data_vars.items() if array.dtype.kind in "iufb"]
    known = ", ".join(" ".join(name.split()) for name in numeric) or "none"
    for name in wanted or ():
        if name not in numeric:
            raise InputError(f"{path} has no numeric variable {name!r}{nearest(name, numeric)}; it has {known}.")
    if wanted is not None and (not wanted or len(set(wanted)) < len(wanted)):
        raise InputError(f"Name each variable once; {path} has {known}.")
    most = max((data[name].ndim for name in numeric), default=0)
    if not most:
        raise InputError(
            f"{path} has no array of numbers with axes outside of groups; check that it is the right file, or export "
            "its arrays to the top."
        )
    chosen = wanted or [name for name in numeric if data[name].ndim == most]
    for name in chosen:
        same = data[name].dims == data[chosen[0]].dims or (_unnamed(data[name]) and _unnamed(data[chosen[0]]))
        if not same or data[name].shape != data[chosen[0]].shape:
            raise InputError(
                f"Variables {chosen[0]!r} and {name!r} of {path} lie on different grids; choose one of them."
            )
    return chosen


def _axes(array: xarray.DataArray, dims: Sequence[str] | None, path: Path) -> list[str]:
    """Names of the axes: the user's, else the file's."""
    if dims is None:
        if _unnamed(array):
            raise InputError(
                f"{path} does not name the {array.ndim} axes of {array.name!r}; name them, such as "
                'dims=("trajectory", "time", "x").'
            )
        return [" ".join(str(name).split()) for name in array.dims]
    given = [dims] if isinstance(dims, str) else [str(name) for name in dims]
    if len(given) != array.ndim:
        raise InputError(f"{len(given)} axes are named, and {array.name!r} of {path} has {array.ndim}: {array.shape}.")
    return given


def _unnamed(array: xarray.DataArray) -> bool:
    return any(str(name).startswith("phony_dim_") for name in array.dims)


def _roles(array: xarray.DataArray, axes: list[str], path: Path) -> dict[str, int]:
    """Which axis is time, which tells trajectories apart, which channels."""
    if twice := [name for name in axes if axes.count(name) > 1]:
        raise InputError(f"Two axes of {array.name!r} in {path} are called {twice[0]!r}; tell them apart.")
    roles = {}
    for role, words in _ROLES.items():
        places = [place for place, name in enumerate(axes) if name.lower() in words]
        if role == "time" and not places:
            places = [place for place, name in enumerate(array.dims) if _dated(array, name)]
        if len(places) > 1:
            both = " and ".join(repr(axes[place]) for place in places[:2])
            raise InputError(f"Axes {both} of {path} could both be the {role}; say which by naming all axes with dims.")
        if places:
            roles[role] = places[0]
    if "time" not in roles:
        raise InputError(
            f"{path} has no time axis among {', '.join(axes)}; name the axes, one of them 'time', with dims, or read "
            "it as samples."
        )
    return roles


def _dated(array: xarray.DataArray, name: Any) -> bool:
    return name in array.coords and array.coords[name].dtype.kind == "M"


def _coordinate(data: xarray.Dataset, name: str, place: int, axis: str, path: Path) -> np.ndarray | None:
    array = data[name]
    dim = array.dims[place]
    if dim in array.coords and array.coords[dim].dims == (dim,):
        found = array.coords[dim]
    elif str(dim).startswith("phony_dim_") and axis in data.variables and data[axis].shape == array.shape[place:][:1]:
        found = data[axis]
    else:
        return None
    check_size(path, found.nbytes)
    return np.asarray(found.to_numpy())


def _channels_joined(
    arrays: list[np.ndarray], names: list[str], roles: dict[str, int], space: list[int], points: list[np.ndarray | None]
) -> tuple[np.ndarray, list[str]]:
    """One array `[trajectory, time, channel, *space]`, and the names of the channels."""
    arranged = []
    for array in arrays:
        moved = array.transpose([*(roles[role] for role in _ROLES if role in roles), *space])
        for place, role in enumerate(_ROLES):
            moved = moved if role in roles else np.expand_dims(moved, place)
        arranged.append(moved)
    joined = np.concatenate(arranged, axis=2)
    if "channel" not in roles:
        return joined, names
    labels = points[roles["channel"]]
    count = arrays[0].shape[roles["channel"]]
    parts = [str(label) for label in (range(1, count + 1) if labels is None else labels.tolist())]
    if len(names) == 1 and labels is not None:
        return joined, parts
    return joined, names if count == 1 else [f"{name} {part}" for name in names for part in parts]


def _times(points: np.ndarray | None, steps: int) -> tuple[np.ndarray, str | None, str | None]:
    if points is not None and points.dtype.kind == "M":
        return to_counts(points)
    return _numbers_or_counts(points, steps), None, None


def _numbers_or_counts(points: np.ndarray | None, size: int) -> np.ndarray:
    return np.arange(size, dtype=float) if points is None or points.dtype.kind not in "iuf" else points.astype(float)
