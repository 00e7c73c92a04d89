"""UniPC: the multistep predictor of DPM-Solver++ with a corrector that costs no evaluation."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np

from pathline.errors import InputError
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions
from pathline.generate.samplers.exponential import Expansion, history, multistep_orders, sampling_times
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import DEPTH, Table, TableSampler


class UniPC(TableSampler):
    """UniPC for the data prediction `D`: each step from `s` to `t` is first made without knowing the model at `t`, then made
    anew with it.

        predictor:  x_t  = (a_t/a_s) x_s  - b_t (e^-h - 1) D_s - b_t B(h) sum_(j<p) rho_j (D_j - D_s) / r_j
        corrector:  x_t' = (a_t/a_s) x_s' - b_t (e^-h - 1) D_s - b_t B(h) sum_(j<=p) rho_j (D_j - D_s) / r_j

    with `h = lambda_t - lambda_s`, nodes at `lambda_s + r_j h` of which the corrector's last is `t` itself, and `rho` such
    that polynomials are integrated exactly. The model is evaluated at the predicted state only, and not again after the
    correction. `B(h)` cancels but where there is one node and `rho` is set to 1/2: in the predictor of order 2 and in the
    first corrector. The last step is not corrected, for want of an evaluation.

    Arguments:
        steps: 5 to 20 are good values; the model is evaluated so often.
        grid: where the steps lie; `UniformLogSNR()` for small images, `UniformTime()` for large ones.
        order: `p`, 1 to 3: 2 with guidance, 3 without.
        variant: `B(h)`: `"B1"` is `-h`, good without guidance and at few steps; `"B2"` is `e^-h - 1`.
        lower_order_final: fall to order 1 at the end, which steadies few steps.

    Raises:
        InputError: there is no such order or variant, or the path has a latent or starts from data.

    Source: Zhao et al., UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models, 2023,
    algorithms 1 and 2, section 3.
    """

    steps: int = eqx.field(static=True, default=10)
    grid: Grid = UniformTime()
    order: int = eqx.field(static=True, default=2)
    variant: str = eqx.field(static=True, default="B2")
    lower_order_final: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.variant not in ("B1", "B2"):
            raise InputError(f"There is no UniPC {self.variant!r}; there are 'B1' and 'B2'.")

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each step: the correction of the step before it, and the prediction of its own."""
        times = sampling_times(path, self.grid, self.steps, self.order, 3)
        expansion = Expansion.of(path, "data", times)
        orders = multistep_orders(expansion, self.order, lower_order_final=self.lower_order_final)
        anchor, ratios = np.zeros(self.steps), np.zeros(self.steps)
        corrected, predicted = np.zeros((self.steps, DEPTH)), np.zeros((self.steps, DEPTH))
        for step in range(self.steps):
            if step and expansion.finite(step - 1):
                anchor[step] = expansion.ratio(step - 1, step)
                older = history(expansion, step - 1, orders[step - 1])
                begun, found = expansion.weights(
                    step - 1, step, [step, *older], self._integrals(expansion, step - 1, 1 + len(older))
                )
                corrected[step, : 2 + len(older)] = [found[0], begun, *found[1:]]
            older = history(expansion, step, orders[step])
            begun, found = expansion.weights(step, step + 1, older, self._integrals(expansion, step, len(older)))
            predicted[step, : 1 + len(older)] = [begun, *found]
            ratios[step] = expansion.ratio(step, step + 1)
        state, prediction = conversions(path, predicts, "data", times[:-1])
        return Table.of(
            times[:-1],
            prediction,
            state,
            anchor_anchor=anchor,
            anchor_point=(anchor == 0).astype(float),
            anchor_record=corrected,
            next_anchor=ratios,
            next_record=predicted,
        )

    def _integrals(self, expansion: Expansion, step: int, count: int) -> np.ndarray:
        """Exact, but `-b_t B(h) / 2` for a single node."""
        if count != 1:
            return expansion.integrals(step, step + 1, count)
        if self.variant == "B2":
            return np.asarray([0.5 * expansion.constant(step, step + 1)])
        length = expansion.half_log_snr[step + 1] - expansion.half_log_snr[step]
        return np.asarray([0.5 * expansion.other[step + 1] * length])
