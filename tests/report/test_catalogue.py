import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

from pathline.papers import Claim, Outcome, Paper, reproduce
from pathline.report import reproduction_figures, write_figures, write_gallery, write_reproduction_report
from pathline.report.catalogue import spread, verdict

EVIL = "<b>bold</b> & <script>x</script>"


def picture() -> Drawing:
    figure = Drawing(figsize=(4, 2))
    figure.subplots().plot(np.arange(3.0))
    return figure


def run(preset, key, folder, *rest) -> Outcome:
    return Outcome(
        measured={"ratio": [0.5, 0.7], "error": 3.25, "lost": float("nan")},
        figures={"a-picture": picture},
        captions={"a-picture": f"Seen {EVIL}"},
        seeds=(0, 1),
        notes="The second claim fails because of this.",
    )


PAPER = Paper(
    slug="toy-paper",
    title=f"A toy {EVIL}",
    authors=("Ada Lovelace", "Emmy Noether"),
    year=2021,
    venue="Journal of Toys",
    arxiv="2105.00001",
    verb="forecast",
    summary="Learns a toy.",
    claims=(
        Claim("first", "The ratio falls.", "ratio", "<=", 0.75, "0.70"),
        Claim("second", f"The error is small {EVIL}.", "error", "<=", 1.0, "0.9 (unverified)"),
    ),
    reproduce=run,
    pieces=("pathline.forecast.evaluate",),
)


def test_report_shows_what_failed_as_plainly_as_what_held(tmp_path, read_page):
    done = reproduce(PAPER, "laptop")
    text = write_reproduction_report(tmp_path, done).read_text()
    page = read_page(text)
    assert "1 of 2 claims holds at laptop scale; 1 fails." in page.text
    assert "✓ holds" in page.text and "✗ fails" in page.text
    assert [span["class"] for span in page.having("span")] == ["badge good", "badge bad"]
    assert "0.6 (0.5 to 0.7)" in page.text and "≤ 0.75" in page.text and "0.9 (unverified)" in page.text
    assert "The second claim fails because of this." in page.text
    assert f"The error is small {EVIL}." in page.text and not page.having("script")
    assert "pathline reproduce toy-paper --preset laptop" in page.text
    assert text.index("✗ fails") < text.index("How to read this") < text.index("<img")
    assert (tmp_path / "figures" / "a-picture.png").is_file()


@pytest.mark.parametrize(
    ("preset", "holds", "sentence"),
    [
        ("laptop", [True, True], "All 2 claims hold at laptop scale."),
        ("paper", [False, False, False], "None of the 3 claims holds at paper scale."),
        ("laptop", [True, True, False], "2 of 3 claims hold at laptop scale; 1 fails."),
        ("laptop", [True], "The claim holds at laptop scale."),
        ("laptop", [False], "The claim does not hold at laptop scale."),
        (
            "smoke",
            [True, False],
            "Every part ran; at smoke scale nothing is trained, so that 1 of 2 claims hold says nothing.",
        ),
    ],
)
def test_verdict(preset, holds, sentence):
    assert verdict({"preset": preset, "claims": [{"holds": one} for one in holds]}) == sentence


@pytest.mark.parametrize(
    ("measured", "shown"),
    [(2.0, "2"), ([1.0, 2.0, 3.0], "2 (1 to 3)"), ([1.0, 1.0], "1"), (None, "–"), ([1.0, None], "–"), ([], "–")],
)
def test_spread(measured, shown):
    assert spread(measured) == shown


def test_gallery_works_from_the_file_system(tmp_path, read_page):
    done = reproduce(PAPER, "laptop", run=tmp_path / "run")
    # The gallery reads the record as it was written: NaN became null.
    record = json.loads((tmp_path / "run" / "outcome.json").read_text())
    write_figures(tmp_path / "results" / PAPER.slug, reproduction_figures(done))
    unrun = replace(PAPER, slug="unrun", title="Not run", arxiv=None)
    index = write_gallery(tmp_path / "site", [PAPER, unrun], {PAPER.slug: record}, figures=tmp_path / "results")
    front = read_page(index.read_text())
    assert "1 of 2 papers reproduced; claims held: 1, claims failed: 1." in front.text
    assert [span["class"] for span in front.having("span")] == ["badge good", "badge bad", "note"]
    links = [str(link["href"]) for link in front.having("a")]
    assert links == ["toy-paper.html", "unrun.html"] and all((index.parent / link).is_file() for link in links)

    page = read_page((index.parent / "toy-paper.html").read_text())
    assert [image["class"] for image in page.having("img")] == ["light any", "dark any"]
    assert EVIL in page.text and not page.having("script")
    assert [link["href"] for link in page.having("a")] == ["index.html", "https://arxiv.org/abs/2105.00001"]
    assert "@article{lovelace2021toy" in page.text and "pathline.forecast.evaluate" in page.text
    assert "Not yet run." in read_page((index.parent / "unrun.html").read_text()).text


def test_gallery_follows_no_path_in_a_record(tmp_path, read_page):
    (tmp_path / "secret.svg").write_text("<svg/>")
    (tmp_path / "secret-dark.svg").write_text("<svg/>")
    record = reproduce(PAPER, "smoke").record | {"figures": ["../secret", "absent"]}
    write_gallery(tmp_path / "site", [PAPER], {PAPER.slug: record}, figures=tmp_path)
    assert not read_page((tmp_path / "site" / "toy-paper.html").read_text()).having("img")
