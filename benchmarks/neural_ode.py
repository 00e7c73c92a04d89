"""One training step of a neural ODE, against torchdiffeq.

Both start from the same weights and do the same work: the same network, Dormand-Prince 5(4) with the same tolerance
and the same step control, the same output times, 32 bits, the mean square error, its gradient, an update of Adam. The
numbers of evaluations are compared before anything is timed. torchdiffeq solves a batch as one system with common
steps; so do we in the rows that say so. It runs as `odeint`, which differentiates the solver and is its faster way;
`odeint_adjoint`, which solves the adjoint equation backwards, has a row of its own. PyTorch runs with one thread or
two, whichever is faster at that size.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torchdiffeq
from benchmarks.timing import row, take_turns
from benchmarks.torch_peer import set_best_threads
from jaxtyping import Array, Float

from pathline.train import GradientUpdate, fit

TOLERANCE = 1e-5
TIMES = np.linspace(0.0, 10.0, 51, dtype=np.float32)
MAX_STEPS = 64
REPEATS = 9
LEARNING_RATE = 1e-3


class Model(eqx.Module):
    """`dy/dt = MLP(y)`; a batch `[trajectory, 2]` is one system, whose steps are common."""

    network: eqx.nn.MLP

    def __call__(self, start: Float[Array, "*batch 2"]) -> Float[Array, "time *batch 2"]:
        found = self.solve(start).ys
        assert found is not None
        return found

    def solve(self, start: Float[Array, "*batch 2"]) -> diffrax.Solution:
        def field(t: Array, state: Array, network: eqx.nn.MLP) -> Array:
            return network(state) if state.ndim == 1 else jax.vmap(network)(state)

        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            TIMES[0],
            TIMES[-1],
            None,
            start,
            args=self.network,
            saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
            stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
            max_steps=MAX_STEPS,
            # As many checkpoints as steps: nothing is computed twice.
            adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=MAX_STEPS),
        )


def together(model: Model, truth: Float[Array, "time ..."], key: Array) -> Array:
    """Mean square error, all trajectories solved with common steps."""
    return jnp.mean((model(truth[0]) - truth) ** 2)


def apart(model: Model, truth: Float[Array, "time trajectory 2"], key: Array) -> Array:
    """Mean square error, each trajectory solved with its own steps."""
    return jnp.mean((jax.vmap(model, out_axes=1)(truth[0]) - truth) ** 2)


class Peer(torch.nn.Module):
    """The same network with the same weights, counting its evaluations."""

    def __init__(self, network: eqx.nn.MLP):
        super().__init__()
        layers: list[torch.nn.Module] = []
        for layer in network.layers:
            linear = torch.nn.Linear(int(layer.in_features), int(layer.out_features))
            linear.weight.data = torch.tensor(np.asarray(layer.weight))
            linear.bias.data = torch.tensor(np.asarray(layer.bias))
            layers += [linear, torch.nn.Tanh()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.evaluations = 0

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        self.evaluations += 1
        return self.network(state)


def our_step(model: Model, truth: Array, loss: Callable[..., Array]) -> Callable[[], float]:
    update = GradientUpdate(loss, optax.adam(LEARNING_RATE))
    compiled = eqx.filter_jit(update)
    state, key, number = update.begin(model), jax.random.key(0), jnp.asarray(0)

    def step() -> float:
        nonlocal state
        state, metrics = compiled(state, truth, key, number)
        return float(metrics["loss"])

    return step


def peer_step(model: Model, truth: Array, odeint: Callable[..., torch.Tensor]) -> Callable[[], float]:
    network, goal, times = Peer(model.network), torch.tensor(np.asarray(truth)), torch.tensor(TIMES)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def step() -> float:
        optimiser.zero_grad()
        found = odeint(network, goal[0], times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
        loss = ((found - goal) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def trajectories(count: int) -> Float[Array, "time trajectory 2"]:
    """The cubic spiral of the neural-ODE literature from random starts."""
    matrix = jnp.asarray([[-0.1, 2.0], [-2.0, -0.1]])
    start = jax.random.uniform(jax.random.key(1), (count, 2), minval=-1.4, maxval=1.4)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: y**3 @ matrix.T),
        diffrax.Dopri5(),
        TIMES[0],
        TIMES[-1],
        None,
        start,
        saveat=diffrax.SaveAt(ts=jnp.asarray(TIMES)),
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
    )
    assert solution.ys is not None
    return solution.ys


def trained(width: int, truth: Float[Array, "time trajectory 2"]) -> Model:
    """A model after some training, whose field is curved as real ones are and takes as many steps to solve."""
    model = Model(eqx.nn.MLP(2, 2, width, 2, activation=jnp.tanh, key=jax.random.key(0)))
    by_trajectory = truth.swapaxes(0, 1)

    def loss(model: Model, batch: Float[Array, "trajectory time 2"], key: Array) -> Array:
        return together(model, batch.swapaxes(0, 1), key)

    return fit(model, by_trajectory, loss, steps=300, batch_size=16, key=jax.random.key(2), progress=False).model


def evaluations(model: Model, truth: Float[Array, "time *batch 2"]) -> int:
    """How often one solution evaluates the network, after checking that the peer finds the same with as many."""
    peer, start, times = Peer(model.network), torch.tensor(np.asarray(truth[0])), torch.tensor(TIMES)
    with torch.no_grad():
        theirs = torchdiffeq.odeint(peer, start, times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
    ours = model.solve(truth[0])
    np.testing.assert_allclose(np.asarray(ours.ys), theirs.numpy(), atol=100 * TOLERANCE)
    # Six evaluations a step and two to find the first; rounding may cost either side a step.
    count = 6 * int(ours.stats["num_steps"]) + 2
    if abs(count - peer.evaluations) > 12:
        raise AssertionError(f"Not the same work: {count} evaluations here, {peer.evaluations} in torchdiffeq.")
    return count


def compared(batch: int | None, width: int, *, calls: int, target: float | None = None) -> list[dict[str, Any]]:
    """The rows of one size; without a batch, of a single trajectory."""
    many = trajectories(batch or 16)
    model = trained(width, many)
    truth = many[:, 0] if batch is None else many
    count = evaluations(model, truth)
    threads = set_best_threads(lambda: peer_step(model, truth, torchdiffeq.odeint))
    candidates = {"ours": our_step(model, truth, together), "odeint": peer_step(model, truth, torchdiffeq.odeint)}
    if batch is not None:
        candidates["apart"] = our_step(model, truth, apart)
    found = take_turns(candidates, repeats=REPEATS, calls=calls)
    name = "training step, " + ("one trajectory" if batch is None else f"{batch} trajectories")
    peer = f"torchdiffeq {torchdiffeq.__version__} odeint"
    sizes = (
        f"network 2-{width}-{width}-2, {len(TIMES)} times, tolerance {TOLERANCE:g}, {count} evaluations, "
        f"PyTorch with {threads} thread{'s' if threads > 1 else ''}"
    )
    together_name = name if batch is None else f"{name} as one system"
    rows = [row(together_name, found["ours"], found["odeint"], against=peer, sizes=sizes, target=target)]
    if batch is not None:
        apart_name = f"{name}, each with its own steps here"
        rows.append(row(apart_name, found["apart"], found["odeint"], against=peer, sizes=sizes))
    if target is not None:
        # Several times slower than `odeint`: fewer repeats, and not of every size.
        adjoint = {"ours": candidates["ours"], "peer": peer_step(model, truth, torchdiffeq.odeint_adjoint)}
        found = take_turns(adjoint, repeats=REPEATS // 2)
        rows.append(row(together_name, found["ours"], found["peer"], against=f"{peer}_adjoint", sizes=sizes))
    return rows


def main() -> list[dict[str, Any]]:
    """A batch and a single trajectory of a small network, and a larger batch of a wider one."""
    return [
        *compared(128, 64, calls=3, target=1.2),
        *compared(None, 64, calls=5, target=3.0),
        *compared(256, 128, calls=1),
    ]
