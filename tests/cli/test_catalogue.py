"""The commands of the catalogue, on a paper made up for it."""

import json
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from pathline.cli import catalogue, main
from pathline.errors import InputError
from pathline.papers import Claim, Outcome, Paper


def picture() -> Figure:
    figure = Figure()
    figure.subplots().plot([1.0, 2.0, 4.0])
    return figure


def measure(preset, key, run, *rest) -> Outcome:
    return Outcome({"ratio": [0.5, 0.7], "cost": 3.0}, {"growth": picture}, {"growth": "It grows."}, seeds=(0, 1))


PAPER = Paper(
    slug="a-paper",
    title="A paper [sic] on toys",
    authors=("Ada Lovelace", "Emmy Noether"),
    year=2021,
    venue="Journal of Toys",
    arxiv="2105.00001",
    verb="forecast",
    summary="Learns a toy.",
    claims=(
        Claim("ratio", "The ratio [of both] falls.", "ratio", "<=", 0.75, "0.6"),
        Claim("cost", "It costs nothing.", "cost", "<=", 1.0, "0.9"),
    ),
    reproduce=measure,
    pieces=("pathline.forecast.evaluate",),
)


@pytest.fixture(autouse=True)
def shelf(monkeypatch, tmp_path):
    """A catalogue of two papers, in an empty folder: one whose second claim fails, and one whose claims hold."""
    papers = {"a-paper": PAPER, "b-paper": replace(PAPER, slug="b-paper", title="Another", claims=PAPER.claims[:1])}

    def find(slug: str) -> Paper:
        if slug not in papers:
            raise InputError(f"No paper {slug!r} in the catalogue; `pathline papers` lists them.")
        return papers[slug]

    monkeypatch.setattr(catalogue, "SLUGS", tuple(papers))
    monkeypatch.setattr(catalogue, "find_paper", find)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    return tmp_path


def test_reproduce_writes_what_the_other_commands_show(shelf, capsys):
    assert main(["reproduce", "a-paper", "--out", "results"]) == 1  # a claim fails, at laptop scale
    printed = capsys.readouterr().out
    assert "fails" in printed and "holds" in printed and "Report: runs/a-paper/report.html" in printed
    record = json.loads((shelf / "results" / "a-paper.json").read_text())
    assert record == json.loads((shelf / "runs" / "a-paper" / "outcome.json").read_text())
    assert [claim["holds"] for claim in record["claims"]] == [True, False] and record["preset"] == "laptop"
    assert (shelf / "runs" / "a-paper" / "figures" / "growth.png").is_file()

    assert main(["papers"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "1/2" in lines["a-paper"] and "A paper [sic] on toys" in lines["a-paper"] and "not run" in lines["b-paper"]

    assert main(["show", "a-paper"]) == 0
    shown = capsys.readouterr().out
    for text in ("A paper [sic] on toys", "The ratio [of both] falls.", "0.6", "fails", "pathline reproduce a-paper"):
        assert text in shown

    assert main(["gallery", "--out", "pages"]) == 0
    assert "Gallery: pages/index.html" in capsys.readouterr().out
    assert (shelf / "pages" / "a-paper.html").is_file() and "✗ 1 failed" in (shelf / "pages/index.html").read_text()


def test_smoke_asks_only_that_every_part_runs(shelf):
    assert main(["reproduce", "a-paper", "--preset", "smoke"]) == 0
    assert not (shelf / "results").exists()


def test_all_of_them(shelf, capsys):
    assert main(["reproduce", "--all", "--preset", "smoke", "--out", "results"]) == 0
    assert {path.name for path in (shelf / "results").iterdir()} >= {"a-paper.json", "b-paper.json"}
    assert main(["reproduce", "b-paper"]) == 0


def test_what_was_not_run_is_shown_as_such(capsys):
    assert main(["show", "b-paper"]) == 0
    assert "No outcome is recorded yet" in capsys.readouterr().out


def test_cite(capsys):
    assert main(["cite", "a-paper"]) == 0
    assert capsys.readouterr().out == PAPER.bibtex() + "\n"


@pytest.mark.parametrize("content", ["", "[]", '{"slug": "a-paper"}', "\x00"])
@pytest.mark.parametrize("command", ["papers", "show a-paper", "gallery"])
def test_a_damaged_record_is_told(command, content, shelf, capsys):
    (shelf / "results").mkdir()
    (shelf / "results" / "a-paper.json").write_text(content)
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("pathline: results/a-paper.json is not the record") and printed.err.count("\n") == 1


def test_a_run_directory_in_use_is_told_before_anything_runs(shelf, capsys):
    (shelf / "mine").mkdir()
    (shelf / "mine" / "thesis.tex").write_text("precious")
    assert main(["reproduce", "a-paper", "--run", "mine"]) == 2
    assert capsys.readouterr().err.startswith("pathline: mine is not empty")
    assert [path.name for path in (shelf / "mine").iterdir()] == ["thesis.tex"]
