"""A random end of the integration."""

from dataclasses import replace
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.integrate.regularisers.base import Regulariser, Solve


class Steer(Regulariser):
    """End the integration at a random time, `t1 + U(-b, b)`; there is no penalty (STEER).

    What the network must do at `t1` it must then also do around it, which flattens the dynamics there. The published
    default for a unit interval is `b = 0.5`. Its gain in evaluations is small on most problems.

    Arguments:
        b: half the width, in units of time; less than the length of the interval.

    Source: Ghosh et al., STEER: Simple Temporal Regularization for Neural ODEs, 2020.
    """

    b: float = 0.5

    def prepare(self, solve: Solve, key: Array | None) -> Solve:
        """Move the end.

        Raises:
            InputError: there is no key, `b` is not between 0 and the length of the interval, or states are asked for
                at given times, which the moved interval may not contain.
        """
        if key is None:
            raise InputError("Steer draws the end of the integration; give it a key.")
        length = _number(solve.t1 - solve.t0)
        if self.b < 0 or (length is not None and self.b >= abs(length)):
            raise InputError(f"Steer's b={self.b} must lie between 0 and the length of the interval, {length}.")
        saves = jax.tree.leaves(solve.saveat.subs, is_leaf=lambda sub: isinstance(sub, diffrax.SubSaveAt))
        if any(sub.ts is not None for sub in saves):
            raise InputError("Steer moves the end of the integration; ask for SaveAt(t1=True) and not for given times.")
        offset = jax.random.uniform(key, (), minval=-self.b, maxval=self.b, dtype=jnp.result_type(solve.t1, float))
        return replace(solve, t1=solve.t1 + offset)

    def finish(self, solution: diffrax.Solution) -> tuple[diffrax.Solution, Float[Array, ""]]:
        """No penalty."""
        return solution, jnp.zeros(())


def _number(value: Any) -> float | None:
    """As a number, if it is known before the function runs."""
    return None if isinstance(value, Tracer) else float(value)
