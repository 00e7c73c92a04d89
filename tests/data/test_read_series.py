"""`read_series` against tables written by hand, pandas, NumPy and xarray: every time, value, gap and name."""

import datetime
import decimal
import io
import re
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray

from pathline.data import read_series
from pathline.errors import InputError

NAN = np.nan


def read(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_series(path, **options)


def moments(series) -> list:
    times = series.axis_times()
    return times.tolist() if series.time_unit in (None, "year") else np.datetime_as_string(times, "s").tolist()


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_series(path, **options)
    message = str(caught.value)
    assert "\n" not in message and (str(path) in message or repr(path.stem) in message)
    return message


# What people's spreadsheets, loggers and scripts write, all with the rows 2024-02-01: 1.5 and 2024-02-02: 2.5.
SAME = {
    "plain": "date,v\n2024-02-01,1.5\n2024-02-02,2.5\n",
    "European": "Datum;v\n01.02.2024;1,5\n02.02.2024;2,5\n",
    "decimal comma in tabs": "date\tv\n2024-02-01\t1,5\n2024-02-02\t2,5\n",
    "decimal comma in quotes": 'date,v\n2024-02-01,"1,5"\n2024-02-02,"2,5"\n',
    "Windows line ends": "date,v\r\n2024-02-01,1.5\r\n2024-02-02,2.5\r\n",
    "old Macintosh line ends": "date,v\r2024-02-01,1.5\r2024-02-02,2.5\r",
    "byte order mark": "\ufeffdate,v\n2024-02-01,1.5\n2024-02-02,2.5\n",
    "UTF-16": "date\tv\n2024-02-01\t1.5\n2024-02-02\t2.5\n".encode("utf-16"),
    "quotes": '"date","v"\n"2024-02-01","1.5"\n"2024-02-02","2.5"\n',
    "comments": "# made by hand\n#\ndate,v\n2024-02-01,1.5\n2024-02-02,2.5\n",
    "names in a comment": "# made by hand\n# date,v\n2024-02-01,1.5\n2024-02-02,2.5\n",
    "comment below": "date,v\n2024-02-01,1.5\n# broke\n2024-02-02,2.5\n",
    "title above": "Station 5\n\ndate,v\n2024-02-01,1.5\n2024-02-02,2.5\n",
    "Excel's separator line": "sep=;\ndate;v\n2024-02-01;1.5\n2024-02-02;2.5\n",
    "blank columns behind": "date,v,,\n2024-02-01,1.5,,\n2024-02-02,2.5,,\n",
    "separators behind values alone": "date,v\n2024-02-01,1.5,\n2024-02-02,2.5,\n",
    "blank and empty rows": "date,v\n\n2024-02-01,1.5\n,\n2024-02-02,2.5\n,\n,\n",
    "bars": "date | v\n2024-02-01 | 1.5\n2024-02-02 | 2.5\n",
    "blanks": "date v\n2024-02-01 1.5\n2024-02-02 2.5\n",
    "unsorted": "date,v\n2024-02-02,2.5\n2024-02-01,1.5\n",
    "day before month": "date,v\n01/02/2024,1.5\n02/02/2024,2.5\n13/02/2024,\n",
    "month before day": "date,v\n02/01/2024,1.5\n02/02/2024,2.5\n02/13/2024,\n",
    "year in front": "date,v\n2024/2/1,1.5\n2024/2/2,2.5\n",
    "without marks": "date,v\n20240201,1.5\n20240202,2.5\n",
    "named month": "date,v\n1-Feb-2024,1.5\n2-Feb-2024,2.5\n",
    "named month in front": 'date,v\n"Feb 1, 2024",1.5\n"February 2, 2024",2.5\n',
    "seconds since 1970": "timestamp,v\n1706745600,1.5\n1706832000,2.5\n",
    "milliseconds since 1970": "unix_ms,v\n1706745600000,1.5\n1706832000000,2.5\n",
    "nanoseconds since 1970": "epoch,v\n1706745600000000000,1.5\n1706832000000000000,2.5\n",
    "universal time": "date,v\n2024-02-01T00:00:00Z,1.5\n2024-02-02T00:00:00Z,2.5\n",
    "other time zone": "date,v\n2024-02-01T01:00+01:00,1.5\n2024-02-02T02:00:00+0200,2.5\n",
    "half days": "date,v\n2/1/2024 12:00 AM,1.5\n2/2/2024 12:00 am,2.5\n2/13/2024 12:00 AM,\n",
    "date and time": "Date,Time,v\n2024-02-01,0:00,1.5\n2024-02-02,00:00:00,2.5\n",
    "year, month and day": "year,month,day,v\n2024,2,1,1.5\n2024,2,2,2.5\n",
    "year, named month and day": "year,month,day,v\n2024,Feb,1,1.5\n2024,Feb,2,2.5\n",
    "dates of no known name": "v,wann\n1.5,2024-02-01\n2.5,2024-02-02\n",
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_table_in_every_dress(kind, tmp_path):
    series = read(tmp_path / "table.csv", SAME[kind])
    assert series.names == ("v",) and series.title == "table"
    assert moments(series)[:2] == ["2024-02-01T00:00:00", "2024-02-02T00:00:00"]
    np.testing.assert_array_equal(series.values[:2], [[1.5], [2.5]])
    # Some need a third date to tell the day from the month; it holds a gap.
    np.testing.assert_array_equal(series.mask.ravel(), [True, True, False][: len(series)])


# The numbers of the second column, which are 1234.5 and -2.
NUMBERS = {
    "thousands in quotes": 't,v\n0,"1,234.5"\n1,-2\n',
    "points between thousands": "t;v\n0;1.234,5\n1;-2\n",
    "blanks between thousands": "t;v\n0;1 234,5\n1;-2\n",
    "narrow blanks": "t;v\n0;1\u202f234,5\n1;\u22122\n",
    "Swiss": "t;v\n0;1'234.5\n1;-2\n",
    "powers of ten": "t,v\n0,1.2345e3\n1,-2E0\n",
    "powers with a comma": "t;v\n0;1,2345E+03\n1;-2,0e0\n",
}


@pytest.mark.parametrize("style", NUMBERS)
def test_numbers_as_people_write_them(style, tmp_path):
    series = read(tmp_path / "table.csv", NUMBERS[style])
    np.testing.assert_array_equal(series.values, [[1234.5], [-2]])


@pytest.mark.parametrize(
    ("content", "expected", "meaning"),
    [
        ("t;v\n0;1,234\n1;2,345\n", [1.234, 2.345], "'1,234' in .* is read with a decimal mark"),
        ("t;v\n0;1.234\n1;2.345\n", [1.234, 2.345], "'1.234' in .* is read with a decimal mark"),
    ],
)
def test_a_mark_of_two_meanings_is_told(content, expected, meaning, tmp_path):
    (tmp_path / "table.csv").write_text(content)
    with pytest.warns(UserWarning, match=meaning):
        np.testing.assert_array_equal(read_series(tmp_path / "table.csv").values.ravel(), expected)


def test_other_numbers_settle_what_a_mark_means(tmp_path):
    path = tmp_path / "table.csv"
    np.testing.assert_array_equal(read(path, "t;v\n0;1.234\n1;2,5\n").values.ravel(), [1234, 2.5])
    np.testing.assert_array_equal(read(path, "t;v\n0;1,234\n1;2.5\n").values.ravel(), [1234, 2.5])
    np.testing.assert_array_equal(read(path, 't,v\n0,"1,234"\n1,"12,345"\n').values.ravel(), [1234, 12345])
    np.testing.assert_array_equal(read(path, "t;v\n0;0.123\n1;2.345\n").values.ravel(), [0.123, 2.345])


def test_gaps_and_names(tmp_path):
    cells = ["", "NA", "nan", "NaN", "N/A", "#N/A", "null", "None", "?", "-", "--", ".", "missing"]
    rows = "".join(f"{row},{cell},{row}.5\n" for row, cell in enumerate(cells))
    series = read(tmp_path / "table.csv", "time (s), air  temperature ,Größe [m]\n" + rows)
    assert series.names == ("air temperature", "Größe [m]") and series.time_unit is None
    assert not series.mask[:, 0].any() and series.mask[:, 1].all()
    np.testing.assert_array_equal(series.values[:, 1], np.arange(len(cells)) + 0.5)
    assert read(tmp_path / "table.csv", "date;Größe\n2024;1\n".encode("cp1252")).names == ("Größe",)


def test_units_below_the_names_are_told(tmp_path):
    (tmp_path / "table.csv").write_text("date,v,w\n,degC,hPa\n2024-01-01,1,2\n2024-01-02,3,4\n")
    with pytest.warns(UserWarning, match=r"below the names in .*table.csv is taken for units"):
        series = read_series(tmp_path / "table.csv")
    assert series.names == ("v", "w") and series.values.tolist() == [[1, 2], [3, 4]]


# Tables without names, and of one column: the rows are counted where no column holds times.
@pytest.mark.parametrize(
    ("content", "names", "times", "values"),
    [
        ("0,1.5\n1,2.5\n", ("column1", "column2"), [0, 1], [[0, 1.5], [1, 2.5]]),
        ("0.0  1.5\n0.5  2.5\n", ("column1", "column2"), [0, 1], [[0, 1.5], [0.5, 2.5]]),
        ("1.5\n2.5\n", ("column1",), [0, 1], [[1.5], [2.5]]),
        ("x\n1.5\n\n2.5\n\n", ("x",), [0, 1, 2], [[1.5], [NAN], [2.5]]),
        ("x\n\n1,5\n2,5\n", ("x",), [0, 1], [[1.5], [2.5]]),
        ("a,b\n1,2\n,\n3,4\n,\n", ("a", "b"), [0, 1, 2], [[1, 2], [NAN, NAN], [3, 4]]),
        ("1,2\nnan,4\n", ("column1", "column2"), [0, 1], [[1, 2], [NAN, 4]]),
        (",v\n0,5\n2,6\n", ("v",), [0, 2], [[5], [6]]),
        ("step,v\n3,5\n5,6\n", ("v",), [3, 5], [[5], [6]]),
        ("month,v\n3,5\n3,6\n", ("month", "v"), [0, 1], [[3, 5], [3, 6]]),
        ("T,p\n10,1\n11,2\n", ("T", "p"), [0, 1], [[10, 1], [11, 2]]),
        ("time,0.1,0.9\n5,1,2\n6,3,4\n", ("0.1", "0.9"), [5, 6], [[1, 2], [3, 4]]),
        ("time,v\n1e-3,5\n0.5,6\n", ("v",), [0.001, 0.5], [[5], [6]]),
    ],
)
def test_counted_rows_and_plain_times(content, names, times, values, tmp_path):
    series = read(tmp_path / "table.txt", content)
    assert series.names == names and moments(series) == times
    np.testing.assert_array_equal(series.values, values)


def test_a_first_line_that_goes_on_like_the_second_is_data(tmp_path):
    (tmp_path / "table.csv").write_text("2024-01-01,5,calm\n2024-01-02,6,windy\n")
    with pytest.warns(UserWarning, match="Row 1 of column 'column3' in .* is 'calm', not a number; the column is left"):
        series = read_series(tmp_path / "table.csv")
    assert series.names == ("column2",) and series.values.tolist() == [[5], [6]] and len(series.dates()) == 2


@pytest.mark.parametrize(
    ("column", "unit", "expected"),
    [
        (["year", "1999", "2001"], "year", [1999, 2001]),
        (["year", "1999.5", "2001.5"], None, [1999.5, 2001.5]),
        (["date", "202312", "202401"], "month", ["2023-12-01T00:00:00", "2024-01-01T00:00:00"]),
        (["month", "2023-12", "2024-01"], "month", ["2023-12-01T00:00:00", "2024-01-01T00:00:00"]),
        (["month", "Dec 2023", "Jan 2024"], "month", ["2023-12-01T00:00:00", "2024-01-01T00:00:00"]),
        (["when", "12/2023", "1/2024"], "month", ["2023-12-01T00:00:00", "2024-01-01T00:00:00"]),
        (["quarter", "2023Q4", "2024-Q1"], "month", ["2023-10-01T00:00:00", "2024-01-01T00:00:00"]),
        (["date", "202401312300", "202401312330"], "minute", ["2024-01-31T23:00:00", "2024-01-31T23:30:00"]),
        (["timestamp", "1706745600.25", "1706745600.75"], "second", ["2024-02-01T00:00:00", "2024-02-01T00:00:00"]),
        (["time", "1706745600", "1706745660"], None, [1706745600, 1706745660]),
        (["time", "2024-01-01T10:00:00.25", "2024-01-01 10:00:00,75"], "second", ["2024-01-01T10:00:00"] * 2),
        (["time", "1000-01-01", "1002-01-01"], "year", [1000, 1002]),
    ],
)
def test_times_as_people_write_them(column, unit, expected, tmp_path):
    name, *cells = column
    series = read(tmp_path / "table.csv", f"{name};v\n" + "".join(f"{cell};1\n" for cell in cells))
    assert series.names == ("v",) and series.time_unit == unit and moments(series) == expected


def test_fractions_of_seconds_are_kept_to_the_microsecond(tmp_path):
    series = read(tmp_path / "table.csv", "time,v\n2024-01-01T00:00:00.000001,1\n2024-01-01T00:00:00.123456789,2\n")
    microseconds = (series.dates() - np.datetime64("2024-01-01")).astype("timedelta64[us]").astype(int)
    assert microseconds.tolist() == [1, 123456]


def test_columns_and_stretches(tmp_path):
    path = tmp_path / "table.csv"
    content = "when,other,a,b,note\n" + "".join(f"2024-01-0{i},{9 - i},{i},{i * i},x\n" for i in range(1, 8))
    series = read(path, content, columns=["b", "a"], start="2024-01-02", stop="2024-01-05")
    assert series.names == ("b", "a") and series.values.tolist() == [[i * i, i] for i in range(2, 6)]
    assert read(path, content, columns="a", time="other").times.tolist() == list(range(2, 9))
    with pytest.warns(UserWarning, match="Row 1 of column 'note'"):
        assert read_series(path).names == ("other", "a", "b")


REFUSED = {
    "": "is empty",
    "\n\n": "holds no rows of data",
    "date,v\n": "holds no rows of data",
    "# only a comment\n": "holds no rows of data",
    "\x00\x01\x02": "is not a text file",
    "date,v,v\n2024-01-01,1,2\n": "two columns called 'v'; rename one",
    "date,v\n2024-01-01,1\n2024-01-02,5,6\n": "Row 2 of {path} has 3 cells and the header has 2",
    "time,v\n1,2\n1,3\n": "two rows for the time 1.0; merge them",
    "date,v\n2024-01-01,2\n2024-01-01,3\n": "two rows for the time 2024-01-01",
    "time,v\n2024-01-01T00:00:00.0000001,2\n2024-01-01T00:00:00.0000002,3\n": "two rows for the time",
    "date,v\n01/02/2024,1\n03/04/2024,2\n": "Row 1 of {path} has the time '01/02/2024', which may have the day or the",
    "date,v\n31/01/2024,1\n02/13/2024,2\n": "'31/01/2024', neither a number nor a date; write it like 1998-07-01",
    "date,v\n01.13.2024,1\n": "'01.13.2024', neither a number nor a date",
    "date,v\n31/01/24,1\n": "'31/01/24', neither a number nor a date",
    "date,v\n2024-02-30,1\n": "'2024-02-30', neither",
    "date,v\n2024-01-01,1\n,2\n": "Row 2 of {path} has the time '', neither",
    "date,v\n2024-01-01T00:00Z,1\n2024-01-02T00:00,2\n": "Row 2 of {path} has the time '2024-01-02T00:00', without a time zone",
    "time,v\n0,1\nsoon,2\n": "Row 2 of {path} has the time 'soon', which is not a number, as others are",
    "time,v\n0,1\ninf,2\n": "Row 2 of {path} has the time 'inf'",
    "date\n2024-01-01\n2024-01-02\n": "no column besides the time",
    "t,v\n0,1\n1,one\n": "Row 2 of column 'v' in {path} is 'one', not a number",
    "t,v\n0,1\n1,1e999\n": "Row 2 of column 'v' in {path} is infinite",
    "t,v\n0,1_000\n": "'1_000', not a number",
    "hello world, this\nis, no table\n": "not a number",
}


@pytest.mark.parametrize("content", REFUSED)
def test_refusals_name_the_file_the_place_and_the_remedy(content, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(content)
    assert REFUSED[content].format(path=path) in refusal(path)


def test_refused_selections(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("when,alpha,note\n2024-01-01,1,x\n2024-01-02,2,y\n")
    assert "no column 'alhpa' (did you mean 'alpha'?) besides the time" in refusal(path, columns=["alhpa"])
    assert "Row 1 of column 'note'" in refusal(path, columns=["note"])
    assert "no column 'wenn' (did you mean 'when'?); it has when, alpha, note" in refusal(path, time="wenn")
    assert "has the time 'x', neither" in refusal(path, time="note")
    assert "has no row from 2030; it runs from 2024-01-01 to 2024-01-02" in refusal(
        path, columns=["alpha"], start="2030"
    )
    assert "'soon' is neither a date" in refusal(path, columns=["alpha"], stop="soon")
    assert "no file" in refusal(tmp_path / "tabel.csv") and "'table.csv'?" in refusal(tmp_path / "tabel.csv")
    assert "does not end in one of .csv" in refusal(tmp_path / "table.xlsx")
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder, not a file" in refusal(tmp_path / "folder.csv")
    with pytest.raises(InputError, match="no file"):
        read_series("nul\0byte.csv")


def parquet(tmp_path, frame, **options):
    frame.to_parquet(tmp_path / "table.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_series(tmp_path / "table.parquet", **options)


DATES = pd.date_range("2024-01-01", periods=3, freq="D")


def test_parquet_columns_of_every_kind(tmp_path):
    frame = pd.DataFrame(
        {
            "when": DATES.tz_localize("Europe/Berlin"),
            "float": [1.5, NAN, 2.5],
            "half": np.asarray([1, 2, 3], np.float32),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "decimal": [decimal.Decimal("1.5"), None, decimal.Decimal("-2")],
            "yes": [True, False, True],
            "perhaps": pd.array([True, None, False], dtype="boolean"),
            "category": pd.Categorical([5, 6, 5]),
            "text": ["1", "", "2.5"],
            "span": pd.to_timedelta([1, 2, 3], "h"),
            "list": [[1], [2], [3]],
        }
    )
    series = parquet(tmp_path, frame)
    assert series.names == tuple(frame.columns[1:-1]) and series.origin == "2023-12-31T23:00:00"
    assert series.time_unit == "day" and series.times.tolist() == [0, 1, 2]
    expected = [
        [1.5, 1, 1, 1.5, 1, 1, 5, 1, 3600],
        [NAN, 2, NAN, NAN, 0, NAN, 6, NAN, 7200],
        [2.5, 3, 3, -2, 1, 0, 5, 2.5, 10800],
    ]
    np.testing.assert_array_equal(series.values, expected)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"v": [1, 2, 3]}, index=DATES),
        pd.DataFrame({"v": [1, 2, 3]}, index=pd.Index(DATES, name="v2")),
        pd.DataFrame({"when": [date.date() for date in DATES], "v": [1, 2, 3]}),
        pd.DataFrame({"v": [1, 2, 3], "day": DATES.astype(str)}),
        pd.DataFrame({"day": pd.Categorical(DATES.astype(str)), "v": [1, 2, 3]}),
        pd.DataFrame({"time": DATES.to_numpy().astype("datetime64[s]"), "v": [1, 2, 3]}),
        pd.DataFrame({"timestamp": DATES.astype("datetime64[ns]").astype(int), "v": [1, 2, 3]}),
    ],
)
def test_parquet_times_of_every_kind(frame, tmp_path):
    series = parquet(tmp_path, frame)
    assert series.names == ("v",) and series.values.ravel().tolist() == [1, 2, 3]
    np.testing.assert_array_equal(series.dates(), DATES.to_numpy())


def test_parquet_refusals(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"time": pd.to_datetime(["2024-01-01", None]), "v": [1, 2]}).to_parquet(path)
    assert "Row 2 of" in refusal(path) and "which is missing" in refusal(path)
    pd.DataFrame({"time": [0, 0], "v": [1, 2]}).to_parquet(path)
    assert "two rows for the time 0.0" in refusal(path)
    pd.DataFrame({"time": np.zeros(0), "v": np.zeros(0)}).to_parquet(path)
    assert "no rows of data" in refusal(path)
    pd.DataFrame({"time": [datetime.time(1), datetime.time(2)], "v": [1, 2]}).to_parquet(path)
    assert "'01:00:00', neither" in refusal(path)
    path.write_bytes(b"PAR1 but no more")
    assert "cannot be read as a parquet table" in refusal(path)


