"""Every reader of users' files under fire: whatever the bytes, a result or one line that names the file; and what is
known to be in a file comes out exactly.

`PATHLINE_FUZZ=50` multiplies the number of examples.
"""

import csv
import io
import os
import shutil
import tempfile
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pathline.data import (
    FIELDS_SUFFIXES,
    SERIES_SUFFIXES,
    Fields,
    Samples,
    Series,
    Standardiser,
    read_fields,
    read_samples,
    read_series,
)
from pathline.errors import InputError

HDF5 = pytest.mark.skipif(not (find_spec("h5py") and find_spec("pyfive")), reason="h5py writes, pyfive reads")
TIMES = int(os.environ.get("PATHLINE_FUZZ", "1"))


def fuzzed(examples: int) -> settings:
    return settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples * TIMES,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def told(reader, path: Path, **options):
    """What is read, or `None` where the reader refuses in one line that names the file. Anything else is a defect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return reader(path, **options)
        except InputError as error:
            message = str(error)
            assert len(message.splitlines()) == 1 and path.stem in message and len(message) < 1000
            return None


def sound(found) -> None:
    """What is read holds together, whatever it is."""
    if isinstance(found, Series):
        assert found.values.shape == (len(found.times), len(found.names)) and found.values.size
        assert np.all(np.diff(found.times) > 0) and np.array_equal(found.mask, ~np.isnan(found.values))
    elif isinstance(found, Fields):
        assert found.values.shape[1:3] == (len(found.times), len(found.names)) and found.values.size
        assert found.space == tuple(map(len, found.coordinates)) and np.all(np.diff(found.times) > 0)
    elif isinstance(found, Samples):
        assert found.values.size and np.all(np.isfinite(found.values))
        assert found.labels is None or (found.labels.shape == (len(found),) and found.labels.max() < len(found.classes))


READERS = [
    *((read_series, suffix, {}) for suffix in SERIES_SUFFIXES),
    *((read_fields, suffix, {}) for suffix in FIELDS_SUFFIXES if suffix != ".zarr"),
    (read_fields, ".h5", {"dims": ("time", "x")}),
    (read_samples, ".npz", {}),
]
MAGIC = [
    b"",
    b"PAR1",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"CDF\x01",
    b"CDF\x02",
    b"\x89HDF\r\n\x1a\n",
    b"\xff\xfe",
    b"\x89PNG\r\n\x1a\n",
]


@pytest.mark.parametrize(("reader", "suffix", "options"), READERS)
@fuzzed(60)
@given(st.sampled_from(MAGIC), st.binary(max_size=400))
def test_bytes_at_random(reader, suffix, options, folder, magic, content):
    path = folder / f"fuzzed{suffix}"
    path.write_bytes(magic + content)
    sound(told(reader, path, **options))


WORDS = """time date year month t v 2024-01-01 01/02/2024 31.12.1999 Jan-2024 2024Q1 12:30 1,5 1.5 1.234 1,234.5 1e999
nan inf - # #a sep=; 20240131 1700000000 \ufeff"""
PIECES = st.one_of(
    st.sampled_from(WORDS.split()),
    st.sampled_from([",", ";", "\t", "|", "\n", "\r\n", '"', " ", "\x85", "\u2028"]),
    st.text(max_size=3),
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@fuzzed(300)
@given(st.lists(PIECES, max_size=40), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_text_at_random(suffix, folder, pieces, encoding):
    path = folder / f"fuzzed{suffix}"
    path.write_bytes("".join(pieces).encode(encoding, errors="ignore"))
    found = told(read_series, path)
    sound(found)
    # No line makes two rows.
    assert found is None or len(found) <= len("".join(pieces).splitlines()) + 1


TEXT = "date,v,w\n2024-01-01,1.5,\n2024-01-02,,2\n2024-01-03,3,4.25\n"
GRID = xarray.Dataset(
    {"u": (("time", "x"), np.arange(12.0).reshape(4, 3)), "v": (("time", "x"), np.ones((4, 3), np.int16))},
    {"time": pd.date_range("2024-01-01", periods=4), "x": [0.0, 0.5, 1.0], "station": ("time", list("abcd"))},
    {"title": "for fuzzing"},
)
FLAT = GRID.isel(x=1).drop_vars("x")


def valid(kind: str, path: Path) -> None:
    """A small valid file of each kind."""
    if path.suffix in (".csv", ".tsv", ".txt"):
        path.write_text(TEXT if path.suffix == ".csv" else TEXT.replace(",", "\t"))
    elif path.suffix == ".parquet":
        frame = pd.DataFrame(
            {"time": pd.date_range("2024-01-01", periods=4), "v": [1, 2, np.nan, 4], "w": list("abab")}
        )
        frame.to_parquet(path, compression="gzip" if kind == "packed" else None)
    elif path.suffix == ".npz":
        save = np.savez_compressed if kind == "packed" else np.savez
        save(
            path,
            values=np.ones((2, 3, 1)) if kind == "fields" else np.ones((4, 2)),
            labels=[0, 1, 1, 0],
            times=[0, 1, 2] if kind == "fields" else [0, 1, 2, 4],
        )
    elif path.suffix == ".nc":
        data = FLAT if kind.startswith("series") else GRID
        data.to_netcdf(path, engine="scipy" if kind.endswith("3") else "h5netcdf")
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset(
                "u", data=np.arange(12.0).reshape(4, 3), chunks=(2, 3), compression="gzip", shuffle=True
            )
            file.create_dataset("w", data=np.arange(12, dtype=np.int16).reshape(4, 3))
            file["time"], file["x"] = np.arange(4.0), np.arange(3.0)
            file["u"].attrs["units"] = "m"


VALID = [
    (read_series, "series", ".csv", {}),
    (read_series, "series", ".tsv", {}),
    (read_series, "plain", ".parquet", {}),
    (read_series, "packed", ".parquet", {}),
    (read_series, "series", ".npz", {}),
    (read_series, "packed", ".npz", {}),
    (read_series, "series3", ".nc", {}),
    pytest.param(read_series, "series4", ".nc", {}, marks=HDF5),
    (read_fields, "fields", ".npz", {}),
    (read_fields, "fields3", ".nc", {}),
    pytest.param(read_fields, "fields4", ".nc", {}, marks=HDF5),
    pytest.param(read_fields, "fields", ".h5", {"dims": ("time", "x")}, marks=HDF5),
    (read_samples, "samples", ".npz", {}),
]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["flip", "set", "cut", "drop", "insert"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def changed(content: bytes, changes) -> bytes:
    data = bytearray(content)
    # Most of a binary file is padding; what is not decides how it is read.
    telling = [place for place, byte in enumerate(content) if byte] or [0]
    for how, where, value in changes:
        place = min(telling[int(where * (len(telling) - 1))], max(len(data) - 1, 0))
        if how == "cut":
            del data[max(place, 1) :]
        elif how == "drop":
            del data[place : place + 1 + value % 8]
        elif how == "insert":
            data[place:place] = bytes([value])
        elif data:
            data[place] = value if how == "set" else data[place] ^ (1 << value % 8)
    return bytes(data)


@pytest.mark.parametrize(("reader", "kind", "suffix", "options"), VALID)
@fuzzed(100)
@given(CHANGES)
def test_damaged_files(reader, kind, suffix, options, folder, changes):
    original, path = folder / f"{kind}{suffix}", folder / f"fuzzed{suffix}"
    if not original.exists():
        valid(kind, original)
        sound(reader(original, **options))
    path.write_bytes(changed(original.read_bytes(), changes))
    sound(told(reader, path, **options))


@pytest.mark.parametrize("version", [2, 3])
@fuzzed(100)
@given(CHANGES, st.integers(0, 100))
def test_damaged_zarr(version, folder, changes, which):
    original, path = folder / f"original{version}.zarr", folder / "fuzzed.zarr"
    if not original.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            GRID.drop_vars("station").to_zarr(original, zarr_format=version)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(original, path)
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    broken = files[which % len(files)]
    broken.write_bytes(changed(broken.read_bytes(), changes))
    sound(told(read_fields, path))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", ".png"), ("RGBA", ".png"), ("P", ".png"), ("I;16", ".png"), ("RGB", ".jpg")]
)
@fuzzed(100)
@given(CHANGES)
def test_damaged_images(mode, suffix, folder, changes):
    path = folder / "fuzzed"
    path.mkdir(exist_ok=True)
    for entry in path.iterdir():
        entry.unlink()
    stream = io.BytesIO()
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    image.save(stream, "png" if suffix == ".png" else "jpeg")
    (path / f"image{suffix}").write_bytes(changed(stream.getvalue(), changes))
    sound(told(read_samples, path))


# What is known to be in the file.

NAMES = st.text("abcdefghijklmnopqrsuvwxyzäé XYZ_()/%[]", min_size=1, max_size=12).map(
    lambda text: " ".join(f"q{text}".split())
)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e3, 1e3).map(lambda number: round(number, 3)),
    st.integers(-(10**6), 10**6).map(float),
)


