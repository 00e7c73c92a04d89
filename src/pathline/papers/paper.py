"""What a reproduction is made of: a `Paper`, its `Claim`s, and the `Outcome` of running it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import matplotlib.figure
from jaxtyping import Array

Preset = Literal["smoke", "laptop", "paper"]
"""How large a reproduction is: `smoke` runs every part in seconds, `laptop` takes minutes on two cores and is what is
committed, `paper` is the published scale with the user's own data directory. All three take the same code path."""

Measured = float | list[float]
"""One number, or one number for each seed."""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that a reproduction can refute.

    Arguments:
        name: short and unique within the paper, e.g. `"fewer-evaluations"`.
        text: the claim in words, at the scale at which it is checked.
        quantity: the key of `Outcome.measured` that decides it. A list over seeds is judged by its mean.
        comparison, threshold: the claim holds when `measured <comparison> threshold`.
        paper: the paper's own figure for the same quantity, with its table; says so where it is unverified.
    """

    name: str
    text: str
    quantity: str
    comparison: Literal["<=", ">="]
    threshold: float
    paper: str

    def holds(self, measured: Measured) -> bool:
        """Whether the measured value meets the threshold. NaN never does."""
        value = fmean(measured) if isinstance(measured, list) else measured
        return value <= self.threshold if self.comparison == "<=" else value >= self.threshold


@dataclass(frozen=True)
class Outcome:
    """What a reproduction saw.

    Arguments:
        measured: every number worth keeping, by name; a list where there is one value for each seed.
        figures: by file name, a function that draws it. The report calls it within its own theme.
        captions: by the same names, the sentence under the figure.
        seeds: the seeds that were run.
        notes: what a reader must know to judge the numbers: deviations, and evidence where a claim failed.
    """

    measured: Mapping[str, Measured]
    figures: Mapping[str, Callable[[], matplotlib.figure.Figure]] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    notes: str = ""


Reproduce = Callable[[Preset, Array, Path | None, Path | None], Outcome]
"""Runs a reproduction: the preset, the random key, where intermediate files go, and the folder with the user's copy of
the data that the paper preset needs (each or `None`)."""


@dataclass(frozen=True)
class Paper:
    """A published method, what it claims, and the function that checks it.

    Arguments:
        slug: its name on the command line and in `results/`.
        title, authors, year, venue, arxiv: how to cite it (`arxiv` is `None` when there is no preprint).
        verb: the verb of the library that its method belongs to.
        summary: what it does and why one would want it, in two or three sentences of our own.
        claims: what is checked.
        reproduce: runs it.
        pieces: the public names of the library that implement it, e.g. `"pathline.integrate.SolverCost"`.
    """

    slug: str
    title: str
    authors: tuple[str, ...]
    year: int
    venue: str
    arxiv: str | None
    verb: str
    summary: str
    claims: tuple[Claim, ...]
    reproduce: Reproduce
    pieces: tuple[str, ...] = ()

    def judge(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Each claim beside what was measured, as rows for `results/<slug>.json`.

        Raises:
            KeyError: the outcome lacks the quantity of a claim; a reproduction that does not measure what it
                claims is broken.
        """
        return [
            {
                "name": claim.name,
                "text": claim.text,
                "measured": outcome.measured[claim.quantity],
                "comparison": claim.comparison,
                "threshold": claim.threshold,
                "holds": claim.holds(outcome.measured[claim.quantity]),
                "paper": claim.paper,
            }
            for claim in self.claims
        ]

    def bibtex(self) -> str:
        """The entry to cite the paper by."""
        surname = self.authors[0].split()[-1].lower()
        lines = [
            f"@article{{{surname}{self.year}{self.slug.split('-')[0]},",
            f"  title   = {{{self.title}}},",
            f"  author  = {{{' and '.join(self.authors)}}},",
            f"  year    = {{{self.year}}},",
            f"  journal = {{{self.venue}}},",
        ]
        if self.arxiv:
            lines += [f"  eprint  = {{{self.arxiv}}},", "  archivePrefix = {arXiv},"]
        return "\n".join([*lines, "}"])
