"""EDM's sampler: Heun's method in the noise level, ending where there is no noise, with churn if wanted."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np

from pathline.errors import InputError
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions, schedule
from pathline.generate.samplers.grids import Grid, Karras
from pathline.generate.samplers.table import DEPTH, Table, TableSampler


class EDMHeun(TableSampler):
    """`dy/dsigma = E[x0 | x_t]` for `y = x_t / b(t)`, the state in units of the signal, by Heun's method in
    `sigma = a/b`; the last step goes to `sigma = 0` by Euler's method, which gives the denoised state.

    The model is evaluated `2 steps - 1` times. On every path from noise this is the same ODE, so a model trained as a
    diffusion and one trained as a rectified flow are sampled alike. Where the path has no signal at its start, give the
    grid a start such as 1e-3.

    With churn, each step whose level lies in `churn_range` first adds noise, up to `(1 + gamma) sigma` with
    `gamma = min(churn / steps, sqrt(2) - 1)`, and steps down from there: a stochastic sampler that corrects errors of the
    steps before. The fresh noise is Gaussian.

    Arguments:
        steps: 18 for images of 32 x 32 pixels, 40 for 64 x 64.
        grid: where the steps before the last one lie.
        churn: 0 for the ODE; up to `(sqrt(2) - 1) steps`, 5 to 40 are published values.
        churn_range: levels at which noise is added; (0.05, 50) for small images.
        churn_noise: the standard deviation of that noise; 1, or slightly more (1.003 to 1.007).
        without_score: allow churn although the noise of the path has no score, as at finite `D` of PFGM++. It is a
            heuristic there: adding Gaussian noise to a state of such a path does not give one of a larger level.

    Raises:
        InputError: there are no steps, the churn is negative, the path has no score, the grid runs from data to noise,
            or churn would lift the start of a path above its largest level.

    Source: Karras et al. (EDM), 2022, algorithms 1 and 2; Xu et al. (PFGM++), 2023, for Student's law.
    """

    steps: int = eqx.field(static=True, default=18)
    grid: Grid = Karras()
    churn: float = eqx.field(static=True, default=0.0)
    churn_range: tuple[float, float] = eqx.field(static=True, default=(0.05, 50.0))
    churn_noise: float = eqx.field(static=True, default=1.0)
    without_score: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if self.steps < 1 or self.churn < 0:
            raise InputError(f"EDMHeun needs a step and churn of at least 0; {self.steps} and {self.churn} were given.")

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """Two rows for each step, and one for the last."""
        if self.churn and not (path.has_score or self.without_score):
            raise InputError(
                f"Churn needs the score, which noise of the law {path.law} does not have; use churn=0, or "
                "without_score=True for a heuristic."
            )
        # The last step is from the end of the grid to no noise at all.
        times = self.grid.times(path, max(self.steps - 1, 1))[: self.steps]
        levels = schedule(path, "noise_level", times)
        if (np.diff(levels) >= 0).any():
            raise InputError("EDMHeun runs from noise to data; give its grid a start that is earlier than its stop.")
        lifted, noise = self._churned(levels)
        begins = _times_of(path, times, levels, lifted)
        signals = schedule(path, "target_scale", begins)
        first = schedule(path, "target_scale", times[:1])[0]
        reached = schedule(path, "noise_level", begins)
        if (noise[0] and not np.isclose(signals[0], first)) or not np.allclose(reached, lifted, rtol=1e-6):
            raise InputError(
                f"Churn lifts the noise at a level of {levels[0]:.3g} above the largest of {type(path).__name__}; let "
                "churn_range end below it."
            )
        # Where a step ends, and the units of the signal there; the next step begins with its own noise already added.
        ends = np.append(levels[1:], 0.0)
        arrivals = np.append(schedule(path, "target_scale", times[1:]), 1.0)
        rows: list[tuple[float, float, float, list[float], float]] = []
        for step in range(self.steps):
            change = ends[step] - lifted[step]
            # Time, weight of the point in the anchor, then of the anchor, the records (newest first) and noise in the point.
            goal = arrivals[step]
            rows.append((begins[step], 1.0, goal / signals[step], [goal * change, 0.0], 0.0))
            if step < self.steps - 1:
                goal = signals[step + 1]
                halves = [0.5 * goal * change] * 2
                rows.append((times[step + 1], 0.0, goal / signals[step], halves, goal * noise[step + 1]))
        at, point, anchor, records, noises = (np.asarray(column) for column in zip(*rows, strict=True))
        state, prediction = conversions(path, predicts, "noise", at)
        return Table.of(
            at,
            prediction,
            state,
            anchor_anchor=1.0 - point,
            anchor_point=point,
            next_anchor=anchor,
            next_record=np.pad(records, ((0, 0), (0, DEPTH - 2))),
            next_noise=noises if noise.any() else None,
            first_noise=float(first * noise[0]),
        )

    def _churned(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The levels from which steps are made, and the noise that lifts the state there."""
        low, high = self.churn_range
        gamma = min(self.churn / self.steps, np.sqrt(2) - 1) * ((low <= levels) & (levels <= high))
        lifted = levels * (1 + gamma)
        return lifted, self.churn_noise * np.sqrt(lifted**2 - levels**2)


def _times_of(path: AffinePath, times: np.ndarray, levels: np.ndarray, lifted: np.ndarray) -> np.ndarray:
    """The times of the lifted levels; where nothing is lifted, the times of the grid to the last digit."""
    if (lifted == levels).all():
        return times
    return np.where(lifted == levels, times, schedule(path, "time_at", -np.log(lifted)))
