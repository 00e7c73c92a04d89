"""Where the truth comes from: systems whose equations are known, solved accurately."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathline.systems.fokker_planck import cell_centres, fokker_planck
from pathline.systems.lorenz import LORENZ63_LYAPUNOV, lorenz63, lorenz63_field
from pathline.systems.planar import PLANAR, checkerboard, pinwheel, ring, two_moons

__all__ = [
    "LORENZ63_LYAPUNOV",
    "PLANAR",
    "SYSTEMS",
    "System",
    "cell_centres",
    "checkerboard",
    "fokker_planck",
    "lorenz63",
    "lorenz63_field",
    "pinwheel",
    "ring",
    "two_moons",
]


@dataclass(frozen=True)
class System:
    """A simulated system, as the verbs name it.

    Arguments:
        description: one line.
        columns: names of its coordinates.
        lyapunov: its largest Lyapunov exponent, per unit of time.
        simulate: `(steps, *, key) -> (times, values)`.
    """

    description: str
    columns: tuple[str, ...]
    lyapunov: float
    simulate: Callable[..., tuple[np.ndarray, np.ndarray]]


SYSTEMS = {"lorenz63": System("Lorenz's convection model of 1963", ("x", "y", "z"), LORENZ63_LYAPUNOV, lorenz63)}
"""Every system by name."""
