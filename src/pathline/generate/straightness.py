"""How straight a flow is, how much the paths of a coupling cross, and what a transport costs."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from pathline.errors import InputError
from pathline.generate.couplings import Paired, Pairs
from pathline.generate.fields import Fields
from pathline.generate.objectives import Term, losses_by_time
from pathline.generate.samplers import Euler, Grid, Midpoint, TableSampler, UniformTime, sample, trajectories


def straightness(
    fields: Fields,
    starts: Float[Array | np.ndarray, "start *shape"],
    steps: int = 64,
    *,
    grid: Grid = UniformTime(),  # noqa: B008
    conditions: PyTree = None,
) -> Float[Array, ""]:
    """`S = int E|(Z1 - Z0) - dZ/dt|^2 dt` along the flow: zero exactly when one step of Euler is exact.

    A collapsed model is straight too, so that `S` means something only beside a distance to the data. Compare it with
    `E|Z1 - Z0|^2`: a ratio of 0.01 is all but straight.

    Arguments:
        fields: the flow.
        starts: states at the first time; a thousand or more.
        steps: of the midpoint method that the flow is followed by, and of the midpoint rule of the integral; both are of
            second order.
        grid: where the steps lie. If it does not span a unit of time, `Z1 - Z0` is divided by what it does span.
        conditions: for the model, with a leading axis as long as `starts`.

    Source: Liu et al., Flow Straight and Fast, 2023, equation 3.
    """
    edges = grid.times(fields.path, steps)
    span = edges[-1] - edges[0]
    times, states = trajectories(fields, starts, Midpoint(steps, grid), conditions=conditions)
    # The odd rows are the middles of steps; the last step may be one of Euler, which has its beginning alone.
    rows = np.append(np.arange(1, 2 * steps - 1, 2), len(times) - 2)
    mean_velocity = (states[:, -1] - states[:, 0]) / float(span)
    deviations = _square_deviations(
        fields, jnp.asarray(times[rows], states.dtype), jnp.moveaxis(states[:, rows], 1, 0), mean_velocity, conditions
    )
    return jnp.sum(jnp.asarray(np.diff(edges) / span, states.dtype) * deviations)


def intersection(fields: Fields, pairs: Pairs | Paired, steps: int = 64) -> Float[Array, ""]:
    """`V = int E|dX_t/dt - E[dX_t/dt | X_t]|^2 dt` with the model as the conditional mean: how much the paths of a coupling
    cross. On the linear path `dX_t/dt = X1 - X0`.

    Zero when the coupling is straight: reflow leaves it as it is. With the exact velocity,
    `E|X1 - X0|^2 - E|Z1 - Z0|^2 = S + V`, which tells how far a trained model is from exact.

    Arguments:
        fields: the flow learnt from this coupling, on a path without a latent.
        pairs: `(X0, X1)`; a thousand or more, `coupling.sample(key, count)` draws them.
        steps: of the midpoint rule of the integral over the path's span.

    Raises:
        InputError: the path has a latent.

    Source: Liu et al., Flow Straight and Fast, 2023, equations 12 and 13.
    """
    if fields.path.has_latent:
        raise InputError("The intersection is that of a path without a latent; give fields on such a path.")
    first, last = fields.path.span
    times = first + (last - first) * (jnp.arange(steps) + 0.5) / steps
    condition = jax.tree.map(jnp.asarray, pairs.condition)
    given = Pairs(jnp.asarray(pairs.source), jnp.asarray(pairs.target), condition)
    # No latent is drawn, so that the key is of no consequence.
    losses = losses_by_time(fields, given, times, key=jax.random.key(0), term=Term("velocity"))
    return jnp.mean(losses) * (given.target.size // len(given))


def transport_cost(
    pairs: Pairs | Paired, cost: Callable[[Float[Array, " dim"]], Float[Array, ""]] | None = None
) -> Float[Array, ""]:
    """`E c(X1 - X0)`. No round of reflow makes it larger, for any convex `c`; and none of exact marginals has less than optimal
    transport.

    Arguments:
        pairs: `(X0, X1)`.
        cost: of one displacement, flattened: `jnp.linalg.norm` for the distance; the squared length when absent.

    Source: Liu et al., Flow Straight and Fast, 2023, theorem 3.5.
    """
    displacements = jnp.asarray(pairs.target) - jnp.asarray(pairs.source)
    return jnp.mean(jax.vmap(cost or _squared_length)(displacements.reshape(len(displacements), -1)))


def nfe_curve(
    fields: Fields,
    starts: Float[Array | np.ndarray, "start *shape"],
    metric: Callable[[Float[Array, "start *shape"]], float],
    steps: Sequence[int] = (1, 2, 4, 8, 16, 32),
    sampler: Callable[[int], TableSampler] = Euler,
    *,
    conditions: PyTree = None,
    batch_size: int | None = None,
) -> tuple[Int[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """A metric of the samples against the number of evaluations of the model (NFE).

    Arguments:
        fields: the flow.
        starts: states at the first time, the same for every point.
        metric: of the ends, e.g. a distance to held-out data.
        steps: of the sampler.
        sampler: from a number of steps to a sampler: `Euler`, `Heun`, or a function of one's own.
        conditions: for the model, with a leading axis as long as `starts`.
        batch_size: so many starts at once, to bound the memory.

    Returns:
        The evaluations, and the metric.
    """
    methods = [sampler(count) for count in steps]
    evaluations = [method.evaluations(fields.path, fields.predicts) for method in methods]
    ends = [sample(fields, starts, method, conditions=conditions, batch_size=batch_size) for method in methods]
    return np.asarray(evaluations), np.asarray([float(metric(found)) for found in ends])


@eqx.filter_jit
def _square_deviations(
    fields: Fields, times: Array, states: Array, mean_velocity: Array, conditions: PyTree
) -> Float[Array, " time"]:
    """`E|u - v(t, Z_t)|^2` at each time, with `u` of each start."""

    def at(row: tuple[Array, Array]) -> Array:
        velocity = jax.vmap(lambda x, condition: fields.velocity(row[0], x, condition))(row[1], conditions)
        return jnp.sum((mean_velocity - velocity) ** 2) / len(velocity)

    return jax.lax.map(at, (times, states))


def _squared_length(displacement: Float[Array, " dim"]) -> Float[Array, ""]:
    return jnp.sum(displacement**2)
