"""DPM-Solver and DPM-Solver++: exponential integrators that expand the noise or the data prediction."""

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions, schedule
from pathline.generate.samplers.exponential import Expanded, Expansion, history, multistep_orders, sampling_times
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import DEPTH, Table, TableSampler

INNER = {1: (), 2: (1 / 2,), 3: (1 / 3, 2 / 3)}
"""Where in a step, in units of its length in `lambda`, a singlestep method of each order evaluates the model besides."""


class ExponentialSolver(TableSampler):
    """What `DPMSolver` and `DPMSolverPP` share. Abstract."""

    steps: eqx.AbstractVar[int]
    grid: eqx.AbstractVar[Grid]
    order: eqx.AbstractVar[int]
    singlestep: eqx.AbstractVar[bool]
    taylor: eqx.AbstractVar[bool]
    lower_order_final: eqx.AbstractVar[bool]

    @property
    @abstractmethod
    def expanded(self) -> Expanded:
        """The prediction that is expanded."""

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each evaluation."""
        times = sampling_times(path, self.grid, self.steps, self.order, 3)
        expansion = Expansion.of(path, self.expanded, times)
        build = self._singlestep if self.singlestep else self._multistep
        at, anchor, next_anchor, records = build(path, expansion)
        state, prediction = conversions(path, predicts, self.expanded, at)
        return Table.of(
            at,
            prediction,
            state,
            anchor_anchor=anchor,
            anchor_point=1.0 - anchor,
            next_anchor=next_anchor,
            next_record=records,
        )

    def _multistep(self, path: AffinePath, expansion: Expansion) -> tuple[np.ndarray, ...]:
        orders = multistep_orders(expansion, self.order, lower_order_final=self.lower_order_final)
        records = np.zeros((len(orders), DEPTH))
        for step, order in enumerate(orders):
            nodes = history(expansion, step, order)
            newest, older = expansion.weights(step, step + 1, nodes, self._integrals(expansion, step, len(nodes)))
            records[step, : 1 + len(nodes)] = [newest, *older]
        ratios = [expansion.ratio(step, step + 1) for step in range(len(orders))]
        return expansion.times[:-1], np.zeros(len(orders)), np.asarray(ratios), records

    def _integrals(self, expansion: Expansion, step: int, count: int) -> np.ndarray:
        """The integrals of powers as published: a mean of the ends at order 2, half of the curvature at order 3."""
        if self.taylor or not count:
            return expansion.integrals(step, step + 1, count)
        if count == 1:
            return np.asarray([0.5 * expansion.constant(step, step + 1)])
        return expansion.integrals(step, step + 1, count) * [1.0, 0.5]

    def _singlestep(self, path: AffinePath, expansion: Expansion) -> tuple[np.ndarray, ...]:
        """Every step begins anew; the points inside come from methods of lower order."""
        inner = [_inner_times(path, expansion, step, self.order) for step in range(self.steps)]
        stages = Expansion.of(path, self.expanded, np.append(np.concatenate(inner), expansion.times[-1]))
        rows: list[tuple[float, float, float, np.ndarray]] = []
        begin = 0
        for times in inner:
            for stage in range(len(times)):
                # The last stage of a step makes the step; of the stages before it only the newest counts.
                nodes = [begin + stage] if stage else []
                integrals = None
                if nodes and self.order == 2 and not self.taylor:
                    integrals = np.asarray([0.5 * stages.constant(begin, begin + stage + 1)])
                newest, older = stages.weights(begin, begin + stage + 1, nodes, integrals)
                record = np.zeros(DEPTH)
                record[stage] = newest
                record[: len(nodes)] = older
                rows.append((times[stage], float(stage > 0), stages.ratio(begin, begin + stage + 1), record))
            begin += len(times)
        at, anchor, ratio, records = (np.asarray(column) for column in zip(*rows, strict=True))
        return at, anchor, ratio, records


class DPMSolver(ExponentialSolver):
    """DPM-Solver: `x_t = (b_t/b_s) x_s - b_t int_s^t e^-lambda eps dlambda`, with the noise prediction `eps` expanded in
    `lambda`; of order 1 it is DDIM.

    As published it is a singlestep method. With `h = lambda_t - lambda_s`, order 2 is

        u   = (b_m/b_s) x_s - a_m (e^(h/2) - 1) eps(x_s)      at the middle m of the step in lambda
        x_t = (b_t/b_s) x_s - a_t (e^h - 1) eps(u)

    and order 3 has two points inside, at a third and two thirds. It is a good choice for unguided sampling with 15 or more
    evaluations; it needs a start with some signal, such as 1e-3 on `Linear`.

    Arguments:
        steps: the model is evaluated `steps` times the order, or `steps` times as a multistep method.
        grid: where the steps lie; `UniformLogSNR()` for small images.
        order: 1 to 3.
        singlestep: every step starts anew; else earlier steps' predictions are used.
        taylor: integrate the polynomial exactly; as for `DPMSolverPP`.
        lower_order_final: as a multistep method, fall to order 1 at the end.

    Raises:
        InputError: there is no such order, the path has a latent or starts from data, or the start has no signal.

    Source: Lu et al., DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps, 2022,
    equations 3.7, algorithms 1 and 2; as a multistep method Lu et al., DPM-Solver++, 2022.
    """

    steps: int = eqx.field(static=True, default=10)
    grid: Grid = UniformTime()
    order: int = eqx.field(static=True, default=2)
    singlestep: bool = eqx.field(static=True, default=True)
    taylor: bool = eqx.field(static=True, default=False)
    lower_order_final: bool = eqx.field(static=True, default=True)

    @property
    def expanded(self) -> Expanded:
        """The noise prediction."""
        return "noise"


class DPMSolverPP(ExponentialSolver):
    """DPM-Solver++: `x_t = (a_t/a_s) x_s + a_t int_s^t e^lambda D dlambda`, with the data prediction `D` expanded in
    `lambda`; of order 1 it is DDIM.

    With `h = lambda_t - lambda_s` and the step before it of length `r h`, the multistep method of order 2 ("2M") is

        x_t = (a_t/a_s) x_s - b_t (e^-h - 1) [(1 + 1/(2r)) D_s - 1/(2r) D_before]

    which takes the mean of the ends for the integral of the slope. Order 3 ("3M") is a parabola through three predictions; in
    the published code its curvature counts half, so that it converges with order 2, and so it is here. `taylor` integrates
    exactly in both. Singlestep, order 2 ("2S") evaluates the model in the middle of the step too. It works with any guidance,
    from no signal at all to no noise at all: a step that leaves the one or reaches the other is of order 1.

    Arguments:
        steps: 10 to 25 are good values; the model is evaluated so often, or that many times the order if singlestep.
        grid: where the steps lie; `UniformLogSNR()` for small images, `UniformTime()` for large ones.
        order: 2 with guidance and as a safe choice, 3 without.
        singlestep: every step starts anew, at `order` evaluations each.
        taylor: integrate the polynomial exactly instead of as published.
        lower_order_final: fall to order 1 at the end, which steadies few steps.

    Raises:
        InputError: there is no such order, or the path has a latent or starts from data.

    Source: Lu et al., DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models, 2022, algorithms 1
    and 2; "3M" after the authors' code.
    """

    steps: int = eqx.field(static=True, default=20)
    grid: Grid = UniformTime()
    order: int = eqx.field(static=True, default=2)
    singlestep: bool = eqx.field(static=True, default=False)
    taylor: bool = eqx.field(static=True, default=False)
    lower_order_final: bool = eqx.field(static=True, default=True)

    @property
    def expanded(self) -> Expanded:
        """The data prediction."""
        return "data"


def _inner_times(path: AffinePath, expansion: Expansion, step: int, order: int) -> Float[np.ndarray, " stage"]:
    """The times at which the model is evaluated in one step; its beginning alone where the step has no middle."""
    begin = expansion.times[step]
    if not (expansion.finite(step) and expansion.finite(step + 1)):
        return np.asarray([begin])
    first, last = expansion.half_log_snr[step], expansion.half_log_snr[step + 1]
    levels = first + (last - first) * np.asarray(INNER[order])
    return np.append(begin, schedule(path, "time_at", levels))
