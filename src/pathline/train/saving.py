"""Save any fitted model and load it in a fresh process, without pickle and without code of the model's own.

A model is a tree: Equinox modules and dataclasses, containers, plain values, references to functions, and arrays.
The file holds a line that names the format and the checksum of all that follows, a line of JSON that describes the
tree, and the bytes of the arrays. Loading rebuilds the tree from classes and functions of trusted packages, found by
name. Nothing in a file is ever executed, and no function that reads or writes files can be named in one, so that
neither loading a stranger's model nor calling it can do harm.
"""

import dataclasses
import functools
import importlib
import inspect
import json
import math
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pathline.atomic import atomic_path
from pathline.errors import InputError

FORMAT = "pathline-model"
VERSION = 2
TRUSTED = ("pathline", "equinox.nn", "diffrax", "optimistix", "lineax")
# Where names are looked up first, so that a file says `jax.nn:softplus` and not the private module that defines it.
_NUMERICS = ("jax.nn", "jax.numpy", "jax.lax")
_PUBLIC = (*_NUMERICS, "equinox.nn", "diffrax", "optimistix", "lineax")
# Functions that touch more than numbers: a model that named one would write or read files when it is called.
_OUTWARD = tuple(f"pathline.{part}" for part in ("atomic", "cli", "data", "report", "train"))
_PAPERS = ("pathline.papers",)
_OUTWARD_NUMERICS = ("load", "fromfile", "from_dlpack", "frompyfunc")
_FIRST_LINE = 200


def save_model(path: Path | str, model: Any) -> None:
    """Write `model` to the file `path`, atomically.

    Arguments:
        path: usually `<run>/model.eqx`.
        model: a tree of Equinox modules, dataclasses, tuples, lists, dicts with string keys, JAX and NumPy arrays,
            strings, numbers, `None`, and functions that can be imported by name (`jax.nn.softplus`, also in a
            `functools.partial`; no lambdas).

    Raises:
        TypeError: something in the tree cannot be described, with its place.
    """
    arrays: list[np.ndarray | jax.Array] = []
    structure = _describe(model, arrays, "model")
    specs = [[list(a.shape), _dtype_name(a.dtype), "jax" if isinstance(a, jax.Array) else "numpy"] for a in arrays]
    head = json.dumps({"arrays": specs, "structure": structure}).encode() + b"\n"

    def parts() -> Iterator[bytes]:
        yield head
        for array in arrays:
            host = np.asarray(array)
            yield host.astype(host.dtype.newbyteorder("="), copy=False).tobytes()

    checksum = functools.reduce(lambda sofar, part: zlib.crc32(part, sofar), parts(), 0)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_first_line(checksum))
        file.writelines(parts())


