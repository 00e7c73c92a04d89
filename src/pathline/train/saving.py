"""Save any fitted model and load it in a fresh process, without pickle and without code of the model's own.

A model is a tree: Equinox modules and dataclasses, containers, plain values, references to functions, and arrays.
The file holds one line of JSON that describes the tree, then the arrays. Loading rebuilds the tree by naming classes
and functions of trusted packages only; nothing in a file is ever executed.
"""

import dataclasses
import importlib
import inspect
import io
import json
import math
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pathline.atomic import write_bytes
from pathline.errors import InputError

FORMAT = "pathline-model"
VERSION = 1
TRUSTED = ("pathline", "equinox", "diffrax", "optimistix", "lineax")
# Where functions are looked up, so that a file names `jax.nn.softplus` and not the private module that defines it.
_FUNCTION_HOMES = ("jax.nn", "jax.numpy", "jax.lax")


def save_model(path: Path | str, model: Any) -> None:
    """Write `model` to the file `path`, atomically.

    Arguments:
        path: usually `<run>/model.eqx`.
        model: a tree of Equinox modules, dataclasses, tuples, lists, dicts with string keys, JAX and NumPy arrays,
            strings, numbers, `None`, and functions that can be imported by name (`jax.nn.softplus`; no lambdas).

    Raises:
        TypeError: something in the tree cannot be described, with its place.
    """
    arrays: list[np.ndarray | jax.Array] = []
    structure = _describe(model, arrays, "model")
    payload = io.BytesIO()
    eqx.tree_serialise_leaves(payload, arrays)
    body = payload.getvalue()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "checksum": zlib.crc32(body),
        "arrays": [[list(a.shape), a.dtype.name, "jax" if isinstance(a, jax.Array) else "numpy"] for a in arrays],
        "structure": structure,
    }
    write_bytes(path, json.dumps(header).encode() + b"\n" + body)


def load_model(path: Path | str, *, trusted: tuple[str, ...] = ()) -> Any:
    """Read a model that `save_model` wrote.

    Arguments:
        path: usually `<run>/model.eqx`.
        trusted: further packages whose classes the file may name, for models of one's own.

    Returns:
        The model, its arrays in the precision in which they were saved.

    Raises:
        InputError: the file is missing, truncated, altered, not a model, from a newer version, or names a class
            that is unknown or not trusted.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the model {path}: {error.strerror}; was the run finished?") from error
    line, _, body = content.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path} is not a Pathline model; give a run directory that `pathline` wrote.")
    if header.get("version") != VERSION:
        raise InputError(
            f"{path} has model format {header.get('version')!r} and this Pathline reads {VERSION}; upgrade Pathline."
        )
    if header.get("checksum") != zlib.crc32(body):
        raise InputError(f"{path} is damaged (its checksum differs); copy it again or repeat the run.")
    try:
        arrays = _read_arrays(header["arrays"], body)
        return _build(header["structure"], arrays, (*TRUSTED, *trusted))
    except InputError as error:
        raise InputError(f"{path} cannot be loaded: {error}") from error
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, MemoryError) as error:
        raise InputError(
            f"{path} is not a consistent Pathline model ({type(error).__name__}); repeat the run."
        ) from error


def _read_arrays(specs: list[Any], body: bytes) -> list[Any]:
    like: list[Any] = []
    for shape, dtype, kind in specs:
        struct = jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
        # A header may promise more than the file holds: refuse before any memory is taken.
        if math.prod(shape) * struct.dtype.itemsize > len(body):
            raise InputError("its header promises more data than the file holds.")
        like.append(struct if kind == "jax" else np.empty(struct.shape, struct.dtype))
    # Precision belongs to the model: float64 arrays stay so whatever the caller's setting.
    with jax.enable_x64(True):
        return eqx.tree_deserialise_leaves(io.BytesIO(body), like)


def _describe(node: Any, arrays: list[np.ndarray | jax.Array], place: str) -> Any:
    if node is None or isinstance(node, bool | str):
        return node
    if isinstance(node, np.generic):
        node = np.asarray(node)
    if isinstance(node, int):
        return node
    if isinstance(node, float):
        return node if math.isfinite(node) else {"float": str(node)}
    if isinstance(node, np.ndarray | jax.Array):
        if isinstance(node, jax.Array) and jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
            raise TypeError(f"{place} is a random key: a fitted model must not hold one; pass it to the call.")
        if node.dtype.hasobject:
            raise TypeError(f"{place} is an array of Python objects, which cannot be saved.")
        arrays.append(node)
        return {"array": len(arrays) - 1}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return {"named": _name_of(type(node), place), "items": _describe(tuple(node), arrays, place)["tuple"]}
    if isinstance(node, tuple | list):
        kind = "tuple" if isinstance(node, tuple) else "list"
        return {kind: [_describe(item, arrays, f"{place}[{i}]") for i, item in enumerate(node)]}
    if isinstance(node, dict):
        if not all(isinstance(key, str) for key in node):
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
    if isinstance(node, np.dtype):
        return {"dtype": node.name}
    if callable(node):
        return {"function": _name_of(node, place)}
    raise TypeError(f"{place} is a {type(node).__name__}, which cannot be saved.")


def _name_of(thing: Any, place: str) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "")
    for home in (*_FUNCTION_HOMES, getattr(thing, "__module__", None)):
        if home and getattr(importlib.import_module(home), name, None) is thing:
            return f"{home}:{name}"
    raise TypeError(
        f"{place} is {name or thing!r}, which cannot be imported by name; define it at the top of a module."
    )


def _initial(cls: type, name: str) -> Any:
    """The default that the constructor of `cls` gives to its argument `name`, or `None`."""
    parameter = inspect.signature(cls.__init__).parameters.get(name)
    return None if parameter is None else parameter.default


def _build(node: Any, arrays: list[Any], trusted: tuple[str, ...]) -> Any:
    if not isinstance(node, dict):
        return node
    (kind, content), *rest = node.items()
    if kind == "float":
        return float(content)
    if kind == "array":
        return arrays[content]
    if kind == "dtype":
        return jnp.dtype(content)
    if kind in ("tuple", "list"):
        items = (_build(item, arrays, trusted) for item in content)
        return tuple(items) if kind == "tuple" else list(items)
    if kind == "dict":
        return {key: _build(item, arrays, trusted) for key, item in content.items()}
    if kind == "function":
        return _find(
            content, (*_FUNCTION_HOMES, *trusted), lambda thing: callable(thing) and not isinstance(thing, type)
        )
    if kind == "named":
        found = _find(content, trusted, lambda thing: isinstance(thing, type) and issubclass(thing, tuple))
        return found(*(_build(item, arrays, trusted) for item in dict(rest)["items"]))
    if kind == "object":
        found = _find(content, trusted, lambda thing: isinstance(thing, type) and dataclasses.is_dataclass(thing))
        return _build_object(found, dict(rest)["fields"], arrays, trusted)
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


def _find(name: str, homes: tuple[str, ...], accept: Callable[[Any], bool]) -> Any:
    module, _, attribute = name.partition(":")
    if not any(module == home or module.startswith(f"{home}.") for home in homes):
        package = module.partition(".")[0]
        raise InputError(
            f"it names {name!r}, outside the trusted packages; if it is yours, pass trusted=({package!r},)."
        )
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise InputError(f"it names {name!r}, which this version does not have; refit with this version.") from None
    if isinstance(found, types.ModuleType) or not accept(found):
        raise InputError(f"it names {name!r}, which is of the wrong kind.")
    return found
