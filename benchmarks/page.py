"""The tables of `docs/benchmarks.md`, from the JSON of the last run: no number is typed by hand."""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- {name}: written by `python -m benchmarks --page` -->", "<!-- end of {name} -->"
BUSY = 0.2
"""Cores that other processes took during a benchmark, from which on the page says so."""


def renewed(page: str) -> str:
    """The page with each table, between its two marks, replaced by the newest."""
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        begin, end = (mark.format(name=found["name"]) for mark in (BEGIN, END))
        page = re.sub(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, found=found, begin=begin, end=end: f"{begin}\n\n{table(found)}\n\n{end}",
            page,
            flags=re.DOTALL,
        )
    return page


def table(found: dict[str, Any]) -> str:
    """The rows of one benchmark as a Markdown table, and under what circumstances they were measured."""
    lines = [
        "| what | against | Pathline | peer | ratio | quartiles | aim |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in found["rows"]:
        low, high = row["spread"]
        cells = [row["name"], row["against"], _time(row["ours"]), _time(row["peer"])]
        cells += [f"{row['ratio']:.2f}", f"{low:.2f} to {high:.2f}", _aim(row)]
        lines.append(f"| {' | '.join(cells)} |")
    sizes = dict.fromkeys(f"{row['name']}: {row['sizes']}" for row in found["rows"])
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items() if number != "not installed")
    busy = found.get("others", 0.0)
    state = f"; others used {busy:.1f} cores meanwhile, so **these numbers are provisional**" if busy > BUSY else ""
    return "\n".join(
        [*lines, "", *(f"- {text}" for text in sizes), f"- measured with {versions}, on {found['cores']} cores{state}"]
    )


def _time(seconds: float) -> str:
    for limit, factor, unit in ((1.0, 1, "s"), (1e-3, 1e3, "ms")):
        if seconds >= limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _aim(row: dict[str, Any]) -> str:
    if "target" not in row:
        return ""
    seen = f", {row['measured']:.2f} s" if "measured" in row else ""
    return f"{row['target'].replace('<=', '≤').replace('>=', '≥')}: {'met' if row['met'] else '**missed**'}{seen}"