@st.composite
def tables(draw):
    """Times (numbers, dates or none), and columns of numbers with gaps."""
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    gaps = NUMBERS | st.just(np.nan)
    values = np.asarray([[draw(gaps) for _ in names] for _ in range(rows)])
    kind = draw(st.sampled_from(["count", "number", "date"]))
    if kind == "count":
        return None, values, names
    if kind == "number":
        return np.unique(np.asarray(draw(st.lists(NUMBERS, min_size=rows, max_size=rows, unique=True)))), values, names
    moments = draw(
        st.lists(
            st.datetimes(pd.Timestamp(1000, 1, 1), pd.Timestamp(3000, 1, 1)), min_size=rows, max_size=rows, unique=True
        )
    )
    return (
        np.unique(
            np.asarray(moments, "datetime64[us]").astype(draw(st.sampled_from(["datetime64[us]", "datetime64[s]"])))
        ),
        values,
        names,
    )


def check(series: Series | None, times, values, names) -> None:
    """Exactly this was read."""
    assert series is not None
    assert series.names == tuple(names)
    assert series.values.shape == values.shape
    np.testing.assert_array_equal(series.values, values)
    np.testing.assert_array_equal(series.mask, ~np.isnan(values))
    if times is None:
        np.testing.assert_array_equal(series.times, np.arange(len(values)))
    elif times.dtype.kind == "M":
        error = np.abs(np.asarray(series.dates()) - times) / np.timedelta64(1, "us")
        # Sixteen digits hold the microseconds of three centuries.
        assert error.max() <= (128 if (times[-1] - times[0]) > np.timedelta64(200 * 365, "D") else 0)
    else:
        assert series.time_unit is None
        np.testing.assert_array_equal(series.times, times)


