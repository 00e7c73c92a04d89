"""Saving: whatever a fitted model is made of comes back the same, and no file can do harm."""

import functools
import json
import subprocess
import sys
import zipfile
import zlib
from collections import OrderedDict
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pathline.atomic
from pathline.errors import InputError
from pathline.train.rundir import free_run, load, open_run, read_config, save
from pathline.train.saving import load_model, save_model


class Pair(NamedTuple):
    left: object
    right: object


class Inner(eqx.Module):
    weight: jax.Array
    label: str = eqx.field(static=True)


class Outer(eqx.Module):
    inner: Inner
    table: np.ndarray
    parts: tuple
    options: dict
    activation: object = eqx.field(static=True)
    limit: float = eqx.field(static=True, default=float("inf"))


THIS = (__name__,)


def make():
    with jax.enable_x64(True):
        wide = jnp.asarray([1.0, 2.0, 1e-300], dtype=jnp.float64)
    inner = Inner(jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3), 'naïve "quoted"')
    parts = (1, None, True, [2.5, -float("inf")], Pair(wide, "x"))
    return Outer(inner, np.asarray([[1.5, np.nan]]), parts, {"a b": jnp.int32(3)}, jax.nn.softplus)


def same(a, b):
    assert jax.tree_util.tree_structure(a) == jax.tree_util.tree_structure(b)
    for x, y in zip(jax.tree_util.tree_leaves(a), jax.tree_util.tree_leaves(b), strict=True):
        assert type(x) is type(y)
        if hasattr(x, "dtype"):
            assert x.dtype == y.dtype and x.shape == y.shape
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        else:
            assert x == y


def test_everything_comes_back(tmp_path):
    save_model(tmp_path / "m.eqx", make())
    same(load_model(tmp_path / "m.eqx", trusted=THIS), make())


def test_network_in_a_new_process_gives_the_same_numbers(tmp_path):
    network = eqx.nn.MLP(3, 2, 8, 2, activation=jax.nn.silu, key=jax.random.key(0))
    save(tmp_path, network)
    code = (
        "import sys, numpy as np, pathline, jax.numpy as jnp;"
        "m = pathline.load(sys.argv[1]); print(np.asarray(m(jnp.arange(3.0))).tobytes().hex())"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == np.asarray(network(jnp.arange(3.0))).tobytes().hex()


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"model\['f'\] is .*lambda"):
        save_model(tmp_path / "m.eqx", {"f": lambda x: x})
    unfit = {
        "random key": jax.random.key(0),
        "Python objects|object": np.asarray([{}]),
        "numpy.tanh": np.tanh,
        "posix.system|nt.system": __import__("os").system,
        "builtins.abs": abs,
        "write_text": pathline.atomic.write_text,
        "_ModuleMeta": eqx.nn.MLP,
        "not strings": {1: 2},
        "set": {1, 2},
        "MaskedArray": np.ma.ones(2),
        "OrderedDict": OrderedDict(a=1),
    }
    for message, value in unfit.items():
        with pytest.raises(TypeError, match=message):
            save_model(tmp_path / "m.eqx", [value])
    assert not list(tmp_path.iterdir())


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.sampled_from(
        [
            jax.nn.relu,
            jnp.tanh,
            jax.lax.sin,
            functools.partial(jax.nn.leaky_relu, negative_slope=0.3),
            jnp.bfloat16,
            np.int8,
            np.dtype("float16"),
            np.float32(0.1),
            np.datetime64("2020-02-29", "D"),
            np.asarray(["naïve", "☃"]),
            np.asarray(["2020-02-29", "NaT"], "M8[ns]"),
            np.asarray([b"x\x00y"]),
            np.asarray([1.5, 2.5], ">f8"),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.float64(np.pi),
            diffrax.Tsit5(),
            diffrax.PIDController(rtol=1e-3, atol=1e-6),
        ]
    ),
    st.builds(
        lambda dtype, shape, jax_array, seed: (jnp.asarray if jax_array else np.asarray)(
            np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
        ),
        st.sampled_from(
            ["bool", "int4", "int8", "uint32", "float16", "bfloat16", "float8_e4m3fn", "float32", "complex64"]
        ),
        st.lists(st.integers(0, 3), max_size=3).map(tuple),
        st.booleans(),
        st.integers(0, 99),
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
        st.builds(Pair, inner, inner),
        st.builds(lambda weight, label: Inner(weight, label), inner, st.text(max_size=3)),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tree=TREES)
