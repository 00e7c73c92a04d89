"""Runge-Kutta methods with fixed steps for the probability-flow ODE."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import DEPTH, Table, TableSampler


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method of at most four stages.

    Arguments:
        stages: for each stage after the first, the weights of the stages before it.
        weights: of all stages in the step.
        nodes: where in the step each stage lies.
    """

    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    nodes: tuple[float, ...]


EULER = Tableau((), (1.0,), (0.0,))
HEUN = Tableau(((1.0,),), (0.5, 0.5), (0.0, 1.0))
MIDPOINT = Tableau(((0.5,),), (0.0, 1.0), (0.0, 0.5))
CLASSICAL = Tableau(((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 0.5, 0.5, 1.0))


class RungeKutta(TableSampler):
    """`dx/dt = b(t, x)` by an explicit method with fixed steps. Abstract: `Euler`, `Heun`, `Midpoint`, `RK4`.

    Where the velocity does not follow from the prediction at the very end (the data do not tell it where there is no
    noise left), the last step is one of Euler.

    Arguments:
        steps: 20 to 100 are good values; the model is evaluated `steps` times the number of stages.
        grid: where the steps lie.
    """

    steps: int = eqx.field(static=True, default=20)
    grid: Grid = UniformTime()

    @property
    def tableau(self) -> Tableau:
        """The method's coefficients."""
        raise NotImplementedError

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """The table of `runge_kutta_table` for the velocity."""
        grid = self.grid.times(path, self.steps)

        def velocity(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return conversions(path, predicts, "velocity", times)

        return runge_kutta_table(self.tableau, grid, velocity)


def runge_kutta_table(tableau: Tableau, grid: Float[np.ndarray, " time"], velocity) -> Table:
    """The table of an explicit Runge-Kutta method.

    Arguments:
        tableau: the method.
        grid: the times between which steps are made.
        velocity: from times to the weights of the state and of the predictions in `dx/dt`.
    """
    methods = [tableau] * (len(grid) - 1)
    if len(tableau.weights) > 1 and not np.isfinite(np.concatenate([np.ravel(w) for w in velocity(grid[-1:])])).all():
        methods[-1] = EULER
    times, anchors, points, weights = [], [], [], []
    for method, begin, end in zip(methods, grid[:-1], grid[1:], strict=True):
        step, count = end - begin, len(method.weights)
        for stage in range(count):
            times.append(begin + method.nodes[stage] * step)
            # The step begins from the point; later stages leave the anchor there.
            anchors.append(0.0 if stage == 0 else 1.0)
            points.append(1.0 - anchors[-1])
            used = method.weights if stage == count - 1 else method.stages[stage]
            newest_first = [step * weight for weight in reversed(used)]
            weights.append(newest_first + [0.0] * (DEPTH - len(newest_first)))
    state, prediction = velocity(np.asarray(times))
    return Table.of(
        np.asarray(times),
        prediction,
        state,
        anchor_anchor=np.asarray(anchors),
        anchor_point=np.asarray(points),
        next_anchor=np.ones(len(times)),
        next_record=np.asarray(weights),
    )


class Euler(RungeKutta):
    """`x' = x + h b(t, x)`, of order 1. One step is exact on a straight flow."""

    @property
    def tableau(self) -> Tableau:
        """One stage."""
        return EULER


class Heun(RungeKutta):
    """The mean of the velocities at both ends of the step, of order 2."""

    @property
    def tableau(self) -> Tableau:
        """Two stages."""
        return HEUN


class Midpoint(RungeKutta):
    """The velocity in the middle of the step, of order 2."""

    @property
    def tableau(self) -> Tableau:
        """Two stages."""
        return MIDPOINT


class RK4(RungeKutta):
    """The classical method of order 4."""

    @property
    def tableau(self) -> Tableau:
        """Four stages."""
        return CLASSICAL