def archive(tmp_path, **arrays):
    np.savez(tmp_path / "table.npz", **arrays)
    return tmp_path / "table.npz"


def test_npz(tmp_path):
    values = np.asarray([[1, 2.5], [NAN, 4], [5, 6]])
    series = read_series(archive(tmp_path, values=values))
    assert series.names == ("x1", "x2") and series.times.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(series.values, values)
    mask = np.asarray([[1, 0], [1, 1], [0, 1]], bool)
    full = archive(tmp_path, values=values, mask=mask, names=["a", "b"], times=[3, 1, 2])
    series = read_series(full, columns=["b"])
    assert series.names == ("b",) and series.times.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(series.values[:, 0], [4, 6, NAN])
    for times in (DATES.to_numpy(), DATES.to_numpy().astype("datetime64[D]"), DATES.astype(str).to_numpy(str)):
        series = read_series(archive(tmp_path, values=values[:, 1], times=times, mask=[True, True, False]))
        np.testing.assert_array_equal(series.dates(), DATES.to_numpy())
        np.testing.assert_array_equal(series.values, [[2.5], [4], [NAN]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": [1]}, "no array 'values' (it holds data)"),
        ({"values": np.ones((1, 1, 1))}, "must be numbers of shape [time, column]; it is float64(1, 1, 1)"),
        ({"values": 1.0}, "must be numbers of shape"),
        ({"values": np.ones(0)}, "must be numbers of shape"),
        ({"values": ["a"]}, "must be numbers of shape"),
        ({"values": [1j]}, "must be numbers of shape"),
        ({"values": [1, 2], "times": [0]}, "'times' in {path} must be 2 numbers or dates; it is int64(1,)"),
        ({"values": [1, 2], "times": [0j, 1]}, "must be 2 numbers or dates"),
        ({"values": [1, 2], "times": [0, NAN]}, "Row 2 of {path} has the time 'nan'"),
        ({"values": [1, 2], "times": ["2024-01-01", "soon"]}, "has the time 'soon'"),
        ({"values": [1, 2], "mask": [True]}, "'mask' in {path} is bool(1, 1)"),
        ({"values": [1, 2], "mask": [0.5, 1]}, "make it true or false for each"),
        ({"values": [1, 2], "names": ["a", "b"]}, "'names' in {path} has 2 entries and 'values' has 1"),
        ({"values": np.ones((2, 2)), "names": ["a", "a"]}, "two columns called 'a'"),
        ({"values": [1, 2], "names": ["times"]}, "is called 'times'"),
        ({"values": [1, np.inf]}, "Row 2 of column 'x' in {path} is infinite"),
        ({"values": np.asarray([{}, 1], object)}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_refusals(arrays, message, tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, **arrays)
    assert message.format(path=path) in refusal(path)


@pytest.mark.parametrize(("kind", "rows"), [("<f8", 10**15), ("<f8", 2**31), ("<U0", 2**32), ("|V0", 2**40)])
def test_npz_that_declares_more_than_it_holds(kind, rows, tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": (rows,)})
    with zipfile.ZipFile(tmp_path / "table.npz", "w") as file:
        file.writestr("values.npy", header.getvalue())
    refusal(tmp_path / "table.npz")


def test_npz_that_would_unpack_to_too_much(tmp_path, monkeypatch):
    path = tmp_path / "table.npz"
    np.savez_compressed(path, values=np.zeros(100_000))
    monkeypatch.setattr("pathline.data.files.LARGEST", 2**19)
    assert path.stat().st_size < 2**12 and "unpacks to" in refusal(path)


@pytest.fixture(params=["scipy", "h5netcdf"])
def netcdf(request, tmp_path):
    """Writes a data set as NetCDF 3 or 4, and gives the path."""
    if request.param == "h5netcdf":
        pytest.importorskip("h5py")
        pytest.importorskip("pyfive")

    def write(data, **encoding):
        data.to_netcdf(tmp_path / "table.nc", engine=request.param, encoding=encoding)
        return tmp_path / "table.nc"

    return write


def test_netcdf(netcdf):
    data = xarray.Dataset(
        {"a": ("time", [1.5, NAN, 3.5]), "b": ("time", [4, 5, 6]), "one": (("time", "level"), [[7.0], [8], [9]])},
        coords={"time": DATES, "level": [500.0]},
    )
    packed = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 1.0, "_FillValue": -99}
    series = read_series(netcdf(data, a=packed))
    # The writers reorder the variables.
    assert set(series.names) == {"a", "b", "one"} and series.time_unit == "day"
    np.testing.assert_array_equal(series.dates(), DATES.to_numpy())
    np.testing.assert_array_equal(series.select(["a", "b", "one"]).values, [[1.5, 4, 7], [NAN, 5, 8], [3.5, 6, 9]])
    assert read_series(netcdf(data), columns=["b"]).names == ("b",)


def test_netcdf_times_of_every_kind(netcdf):
    values = xarray.Variable("obs", [1.0, 2, 3])
    for coords in ({"obs": DATES}, {"time": ("obs", DATES)}):
        np.testing.assert_array_equal(read_series(netcdf(xarray.Dataset({"v": values}, coords))).dates(), DATES)
    numbered = xarray.Dataset({"v": values, "t": ("obs", [5.0, 6, 8])})
    assert read_series(netcdf(numbered)).times.tolist() == [5, 6, 8]
    assert read_series(netcdf(xarray.Dataset({"v": values}))).times.tolist() == [0, 1, 2]
    assert read_series(netcdf(xarray.Dataset({"v": values}, {"obs": [2.0, 1, 0]}))).values.ravel().tolist() == [3, 2, 1]


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "julian"])
def test_other_calendars_stay_numbers_and_are_told(calendar, netcdf):
    units = {"units": "days since 2000-01-01", "calendar": calendar}
    data = xarray.Dataset({"v": ("time", [1.0, 2, 3])}, {"time": ("time", [0, 30, 60], units)})
    path = netcdf(data)
    with pytest.warns(
        UserWarning, match=rf"'time' in .* \(calendar '{calendar}'\); it stays a number of days since 2000"
    ):
        series = read_series(path)
    assert series.time_unit is None and series.times.tolist() == [0, 30, 60]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xarray.Dataset(), "no variable with a single dimension"),
        (xarray.Dataset({"v": 1.0}), "no variable with a single dimension"),
        (xarray.Dataset({"v": (("time", "x"), np.ones((2, 2)))}), "read it as fields instead"),
        (xarray.Dataset({"v": ("time", [1.0]), "w": ("x", [1.0, 2])}), "has variables along "),
        (xarray.Dataset({"v": ("time", [1.0, 2])}, {"time": [1, 1]}), "two rows for the time 1.0"),
    ],
)
def test_netcdf_refusals(data, message, netcdf):
    assert message in refusal(netcdf(data))


def test_text_beside_the_times_is_left_alone(netcdf):
    data = xarray.Dataset({"v": ("time", [1.0, 2]), "station": ("x", ["a", "b", "c"])})
    assert read_series(netcdf(data)).names == ("v",)
    assert re.search("Row 1 of column 'station'", refusal(netcdf(data), columns=["station"]))
