"""What Pathline costs before it does anything: importing it, and asking the command for help.

Every sample is a new process. The files are in the disk cache and compiled to bytecode, as from the second use on.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.timing import row, take_turns

GROUND = "import jax, equinox, diffrax"
IMPORT_LIMIT = 0.3
HELP_LIMIT = 0.7
REPEATS = 7


def started(*arguments: str) -> Callable[[], None]:
    # Without bytecode every import would compile its module again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def call() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)

    return call


def main() -> list[dict[str, Any]]:
    """Imports beside those of the packages underneath, the help beside an interpreter that does nothing."""
    found = take_turns(
        {
            "nothing": started("-c", "pass"),
            "ground": started("-c", GROUND),
            "pathline": started("-c", f"{GROUND}; import pathline"),
            "forecast": started("-c", f"{GROUND}; import pathline.forecast"),
            "help": started("-m", "pathline.cli", "--help"),
        },
        repeats=REPEATS,
    )
    ground, nothing = f"`{GROUND}`", "an interpreter that does nothing"
    sizes = "a new process each"
    return [
        _limited(
            row("import pathline", found["pathline"], found["ground"], against=ground, sizes=sizes),
            float(np.median(found["pathline"] - found["ground"])),
            IMPORT_LIMIT,
            "s more than the peer",
        ),
        row("import pathline.forecast", found["forecast"], found["ground"], against=ground, sizes=sizes),
        _limited(
            row("pathline --help", found["help"], found["nothing"], against=nothing, sizes=sizes),
            float(np.median(found["help"])),
            HELP_LIMIT,
            "s in all",
        ),
    ]


def _limited(found: dict[str, Any], measured: float, limit: float, what: str) -> dict[str, Any]:
    return found | {"target": f"<= {limit:g} {what}", "measured": measured, "met": measured <= limit}