DATES = {
    "iso": lambda stamp: str(stamp),
    "blank": lambda stamp: str(stamp).replace("T", " ") + "Z",
    "German": lambda stamp: pd.Timestamp(stamp).strftime("%d.%m.%Y %H:%M:%S.%f"),
    "named": lambda stamp: pd.Timestamp(stamp).strftime("%d %b %Y %I:%M:%S.%f %p"),
}


@fuzzed(250)
@given(
    tables(),
    st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("\t", "."), ("|", ".")]),
    st.sampled_from(list(DATES)),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["", "NA", "nan"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_text_tables(folder, table, dialect, date, encoding, quoting, gap, end, comment, order):
    times, values, names = table
    separator, decimal = dialect
    # Blank lines of one column, and empty rows at the end, are for the eye where rows are counted.
    assume(gap or times is not None or (len(names) > 1 and not np.isnan(values[-1]).all()))

    def number(value: float) -> str:
        return gap if np.isnan(value) else repr(float(value)).replace(".", decimal)

    rows = [[number(value) for value in row] for row in values]
    if times is not None:
        times = times[: len(rows)]
        rows, values = rows[: len(times)], values[: len(times)]
        moments = [DATES[date](time) if times.dtype.kind == "M" else number(time) for time in times]
        rows = [[moment, *row] for moment, row in zip(moments, rows, strict=True)]
        order.shuffle(rows)
    header = [*([] if times is None else ["date" if times.dtype.kind == "M" else "time"]), *names]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([header, *rows])
    path = folder / ("fuzzed.tsv" if separator == "\t" else "fuzzed.csv")
    path.write_bytes((f"# made by hand{end}" * comment + stream.getvalue()).encode(encoding))
    check(told(read_series, path), times, values, names)


@fuzzed(100)
@given(
    arrays.arrays(float, st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=NUMBERS),
    st.sampled_from([" ", "  ", "\t", ";", ","]),
)
def test_tables_of_bare_numbers(folder, values, separator):
    path = folder / "fuzzed.txt"
    path.write_text("".join(separator.join(map(repr, row.tolist())) + "\n" for row in values))
    width = values.shape[1]
    check(told(read_series, path), None, values, [f"column{i + 1}" for i in range(width)])


@fuzzed(100)
@given(tables(), st.booleans(), st.sampled_from(["snappy", "gzip", None]))
def test_parquet(folder, table, index, compression):
    times, values, names = table
    frame = pd.DataFrame(values, columns=names)
    if times is not None:
        times = times[: len(values)]
        values, frame = values[: len(times)], frame.iloc[: len(times)].copy()
        frame.insert(0, "time", times)
        frame = frame.sample(frac=1, random_state=0)
        frame = frame.set_index("time") if index else frame
    frame.to_parquet(folder / "fuzzed.parquet", compression=compression)
    check(told(read_series, folder / "fuzzed.parquet"), times, values, names)


@fuzzed(100)
@given(tables(), st.data())
def test_npz_of_series(folder, table, data):
    times, values, names = table
    if times is not None:
        times = times[: len(values)]
        values = values[: len(times)]
    mask = data.draw(arrays.arrays(bool, values.shape))
    given = {"values": values, "names": np.asarray(names), "mask": mask} | ({} if times is None else {"times": times})
    np.savez(folder / "fuzzed.npz", **given)
    check(told(read_series, folder / "fuzzed.npz"), times, np.where(mask, values, np.nan), names)


@pytest.mark.parametrize("engine", ["scipy", pytest.param("h5netcdf", marks=HDF5)])
@fuzzed(60)
@given(tables())
def test_netcdf_of_series(engine, folder, table):
    times, values, names = table
    times = None if times is None else times[: len(values)]
    values = values if times is None else values[: len(times)]
    # NetCDF allows fewer names.
    names = [f"q{place}" for place in range(len(names))]
    data = xarray.Dataset({name: ("time", column) for name, column in zip(names, values.T, strict=True)})
    encoding = {}
    if times is not None:
        data = data.assign_coords(time=times)
        if times.dtype.kind == "M":
            # Spans of centuries in nanoseconds do not fit.
            unit = "microseconds" if times.dtype == "datetime64[us]" else "seconds"
            encoding = {
                "time": {
                    "units": f"{unit} since 1970-01-01",
                    "dtype": "f8" if engine == "scipy" else "i8",
                    "calendar": "proleptic_gregorian",
                }
            }
            assume(engine != "scipy" or unit == "seconds")
    data.to_netcdf(folder / "fuzzed.nc", engine=engine, encoding=encoding)
    found = told(read_series, folder / "fuzzed.nc")
    assert found is not None
    check(found.select(names), times, values, names)


@st.composite
def grids(draw):
    shape = draw(
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
    )
    kind = draw(st.sampled_from(["<f8", ">f4", "<i2", "u1", "<i8"]))
    elements = arrays.from_dtype(np.dtype(kind), allow_infinity=False) if "f" in kind else None
    values = draw(arrays.arrays(np.dtype(kind), shape, elements=elements))
    return values, draw(st.permutations(["run", "time", "channel", "y", "x"]))


@pytest.mark.parametrize(
    "form", ["netcdf3", "zarr2", "zarr3", "npz", *(pytest.param(form, marks=HDF5) for form in ("netcdf4", "hdf5"))]
)
@fuzzed(40)
@given(grids(), st.integers(0, 4))
def test_fields(form, folder, grid, extra):
    values, dims = grid
    assume(form != "netcdf3" or values.dtype.kind == "f" or values.dtype == np.int16)
    stored = values.transpose([["run", "time", "channel", "y", "x"].index(name) for name in dims])
    times, x = np.arange(values.shape[1]) * 0.5 + extra, np.arange(values.shape[4])[::-1] * 2.0
    options = {}
    path = folder / {"n": "fuzzed.nc", "z": "fuzzed.zarr", "h": "fuzzed.h5"}.get(form[0], "")
    data = xarray.Dataset({"u": (dims, stored)}, {"time": times, "x": x})
    # What is to be a gap, xarray would otherwise choose.
    encoding = {"u": {"_FillValue": None}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if form.startswith("netcdf"):
            data.to_netcdf(path, engine="scipy" if form == "netcdf3" else "h5netcdf", encoding=encoding)
        elif form.startswith("zarr"):
            data.to_zarr(path, mode="w", zarr_format=int(form[-1]), encoding=encoding)
        elif form == "hdf5":
            data.to_netcdf(path, engine="h5netcdf", encoding=encoding)
        else:
            path, options = folder / "fuzzed.npz", {"dims": dims}
            np.savez(path, u=stored, time=times, x=x)
    fields = told(read_fields, path, **options)
    assert fields is not None
    space = ["y", "x"] if dims.index("y") < dims.index("x") else ["x", "y"]
    expected = values if space == ["y", "x"] else values.swapaxes(3, 4)
    assert fields.values.shape == expected.shape and fields.axes == tuple(space)
    np.testing.assert_array_equal(fields.values, expected.astype(fields.values.dtype))
    assert fields.values.dtype == (np.float32 if values.dtype.itemsize == 4 else np.float64)
    np.testing.assert_array_equal(fields.times, times)
    np.testing.assert_array_equal(fields.coordinates[space.index("x")], x)
    np.testing.assert_array_equal(fields.coordinates[space.index("y")], np.arange(values.shape[3]))


@fuzzed(60)
@given(
    arrays.arrays(
        np.dtype("f8"), arrays.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats(-1e9, 1e9)
    ),
    st.booleans(),
    st.data(),
)
def test_npz_of_samples(folder, values, text, data):
    labels = data.draw(arrays.arrays(int, len(values), elements=st.integers(0, 5)))
    np.savez(folder / "fuzzed.npz", samples=values, labels=labels.astype(str) if text else labels)
    samples = told(read_samples, folder / "fuzzed.npz")
    assert samples is not None and samples.labels is not None
    np.testing.assert_array_equal(samples.values, values)
    assert [int(samples.classes[label]) for label in samples.labels] == labels.tolist()


@fuzzed(40)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4]))
    ),
    st.lists(st.sampled_from(["ant", "bee"]), min_size=4, max_size=4),
)
def test_folders_of_images(folder, pixels, kinds):
    path = folder / "fuzzed"
    shutil.rmtree(path, ignore_errors=True)
    for row, (image, kind) in enumerate(zip(pixels, kinds, strict=False)):
        (path / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path / kind / f"{row}.png")
    samples = told(read_samples, path)
    assert samples is not None and samples.labels is not None
    order = sorted(range(len(pixels)), key=lambda row: (kinds[row], row))
    expected = pixels[order][..., :3].transpose(0, 3, 1, 2)
    assert samples.values.shape == expected.shape
    np.testing.assert_array_equal(np.round(samples.values * 255), expected)
    assert [samples.classes[label] for label in samples.labels] == [kinds[row] for row in order]


