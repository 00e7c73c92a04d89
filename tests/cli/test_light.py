"""The command line starts at once, and an interruption loses nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pathline.cli import COMMANDS

UNDRAWN = """
import sys, pathline.report
from pathline.cli import entry
pathline.report.write_forecast_report = lambda run, *_, **__: run / "report.html"
entry()
"""


def test_help_imports_nothing_heavy():
    code = (
        "import sys, pathline.cli; pathline.cli.main(['--help']);"
        "print([name for name in ('jax', 'numpy', 'matplotlib', 'tyro', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


def test_a_reader_that_leaves_early_is_no_failure():
    code = "import sys; from pathline.cli import entry; sys.argv[1:] = ['--help']; entry()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_is_taken_up_again(tmp_path):
    """Interrupted after the first method was fitted; the same command then ends as if nothing had happened."""
    words = [sys.executable, "-c", UNDRAWN, "forecast", "lynx", "--method", "linear", "--run"]
    process = subprocess.Popen([*words, "r"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    first = tmp_path / "r" / "methods" / "persistence" / "model.eqx"
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert process.returncode == 130
    assert complaint.startswith("pathline: interrupted") and "Traceback" not in complaint
    assert first.exists() and not (tmp_path / "r" / "model.eqx").exists()
    subprocess.run([*words, "r"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*words, "undisturbed"], cwd=tmp_path, check=True, capture_output=True)
    for name in ("forecast.csv", "model.eqx", "config.json"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert not list(Path(tmp_path).rglob("*.part"))
