"""`pathline forecast` from end to end: what it writes agrees with itself, and a saved model is used in a fresh process."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from pathline.cli import main
from pathline.data import builtin_series, read_series
from pathline.forecast import METHODS
from pathline.train import load

QUICK = ("persistence", "seasonal_naive", "linear")
LEVELS = ("0.5", "0.8", "0.95")


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    head, *rows = csv.reader(path.read_text().splitlines())
    return head, rows


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest; the report has tests of its own."""
    monkeypatch.setattr("pathline.report.write_forecast_report", lambda run, *_, **__: run / "report.html")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The main job with a short horizon and the quick methods."""
    run = tmp_path_factory.mktemp("main") / "runs" / "sunspots"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathline.cli.forecast.default_methods", lambda: {name: METHODS[name]() for name in QUICK})
        assert main(["forecast", "sunspots", "--horizon", "6", "--run", str(run)]) == 0
    return run


def test_the_run_directory_is_complete(run):
    expected = {"config.json", "forecast.csv", "metrics.json", "model.eqx", "report.html", "figures", "methods"}
    assert {path.name for path in run.iterdir()} == expected
    figures = {path.name for path in (run / "figures").iterdir()}
    names = ("forecast", "skill", "calibration", "held-out")
    assert figures == {f"{name}{end}" for name in names for end in (".png", ".svg", "-dark.svg")}


def test_forecast_csv_is_the_forecast_of_the_saved_model(run):
    head, rows = table(run / "forecast.csv")
    name = "sunspot number"
    assert head == ["date", name, *(f"{name} {end} {level}" for level in LEVELS for end in ("lower", "upper"))]
    forecast = load(run).forecast(builtin_series("sunspots"), 6)
    assert [row[0] for row in rows] == [str(year) for year in range(2009, 2015)]
    numbers = np.asarray([row[1:] for row in rows], float)
    np.testing.assert_allclose(numbers[:, 0], forecast.mean[:, 0], rtol=1e-6)
    np.testing.assert_allclose(numbers[:, 1::2], forecast.lower[:, :, 0].T, rtol=1e-6)
    np.testing.assert_allclose(numbers[:, 2::2], forecast.upper[:, :, 0].T, rtol=1e-6)


def test_metrics_rank_the_methods_and_name_the_one_kept(run):
    metrics = json.loads((run / "metrics.json").read_text())
    rows = metrics["methods"]
    assert {row["method"] for row in rows} == set(QUICK) and metrics["horizon"] == 6
    assert metrics["best"] == rows[0]["method"] == load(run).method
    assert [row["validation"] for row in rows] == sorted(row["validation"] for row in rows)
    reference = next(row for row in rows if row["method"] == "persistence")
    for row in rows:
        assert row["skill"] == pytest.approx(1 - row["rmse"] / reference["rmse"])
        assert {f"coverage_{level}" for level in LEVELS} < set(row)
        assert (run / "methods" / row["method"] / "model.eqx").is_file()
    assert rows[0]["skill"] > 0.2


def test_a_saved_model_is_applied_in_a_fresh_process(run, tmp_path):
    """To the same data it gives the same file; nothing of the process that fitted is needed."""
    words = ["-m", "pathline.cli", "forecast", "sunspots", "--model", str(run), "--run", "again"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Report: again/report.html" in done.stdout
    assert (tmp_path / "again" / "forecast.csv").read_text() == (run / "forecast.csv").read_text()


def test_a_saved_model_is_applied_to_another_file_and_horizon(run, undrawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    years = "\n".join(f"{1900 + i},{60 + 50 * np.sin(i / 1.75):.1f}" for i in range(90))
    Path("new.csv").write_text(f"year,sunspot number\n{years}\n")
    assert main(["forecast", "new.csv", "--model", str(run), "--horizon", "9"]) == 0
    _, rows = table(Path("runs/new-applied/forecast.csv"))
    assert [row[0] for row in rows] == [str(year) for year in range(1990, 1999)]
    forecast = load(run).forecast(read_series("new.csv"), 9)
    np.testing.assert_allclose([float(row[1]) for row in rows], forecast.mean[:, 0], rtol=1e-6)


@pytest.mark.parametrize("method", ["persistence", "seasonal_naive", "linear"])
def test_one_method_has_its_settings_as_flags(method, undrawn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {"seasonal_naive": ["--season", "10"], "linear": ["--lags", "3"]}.get(method, [])
    assert main(["forecast", "lynx", "--method", method, "--horizon", "2", *settings, "--run", "r"]) == 0
    assert load("r").method == json.loads(Path("r/metrics.json").read_text())["best"] == method
    assert load("r").point.context == {"persistence": 1, "seasonal_naive": 10, "linear": 3}[method]
    printed = capsys.readouterr()
    assert method in printed.out and printed.err == ""


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_the_settings_of_every_method(method, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["forecast", "--method", method, "--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0 and "--horizon" in printed
    for setting in fields(METHODS[method]):
        assert f"--{setting.name.replace('_', '-')}" in printed


def test_runs_are_numbered_and_the_same_seed_gives_the_same_files(undrawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["forecast", "lynx", "--method", "linear", "--lags", "2", "--horizon", "2"]) == 0
    one, two = Path("runs/lynx"), Path("runs/lynx-2")
    assert (one / "forecast.csv").read_bytes() == (two / "forecast.csv").read_bytes()
    assert (one / "model.eqx").read_bytes() == (two / "model.eqx").read_bytes()


def test_gaps_and_several_columns_and_wild_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"2020-{1 + i // 28:02d}-{1 + i % 28:02d},{np.sin(i):.3f},{'' if i % 7 == 3 else i % 5}" for i in range(120)
    ]
    Path("wild.csv").write_text("\n".join(["date,[bold]a[/] <script>,$b_1$", *rows]) + "\n")
    assert main(["forecast", "wild.csv", "--method", "linear", "--horizon", "2"]) == 0
    assert "[bold]a[/] <script>, 80% interval: 2020-" in capsys.readouterr().out
    head, rows = table(Path("runs/wild/forecast.csv"))
    assert head[1] == "[bold]a[/] <script>" and head[8] == "$b_1$" and len(rows) == 2
    report = Path("runs/wild/report.html").read_text()
    assert "<script>" not in report and "&lt;script&gt;" in report


def test_intervals_narrower_than_four_digits_are_told_apart(undrawn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("far.npz", values=1e6 + 0.01 * rng.normal(size=80))
    assert main(["forecast", "far.npz", "--method", "linear", "--lags", "1", "--horizon", "1"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "80% interval" in line)
    low, high = line.split("(")[1].rstrip(")").split(" to ")
    assert low != high


def test_what_is_piped_is_neither_wrapped_nor_coloured(run, tmp_path):
    environment = os.environ | {"COLUMNS": "40"}
    words = ["-m", "pathline.cli", "forecast", "sunspots", "--model", str(run), "--run", "r" * 60]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert f"Report: {'r' * 60}/report.html" in done.stdout.splitlines()
    assert "\x1b" not in done.stdout + done.stderr
