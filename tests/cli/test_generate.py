"""`pathline generate` from end to end: what it writes agrees with itself, and a saved model is used again."""

import json
from pathlib import Path

import numpy as np
import pytest

from pathline.cli import main
from pathline.data import read_samples
from pathline.generate import Generator
from pathline.train import load

QUICK = ["--updates", "60", "--width", "16", "--depth", "1", "--steps", "4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("main") / "runs" / "digits"
    words = ["generate", "digits", *QUICK, "--n", "25", "--run", str(run), "--sampler", "dpm-solver-v3", "--path", "vp"]
    assert main(words) == 0
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_run_directory_is_complete(run):
    expected = {
        "config.json",
        "history.csv",
        "checkpoints",
        "metrics.json",
        "model.eqx",
        "report.html",
        "figures",
        "samples.npz",
    }
    assert {path.name for path in run.iterdir()} == expected
    figures = {path.name for path in (run / "figures").iterdir()}
    assert figures == {
        f"{name}{end}" for name in ("samples", "cost", "training") for end in (".png", ".svg", "-dark.svg")
    }


def test_what_was_written_can_be_read_and_agrees(run):
    samples = read_samples(run / "samples.npz")
    assert samples.values.shape == (25, 1, 8, 8) and set(samples.classes) <= set("0123456789")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["counts"] > 300 and set(metrics["generated"]) == set(metrics["real"])
    page = (run / "report.html").read_text()
    assert f"{metrics['generated']['precision']:.0%}" in page and "small classifier" in page
    assert "pathline generate digits" in page and "--run" not in page.split("This report again")[1]
    assert isinstance(load(run), Generator) and load(run).statistics is not None


def test_a_saved_model_is_sampled_again(run, here, capsys):
    again = here / "again"
    words = [
        "generate",
        "--model",
        str(run),
        "--n",
        "9",
        "--label",
        "7",
        "--guidance",
        "1",
        "--run",
        str(again),
        "--steps",
        "3",
    ]
    assert main(words) == 0
    found = read_samples(again / "samples.npz")
    assert found.values.shape == (9, 1, 8, 8) and found.classes == ("7",)
    assert "9 samples by heun with 3 steps, guidance 1" in capsys.readouterr().out
    assert isinstance(load(again), Generator)


def test_a_file_of_ones_own(here, capsys):
    rng = np.random.default_rng(0)
    np.savez(here / "mine.npz", samples=rng.normal(size=(120, 3)) + 10)
    assert main(["generate", "mine.npz", *QUICK, "--path", "linear", "--sampler", "heun", "--n", "7"]) == 0
    assert read_samples(here / "runs/mine/samples.npz").values.shape == (7, 3)
    out = capsys.readouterr().out
    assert "sliced Wasserstein" in out and "pathline generate --model runs/mine" in out
    # The model that is there is not written over.
    assert main(["generate", "mine.npz", *QUICK, "--run", "runs/mine"]) == 2
    assert "already holds a finished run" in capsys.readouterr().err


def test_a_density_in_the_plane_and_a_table(here):
    assert main(["generate", "two-moons", *QUICK, "--sampler", "euler"]) == 0
    rows = "\n".join(f"{a},{b},{'ab'[a % 2]}" for a, b in np.random.default_rng(0).integers(0, 50, (80, 2)))
    (here / "table.csv").write_text(f"x,y,label\n{rows}\n")
    assert main(["generate", "table.csv", *QUICK, "--label", "b"]) == 0
    assert read_samples(here / "runs/table/samples.npz").classes == ("b",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Give samples to learn from"),
        (["digitz"], "did you mean 'digits'"),
        (["nosuch.npz"], "no file"),
        (["digits", "--n", "0"], "--n cannot be 0"),
        (["digits", "--steps", "0"], "--steps cannot be 0"),
        (["digits", "--sampler", "huen"], "did you mean 'heun'"),
        (["digits", "--method", "gan"], "no method 'gan'"),
        (["digits", "--path", "crooked"], "--path"),
        (["digits", "--updates", "0"], "updates of a flow cannot be 0"),
        (["digits", "--label", "eleven"], "no class 'eleven'"),
        (["digits", "--held-out", "1.5"], "holding out 1.5"),
        (["two-moons", "--guidance", "2"], "need samples with labels"),
        (["--model", "nosuch"], "no run directory nosuch"),
        (["digits", "--nn", "4"], "did you mean"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(here, capsys, words, told):
    assert main(["generate", *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and "Traceback" not in error
    assert list(here.iterdir()) == []


def test_settings_of_a_training_do_not_go_with_a_model(run, here, capsys):
    assert main(["generate", "--model", str(run), "--path", "edm"]) == 2
    assert "fit anew" in capsys.readouterr().err
    assert main(["generate", "two-moons", "--model", str(run)]) == 2
    assert "shape (2,) and the model (1, 8, 8)" in capsys.readouterr().err
