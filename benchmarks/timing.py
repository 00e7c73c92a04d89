"""Timing side by side: the candidates take turns, so that whatever else the machine does falls on all of them alike."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Seconds = dict[str, np.ndarray]
"""Seconds a call takes, by candidate, one entry per repeat."""


def take_turns(candidates: dict[str, Callable[[], Any]], *, repeats: int, calls: int = 1) -> Seconds:
    """Time each candidate `repeats` times, in turn, after one call that is not timed (it compiles and warms up).

    Arguments:
        candidates: name to a function that returns when its work is done.
        repeats: rounds; the order of the candidates is reversed in every other one.
        calls: calls in a round, whose mean is one entry.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    for number in range(repeats):
        for name in list(candidates)[:: 1 if number % 2 == 0 else -1]:
            began = time.perf_counter()
            for _ in range(calls):
                candidates[name]()
            seconds[name].append((time.perf_counter() - began) / calls)
    return {name: np.asarray(entries) for name, entries in seconds.items()}


def row(
    name: str, ours: np.ndarray, peer: np.ndarray, *, against: str, sizes: str, target: float | None = None
) -> dict[str, Any]:
    """A row of a benchmark's table.

    Arguments:
        name: what is timed.
        ours, peer: seconds, one entry per repeat, taken in turns.
        against: who the peer is.
        sizes: of the problem, in words.
        target: the least ratio aimed for, if any.

    Returns:
        Medians in seconds; `ratio`, the median over repeats of `peer / ours` (above 1, Pathline is faster);
        `spread`, the quartiles of that ratio.
    """
    ratios = peer / ours
    found: dict[str, Any] = {
        "name": name,
        "against": against,
        "ours": float(np.median(ours)),
        "peer": float(np.median(peer)),
        "ratio": float(np.median(ratios)),
        "spread": [float(q) for q in np.quantile(ratios, (0.25, 0.75))],
        "sizes": sizes,
    }
    if target is not None:
        found |= {"target": f"ratio >= {target:.3g}", "met": found["ratio"] >= target}
    return found
