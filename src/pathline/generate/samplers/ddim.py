"""DDIM: Euler's method in the noise level."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np

from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions
from pathline.generate.samplers.exponential import Expansion
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import Table, TableSampler


class DDIM(TableSampler):
    """`y_t = y_s + (sigma_t - sigma_s) eps(x_s)` for `y = x/b`, the state in units of the signal, and `sigma = a/b`: one
    evaluation in each step, order 1.

    In terms of the data prediction `D`, `x_t = (a_t/a_s) x_s + (b_t - a_t b_s / a_s) D(x_s)`, which stays finite where
    there is no signal and where no noise is left; from data to noise the noise prediction takes its place. On every path
    from noise this is the same method: on `Linear` it is Euler's.

    Arguments:
        steps: 20 to 100 are good values; the model is evaluated so often.
        grid: where the steps lie; with `start > stop` data are encoded into noise.

    Raises:
        InputError: the path has a latent, or starts from data.

    Source: Song, Meng and Ermon, Denoising Diffusion Implicit Models, 2021, equations 12 and 13 (with no added noise).
    """

    steps: int = eqx.field(static=True, default=20)
    grid: Grid = UniformTime()

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each step."""
        times = self.grid.times(path, self.steps)
        expanded = "data" if times[-1] > times[0] else "noise"
        expansion = Expansion.of(path, expanded, times)
        state, prediction = conversions(path, predicts, expanded, times[:-1])
        steps = range(self.steps)
        return Table.of(
            times[:-1],
            prediction,
            state,
            next_anchor=np.asarray([expansion.ratio(step, step + 1) for step in steps]),
            next_record=np.asarray([[expansion.constant(step, step + 1)] for step in steps]),
        )
