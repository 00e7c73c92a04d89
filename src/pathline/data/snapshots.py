"""`Snapshots`: populations observed at several times, without knowing who became whom."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.data.checks import named, real_array, rising_times
from pathline.errors import InputError


class Snapshots(eqx.Module):
    """Populations observed at several times, without knowing which individual became which: cells that are destroyed
    when they are measured, particles without identity.

    Arguments:
        populations: one for each time, `[individual, dim]`, of any sizes.
        times: `[time]`, strictly increasing; `0, 1, 2, ...` when absent.
        names: of the columns.
        title: of the whole, for people.

    Raises:
        InputError: populations differ in their columns, one is empty, a value is not finite, or times do not increase.
    """

    populations: tuple[Float[np.ndarray, "_ dim"], ...]
    times: Float[np.ndarray, " time"]
    names: tuple[str, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)

    def __init__(
        self,
        populations: Sequence[Any],
        times: Any = None,
        *,
        names: Sequence[str] | None = None,
        title: str = "snapshots",
    ):
        found = tuple(
            real_array(population, f"the values of population {place + 1}", ("individual", "dim"))
            for place, population in enumerate(populations)
        )
        if not found:
            raise InputError("Snapshots need at least one population; none is given.")
        for place, population in enumerate(found):
            if population.shape[1] != found[0].shape[1]:
                raise InputError(
                    f"Population {place + 1} has {population.shape[1]} columns and the first {found[0].shape[1]}; "
                    "measure the same in all."
                )
        self.populations = found
        self.times = rising_times(np.arange(len(found)) if times is None else times)
        if len(self.times) != len(found):
            raise InputError(f"There are {len(self.times)} times for {len(found)} populations; give one for each.")
        self.names = named(names, "columns", self.dim, "x")
        self.title = title

    def __len__(self) -> int:
        """The number of times."""
        return len(self.populations)

    @property
    def dim(self) -> int:
        """The number of columns."""
        return self.populations[0].shape[1]
