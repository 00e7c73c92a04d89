"""Open NetCDF, HDF5 and Zarr through xarray, with nothing unpickled, nothing followed out of the file, and no array
read before its size is known."""

from pathlib import Path
from typing import Any

import xarray

from pathline.errors import InputError


def open_dataset(path: Path) -> xarray.Dataset:
    """A NetCDF (.nc), HDF5 (.h5 .hdf5) or Zarr store (.zarr, a folder), opened without reading its arrays.

    Raises:
        InputError: it points outside itself, or holds pickled objects. Parsers raise what they like for damaged files.
    """
    # An index would read its coordinate at once; spans of time stay numbers.
    lazily: dict[str, Any] = {"create_default_indexes": False, "decode_timedelta": False, "cache": False}
    if path.suffix.lower() == ".zarr":
        _check_zarr(path)
        return xarray.open_dataset(path, engine="zarr", consolidated=False, chunks=None, **lazily)
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    if classic:
        return xarray.open_dataset(path, engine="scipy", **lazily)
    _check_hdf5(path)
    return xarray.open_dataset(path, engine="h5netcdf", phony_dims="access", **lazily)


def _check_hdf5(path: Path) -> None:
    """HDF5 can link to other files, and keep the bytes of an array in them."""
    import h5py  # pyright: ignore[reportMissingImports]

    def check_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            raise _outside(path, name)

    def check_item(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise _outside(path, name)

    with h5py.File(path, "r") as file:
        file.visititems_links(check_link)
        file.visititems(check_item)


def _check_zarr(path: Path) -> None:
    """Zarr's second format knows a codec that unpickles, which would run whatever the file says."""
    import zarr

    if link := next((entry for entry in path.rglob("*") if entry.is_symlink()), None):
        raise _outside(path, str(link.relative_to(path)))
    for name, array in zarr.open_group(path, mode="r", use_consolidated=False).arrays():
        if any("pickle" in type(codec).__module__ for codec in (*array.filters, *array.compressors)):
            raise InputError(f"Array {name!r} of {path} is pickled, which is not safe to read; save it as numbers.")


def _outside(path: Path, name: str) -> InputError:
    return InputError(f"{name!r} in {path} points to another file, which is not followed; save a file that holds all.")
