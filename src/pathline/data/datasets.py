"""Open NetCDF, HDF5 and Zarr through xarray, with nothing unpickled, nothing followed out of the file, and no array
read before its size is known."""

import math
import warnings
from pathlib import Path
from typing import Any

import xarray
import xarray.backends

from pathline.data.files import check_size
from pathline.errors import InputError


def open_dataset(path: Path) -> xarray.Dataset:
    """A NetCDF (.nc), HDF5 (.h5 .hdf5) or Zarr store (.zarr, a folder), opened without reading its arrays.

    Numbers are scaled and fill values become NaN. Times become dates where they follow our calendar; in any other one
    (of 360 days, without leap years) they stay numbers, with a warning.

    Raises:
        InputError: it points outside itself, or holds pickled objects. Parsers raise what they like for damaged files.
    """
    # An index would read its coordinate at once; spans of time stay numbers.
    lazily: dict[str, Any] = {
        "create_default_indexes": False,
        "decode_times": False,
        "decode_timedelta": False,
        "cache": False,
    }
    if path.suffix.lower() == ".zarr":
        return _dated(_open_zarr(path, lazily), path)
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    if classic:
        return _dated(xarray.open_dataset(path, engine="scipy", **lazily), path)
    _check_hdf5(path)
    # Damaged files crash HDF5's own library or make it hang; this reader is of Python throughout.
    pure: dict[str, Any] = {"driver_kwds": {"backend": "pyfive"}}
    return _dated(xarray.open_dataset(path, engine="h5netcdf", phony_dims="access", **pure, **lazily), path)


def _dated(data: xarray.Dataset, path: Path) -> xarray.Dataset:
    coder = xarray.coders.CFDatetimeCoder(use_cftime=False, time_unit="us")
    found: dict[Any, xarray.Variable] = dict(data.variables)
    for name, variable in found.items():
        units = " ".join(str(variable.attrs.get("units", "")).split())
        if " since " not in units or variable.dtype.kind not in "iuf":
            continue
        check_size(path, variable.nbytes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                decoded = coder.decode(xarray.Variable(variable.dims, variable.to_numpy(), variable.attrs), name)
                stamps = decoded.to_numpy().astype("datetime64[us]")
        except Exception:  # Whatever a damaged file makes of its calendar.
            calendar = " ".join(str(variable.attrs.get("calendar", "standard")).split())[:40]
            warnings.warn(
                f"{name!r} in {path} cannot be dated (calendar {calendar!r}); it stays a number of {units[:60]}.",
                stacklevel=6,
            )
            continue
        dated = xarray.Variable(variable.dims, stamps)
        if name in data.data_vars:
            data = data.drop_vars(name).assign({name: dated})
        else:
            data = data.drop_vars(name).assign_coords(xarray.Coordinates({name: dated}, indexes={}))
    return data


def _check_hdf5(path: Path) -> None:
    """HDF5 can keep the bytes of an array in another file, where the reader would find zeros instead."""
    import pyfive
    from pyfive.dataobjects import EXTERNAL_DATA_FILES_MSG_TYPE

    with pyfive.File(str(path)) as file:
        for name in file:
            item = file.get_lazy_view(name)
            if not isinstance(item, pyfive.Dataset):
                continue
            kinds = {message["type"] for message in file._get_dataobjects(file._links[name]).msgs}
            if EXTERNAL_DATA_FILES_MSG_TYPE in kinds:
                raise _outside(path, name)
            # A chunk may be declared larger than its array, and is unpacked whole.
            check_size(path, math.prod(item.chunks or ()) * item.dtype.itemsize)


def _open_zarr(path: Path, lazily: dict[str, Any]) -> xarray.Dataset:
    """Zarr's second format knows a codec that unpickles, which would run whatever the file says."""
    import zarr

    if link := next((entry for entry in path.rglob("*") if entry.is_symlink()), None):
        raise _outside(path, str(link.relative_to(path)))
    masked = False
    for name, array in zarr.open_group(path, mode="r", use_consolidated=False).arrays():
        if any("pickle" in type(codec).__module__ for codec in (*array.filters, *array.compressors)):
            raise InputError(f"Array {name!r} of {path} is pickled, which is not safe to read; save it as numbers.")
        check_size(path, math.prod(array.shards or array.chunks) * array.dtype.itemsize)
        # Of format 2, xarray keeps the mark of a gap where others keep the zero that unwritten chunks hold.
        masked = masked or (array.metadata.zarr_format == 2 and array.fill_value not in (None, 0))
    try:
        # What `open_dataset` is told about fill values it does not pass on.
        store = xarray.backends.ZarrStore.open_group(
            str(path), mode="r", consolidated=False, use_zarr_fill_value_as_mask=masked
        )
        return xarray.open_dataset(store, chunks=None, **lazily)
    except KeyError as error:
        if "dimension" not in str(error).lower():
            raise
        raise InputError(
            f"{path} does not name the axes of its arrays; write it with xarray, or save it as NPZ."
        ) from error


def _outside(path: Path, name: str) -> InputError:
    return InputError(f"{name!r} in {path} points to another file, which is not followed; save a file that holds all.")
