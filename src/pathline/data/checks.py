"""Conversion of what users hand to the data types into arrays, with complaints in their words."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pathline.errors import InputError


def real_array(given: Any, what: str, axes: tuple[str, ...], *, gaps: bool = False) -> Float[np.ndarray, "..."]:
    """An array of real numbers, single or double precision as given; everything else becomes double.

    Arguments:
        given: what the user gave.
        what: its name in messages, such as `"the times"`.
        axes: names of its axes; a last `"..."` allows any number of further ones.
        gaps: whether NaN is allowed.

    Raises:
        InputError: it is ragged, not of real numbers, has other axes or none along one of them, or is not finite.
    """
    array = as_array(given, what)
    if array.dtype.kind not in "iufb":
        raise InputError(f"{_opening(what)} must be real numbers; the array given is of type {array.dtype}.")
    _check_axes(array, what, axes)
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    wrong = np.isinf(array) if gaps else ~np.isfinite(array)
    if wrong.any():
        place = ", ".join(map(str, np.argwhere(wrong)[0]))
        allowed = "a number or NaN" if gaps else "a finite number"
        raise InputError(f"Entry [{place}] of {what} is not {allowed}; mend it or leave it out.")
    return array


def whole_array(given: Any, what: str, axes: tuple[str, ...], *, below: int | None = None) -> Int[np.ndarray, "..."]:
    """An array of whole numbers from 0, as 64-bit integers.

    Arguments:
        given, what, axes: as for `real_array`.
        below: what every entry must lie below.

    Raises:
        InputError: an entry is no whole number, is negative or not below the limit.
    """
    array = as_array(given, what)
    whole = array.dtype.kind in "iu" or array.size == 0
    if not whole and array.dtype.kind == "f":
        whole = bool(np.all(np.isfinite(array)) and np.all(array == np.round(array)) and np.all(np.abs(array) < 2**53))
    if not whole:
        raise InputError(f"{_opening(what)} must be whole numbers; the array given is of type {array.dtype}.")
    _check_axes(array, what, axes, empty=True)
    if array.size and (array.min() < 0 or array.max() >= (2**63 if below is None else below)):
        limit = "" if below is None else f" to {below - 1}"
        wrong = array.min() if array.min() < 0 else array.max()
        raise InputError(f"{_opening(what)} must run from 0{limit}; there is {wrong}.")
    return array.astype(np.int64)


def rising_times(given: Any) -> Float[np.ndarray, " time"]:
    """Times, checked to increase strictly.

    Raises:
        InputError: they do not.
    """
    times = real_array(given, "the times", ("time",)).astype(np.float64)
    if not np.all(np.diff(times) > 0):
        place = int(np.argmin(np.diff(times) > 0))
        raise InputError(f"Time {times[place + 1]:g} does not come after {times[place]:g}; sort and merge the times.")
    return times


def named(given: Any, what: str, count: int, prefix: str) -> tuple[str, ...]:
    """Names of `count` different things; `prefix1`, `prefix2`, ... when there are none, and a bare `prefix` for one.

    Raises:
        InputError: there are more, fewer, or two of the same.
    """
    if given is None:
        return (prefix,) if count == 1 else tuple(f"{prefix}{i + 1}" for i in range(count))
    names = (given,) if isinstance(given, str) else tuple(str(name) for name in given)
    if len(names) != count:
        raise InputError(f"There are {len(names)} names of {what} for {count}; give one for each.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"Two {what} are called {twice[0]!r}; rename one.")
    return names


def as_array(given: Any, what: str) -> np.ndarray:
    """An array of any type and shape.

    Raises:
        InputError: rows differ in length.
    """
    try:
        return np.asarray(given)
    except ValueError as error:
        raise InputError(f"{_opening(what)} have rows of different lengths; make them one array.") from error


def _check_axes(array: np.ndarray, what: str, axes: tuple[str, ...], *, empty: bool = False) -> None:
    open_ended = axes[-1:] == ("...",)
    needed = len(axes) - open_ended
    if array.ndim < needed or (array.ndim > needed and not open_ended) or (array.size == 0 and not empty):
        raise InputError(f"{_opening(what)} must have the shape [{', '.join(axes)}]; they have {list(array.shape)}.")


def _opening(what: str) -> str:
    return what[:1].upper() + what[1:]
