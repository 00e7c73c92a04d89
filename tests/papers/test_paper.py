"""The machinery of the catalogue: claims judge, records say what happened."""

import json
import math

import matplotlib.figure
import pytest

from pathline.errors import InputError
from pathline.papers import SLUGS, Claim, Outcome, Paper, find_paper, reproduce


def paper(quantity="ratio"):
    def run_it(preset, key, run, data):
        return Outcome({"ratio": [0.5, 0.7, 0.9], "other": 2.0}, {"one": matplotlib.figure.Figure}, seeds=(0, 1, 2))

    claims = (
        Claim("a", "the ratio is small", quantity, "<=", 0.75, "0.6 (Table 1)"),
        Claim("b", "other is large", "other", ">=", 3.0, "4"),
    )
    return Paper("a-paper", "A paper", ("Ada Byron", "Emmy Noether"), 2021, "ICML", "2105.00000", "forecast", "It.",
                 claims, run_it)  # fmt: skip


@pytest.mark.parametrize(
    ("comparison", "measured", "holds"),
    [
        ("<=", 1.0, True),
        ("<=", 1.1, False),
        (">=", 1.0, True),
        (">=", 0.9, False),
        ("<=", [0.5, 1.5], True),
        ("<=", [0.5, 1.6], False),
        ("<=", math.nan, False),
        (">=", [2.0, math.nan], False),
    ],
)
def test_claim(comparison, measured, holds):
    assert Claim("c", "t", "q", comparison, 1.0, "p").holds(measured) is holds


def test_record(tmp_path):
    record = reproduce(paper(), "smoke", run=tmp_path).record
    assert [claim["holds"] for claim in record["claims"]] == [True, False]
    assert record["measured"] == {"ratio": [0.5, 0.7, 0.9], "other": 2.0}
    assert (record["slug"], record["verb"], record["preset"], record["seeds"]) == (
        "a-paper",
        "forecast",
        "smoke",
        [0, 1, 2],
    )
    assert set(record["versions"]) == {"python", "jax", "pathline"} and record["wall_s"] >= 0
    assert record["figures"] == ["one"] and record["captions"] == {} and record["device"]
    assert json.loads((tmp_path / "outcome.json").read_text()) == record


def test_a_claim_about_what_was_not_measured_is_an_error():
    with pytest.raises(KeyError, match="forgotten"):
        reproduce(paper("forgotten"), "smoke")


def test_bibtex():
    entry = paper().bibtex()
    assert entry.startswith("@article{byron2021a,") and "Ada Byron and Emmy Noether" in entry and entry.endswith("}")


def test_unknown_paper_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'opening-the-blackbox'"):
        find_paper("opening-the-blakbox")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_paper_is_declared_whole(slug):
    found = find_paper(slug)
    assert found.slug == slug and found.claims and found.summary.strip() and found.authors
    assert found.verb in ("forecast", "solve", "emulate", "generate", "control", "classify", "detect", "analyse")
    assert len({claim.name for claim in found.claims}) == len(found.claims)
    for piece in found.pieces:
        module, _, name = piece.rpartition(".")
        assert hasattr(__import__(module, fromlist=[name]), name), f"{piece} does not exist"
