"""Steps that keep the initial noise: for straightened flows and few steps."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np

from pathline.errors import InputError
from pathline.generate.paths import AffinePath
from pathline.generate.predictions import Kind, conversions, schedule
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import Table, TableSampler


class NoiseAnchored(TableSampler):
    """`x' = a(t') n + b(t') E[x1 | x_t]` with the noise `n` from which the sample began, `x = a n` at the first time.

    After reflow a start belongs to one end, so that the model's guess of the data is all that is still unknown; a step of
    Euler's method would mix the state's own error into the noise as well. On `Linear` it equals `Euler` at one and at two
    steps, and at any number when the guess does not change on the way. A few steps (2 to 8) are where it helps. With many
    it does not solve the ODE of a flow that has not been straightened, whose guesses change with the noise that is left.

    Arguments:
        steps: 2 to 8; the model is evaluated as often.
        grid: where the steps lie.

    Raises:
        InputError: the grid does not run from noise to data, or the path has a latent.

    Source: Lee et al., Improving the Training of Rectified Flows, 2024 (the update of the authors' sampler).
    """

    steps: int = eqx.field(static=True, default=4)
    grid: Grid = UniformTime()

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each step, with a weight for the start."""
        if path.has_latent:
            raise InputError(
                f"NoiseAnchored puts states together from the start and the data, and {type(path).__name__} has a latent beside "
                "them; use a path without one."
            )
        grid = self.grid.times(path, self.steps)
        noise, signal = schedule(path, "source_scale", grid), schedule(path, "target_scale", grid)
        # The levels a/b fall, written so that no signal at all (b = 0) is allowed.
        if (noise[1:] * signal[:-1] >= noise[:-1] * signal[1:]).any():
            raise InputError(
                "NoiseAnchored runs from noise to data; give its grid a start that is earlier than its stop."
            )
        state, data = conversions(path, predicts, "data", grid[:-1])
        return Table.of(
            grid[:-1],
            data,
            state,
            next_anchor=np.zeros(self.steps),
            next_record=signal[1:, None],
            next_start=noise[1:] / noise[0],
        )
