"""`read_fields` against xarray, h5py, zarr and NumPy as writers: every value, coordinate, time and name."""

import json
import pickle
import warnings

import numcodecs
import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

from pathline.data import read_fields
from pathline.errors import InputError

DATES = pd.date_range("2024-01-31", periods=3, freq="ME")
VALUES = np.random.default_rng(0).normal(size=(3, 4, 2))
GRID = xarray.Dataset(
    {"u": (("time", "lat", "lon"), VALUES, {"units": "m / s"})},
    coords={"time": DATES, "lat": [4.0, 3, 2, 1], "lon": [0.5, 1.5], "mask": (("lat", "lon"), np.ones((4, 2)))},
)
FORMATS = ["netcdf3", "netcdf4", "zarr2", "zarr3"]


@pytest.fixture(params=FORMATS)
def write(request, tmp_path):
    """Writes a data set in one of the formats, and gives the path."""
    if request.param == "netcdf4":
        pytest.importorskip("h5py")
        pytest.importorskip("pyfive")

    def written(data, encoding=None):
        path = tmp_path / ("flow.zarr" if request.param.startswith("zarr") else "flow.nc")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".zarr":
                data.to_zarr(path, mode="w", zarr_format=int(request.param[-1]), encoding=encoding)
            else:
                data.to_netcdf(path, engine="scipy" if request.param == "netcdf3" else "h5netcdf", encoding=encoding)
        return path

    return written


def read(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_fields(path, **options)


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_fields(path, **options)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_grid_over_time(write):
    fields = read(write(GRID))
    np.testing.assert_array_equal(fields.values, VALUES[None, :, None])
    assert (fields.names, fields.axes, fields.units, fields.title) == (("u",), ("lat", "lon"), ("m / s",), "flow")
    assert (fields.time_unit, fields.origin) == ("month", "2024-01-31T00:00:00") and fields.times.tolist() == [0, 1, 2]
    assert [points.tolist() for points in fields.coordinates] == [[4, 3, 2, 1], [0.5, 1.5]]


def test_packed_numbers_and_fill_values(write):
    whole = xarray.Dataset({"u": (("time", "x"), [[1.0, np.nan], [0.0, 2.5]])})
    packed = {"u": {"dtype": "i2", "scale_factor": 0.5, "add_offset": -1.0, "_FillValue": -99}}
    np.testing.assert_array_equal(read(write(whole, packed)).values[0, :, 0], whole.u)


def test_precision_is_kept(write):
    assert read(write(GRID.astype(np.float32))).values.dtype == np.float32


def test_axes_in_any_order_and_trajectories_and_channels(write):
    full = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    data = xarray.Dataset({"w": (("x", "Member", "component", "t"), full)}, {"component": ["a", "b", "c", "d"]})
    fields = read(write(data))
    np.testing.assert_array_equal(fields.values, np.moveaxis(full, [1, 3, 2, 0], [0, 1, 2, 3]))
    assert fields.names == ("a", "b", "c", "d") and fields.axes == ("x",) and fields.times.tolist() == [0, 1, 2, 3, 4]


def test_several_variables_become_channels(write):
    data = GRID.assign(v=2 * GRID.u, depth=("lat", np.ones(4)))
    fields = read(write(data))
    assert set(fields.names) == {"u", "v"}
    np.testing.assert_array_equal(fields.values[0, :, fields.names.index("v")], 2 * VALUES)
    assert read(write(data), variables=["v", "u"]).names == ("v", "u")
    assert read(write(data), variables="v").names == ("v",)
    parted = xarray.Dataset({name: (("time", "channel"), np.ones((2, 2))) for name in "ab"})
    assert set(read(write(parted)).names) == {"a 1", "a 2", "b 1", "b 2"}


def test_sorted_by_time(write):
    fields = read(write(GRID.assign_coords(time=[2.5, 0.5, 1.5])))
    np.testing.assert_array_equal(fields.times, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(fields.values[0, :, 0], VALUES[[1, 2, 0]])


def test_an_axis_with_dates_is_time(write):
    assert read(write(GRID.rename(time="snapshots"))).time_unit == "month"


@pytest.mark.parametrize("calendar", ["360_day", "noleap"])
def test_other_calendars_stay_numbers_and_are_told(calendar, write):
    time = ("time", [0, 30, 60], {"units": "days since 2000-01-01", "calendar": calendar})
    path = write(GRID.drop_vars("time").assign_coords(time=time))
    with pytest.warns(UserWarning, match=f"'time' in .* cannot be dated .calendar '{calendar}'"):
        fields = read_fields(path)
    assert fields.time_unit is None and fields.times.tolist() == [0, 30, 60]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (xarray.Dataset(), {}, "has no array of numbers with axes"),
        (xarray.Dataset({"u": 1.0}), {}, "has no array of numbers with axes"),
        (xarray.Dataset({"u": ("time", ["a", "b"])}), {}, "has no array of numbers with axes"),
        (GRID, {"variables": "uu"}, "no numeric variable 'uu' (did you mean 'u'?); it has u"),
        (GRID, {"variables": ["u", "u"]}, "Name each variable once"),
        (GRID, {"variables": []}, "Name each variable once"),
        (GRID, {"dims": ("time", "x")}, "2 axes are named, and 'u'"),
        (GRID, {"dims": ("time", "x", "x")}, "Two axes of 'u'"),
        (GRID, {"dims": ("time", "step", "x")}, "'time' and 'step' of {path} could both be the time"),
        (GRID.drop_vars("time").rename(time="z"), {}, "no time axis among z, lat, lon; name the axes"),
        (GRID.assign(v=(("time", "x", "y"), np.ones((3, 2, 2)))), {}, "of {path} lie on different grids"),
        (GRID.assign_coords(time=[0, 0, 1]), {}, "two steps for the time 0; keep one"),
        (GRID.assign_coords(lat=[0.0, 2, 1, 3]), {}, "coordinates along 'lat' must rise or fall"),
        (xarray.full_like(GRID, np.inf), {}, "{path}: Entry [0, 0, 0, 0, 0] of the values is not a number or NaN"),
        (GRID.isel(lon=slice(0, 0)), {}, "{path}"),
    ],
)
def test_refusals(data, options, message, write):
    path = write(data)
    assert message.format(path=path) in refusal(path, **options)