def test_any_tree_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("tree") / "m.eqx"
    save_model(path, tree)
    identical(load_model(path, trusted=THIS), tree)


def identical(found, tree):
    assert type(found) is type(tree)
    if isinstance(tree, list | tuple):
        assert len(found) == len(tree)
        for one, other in zip(found, tree, strict=True):
            identical(one, other)
    elif isinstance(tree, dict):
        assert list(found) == list(tree)
        for key in tree:
            identical(found[key], tree[key])
    elif isinstance(tree, Inner):
        identical((found.weight, found.label), (tree.weight, tree.label))
    elif isinstance(tree, eqx.Module):
        assert eqx.tree_equal(found, tree) is True
    elif isinstance(tree, functools.partial):
        identical((found.func, found.args, found.keywords), (tree.func, tree.args, tree.keywords))
    elif isinstance(tree, np.ndarray | jax.Array | np.generic):
        assert found.dtype == tree.dtype.newbyteorder("=") and found.shape == tree.shape
        assert np.asarray(found).tobytes() == np.asarray(tree).astype(tree.dtype.newbyteorder("=")).tobytes()
    else:
        assert repr(found) == repr(tree)  # NaN does not equal itself


def header_of(path):
    _, head, body = path.read_bytes().split(b"\n", 2)
    return json.loads(head), body


def rewrite(path, header, body, version=2):
    """What someone writes who knows the format: the checksum is right."""
    content = json.dumps(header).encode() + b"\n" + body
    first = {"format": "pathline-model", "version": version, "checksum": zlib.crc32(content)}
    path.write_bytes(json.dumps(first).encode() + b"\n" + content)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "pathline.nowhere:f",
        "jax.nn:os",
        # By way of what a trusted module has imported.
        "pathline.atomic:os",
        "pathline.atomic:os.system",
        "pathline.train.saving:importlib.import_module",
        "diffrax:importlib.import_module",
        # Trusted, but they write or read files, or run a program.
        "pathline.atomic:write_text",
        "pathline.train:save",
        "pathline:load",
        "pathline.cli.__main__:entry",
        "jax.numpy:load",
        "jax.numpy:save",
        "equinox:tree_serialise_leaves",
        "equinox:Partial",
        # Not a package, though it begins like one.
        "pathline_evil:f",
        "",
    ],
)
def test_foreign_names_are_refused(tmp_path, name):
    path = tmp_path / "m.eqx"
    save_model(path, {"f": jax.nn.relu})
    header, body = header_of(path)
    for kind in ("function", "object", "named", "partial"):
        header["structure"] = {kind: name, "fields": {}, "items": [], "arguments": {"list": [[], {"dict": {}}]}}
        rewrite(path, header, body)
        with pytest.raises(InputError):
            load_model(path)


def test_header_that_promises_too_much_is_refused(tmp_path):
    path = tmp_path / "m.eqx"
    save_model(path, {"a": jnp.ones(3)})
    header, body = header_of(path)
    header["arrays"][0][0] = [10**9, 10**6]
    rewrite(path, header, body)
    with pytest.raises(InputError, match="promises more data"):
        load_model(path)
    header["arrays"][0][0] = [-3]
    rewrite(path, header, body)
    with pytest.raises(InputError, match="promises more data"):
        load_model(path)
    header["arrays"][0][0] = [2]
    rewrite(path, header, body)
    with pytest.raises(InputError, match="more data than its header"):
        load_model(path)


