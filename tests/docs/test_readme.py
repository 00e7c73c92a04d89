"""The README's table of the catalogue says what the committed outcomes say."""

import json
from pathlib import Path

import pytest

from pathline.papers import SLUGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("slug", SLUGS)
def test_catalogue_table(slug):
    record = json.loads((ROOT / "results" / f"{slug}.json").read_text())
    held, total = sum(claim["holds"] for claim in record["claims"]), len(record["claims"])
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if f"reproduce {slug}`" in line)
    assert f"| `{record['verb']}` | {held} of {total} |" in row
    assert record["preset"] == "laptop"
    for name in record["figures"]:
        assert (ROOT / "results" / slug / f"{name}.svg").is_file()
