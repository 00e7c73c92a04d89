"""The probability-flow ODE with adaptive steps by Diffrax: the reference for every other sampler."""

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.predictions import solvable_span
from pathline.generate.samplers.table import Sampler
from pathline.integrate import nan_on_failure


class Adaptive(Sampler):
    """`dx/dt = b(t, x)` to a tolerance, each sample with its own steps.

    Where the velocity does not follow from the prediction at the very end (the data do not tell it where there is no
    noise left), the last 1e-4 of the time is one step of Euler.

    Arguments:
        tolerance: relative and absolute, for data of unit scale; 1e-5 in single precision, 1e-8 in double.
        solver: any explicit solver of Diffrax.
        start, stop: first and last time; the ends of the path's span when absent. With `start > stop` it runs from
            data to noise.
        max_steps: a sample that needs more is NaN.
    """

    tolerance: float = eqx.field(static=True, default=1e-5)
    solver: diffrax.AbstractSolver = diffrax.Tsit5()
    start: float | None = eqx.field(static=True, default=None)
    stop: float | None = eqx.field(static=True, default=None)
    max_steps: int = eqx.field(static=True, default=4096)

    def solve(self, fields: Fields, start: Float[Array, "*shape"], condition: PyTree = None) -> diffrax.Solution:
        """The solution of Diffrax, with the end in `ys[0]` and the numbers of steps in `stats`."""
        first, last = self._ends(fields)
        term = diffrax.ODETerm(lambda t, x, args: fields.velocity(jnp.asarray(t, x.dtype), x, condition))
        solution = diffrax.diffeqsolve(
            term,
            self.solver,
            jnp.asarray(first, start.dtype),
            jnp.asarray(last, start.dtype),
            None,
            start,
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=self.max_steps,
            throw=False,
        )
        return nan_on_failure(solution)

    def __call__(
        self, fields: Fields, start: Float[Array, "*shape"], *, key: Array | None = None, condition: PyTree = None
    ) -> Float[Array, "*shape"]:
        """The end of the path of one start."""
        ends = self.solve(fields, start, condition).ys
        assert ends is not None
        last = self._ends(fields)[1]
        left = self._stop(fields) - last
        return ends[0] if left == 0 else ends[0] + left * fields.velocity(last, ends[0], condition)

    def _stop(self, fields: Fields) -> float:
        return fields.path.span[1] if self.stop is None else self.stop

    def _ends(self, fields: Fields) -> tuple[float, float]:
        first = fields.path.span[0] if self.start is None else self.start
        begin, end = solvable_span(fields.path, fields.predicts, first, self._stop(fields))
        if begin != first:
            raise InputError(
                f"What the model predicts does not tell where to go at t = {first:g} (there is no signal or no noise); start "
                "Adaptive a little later, such as at 1e-3."
            )
        return begin, end
