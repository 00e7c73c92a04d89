"""Saving: whatever a fitted model is made of comes back the same, and no file can do harm."""

import json
import subprocess
import sys
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with pytest.raises(TypeError, match="random key"):
        save_model(tmp_path / "m.eqx", {"k": jax.random.key(0)})
    assert not list(tmp_path.iterdir())


def header_of(path):
    line, _, body = path.read_bytes().partition(b"\n")
    return json.loads(line), body


def rewrite(path, header, body):
    path.write_bytes(json.dumps(header).encode() + b"\n" + body)


@pytest.mark.parametrize(
    "name",
    ["os:system", "subprocess:Popen", "builtins:eval", "pathline.train.saving:io", "pathline.nowhere:f", "jax.nn:os"],
)
def test_foreign_names_are_refused(tmp_path, name):
    path = tmp_path / "m.eqx"
    save_model(path, {"f": jax.nn.relu})
    header, body = header_of(path)
    for kind in ("function", "object", "named"):
        header["structure"] = {kind: name, "fields": {}, "items": []}
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


def test_newer_format_is_refused(tmp_path):
    path = tmp_path / "m.eqx"
    save_model(path, {"a": jnp.ones(3)})
    header, body = header_of(path)
    header["version"] = 99
    rewrite(path, header, body)
    with pytest.raises(InputError, match="upgrade"):
        load_model(path)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_files_are_told_in_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "m.eqx"
    save_model(path, eqx.nn.Linear(2, 2, key=jax.random.key(0)))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        load_model(path)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        # The one thing a flipped byte may change without notice is a name or number inside the header's text.
        assert bytes(content).partition(b"\n")[2] == header_of(path)[1]


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
