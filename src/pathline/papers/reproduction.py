"""Run a paper's reproduction and write down what happened: the one writer of `results/<slug>.json`."""

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import pathline
from pathline.atomic import write_json
from pathline.papers.paper import Outcome, Paper, Preset


@dataclass(frozen=True)
class Reproduction:
    """A finished reproduction.

    Arguments:
        paper: what was reproduced.
        outcome: what was seen.
        record: the same as plain data, with claims judged and the circumstances of the run; `results/<slug>.json`
            holds exactly this.
    """

    paper: Paper
    outcome: Outcome
    record: dict[str, Any]


def reproduce(
    paper: Paper, preset: Preset, *, seed: int = 0, run: Path | None = None, data: Path | None = None
) -> Reproduction:
    """Run `paper` at the scale of `preset` and judge its claims.

    Arguments:
        paper: from `find_paper`.
        preset: `"smoke"`, `"laptop"` or `"paper"`.
        seed: of the random key that the whole reproduction derives from.
        run: where intermediate files go.
        data: the folder of the data sets that the paper preset needs.

    Returns:
        The reproduction; with `run`, its record is also written to `run/outcome.json`.
    """
    started = time.perf_counter()
    outcome = paper.reproduce(preset, jax.random.key(seed), run, data)
    record = {
        "slug": paper.slug,
        "title": paper.title,
        "verb": paper.verb,
        "preset": preset,
        "device": _device(),
        "versions": {"python": platform.python_version(), "jax": jax.__version__, "pathline": _version()},
        "seeds": list(outcome.seeds),
        "wall_s": round(time.perf_counter() - started, 1),
        "measured": {name: _plain(value) for name, value in outcome.measured.items()},
        "claims": [{**row, "measured": _plain(row["measured"])} for row in paper.judge(outcome)],
        "figures": list(outcome.figures),
        "captions": {name: outcome.captions[name] for name in outcome.figures if name in outcome.captions},
        "notes": outcome.notes,
    }
    if run is not None:
        write_json(run / "outcome.json", record)
    return Reproduction(paper, outcome, record)


def _plain(value: Any) -> float | list[float]:
    return np.asarray(value, dtype=float).tolist()


def _device() -> str:
    device = jax.devices()[0]
    return f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind


def _version() -> str:
    """The commit where the package lies in a checkout, marked `+` when files differ from it; else the release."""
    folder = Path(__file__).parent

    def git(*words: str | Path) -> str:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed package can lie inside somebody else's repository: only a tracked file counts as ours.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", folder) else "")
    except (OSError, subprocess.CalledProcessError):
        return pathline.__version__
