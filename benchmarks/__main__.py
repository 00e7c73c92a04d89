"""`python -m benchmarks [NAME ...]`: run the benchmarks, print their tables and keep them in `benchmarks/results/`.

Each module here with a function `main() -> list[dict]` is a benchmark. Ours and the peer run in the same process, on
the same two cores. A row has `name`, `against`, `ours` and `peer` (median seconds), `ratio` (`peer / ours`, above 1
Pathline is faster), `spread` (its quartiles), `sizes`, and where something was aimed for `target` and `met`.
"""

import os
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pathline.atomic import write_json

HERE = Path(__file__).parent
CORES = 2
PACKAGES = ("pathline", "jax", "equinox", "diffrax", "optax", "numpy", "torch", "torchdiffeq")


def run(names: list[str]) -> None:
    """Run the benchmarks of those names, or all."""
    if hasattr(os, "sched_setaffinity"):
        # Before any of them starts its threads.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    known = [path.stem for path in sorted(HERE.glob("*.py")) if path.stem != "__main__"]
    if unknown := set(names) - set(known):
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    console = Console()
    for name in names or known:
        main: Callable[[], list[dict[str, Any]]] | None = getattr(import_module(f"benchmarks.{name}"), "main", None)
        if main is None:  # a helper
            continue
        rows = main()
        console.print(_table(name, rows))
        found = {"name": name, "rows": rows, "versions": _versions(), "cores": CORES}
        write_json(HERE / "results" / f"{name}.json", found)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=name, caption="Medians in milliseconds; ratio = peer / ours, with quartiles.")
    for column in ("what", "against", "ours", "peer", "ratio", "spread", "target"):
        table.add_column(column, justify="left" if column in ("what", "against", "target") else "right")
    for row in rows:
        low, high = row["spread"]
        goal = f"{row['target']}: {'met' if row['met'] else 'MISSED'}" if "target" in row else ""
        times = f"{1e3 * row['ours']:.3g}", f"{1e3 * row['peer']:.3g}"
        table.add_row(row["name"], row["against"], *times, f"{row['ratio']:.3g}", f"{low:.3g} to {high:.3g}", goal)
    return table


if __name__ == "__main__":
    run(sys.argv[1:])
