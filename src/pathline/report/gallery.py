"""The catalogue as static pages: an index of cards and a page for each paper. No server, no script."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pathline.atomic import write_text
from pathline.papers import Paper
from pathline.report.blocks import Table
from pathline.report.catalogue import claims_table, measured_table, notes, verdict
from pathline.report.drawing import data_uri
from pathline.report.html import block_html, page_html


def write_gallery(
    out: Path, papers: Sequence[Paper], records: Mapping[str, Mapping[str, Any]], *, figures: Path | None = None
) -> Path:
    """Write `index.html` and `<slug>.html` for each paper.

    Arguments:
        out: the folder of the pages; created when absent.
        papers: the catalogue, in the order of the cards.
        records: by slug, the content of `results/<slug>.json`; a paper without one is shown as not yet run.
        figures: where `write_figures` left the pictures of each paper, in a folder named by its slug, e.g. `results`.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: the folder cannot be written.
    """
    for paper in papers:
        write_text(out / f"{paper.slug}.html", _paper_page(paper, records.get(paper.slug), figures))
    run = [records[paper.slug] for paper in papers if paper.slug in records]
    claims = [claim for record in run for claim in record["claims"]]
    held = sum(bool(claim["holds"]) for claim in claims)
    body = [
        "<header>",
        "<h1>Pathline: the catalogue</h1>",
        '<p class="subtitle">Published methods of learned dynamics. For each: what it does, what its paper claims, and '
        "whether the claim holds when it is run here.</p>",
        f'<p class="verdict">{len(run)} of {len(papers)} papers reproduced; claims held: {held}, '
        f"claims failed: {len(claims) - held}.</p>",
        "</header>",
        '<ul class="cards">',
        *(_card(paper, records.get(paper.slug)) for paper in papers),
        "</ul>",
    ]
    index = out / "index.html"
    write_text(index, page_html("Pathline: the catalogue", body))
    return index


def _card(paper: Paper, record: Mapping[str, Any] | None) -> str:
    lines = [
        "<li>",
        f'<h2><a href="{escape(paper.slug)}.html">{escape(paper.title)}</a></h2>',
        f'<p class="note">{escape(paper.verb)} · {escape(_byline(paper))}</p>',
        f"<p>{escape(paper.summary)}</p>",
        f"<p>{_standing(record)}</p>",
        "</li>",
    ]
    return "\n".join(lines)


def _standing(record: Mapping[str, Any] | None) -> str:
    """Held and failed claims side by side, equally large."""
    if record is None:
        return '<span class="note">not yet run</span>'
    held = sum(bool(claim["holds"]) for claim in record["claims"])
    counts = ((held, "good", "✓", "held"), (len(record["claims"]) - held, "bad", "✗", "failed"))
    return " &nbsp; ".join(
        f'<span class="badge {kind}">{sign} {count} {word}</span>' for count, kind, sign, word in counts if count
    )


def _paper_page(paper: Paper, record: Mapping[str, Any] | None, figures: Path | None) -> str:
    body = [
        '<p><a href="index.html">The catalogue</a></p>',
        "<header>",
        f"<h1>{escape(paper.title)}</h1>",
        f'<p class="subtitle">{escape(_citation(paper))}{_arxiv(paper)}</p>',
        f"<p>{escape(paper.summary)}</p>",
    ]
    if record is None:
        body += ['<p class="verdict">Not yet run.</p>', "</header>", block_html(_unmeasured(paper))]
    else:
        body += [f'<p class="verdict">{escape(verdict(record))}</p>', "</header>", block_html(claims_table(record))]
        body += [block_html(note) for note in notes(record)]
        body += _pictures(figures / paper.slug, record) if figures else []
        body += [block_html(measured_table(record))]
    body += ["<h2>Run it</h2>", f"<pre><code>pathline reproduce {escape(paper.slug)}</code></pre>"]
    if paper.pieces:
        pieces = ", ".join(f"<code>{escape(piece)}</code>" for piece in paper.pieces)
        body += ["<h2>Use it</h2>", f"<p>{pieces}</p>"]
    body += ["<h2>Cite it</h2>", f"<pre><code>{escape(paper.bibtex())}</code></pre>"]
    return page_html(paper.title, body)


def _unmeasured(paper: Paper) -> Table:
    rows = [(claim.text, claim.paper) for claim in paper.claims]
    return Table(("Claim", "Paper"), rows, "What a run checks, beside the paper's own figures.")


def _pictures(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """The pictures that a run left, embedded; a name in the record that is no plain file name is passed over."""
    pictures = []
    for name in record.get("figures", []):
        light, dark = folder / f"{name}.svg", folder / f"{name}-dark.svg"
        if re.fullmatch(r"[a-z0-9-]+", name) and light.is_file() and dark.is_file():
            caption = escape(record.get("captions", {}).get(name, name.replace("-", " ")))
            images = "\n".join(
                f'<img class="{theme} any" src="{data_uri(path.read_bytes())}" alt="{caption}">'
                for theme, path in (("light", light), ("dark", dark))
            )
            pictures.append(
                f'<figure>\n<div class="scroll">\n{images}\n</div>\n<figcaption>{caption}</figcaption>\n</figure>'
            )
    return pictures


def _byline(paper: Paper) -> str:
    first = paper.authors[0].split()[-1]
    return f"{first} et al., {paper.year}" if len(paper.authors) > 1 else f"{first}, {paper.year}"


def _citation(paper: Paper) -> str:
    return f"{', '.join(paper.authors)}. {paper.venue} ({paper.year})."


def _arxiv(paper: Paper) -> str:
    if not paper.arxiv or not re.fullmatch(r"[\w.\-/]+", paper.arxiv):
        return ""
    return f' <a href="https://arxiv.org/abs/{paper.arxiv}">arXiv {paper.arxiv}</a>'