@fuzzed(60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["values", "times", "mask", "names", "labels", "x", "u"]), st.integers(0, 9)),
        max_size=5,
    ),
    st.data(),
)
def test_archives_of_anything(folder, wanted, data):
    path = folder / "fuzzed.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name, _ in dict(wanted).items():
            kinds = (
                arrays.scalar_dtypes()
                | arrays.unicode_string_dtypes()
                | arrays.byte_string_dtypes()
                | arrays.datetime64_dtypes()
            )
            array = data.draw(
                arrays.arrays(
                    data.draw(kinds), data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
                )
            )
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array)
            file.writestr(f"{name}.npy", stream.getvalue())
    for reader, options in (
        (read_series, {}),
        (read_fields, {}),
        (read_fields, {"dims": ("time", "x")}),
        (read_samples, {}),
    ):
        sound(told(reader, path, **options))


# What is done with a series that was read.


@st.composite
def series_with_gaps(draw, least=2):
    steps = draw(st.lists(st.floats(0.01, 100), min_size=least, max_size=30))
    values = draw(
        arrays.arrays(float, (len(steps), draw(st.integers(1, 3))), elements=st.floats(-1e6, 1e6) | st.just(np.nan))
    )
    return Series.from_arrays(np.cumsum(steps), values)


@fuzzed(150)
@given(series_with_gaps(), st.floats(-10, 3000), st.floats(-10, 3000))
def test_between_keeps_the_rows_between(series, low, high):
    inside = (series.times >= low) & (series.times <= high)
    if not inside.any():
        with pytest.raises(InputError, match="has no row"):
            series.between(low, high)
        return
    part = series.between(low, high)
    np.testing.assert_array_equal(part.times, series.times[inside])
    np.testing.assert_array_equal(part.values, series.values[inside])
    sound(part)


