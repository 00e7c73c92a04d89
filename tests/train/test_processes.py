"""Training in processes of its own: killed and resumed, on eight devices, on two hosts."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

CHILD = Path(__file__).parent / "child.py"
CACHE = Path(__file__).parents[2] / ".cache" / "jax"


def start(*arguments, **environment):
    variables = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(CACHE), "JAX_PLATFORMS": "cpu"} | environment
    variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.Popen([sys.executable, CHILD, *map(str, arguments)], env=variables, stderr=subprocess.PIPE)


def finish(process):
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()[-2000:]


def weights(path):
    with np.load(path) as archive:
        return [archive[name] for name in sorted(archive.files)]


def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path):
    finish(start("slow", tmp_path / "whole", tmp_path / "whole.npz"))
    rng = np.random.default_rng(0)
    history, kills, process = tmp_path / "killed" / "history.csv", 0, None
    deadline = time.monotonic() + 300
    while kills < 20:
        assert time.monotonic() < deadline
        process = start("slow", tmp_path / "killed", tmp_path / "killed.npz")
        before = size(history)
        # Wait until this process has written rows of its own, then a random while longer: any moment may be hit,
        # also one in the middle of a checkpoint.
        while process.poll() is None and (now := size(history)) <= before:
            before = now
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.04))
        assert process.poll() is None, "the training finished before it could be killed twenty times"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    finish(start("slow", tmp_path / "killed", tmp_path / "killed.npz"))
    for ours, theirs in zip(weights(tmp_path / "killed.npz"), weights(tmp_path / "whole.npz"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = [line.split(",")[0] for line in history.read_text().splitlines()[1:]]
    assert rows == [str(step + 1) for step in range(len(rows))]
    assert history.read_text() == (tmp_path / "whole" / "history.csv").read_text()


@pytest.mark.slow
def test_eight_devices_equal_one(tmp_path):
    flags = "--xla_force_host_platform_device_count=8"
    for kind in ("memory", "stream"):
        finish(start(kind, "-", tmp_path / "one.npz"))
        finish(start(kind, tmp_path / f"run-{kind}", tmp_path / "eight.npz", "mesh", XLA_FLAGS=flags))
        for ours, theirs in zip(weights(tmp_path / "eight.npz"), weights(tmp_path / "one.npz"), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_together(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for kind in ("memory", "stream"):
        finish(start(kind, "-", tmp_path / "one.npz"))
        both = [
            start(kind, tmp_path / f"run-{kind}", tmp_path / f"two-{rank}.npz", "mesh", f"127.0.0.1:{port}", rank)
            for rank in range(2)
        ]
        for process in both:
            finish(process)
        for rank in range(2):
            for ours, theirs in zip(weights(tmp_path / f"two-{rank}.npz"), weights(tmp_path / "one.npz"), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert len((tmp_path / f"run-{kind}" / "history.csv").read_text().splitlines()) == 41


@pytest.mark.slow
def test_what_a_mesh_must_hold(tmp_path):
    """Seeds, resume from one device to eight, batches with a number for all, uneven batches, a planted NaN."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    code = Path(__file__).with_name("mesh.py")
    found = subprocess.run(
        [sys.executable, code, tmp_path], env=environment, capture_output=True, text=True, timeout=240
    )
    assert found.returncode == 0 and found.stdout.endswith("all is well\n"), found.stderr[-3000:]
