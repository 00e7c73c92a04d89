"""`python -m benchmarks [NAME ...]`: run the benchmarks, print their tables and keep them in `benchmarks/results/`;
`python -m benchmarks --page`: put what is kept there into `docs/benchmarks.md`.

Each module here with a function `main() -> list[dict]` is a benchmark. Ours and the peer run in the same process, on
the same two cores; each benchmark is a process of its own, so that none inherits the threads of another. A row has
`name`, `against`, `ours` and `peer` (median seconds), `ratio` (`peer / ours`, above 1 Pathline is faster), `spread`
(its quartiles), `sizes`, and where something was aimed for `target` and `met`.
"""

import os
import platform
import resource
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.page import PAGE, RESULTS, renewed, table
from rich.console import Console
from rich.markdown import Markdown

from pathline.atomic import write_json, write_text

BENCHMARKS = ("import_time", "train_loop", "neural_ode", "generate")
CORES = 2
PACKAGES = ("pathline", "jax", "equinox", "diffrax", "optax", "numpy", "torch", "torchdiffeq", "diffusers")


def run(name: str) -> None:
    """Run one benchmark in this process, and keep and print its rows."""
    if hasattr(os, "sched_setaffinity"):
        # Before any thread starts.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    began, before = time.perf_counter(), _seconds_of_others()
    rows = import_module(f"benchmarks.{name}").main()
    seconds, after = time.perf_counter() - began, _seconds_of_others()
    found: dict[str, Any] = {"name": name, "rows": rows, "versions": _versions(), "cores": CORES, "seconds": seconds}
    if before is not None and after is not None:
        found["others"] = max(0.0, (after - before) / seconds)
    write_json(RESULTS / f"{name}.json", found)
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else 160).print(Markdown(table(found)))


def _seconds_of_others() -> float | None:
    """Seconds of processor time that other processes have taken so far: whether the machine was busy."""
    try:
        user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    except (OSError, ValueError):
        return None
    own = sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - own


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main(names: list[str]) -> int:
    """Run the benchmarks of those names, or all; or renew the page."""
    if names == ["--page"]:
        write_text(PAGE, renewed(PAGE.read_text(encoding="utf-8")))
        return 0
    if unknown := set(names) - set(BENCHMARKS):
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}.")
        return 2
    if len(names) == 1:
        run(names[0])
        return 0
    return max(subprocess.run([sys.executable, "-m", "benchmarks", name]).returncode for name in names or BENCHMARKS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
