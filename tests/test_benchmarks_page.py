"""The page of benchmarks says what the committed results say. Needs none of the peers."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("benchmarks_page", ROOT / "benchmarks" / "page.py")
assert spec is not None and spec.loader is not None
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)

NAMES = ("import_time", "neural_ode", "train_loop")


def test_the_page_is_in_step_with_the_results():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.renewed(text) == text, "run `python -m benchmarks --page`"


@pytest.mark.parametrize("name", NAMES)
def test_every_result_is_complete_and_on_the_page(name):
    found = json.loads((page.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert found["name"] == name and found["rows"] and {"python", "jax", "pathline"} <= set(found["versions"])
    for row in found["rows"]:
        assert row["ours"] > 0 and row["peer"] > 0 and row["sizes"] and row["against"]
        assert 0 < row["spread"][0] <= row["ratio"] <= row["spread"][1]
        if row.get("target", "").startswith("ratio >= "):
            assert row["met"] == (row["ratio"] >= float(row["target"].removeprefix("ratio >= ")) - 5e-4)
        assert f"| {row['name']} | {row['against']} |" in page.PAGE.read_text(encoding="utf-8")


def test_a_missed_aim_and_a_busy_machine_are_told():
    row = {"name": "a", "against": "b", "ours": 2.0, "peer": 1e-4, "ratio": 0.5, "spread": [0.4, 0.6], "sizes": "small"}
    found = {"name": "x", "rows": [row | {"target": "ratio >= 1.2", "met": False}], "versions": {}, "cores": 2}
    assert (
        "**missed**" in page.table(found) and "100 µs" in page.table(found) and "provisional" not in page.table(found)
    )
    assert "others used 1.5 cores" in page.table(found | {"others": 1.5})
