"""DPM-Solver-v3: an exponential integrator whose expanded quantity is chosen from statistics of the model."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pathline.errors import InputError
from pathline.generate.model_statistics import ModelStatistics
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions, schedule
from pathline.generate.samplers.exponential import check_from_noise, sampling_times
from pathline.generate.samplers.grids import Grid, UniformLogSNR
from pathline.generate.samplers.statistical_step import StatisticalStep, taylor_weights
from pathline.generate.samplers.table import DEPTH, Table, TableSampler


class DPMSolverV3(TableSampler):
    """The probability-flow ODE by an exponential integrator that expands a quantity fitted to the model.

    With `lambda = log(b/a)`, the noise prediction `eps` and three curves `l, s, b` of `lambda` (here `b` is the paper's; the
    scale of the signal is written `alpha`, that of the noise `sigma`), one number for each entry of the state:

        N = sigma eps - l x,  f = N / alpha
        g(lambda) = e^(-int_s^lambda s) f - int_s^lambda e^(-int_s^r s) b dr
        x_t/alpha_t = e^(-int_s^t l) [x_s/alpha_s] - e^(-int_s^t l) [int E B dlambda + sum_k g^(k) int E (lambda-lambda_s)^k/k! dlambda]

    where `E = e^(int_s^lambda (l + s))` and `B` is the second integral of `g`. The derivatives of `g` come from earlier
    predictions. The curves make `g` as constant as it can be along the model's own trajectories, so that few steps do.
    Between the points of the statistics they are taken to be linear, and the integrals are then exact; sampling times need
    not be among them. `l, s, b = 1, 0, 0` gives `DPMSolverPP` and `0, -1, 0` gives `DPMSolver`, both as multistep methods with
    `taylor=True`.

    The corrector makes each step anew when the model has been evaluated at its end, at no further evaluation, and leaves
    `f` there as it was: `eps' = eps + l (x' - x) / sigma`. The last step is not corrected.

    Arguments:
        statistics: of the model, by `model_statistics`, on the path that is sampled; those of the unguided model serve for
            a guided one.
        steps: 5 to 20; the model is evaluated so often. The gain is largest at 5 to 10.
        order: of the predictor: 3 without guidance, 2 with it. 1 to 3.
        corrector: correct each step.
        pseudo_predictor: take the `k`-th derivative from the nearest `k + 1` points only; for 5 steps.
        pseudo_corrector: the same in the corrector, which then uses one point more than the predictor. Order 2 with it is
            a good setting.
        half_corrector: correct only in the second half of the path's time, near the data; for strong guidance.
        grid: where the steps lie; `UniformTime()` for large images. Ends that it does not give are those of the statistics.
        lower_order_final: fall to order 1 at the end.

    Raises:
        InputError: there is no such order, the grid leaves the statistics, or the path has a latent or starts from data.

    Source: Zheng, Lu, Chen and Zhu, DPM-Solver-v3: Improved Diffusion ODE Solver with Empirical Model Statistics, 2023,
    sections 3.1 to 3.3, equation 14 and appendix C.
    """

    statistics: ModelStatistics
    steps: int = eqx.field(static=True, default=10)
    order: int = eqx.field(static=True, default=2)
    corrector: bool = eqx.field(static=True, default=True)
    pseudo_predictor: bool = eqx.field(static=True, default=False)
    pseudo_corrector: bool = eqx.field(static=True, default=True)
    half_corrector: bool = eqx.field(static=True, default=False)
    grid: Grid = UniformLogSNR()
    lower_order_final: bool = eqx.field(static=True, default=True)

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each step: the correction of the step before it, and the prediction of its own. Weights have the
        shape of the state."""
        times, half_log_snr = self._times(path)
        shape = self.statistics.l.shape[1:]
        noise, signal = (_column(schedule(path, f"{end}_scale", times), shape) for end in ("source", "target"))
        updates = _Updates.of(self.statistics, half_log_snr, signal)
        corrected, predicted, is_corrected = [], [], []
        # A table has no constant in the anchor: what is missing there is followed here and added to the point.
        missing, order = np.zeros(shape), 0
        for step in range(self.steps):
            nodes = self._corrector_nodes(times, step, order)
            if nodes:
                update = updates.find(step - 1, nodes, step, pseudo=self.pseudo_corrector)
                missing = update.keep * missing + update.constant
            else:
                update, missing = updates.none(), np.zeros(shape)
            corrected.append(update)
            is_corrected.append(bool(nodes))
            order = min(self.order, step + 1, self.steps - step if self.lower_order_final else self.order)
            update = updates.find(step, list(range(step - 1, step - order, -1)), step, pseudo=self.pseudo_predictor)
            predicted.append(replace(update, constant=update.constant + update.keep * missing))
        # The record is f = (sigma eps - l x) / alpha, with eps a combination of the state and of what the model gives.
        state, prediction = conversions(path, predicts, "noise", times[:-1])
        l = self.statistics.at(half_log_snr[:-1])[0]
        return Table.of(
            times[:-1],
            _column(prediction, shape) * (noise / signal)[:-1, None],
            (noise[:-1] * _column(state, shape) - l) / signal[:-1],
            anchor_anchor=np.stack([one.keep for one in corrected]),
            anchor_point=1.0 - np.asarray(is_corrected, float),
            anchor_record=np.stack([one.records for one in corrected]),
            next_anchor=np.stack([one.keep for one in predicted]),
            next_record=np.stack([one.records for one in predicted]),
            next_constant=np.stack([one.constant for one in predicted]),
        )

    def _times(self, path: AffinePath) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
        """The times of the steps and `lambda` there."""
        check_from_noise(path)
        levels = self.statistics.half_log_snr
        # The inverse of lambda is rounded, and a time must not leave the path.
        first, last = np.clip(schedule(path, "time_at", levels[[0, -1]]), 0.0, 1.0)
        ends = {
            name: float(end) if given is None else given
            for name, given, end in (("start", self.grid.start, first), ("stop", self.grid.stop, last))
        }
        times = sampling_times(path, replace(self.grid, **ends), self.steps, self.order, 3)
        half_log_snr = schedule(path, "half_log_snr", times)
        inside = np.clip(half_log_snr, levels[0], levels[-1])
        if not np.allclose(inside, half_log_snr, atol=1e-5 * (levels[-1] - levels[0]), rtol=0):
            raise InputError(
                f"The steps lie between t = {times[0]:.4g} and {times[-1]:.4g} and the statistics between {first:.4g} and {last:.4g}; "
                "compute the statistics for the wider range, on the path that is sampled."
            )
        return times, inside

    def _corrector_nodes(self, times: Float[np.ndarray, " time"], step: int, order: int) -> list[int]:
        """Where the correction at a step looks, besides where the corrected step begins: the end first."""
        if not self.corrector or step == 0 or (self.half_corrector and times[step] < 0.5):
            return []
        # With pseudo derivatives it is of one order more than the prediction of the step.
        count = order - 1 + self.pseudo_corrector
        return [step, *range(step - 2, step - 1 - count, -1)] if count else []