def load_model(path: Path | str, *, trusted: tuple[str, ...] = ()) -> Any:
    """Read a model that `save_model` wrote.

    Arguments:
        path: usually `<run>/model.eqx`.
        trusted: further packages whose classes the file may name, for models of one's own.

    Returns:
        The model, its arrays in the precision in which they were saved.

    Raises:
        InputError: the file is missing, truncated, altered, not a model, from another version, or names a class
            that is unknown or not trusted.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            first = file.readline(_FIRST_LINE)
            _check_first_line(path, first)
            content = file.read()
    except OSError as error:
        raise InputError(f"Cannot read the model {path}: {error.strerror}; was the run finished?") from error
    if first != _first_line(zlib.crc32(content)):
        raise InputError(f"{path} is damaged (its checksum differs); copy it again or repeat the run.")
    try:
        head, _, body = content.partition(b"\n")
        header = json.loads(head)
        return _build(header["structure"], _read_arrays(header["arrays"], body), (*TRUSTED, *trusted))
    except InputError as error:
        raise InputError(f"{path} cannot be loaded: {error}") from error
    except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
        raise InputError(
            f"{path} is not a consistent Pathline model ({type(error).__name__}); repeat the run."
        ) from error


def _first_line(checksum: int) -> bytes:
    return json.dumps({"format": FORMAT, "version": VERSION, "checksum": checksum}).encode() + b"\n"


def _check_first_line(path: Path, line: bytes) -> None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path} is not a Pathline model; give a run directory that `pathline` wrote.")
    version = found.get("version")
    if version != VERSION:
        remedy = "upgrade Pathline" if isinstance(version, int) and version > VERSION else "repeat the run"
        raise InputError(f"{path} has model format {version!r} and this Pathline reads {VERSION}; {remedy}.")


def _dtype_name(dtype: np.dtype) -> str:
    """Times and strings carry their unit or length; all others, those that NumPy lacks included, have a name."""
    return dtype.newbyteorder("<").str if dtype.kind in "mMUS" else dtype.name


def _read_arrays(specs: list[Any], body: bytes) -> list[Any]:
    arrays, offset = [], 0
    # Precision belongs to the model: float64 arrays stay so whatever the caller's setting.
    with jax.enable_x64(True):
        for shape, name, kind in specs:
            dtype = jnp.dtype(name)
            size = math.prod(shape) * dtype.itemsize
            # A header may promise more than the file holds: refuse before any memory is taken.
            if min(shape, default=0) < 0 or offset + size > len(body):
                raise InputError("its header promises more data than the file holds.")
            # A copy, which owns its memory and can be written to.
            array = np.ndarray(tuple(shape), dtype, buffer=body, offset=offset).copy()
            arrays.append(jnp.asarray(array) if kind == "jax" else array)
            offset += size
    if offset != len(body):
        raise InputError("it holds more data than its header promises.")
    return arrays


def _describe(node: Any, arrays: list[np.ndarray | jax.Array], place: str) -> Any:
    if node is None or type(node) in (bool, int, str):
        return node
    if type(node) is float:
        return node if math.isfinite(node) else {"float": str(node)}
    if type(node) is complex:
        return {"complex": [_describe(part, arrays, place) for part in (node.real, node.imag)]}
    if isinstance(node, np.generic):
        return {"scalar": _describe(np.asarray(node), arrays, place)["array"]}
    if isinstance(node, np.ndarray | jax.Array):
        if isinstance(node, jax.Array) and jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            raise TypeError(f"{place} is a random key: a fitted model must not hold one; pass it to the call.")
        if type(node) is not np.ndarray and not isinstance(node, jax.Array):
            raise TypeError(f"{place} is a {type(node).__name__}, which cannot be saved; make it a plain array.")
        if node.dtype.hasobject or node.dtype.fields:
            raise TypeError(f"{place} is an array of {node.dtype}, which cannot be saved.")
        arrays.append(node)
        return {"array": len(arrays) - 1}
    if isinstance(node, np.dtype):
        return {"dtype": _dtype_name(node)}
    if isinstance(node, type(jnp.float32)) or (isinstance(node, type) and issubclass(node, np.generic)):
        # `jnp.float32` or `np.float32`, as modules keep them to remember a precision.
        return {"precision": _dtype_name(jnp.dtype(node)), "jax": isinstance(node, type(jnp.float32))}
    if type(node) is functools.partial:
        arguments = _describe([list(node.args), node.keywords], arrays, place)
        return {"partial": _name_of(node.func, place), "arguments": arguments}
    if isinstance(node, tuple) and (names := getattr(type(node), "_fields", None)) is not None:
        items = [_describe(item, arrays, f"{place}.{name}") for name, item in zip(names, node, strict=True)]
        return {"named": _name_of(type(node), place), "items": items}
    if type(node) is tuple or type(node) is list:
        return {type(node).__name__: [_describe(item, arrays, f"{place}[{i}]") for i, item in enumerate(node)]}
    if type(node) is dict:
        if not all(type(key) is str for key in node):
            raise TypeError(f"{place} has keys that are not strings, which cannot be saved.")
        return {"dict": {key: _describe(item, arrays, f"{place}[{key!r}]") for key, item in node.items()}}
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        fields = {}
        for field in dataclasses.fields(node):
            if hasattr(node, field.name):
                value = getattr(node, field.name)
                # Equinox's MLP has a lambda as its default: no name of its own, but the constructor knows it.
                if isinstance(value, types.FunctionType) and _initial(type(node), field.name) is value:
                    fields[field.name] = {"initial": field.name}
                else:
                    fields[field.name] = _describe(value, arrays, f"{place}.{field.name}")
        return {"object": _name_of(type(node), place), "fields": fields}
    if callable(node) and not isinstance(node, type):
        return {"function": _name_of(node, place)}
    raise TypeError(f"{place} is {node!r} of the type {type(node).__name__}, which cannot be saved.")


def _name_of(thing: Any, place: str) -> str:
    """`module:name`, after checking that loading will find and accept it."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "")
    own = getattr(thing, "__module__", None) or ""
    for home in (*_PUBLIC, own):
        if home and getattr(importlib.import_module(home), name, None) is thing:
            break
    else:
        raise TypeError(
            f"{place} is {name or thing!r}, which cannot be imported by name; define it at the top of a module."
        )
    package = own.partition(".")[0]
    foreign = package in sys.stdlib_module_names or package in ("numpy", "jax", "jaxlib", "equinox", "pathline")
    try:
        _find(f"{home}:{name}", TRUSTED if foreign else (*TRUSTED, package), lambda _: True)
    except InputError as error:
        raise TypeError(
            f"{place} is {home}.{name}, which a saved model may not name; use jax.numpy or a module of your own."
        ) from error
    return f"{home}:{name}"


