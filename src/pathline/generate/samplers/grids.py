"""Where on a path the steps of a sampler lie."""

from abc import abstractmethod

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.errors import InputError
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import schedule

_SHORT = 1e-3
# Rounding keeps `|lambda|` finite where a scale should vanish; beyond this there is nothing left of it.
_MOST = 12.0


class Grid(eqx.Module):
    """The spacing of steps. Abstract: `UniformTime`, `UniformLogSNR` or `Karras`.

    Arguments:
        start, stop: the first and the last time; the ends of the path's span when absent. With `start > stop` a
            sampler runs from data to noise.
    """

    start: float | None = eqx.field(static=True, default=None)
    stop: float | None = eqx.field(static=True, default=None)

    def times(self, path: AffinePath, steps: int) -> Float[np.ndarray, " time"]:
        """The `steps + 1` times between which a sampler makes its steps, in double precision.

        Raises:
            InputError: there are no steps, or the ends are not two different times from 0 to 1.
        """
        if steps < 1:
            raise InputError(f"A sampler needs at least one step, and {steps} were asked for.")
        first, last = (
            span if given is None else given for given, span in zip((self.start, self.stop), path.span, strict=True)
        )
        if not (0 <= first <= 1 and 0 <= last <= 1 and first != last):
            raise InputError(
                f"A sampler cannot go from t = {first:g} to {last:g}; give two different times from 0 to 1."
            )
        return self.between(path, float(first), float(last), steps)

    def _inside(self, path: AffinePath, first: float, last: float) -> tuple[float, float]:
        """The ends, each moved inwards where nobody asked for it and there is no noise or no signal to speak of."""
        levels = schedule(path, "half_log_snr", np.asarray([first, last]))
        short = float(np.copysign(_SHORT, last - first))
        return (
            first + short if self.start is None and abs(levels[0]) > _MOST else first,
            last - short if self.stop is None and abs(levels[1]) > _MOST else last,
        )

    @abstractmethod
    def between(self, path: AffinePath, first: float, last: float, steps: int) -> Float[np.ndarray, " time"]:
        """The times, from `first` to `last`."""


class UniformTime(Grid):
    """Even steps in the path's own time. On `VarianceExploding` these are the steps of EDM."""

    def between(self, path: AffinePath, first: float, last: float, steps: int) -> Float[np.ndarray, " time"]:
        """`t_i = first + i (last - first) / steps`."""
        return np.linspace(first, last, steps + 1)


class UniformLogSNR(Grid):
    """Even steps in `lambda = log(b/a)`, half the logarithm of the signal-to-noise ratio. Where an end of the path has no
    noise or no signal, the grid by default ends 1e-3 short of it."""

    def between(self, path: AffinePath, first: float, last: float, steps: int) -> Float[np.ndarray, " time"]:
        """The times of evenly spaced `lambda`.

        Raises:
            InputError: at an end there is no noise or no signal.
        """
        first, last = self._inside(path, first, last)
        ends = schedule(path, "half_log_snr", np.asarray([first, last]))
        if not np.isfinite(ends).all():
            raise InputError(
                f"Even steps in the log signal-to-noise ratio need noise and signal at both ends, and from t = {first:g} to "
                f"{last:g} one is missing; give the grid a start and stop such as 1e-3 and 1 - 1e-3."
            )
        return _times_at(path, np.linspace(ends[0], ends[1], steps + 1), first, last)


class Karras(Grid):
    """Steps even in `sigma^(1/rho)`, whatever the path: EDM's grid. Where an end of the path has no noise or no signal,
    the grid by default ends 1e-3 short of it.

    Arguments:
        rho: 7 as published; larger puts more steps at small noise.

    Source: Karras et al. (EDM), 2022, equation 5.
    """

    rho: float = eqx.field(static=True, default=7.0)

    def between(self, path: AffinePath, first: float, last: float, steps: int) -> Float[np.ndarray, " time"]:
        """The times of `sigma_i = (sigma_first^(1/rho) + i/steps (sigma_last^(1/rho) - sigma_first^(1/rho)))^rho`.

        Raises:
            InputError: at an end there is no noise or no signal.
        """
        first, last = self._inside(path, first, last)
        levels = schedule(path, "noise_level", np.asarray([first, last]))
        if not (np.isfinite(levels).all() and (levels > 0).all()):
            raise InputError(
                f"EDM's steps need noise and signal at both ends, and from t = {first:g} to {last:g} one is missing; give the "
                "grid a start and stop such as 1e-3 and 1 - 1e-3."
            )
        first_root, last_root = levels ** (1 / self.rho)
        levels = np.linspace(first_root, last_root, steps + 1) ** self.rho
        return _times_at(path, -np.log(levels), first, last)


def _times_at(path: AffinePath, half_log_snr: np.ndarray, first: float, last: float) -> np.ndarray:
    times = schedule(path, "time_at", half_log_snr)
    # The ends are what was asked for, whatever the rounding of the inverse.
    return np.concatenate([[first], times[1:-1], [last]])