@fuzzed(150)
@given(series_with_gaps(least=25), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_split_loses_and_repeats_nothing(series, validation, test):
    parts = series.split(validation, test)
    np.testing.assert_array_equal(np.concatenate([part.times for part in parts]), series.times)
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), series.values)
    assert abs(len(parts[1]) - validation * len(series)) <= 1 and abs(len(parts[2]) - test * len(series)) <= 1


@fuzzed(150)
@given(series_with_gaps(), st.floats(2, 200))
def test_on_grid_keeps_every_observation(series, step):
    grid = series.on_grid(step)
    sound(grid)
    np.testing.assert_allclose(np.diff(grid.times), grid.step, rtol=1e-6)
    places = np.round((series.times - series.times[0]) / step).astype(int)
    if grid is series:
        return
    for place in range(len(grid)):
        here = series.values[places == place]
        for column in range(series.dim):
            seen = here[:, column][~np.isnan(here[:, column])]
            expected = seen.mean() if len(seen) else np.nan
            np.testing.assert_allclose(grid.values[place, column], expected, rtol=1e-9, atol=1e-6)


@fuzzed(150)
@given(series_with_gaps())
def test_standardising_is_undone(series):
    standardiser = Standardiser.of(series)
    inside = standardiser.apply(series.values)
    size = np.nanmax(np.abs(series.values), initial=1.0)
    np.testing.assert_allclose(standardiser.undo(inside), series.values, rtol=1e-9, atol=1e-12 * size)
    np.testing.assert_array_equal(np.isnan(inside), ~series.mask)
    assert np.all(standardiser.scale > 0) and np.all(np.isfinite(standardiser.mean))