def _initial(cls: type, name: str) -> Any:
    """The default that the constructor of `cls` gives to its argument `name`, or `None`."""
    parameter = inspect.signature(cls.__init__).parameters.get(name)
    return None if parameter is None else parameter.default


def _build(node: Any, arrays: list[Any], trusted: tuple[str, ...]) -> Any:
    if not isinstance(node, dict):
        return node
    (kind, content), *more = node.items()
    rest = dict(more)
    if kind == "float":
        return float(content)
    if kind == "complex":
        return complex(*(_build(part, arrays, trusted) for part in content))
    if kind == "array":
        return arrays[content]
    if kind == "scalar":
        return arrays[content][()]
    if kind == "dtype":
        return jnp.dtype(content)
    if kind == "precision":
        return getattr(jnp, content) if rest["jax"] else jnp.dtype(content).type
    if kind in ("tuple", "list"):
        items = (_build(item, arrays, trusted) for item in content)
        return tuple(items) if kind == "tuple" else list(items)
    if kind == "dict":
        return {key: _build(item, arrays, trusted) for key, item in content.items()}
    if kind == "function":
        return _find(content, trusted, _is_function)
    if kind == "partial":
        positional, keywords = _build(rest["arguments"], arrays, trusted)
        # A paper's `reproduce` writes files, and here it would be given its arguments.
        function = _find(content, trusted, lambda it: _is_function(it) and not _within(it.__module__, _PAPERS))
        return functools.partial(function, *positional, **keywords)
    if kind == "named":
        found = _find(content, trusted, lambda thing: isinstance(thing, type) and issubclass(thing, tuple))
        return found(*(_build(item, arrays, trusted) for item in rest["items"]))
    if kind == "object":
        found = _find(content, trusted, lambda thing: isinstance(thing, type) and dataclasses.is_dataclass(thing))
        return _build_object(found, rest["fields"], arrays, trusted)
    raise InputError(f"it holds an unknown kind of node, {kind!r}.")


def _build_object(cls: type, fields: dict[str, Any], arrays: list[Any], trusted: tuple[str, ...]) -> Any:
    expected = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(fields) - expected):
        raise InputError(f"{cls.__name__} has no field {unknown[0]!r} in this version of Pathline; upgrade or refit.")
    node = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in fields:
            described = fields[field.name]
            initial = described == {"initial": field.name}
            value = _initial(cls, field.name) if initial else _build(described, arrays, trusted)
        elif field.default is not dataclasses.MISSING:
            value = field.default
        else:
            raise InputError(f"{cls.__name__} lacks the field {field.name!r} in the file; refit with this version.")
        object.__setattr__(node, field.name, value)
    for parent in reversed(cls.__mro__):
        if "__check_init__" in vars(parent):
            vars(parent)["__check_init__"](node)
    return node


def _is_function(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, type)


def _find(name: str, trusted: tuple[str, ...], accept: Callable[[Any], bool]) -> Any:
    module, _, attribute = name.partition(":")
    numerics = module in _NUMERICS
    if not (numerics or _within(module, trusted)):
        package = module.partition(".")[0]
        raise InputError(
            f"it names {name!r}, outside the trusted packages; if it is yours, pass trusted=({package!r},)."
        )
    try:
        if ".__main__" in module:
            raise ImportError  # Importing it would run a program.
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise InputError(f"it names {name!r}, which this version does not have; refit with this version.") from None
    # What a module has merely imported is not its own: `pathline.atomic:os` leads out of the trusted packages.
    own = getattr(found, "__module__", None) or ""
    at_home = _within(own, ("jax", "jaxlib")) if numerics else _within(own, trusted)
    outward = attribute in _OUTWARD_NUMERICS if numerics else _is_function(found) and _within(own, _OUTWARD)
    if isinstance(found, types.ModuleType) or not at_home or outward or not accept(found):
        raise InputError(f"it names {name!r}, which is of the wrong kind.")
    return found


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
