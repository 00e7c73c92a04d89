"""The catalogue: one file for each paper, and the small machinery that runs and judges them."""

from importlib import import_module

from pathline.errors import InputError, nearest
from pathline.papers.paper import Claim, Measured, Outcome, Paper, Preset, Reproduce
from pathline.papers.reproduction import Reproduction, reproduce

__all__ = [
    "SLUGS",
    "Claim",
    "Measured",
    "Outcome",
    "Paper",
    "Preset",
    "Reproduce",
    "Reproduction",
    "find_paper",
    "reproduce",
]

SLUGS = (
    "stochastic-interpolants",
    "rectified-flow",
    "improved-rectified-flows",
    "dpm-solver-v3",
    "pfgm-plus-plus",
    "opening-the-blackbox",
)
"""Every paper of the catalogue. `opening-the-blackbox` is declared as `PAPER` in `opening_the_blackbox.py`."""


def find_paper(slug: str) -> Paper:
    """The paper of that slug.

    **Raises:** `InputError` when there is none, with the nearest name.
    """
    if slug not in SLUGS:
        raise InputError(f"No paper {slug!r} in the catalogue{nearest(slug, SLUGS)}; `pathline papers` lists them.")
    return import_module(f"pathline.papers.{slug.replace('-', '_')}").PAPER
