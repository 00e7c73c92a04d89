"""Checks that every reader of users' files makes first. Files are untrusted: nothing in them is executed, nothing is
unpickled, and nothing is unpacked before its declared size is known."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pathline.errors import InputError, nearest

LARGEST = 4 * 2**30
"""Bytes that the arrays of a file may take when unpacked: a few kilobytes can declare terabytes."""


def existing(path: Path | str, suffixes: tuple[str, ...]) -> Path:
    """The path, if it exists, is not empty and ends in one of `suffixes`; a folder only where it ends in `.zarr`.

    Raises:
        InputError: with the nearest name in that folder, or the endings that are read.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path} does not end in one of {' '.join(suffixes)}; convert it, or rename it if it is one.")
    try:
        exists, empty = path.exists(), path.is_file() and path.stat().st_size == 0
        siblings = [entry.name for entry in path.parent.iterdir()] if not exists and path.parent.is_dir() else []
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)[:80]!r} cannot be opened ({_why(error)}); check the path.") from error
    if not exists:
        raise InputError(f"There is no file {path}{nearest(path.name, siblings)}; check the path.")
    if not (path.is_dir() or path.is_file()):
        raise InputError(f"{path} is no regular file; copy its content into one.")
    if path.is_dir() != (path.suffix.lower() == ".zarr"):
        kind = "is a folder, not a file" if path.is_dir() else "is a file; a Zarr store is a folder"
        raise InputError(f"{path} {kind}; check the path.")
    if empty:
        raise InputError(f"{path} is empty; export it again.")
    return path


def check_size(path: Path, size: int) -> None:
    """Refuse what would take more than `LARGEST` bytes when it is unpacked.

    Raises:
        InputError: it would.
    """
    if size > LARGEST:
        raise InputError(
            f"{path} unpacks to {size / 2**30:.0f} GiB, more than the {LARGEST >> 30} GiB read at once; "
            "select fewer columns or variables, or cut the file."
        )


@contextmanager
def told_in_one_sentence(path: Path, kind: str) -> Iterator[None]:
    """Whatever a parser raises for a malformed file becomes an `InputError` of one line that names the file.

    Readers of NetCDF, HDF5, Parquet and images raise all kinds of errors for damaged files, so every kind is caught;
    the original stays attached as the cause.
    """
    try:
        yield
    except InputError as error:
        message = " ".join(str(error).split())
        # A data type does not know the file that its arrays come from.
        message = message if _line(path) in message or repr(path.stem) in message else f"{_line(path)}: {message}"
        if message == str(error):
            raise
        raise InputError(message) from error
    except ImportError as error:
        raise InputError(f"{_line(path)} needs a package that is not installed ({_why(error)}); install it.") from error
    except MemoryError as error:
        raise InputError(f"{_line(path)} asks for more memory than there is; it is damaged or too large.") from error
    except Exception as error:
        raise InputError(
            f"{_line(path)} cannot be read as {kind} ({_why(error)}); it is damaged or of a kind that is not read; export it again."
        ) from error


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file, none of them of Python objects.

    Raises:
        InputError: it is no archive, holds objects, or would take too much memory.
    """
    with told_in_one_sentence(path, "an NPZ archive"):
        with zipfile.ZipFile(path) as archive:
            check_size(path, sum(entry.file_size for entry in archive.infolist()))
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        if not all(isinstance(value, np.ndarray) for value in found.values()):
            raise InputError(f"{path} holds something that is not an array; save it again with numpy.savez.")
        # Text of no characters takes no room in the file, and Python objects in memory.
        check_size(
            path, sum(max(array.nbytes, 8 * array.size) for array in found.values() if array.dtype.kind in "SUV")
        )
        return found


def _why(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:120].rstrip(".") if lines else type(error).__name__


def _line(path: Path) -> str:
    return " ".join(str(path).split())