@pytest.mark.parametrize(
    "structure",
    [
        {},
        {"array": 7},
        {"array": "x"},
        {"float": "x"},
        {"dict": []},
        {"list": 3},
        {"surprise": 1},
        {"object": "equinox.nn:MLP", "fields": {}},
        {"object": "equinox.nn:MLP", "fields": {"no such field": 1}},
        {"object": "equinox.nn:MLP"},
        {"named": "equinox.nn:MLP", "items": []},
        {"function": 3},
        {"precision": "float99", "jax": True},
        {"complex": [1, 2, 3]},
    ],
    ids=str,
)
def test_descriptions_that_make_no_sense_are_told(tmp_path, structure):
    path = tmp_path / "m.eqx"
    save_model(path, {"a": jnp.ones(3)})
    header, body = header_of(path)
    rewrite(path, header | {"structure": structure}, body)
    with pytest.raises(InputError, match=r"m\.eqx"):
        load_model(path)
    for header in ([], 3, {"arrays": 1}, {"arrays": [[1]], "structure": None}, {"arrays": [[[3], "object", "numpy"]]}):
        rewrite(path, header, body)
        with pytest.raises(InputError, match=r"m\.eqx"):
            load_model(path)


def test_deep_nesting_is_told(tmp_path):
    content = b'{"arrays": [], "structure": ' + b'{"list": [' * 100_000 + b"]}" * 100_000 + b"}\n"
    first = {"format": "pathline-model", "version": 2, "checksum": zlib.crc32(content)}
    (tmp_path / "m.eqx").write_bytes(json.dumps(first).encode() + b"\n" + content)
    with pytest.raises(InputError, match="not a consistent"):
        load_model(tmp_path / "m.eqx")


def test_foreign_files_are_told(tmp_path):
    path = tmp_path / "m.eqx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.py", "raise SystemExit")
    contents = [path.read_bytes(), b"", b"\n", b"{}", b"[1]\n", b"\xff\xfe\x00", b"x" * 1000, np.ones(3).tobytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a Pathline model"):
            load_model(path)
    path.unlink()
    with pytest.raises(InputError, match="Cannot read"):
        load_model(path)
    path.mkdir()
    with pytest.raises(InputError, match="Cannot read"):
        load_model(path)


def test_newer_format_is_refused(tmp_path):
    path = tmp_path / "m.eqx"
    save_model(path, {"a": jnp.ones(3)})
    rewrite(path, *header_of(path), version=99)
    with pytest.raises(InputError, match="upgrade"):
        load_model(path)
    rewrite(path, *header_of(path), version=1)
    with pytest.raises(InputError, match="repeat the run"):
        load_model(path)


def test_every_damage_is_told_in_one_sentence(tmp_path):
    """A file cut anywhere, and each of its bytes altered: never a model."""
    path = tmp_path / "m.eqx"
    save_model(path, eqx.nn.Linear(2, 2, key=jax.random.key(0)))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:end] for end in range(len(content))] + [content + b"\n"]
    for place in range(len(content)):
        for flip in (1 << rng.integers(8), rng.integers(1, 256)):
            altered = bytearray(content)
            altered[place] ^= int(flip)
            damaged.append(bytes(altered))
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(InputError) as caught:
            load_model(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_run_whose_first_file_was_interrupted_is_begun_anew(tmp_path):
    (tmp_path / ".config.json.abc.part").write_text('{"a"')
    assert open_run(tmp_path, {"a": 1}) == tmp_path and read_config(tmp_path) == {"a": 1}


def test_run_directory(tmp_path):
    run = open_run(tmp_path / "run", {"a": (1, 2)})
    assert read_config(run) == {"a": [1, 2]}
    assert open_run(run, {"a": [1, 2]}) == run
    with pytest.raises(InputError, match="another configuration"):
        open_run(run, {"a": [1, 3]})
    with pytest.raises(InputError, match="unfinished"):
        load(run)
    save(run, {"w": jnp.ones(2)})
    with pytest.raises(InputError, match="finished run"):
        open_run(run, {"a": [1, 2]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        open_run(tmp_path / "other", {})
    assert free_run(tmp_path, "run") == tmp_path / "run-2"
    with pytest.raises(InputError, match="no run directory"):
        load(tmp_path / "absent")
    (run / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_config(run)