def test_size_is_known_before_anything_is_unpacked(write, monkeypatch):
    path = write(xarray.Dataset({"u": (("time", "x"), np.zeros((100, 1000)))}))
    monkeypatch.setattr("pathline.data.files.LARGEST", 2**19)
    assert "unpacks to" in refusal(path)


def test_zeros_that_zarr_fills_with_are_no_gaps(tmp_path):
    for version, options in ((2, {}), (3, {"dimension_names": ["time", "x"]})):
        path = tmp_path / f"{version}.zarr"
        array = zarr.open_group(path, mode="w", zarr_format=version).create_array(
            "u", shape=(2, 2), dtype="f8", **options
        )
        array[:] = [[0.0, 1], [2, 3]]
        if version == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = ["time", "x"]
        np.testing.assert_array_equal(read(path).values[0, :, 0], [[0, 1], [2, 3]])


def test_zarr_refusals(tmp_path):
    path = tmp_path / "flow.zarr"
    zarr.open_group(path, mode="w").create_array("u", shape=(2, 2), dtype="f8")
    assert "does not name the axes of its arrays" in refusal(path)
    (path / "link").symlink_to("/etc/passwd")
    assert f"'link' in {path} points to another file" in refusal(path)
    (tmp_path / "file.zarr").write_bytes(b"x")
    assert "is a file; a Zarr store is a folder" in refusal(tmp_path / "file.zarr")
    (tmp_path / "empty.zarr").mkdir()
    assert "cannot be read as zarr fields" in refusal(tmp_path / "empty.zarr")


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    "declared",
    [
        {"filters": [{"id": "pickle", "protocol": 5}]},
        {"filters": [{"id": "delta", "dtype": "<f8"}, {"id": "pickle", "protocol": 5}]},
        {"compressor": {"id": "pickle", "protocol": 5}},
        {"dtype": "|O", "fill_value": None, "filters": [{"id": "pickle", "protocol": 5}]},
    ],
)
def test_zarr_is_never_unpickled(declared, tmp_path):
    path, sprung = tmp_path / "flow.zarr", tmp_path / "sprung"
    array = zarr.open_group(path, mode="w", zarr_format=2).create_array(
        "u", shape=(2,), dtype="f8", filters=[numcodecs.Delta(dtype="f8")], compressors=None
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    array[:] = [1.0, 2.0]
    metadata = path / "u" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | declared))
    (path / "u" / "0").write_bytes(pickle.dumps(Trap(sprung)))
    refusal(path)
    assert not sprung.exists()
    pickle.loads((path / "u" / "0").read_bytes()).close()
    assert sprung.exists()


