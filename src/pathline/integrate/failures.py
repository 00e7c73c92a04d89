"""A solve that fails, told by NaN."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp


def nan_on_failure(solution: diffrax.Solution) -> diffrax.Solution:
    """The solution, with every saved state NaN where the solve did not succeed (it ran out of steps, for example).

    To be used with `diffeqsolve(..., throw=False)`. An error that is raised from inside a compiled function is a callback
    into Python, and JAX keeps no program with callbacks in its persistent compilation cache: such a solve is compiled
    anew in every process, which for a gradient takes many seconds. The training loop stops at the first NaN and
    names the step.

    Arguments:
        solution: from `diffrax.diffeqsolve`, or from a regulariser.

    Returns:
        The solution; only its saved states differ, and only where the solve failed.
    """
    succeeded = diffrax.is_successful(solution.result)
    states = jax.tree.map(lambda leaf: jnp.where(succeeded, leaf, jnp.nan), solution.ys)
    return eqx.tree_at(lambda s: s.ys, solution, states, is_leaf=lambda leaf: leaf is None)
