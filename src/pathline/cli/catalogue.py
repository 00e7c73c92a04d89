"""The commands of the catalogue: `papers`, `show`, `reproduce`, `cite`, `gallery`."""

import json
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pathline.atomic import write_json
from pathline.cli.arguments import parse
from pathline.errors import InputError
from pathline.papers import SLUGS, Paper, find_paper, reproduce
from pathline.train import free_run, open_run

RESULTS = Path("results")


@dataclass(frozen=True)
class Show:
    """One paper of the catalogue."""

    slug: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SLUG")]
    """The paper, as `pathline papers` names it."""
    results: Path = RESULTS
    """Folder of committed outcomes."""


@dataclass(frozen=True)
class Papers:
    """The papers of the catalogue."""

    results: Path = RESULTS
    """Folder of committed outcomes."""


@dataclass(frozen=True)
class Reproduce:
    """Run a paper's reproduction and check its claims. The exit code is 1 when a claim fails at laptop scale."""

    slug: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="SLUG")] = None
    """The paper, as `pathline papers` names it."""
    all: bool = False
    """Every paper of the catalogue, one after the other."""
    preset: Literal["smoke", "laptop", "paper"] = "laptop"
    """smoke: every part runs, in seconds. laptop: minutes on two cores. paper: the published scale, your own data."""
    seed: int = 0
    """Of the random key that everything derives from."""
    data: Path | None = None
    """Folder of the data sets that the paper preset needs."""
    run: Path | None = None
    """Run directory; by default the first free one under runs/."""
    out: Path | None = None
    """Also write <slug>.json and the figures, in <slug>/, into this folder, e.g. results/."""
    open: bool = False
    """Open the report in a browser."""


@dataclass(frozen=True)
class Gallery:
    """The catalogue as static web pages that need no server."""

    out: Path = Path("site/gallery")
    """Where the pages go."""
    results: Path = RESULTS
    """Folder of committed outcomes."""
    open: bool = False
    """Open the front page in a browser."""


def run_papers(arguments: Sequence[str]) -> int:
    """`pathline papers`: a line for each paper."""
    given = parse(Papers, arguments, command="papers")
    table = Table("slug", "verb", "title", "year", "claims held", box=None, header_style="bold")
    for slug in SLUGS:
        paper = find_paper(slug)
        record = read_record(given.results, slug)
        held = f"{sum(claim['holds'] for claim in record['claims'])}/{len(record['claims'])}" if record else "not run"
        table.add_row(slug, paper.verb, escape(paper.title), str(paper.year), held)
    Console().print(table)
    return 0


def run_show(arguments: Sequence[str]) -> int:
    """`pathline show SLUG`: the paper and its claims."""
    given = parse(Show, arguments, command="show")
    paper = find_paper(given.slug)
    console = Console()
    by = escape(f"{', '.join(paper.authors)}. {paper.venue}.")
    console.print(f"[bold]{escape(paper.title)}[/] ({paper.year})\n{by}", highlight=False)
    console.print(f"\n{escape(paper.summary)}\n", highlight=False)
    record = read_record(given.results, paper.slug)
    if record is None:
        console.print("No outcome is recorded yet. The claims that a run checks:")
        for claim in paper.claims:
            console.print(f"  {escape(claim.text)} [dim](paper: {escape(claim.paper)})[/]", highlight=False)
    else:
        console.print(f"Preset {record['preset']}, {record['wall_s']:.0f} s on {record['device']}.", highlight=False)
        console.print(claims_table(record))
    console.print(f"\nRun it: pathline reproduce {paper.slug}")
    if paper.pieces:
        console.print("Use it: " + ", ".join(paper.pieces), highlight=False)
    return 0


def run_cite(arguments: Sequence[str]) -> int:
    """`pathline cite SLUG`: the BibTeX entry."""
    print(find_paper(parse(Show, arguments, command="cite").slug).bibtex())
    return 0


def run_reproduce(arguments: Sequence[str]) -> int:
    """`pathline reproduce SLUG`: run, judge, write, report."""
    given = parse(Reproduce, arguments, command="reproduce")
    if (given.slug is None) == (not given.all):
        raise InputError("Give one paper's slug or --all; `pathline papers` lists the slugs.")
    if given.all and given.run:
        raise InputError("--run names one directory and --all needs one for each paper; leave --run out.")
    papers = [find_paper(slug) for slug in (SLUGS if given.all else (str(given.slug),))]
    held = [_reproduce_one(paper, given) for paper in papers]
    return 0 if all(held) else 1


def run_gallery(arguments: Sequence[str]) -> int:
    """`pathline gallery`: the static pages."""
    from pathline.report import write_gallery

    given = parse(Gallery, arguments, command="gallery")
    papers = [find_paper(slug) for slug in SLUGS]
    records = {slug: record for slug in SLUGS if (record := read_record(given.results, slug))}
    index = write_gallery(given.out, papers, records, figures=given.results)
    print(f"Gallery: {index}")
    if given.open:
        webbrowser.open(index.resolve().as_uri())
    return 0


def read_record(results: Path, slug: str) -> dict[str, Any] | None:
    """The committed outcome of a paper, or `None` when it has not been run.

    Raises:
        InputError: the file is not the record of a reproduction.
    """
    path = results / f"{slug}.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
        if {"slug", "preset", "device", "wall_s", "claims", "measured"} <= set(record):
            return record
    except (OSError, ValueError, TypeError):
        pass
    raise InputError(f"{path} is not the record of a reproduction; run `pathline reproduce {slug} --out {results}`.")


def claims_table(record: dict[str, Any]) -> Table:
    """The claims of a record, what was measured and whether they hold."""
    table = Table("", "claim", "measured", "asked", "paper", header_style="bold", pad_edge=False)
    for claim in record["claims"]:
        values = claim["measured"] if isinstance(claim["measured"], list) else [claim["measured"]]
        mean = sum(values) / len(values) if None not in values else float("nan")
        mark = "[green]holds[/]" if claim["holds"] else "[bold red]fails[/]"
        table.add_row(
            mark,
            escape(claim["text"]),
            f"{mean:.3g}",
            f"{claim['comparison']} {claim['threshold']:g}",
            escape(claim["paper"]),
        )
    return table


def _reproduce_one(paper: Paper, given: Reproduce) -> bool:
    from pathline.report import reproduction_figures, write_figures, write_reproduction_report

    config = {"command": "reproduce", "slug": paper.slug, "preset": given.preset, "seed": given.seed}
    run = open_run(given.run or free_run("runs", paper.slug), config)
    console = Console()
    console.print(f"[bold]{escape(paper.title)}[/], preset {given.preset}", highlight=False)
    done = reproduce(paper, given.preset, seed=given.seed, run=run, data=given.data)
    if given.out is not None:
        write_json(given.out / f"{paper.slug}.json", done.record)
        write_figures(given.out / paper.slug, reproduction_figures(done))
    report = write_reproduction_report(run, done)
    console.print(claims_table(done.record))
    if done.outcome.notes:
        console.print(escape(done.outcome.notes), highlight=False)
    console.print(f"Report: {report}", highlight=False, markup=False, soft_wrap=True)
    if given.open:
        webbrowser.open(report.resolve().as_uri())
    # At smoke scale nothing has had time to train: that every part runs is all that is asked.
    return given.preset == "smoke" or all(claim["holds"] for claim in done.record["claims"])