@pytest.fixture
def h5py():
    pytest.importorskip("pyfive")
    return pytest.importorskip("h5py")


def test_plain_hdf5(h5py, tmp_path):
    path = tmp_path / "flow.h5"
    values = np.random.default_rng(2).normal(size=(2, 3, 4))
    with h5py.File(path, "w") as file:
        file.create_dataset("tensor", data=values, chunks=(1, 2, 4), compression="gzip", shuffle=True, fletcher32=True)
        file["time"] = [0.0, 0.5, 1.5]
        file["x"] = [1.0, 2, 3, 4]
        file["notes"] = ["by", "hand"]
        file["elsewhere"] = h5py.SoftLink("/nowhere")
        file.create_group("group")["more"] = values
    fields = read(path, dims=("trajectory", "time", "x"))
    np.testing.assert_array_equal(fields.values, values[:, :, None])
    assert fields.names == ("tensor",) and fields.axes == ("x",)
    assert fields.times.tolist() == [0, 0.5, 1.5] and fields.coordinates[0].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(read(path, dims=("time", "y", "z")).values, values[None, :, None])
    assert "does not name the 3 axes of 'tensor'" in refusal(path)


def test_hdf5_does_not_leave_the_file(h5py, tmp_path):
    path = tmp_path / "flow.h5"
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    with h5py.File(path, "w") as file:
        file.create_dataset("u", (3, 2), "f8", external=[(str(tmp_path / "secret.bin"), 0, 48)])
    assert f"'u' in {path} points to another file" in refusal(path, dims=("time", "x"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["u"] = np.ones((3, 2))
    with h5py.File(path, "w") as file:
        file["u"] = h5py.ExternalLink("other.h5", "u")
    refusal(path, dims=("time", "x"))
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((3, 2), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "u", shape=(3, 2))
        file.create_virtual_dataset("u", layout)
    refusal(path, dims=("time", "x"))


def test_hdf5_of_gigabytes_in_kilobytes(h5py, tmp_path):
    path = tmp_path / "flow.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("u", (10**6, 10**6), "f8", chunks=(10, 10))
    assert "unpacks to 7451 GiB" in refusal(path, dims=("time", "x"))


def test_npz(tmp_path):
    path = tmp_path / "flow.npz"
    values = np.random.default_rng(3).normal(size=(2, 3, 1, 4, 5))
    np.savez(path, values=values, times=DATES[::-1].to_numpy())
    fields = read(path)
    np.testing.assert_array_equal(fields.values, values[:, ::-1])
    assert fields.time_unit == "month" and fields.space == (4, 5) and fields.axes == ("space1", "space2")
    np.savez(path, u=values[:, :, 0], v=2 * values[:, :, 0], time=[0, 1, 3], y=[4, 3, 2, 1])
    fields = read(path, dims=("trajectory", "time", "y", "x"))
    np.testing.assert_array_equal(fields.values, np.concatenate([values, 2 * values], axis=2))
    assert fields.names == ("u", "v") and fields.axes == ("y", "x") and fields.times.tolist() == [0, 1, 3]
    assert fields.coordinates[0].tolist() == [4, 3, 2, 1] and fields.coordinates[1].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"values": np.ones((2, 3))}, "has shape (2, 3) and must be [trajectory, time, channel, *space]"),
        ({"values": np.ones((1, 2, 1)), "times": [0]}, "'times' in {path} must be 2 numbers or dates; it is int64(1,)"),
        ({"values": np.ones((1, 2, 1)), "times": ["a", "b"]}, "must be 2 numbers or dates"),
        ({"values": np.ones((1, 2, 1)), "times": [0, np.nan]}, "not a finite number"),
        ({"values": np.ones((1, 2, 1)) * 1j}, "has no array of numbers"),
        ({"u": np.ones((2, 3))}, "does not name the 2 axes of 'u'"),
        ({"u": np.asarray([{}], object)}, "Object arrays cannot be loaded"),
        ({}, "has no array of numbers"),
    ],
)
def test_npz_refusals(arrays, message, tmp_path):
    path = tmp_path / "flow.npz"
    np.savez(path, **arrays)
    assert message.format(path=path) in refusal(path)


def test_no_such_file(tmp_path):
    assert "no file" in refusal(tmp_path / "flow.nc")
    assert "does not end in one of .nc .zarr" in refusal(tmp_path / "flow.csv")