_Weight = np.ndarray | np.floating
"""For each entry of the state; arithmetic makes a scalar of an array without axes."""


@dataclass(frozen=True)
class _Update:
    """`x_t = keep x_s + sum_j records_j f_j + constant`, the newest record first."""

    keep: _Weight
    records: np.ndarray
    constant: _Weight


@dataclass(frozen=True)
class _Updates:
    """The steps between the sampling times and how `f` at one of them is seen from another."""

    half_log_snr: np.ndarray
    signal: np.ndarray
    steps: Sequence[StatisticalStep]

    @classmethod
    def of(cls, statistics: ModelStatistics, half_log_snr: np.ndarray, signal: np.ndarray) -> "_Updates":
        steps = [StatisticalStep.of(statistics, begin, end) for begin, end in itertools.pairwise(half_log_snr.tolist())]
        return cls(half_log_snr, signal, steps)

    def find(self, begin: int, nodes: list[int], newest: int, *, pseudo: bool) -> _Update:
        """The step from `begin` to the time after it, with `g` expanded through its values there and at the nodes:

        x_t/alpha_t = A (x_s/alpha_s - int E B - g_s int E - sum_k g^(k)/k! int E (lambda-lambda_s)^k)
        """
        step = self.steps[begin]
        taylor = taylor_weights(self.half_log_snr[nodes] - self.half_log_snr[begin], pseudo=pseudo)
        # Weights of g_j - g_s.
        weights = np.tensordot(taylor.T, step.moments[1 : 1 + len(nodes)], axes=1)
        records, constant = np.zeros((DEPTH, *step.keep.shape)), step.constant
        records[newest - begin] = step.moments[0] - weights.sum(axis=0)
        for node, weight in zip(nodes, weights, strict=True):
            scale, shift = self._anchored(node, begin)
            records[newest - node] = weight * scale
            constant = constant + weight * shift
        factor = -self.signal[begin + 1] * step.keep
        keep = self.signal[begin + 1] / self.signal[begin] * step.keep
        return _Update(keep, factor * records, factor * constant)

    def none(self) -> _Update:
        """Nothing at all."""
        nothing = np.zeros_like(self.steps[0].keep)
        return _Update(nothing, np.zeros((DEPTH, *nothing.shape)), nothing)

    def _anchored(self, node: int, anchor: int) -> tuple[_Weight, _Weight]:
        """`g = scale f + shift` at a node, for `g` anchored at another time: a node later by one step, or earlier."""
        if node > anchor:
            return 1 / self.steps[anchor].growth, -self.steps[anchor].shift
        scale, shift = np.ones_like(self.steps[0].keep), np.zeros_like(self.steps[0].keep)
        for step in self.steps[node:anchor]:
            scale, shift = step.growth * scale, step.growth * (shift + step.shift)
        return scale, shift


def _column(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """With axes for the entries of the state."""
    return values.reshape(*values.shape, *(1,) * len(shape))
