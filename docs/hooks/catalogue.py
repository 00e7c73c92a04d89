"""Shows committed outcomes on the pages of the catalogue, so that no number of theirs is typed by hand.

A line `<!-- claims: SLUG -->` becomes the table of claims of `results/SLUG.json`, and the figures of that reproduction, in
`results/SLUG/`, are found by the page under `figures/SLUG/`.
"""

import json
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from pathline.report import Badge
from pathline.report.catalogue import circumstances, claims_table

RESULTS = Path(__file__).parents[2] / "results"
_MARK = re.compile(r"<!-- claims: ([a-z0-9-]+) -->")


def on_files(files, config):
    """The pictures that reproductions left."""
    for path in sorted(RESULTS.glob("*/*.svg")):
        name = f"papers/figures/{path.parent.name}/{path.name}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """The tables of claims."""
    return _MARK.sub(lambda match: claims(match[1]), markdown)


def claims(slug):
    """What was claimed, what was measured, and the circumstances, as Markdown."""
    path = RESULTS / f"{slug}.json"
    if not path.exists():
        raise PluginError(f"{path} is missing; run `pathline reproduce {slug} --out results`.")
    record = json.loads(path.read_text())
    table = claims_table(record)
    lines = [f"| {' | '.join(table.columns)} |", "|" + " --- |" * len(table.columns)]
    for row in table.rows:
        cells = [f"**{cell.text}**" if isinstance(cell, Badge) else str(cell) for cell in row]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, "", circumstances(record)])
