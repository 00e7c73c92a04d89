"""Atomic writes: whole or absent."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pathline.atomic import atomic_path, write_json, write_text
from pathline.errors import InputError


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a", "old")

    def fail():
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_json_has_no_nan(tmp_path):
    write_json(
        tmp_path / "deep" / "a.json", {"x": [float("nan"), 1.0, float("inf")], "y": np.float32(2), 3: (np.arange(2),)}
    )
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == {"x": [None, 1.0, None], "y": 2.0, "3": [[0, 1]]}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose"):
        write_text(tmp_path / "file" / "a", "x")


def test_files_are_as_readable_as_any_other(tmp_path):
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_in_the_place_of_the_file_is_told_and_kept(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match="Cannot write"):
        write_text(tmp_path / "a", "x")
    assert (tmp_path / "a" / "b").is_dir() and os.listdir(tmp_path) == ["a"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    """SIGKILL while the new content is half written: the old file is whole."""
    write_text(tmp_path / "a", "old")
    code = (
        "import os, signal, sys; from pathline.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('ne'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert (tmp_path / "a").read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2  # It was killed where it should be.


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_holds(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
