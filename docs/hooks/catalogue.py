"""Shows committed outcomes on the pages of the catalogue, so that no number of theirs is typed by hand.

A line `<!-- claims: SLUG -->` becomes the table of claims of `results/SLUG.json`, and the figures of that reproduction, in
`results/SLUG/`, are found by the page under `figures/SLUG/`.
"""

import json
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

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
    lines = ["| | claim | measured | asked | paper |", "| --- | --- | --- | --- | --- |"]
    for claim in record["claims"]:
        measured = claim["measured"] if isinstance(claim["measured"], list) else [claim["measured"]]
        mean = sum(measured) / len(measured)
        sign = {"<=": "≤", ">=": "≥"}[claim["comparison"]]
        verdict = "holds" if claim["holds"] else "**fails**"
        lines.append(f"| {verdict} | {claim['text']} | {mean:.3g} | {sign} {claim['threshold']:g} | {claim['paper']} |")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    told = f"Preset {record['preset']}, {len(record['seeds'])} seeds, {record['wall_s']:.0f} s on {record['device']} ({versions})."
    return "\n".join([*lines, "", told])
