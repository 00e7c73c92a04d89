"""Flow matching and 20-step sampling of vectors, against PyTorch and against the bare network.

Both sides start from the same weights of the same network, and do the same work in 32 bits. Before anything is timed
they must agree: on the loss and every gradient of one batch, and on the samples of one set of starts.

PyTorch runs eagerly, as the examples of torchcfm and diffusers do, with one thread or two, whichever is faster at that
size. Flow matching in it is what torchcfm's `ConditionalFlowMatcher` does with `sigma=0`, written out: installing
torchcfm brings PyTorch Lightning and another PyTorch. Written out it is a little faster, as nothing is drawn that
`sigma=0` makes vanish.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffusers
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from benchmarks.timing import row, take_turns
from benchmarks.torch_peer import TorchResidualMLP, set_best_threads
from jaxtyping import Array, Float, PyTree

from pathline.generate import (
    DDIM,
    AffinePath,
    DiscreteVariancePreserving,
    DPMSolverPP,
    Euler,
    Fields,
    Grid,
    Independent,
    Linear,
    Regression,
    Sampler,
    Term,
    loss_terms,
    sample,
)
from pathline.nets import ResidualMLP
from pathline.train import GradientUpdate, fit

EVALUATIONS = 20
STARTS = 512
DATA = 4096
TRAINING_STEPS = 2000
LEARNING_RATE = 1e-3
# One object, so that every training shares a compilation.
OPTIMISER = optax.adam(LEARNING_RATE)
NOISING = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
OVERHEAD_REPEATS, REPEATS, TRAINING_REPEATS = 25, 15, 5
AGREEMENT = 1e-5


@dataclass(frozen=True)
class Size:
    """A residual MLP of depth 3 for vectors."""

    dim: int
    width: int
    calls: int

    def __str__(self) -> str:
        return f"residual MLP of width {self.width} and depth 3"

    @property
    def label(self) -> str:
        """Dimension and width, in short."""
        return f"{self.dim}-D, width {self.width}"

    def network(self) -> ResidualMLP:
        """With random weights: how long it takes does not depend on them."""
        return ResidualMLP(self.dim, self.width, 3, key=jax.random.key(0))

    def vectors(self, count: int) -> Float[Array, "sample dim"]:
        """Starts of samplers, or data."""
        return jax.random.normal(jax.random.key(1), (count, self.dim))


# The default width of torchcfm's network; added after a first run of the other two sizes.
SMALL = Size(2, 64, calls=5)
PLANE = Size(2, 128, calls=3)
VECTORS = Size(64, 256, calls=1)


class Timesteps(Grid):
    """The times of steps of a discrete diffusion, from noise, and then the data."""

    timesteps: tuple[int, ...] = eqx.field(static=True, default=())

    def between(self, path: AffinePath, first: float, last: float, steps: int) -> Float[np.ndarray, " time"]:
        """Step `k` of `K` lies at `1 - (k + 1) / K`."""
        return np.append(1 - (np.asarray(self.timesteps) + 1) / NOISING["num_train_timesteps"], last)


def flow(size: Size) -> Fields:
    """A velocity on straight paths."""
    return Fields(Linear(), size.network(), "velocity")


def diffusion(size: Size) -> Fields:
    """A noise prediction on the discrete diffusion of `NOISING`."""
    betas = np.linspace(NOISING["beta_start"], NOISING["beta_end"], NOISING["num_train_timesteps"])
    return Fields(DiscreteVariancePreserving(betas), size.network(), "noise")


# The sampler beside the bare network


@eqx.filter_jit
def bare(network: ResidualMLP, starts: Array, times: Array) -> Array:
    """The network, and nothing besides, once at each time."""

    def step(states: Array, t: Array) -> tuple[Array, None]:
        return jax.vmap(lambda one: network(t, one))(states), None

    return jax.lax.scan(step, starts, times)[0]


def overhead(size: Size) -> list[dict[str, Any]]:
    """Samplers against the evaluations of the network that they make."""
    starts, times = size.vectors(STARTS), jnp.linspace(0.0, 1.0, EVALUATIONS)
    network = size.network()
    fields = {"Euler": flow(size), "DPM-Solver++ 2M": diffusion(size)}
    samplers = {"Euler": Euler(EVALUATIONS), "DPM-Solver++ 2M": DPMSolverPP(EVALUATIONS)}
    candidates = {name: our_samples(fields[name], starts, sampler) for name, sampler in samplers.items()}
    candidates["bare"] = lambda: jax.block_until_ready(bare(network, starts, times))
    found = take_turns(candidates, repeats=OVERHEAD_REPEATS, calls=size.calls)
    against = f"{EVALUATIONS} evaluations in a bare lax.scan"
    sizes = f"{size}, {STARTS} samples"
    return [
        row(
            f"sampling by {name}, {size.label}",
            found[name],
            found["bare"],
            against=against,
            sizes=sizes,
            target=1 / 1.05,
        )
        for name in samplers
    ]


# Flow matching


def our_step(size: Size, batch: Array) -> Callable[[], float]:
    """One step of training, compiled as `fit` does, as a call that returns when the loss is on the host."""
    update = GradientUpdate(Regression(Independent(batch)), OPTIMISER)
    arrays, rest = eqx.partition(update.begin(flow(size)), eqx.is_array)
    key, number = jax.random.key(2), 0

    @partial(jax.jit, donate_argnums=0)
    def compiled(arrays: PyTree, batch: Array, key: Array, number: Array) -> tuple[PyTree, Array]:
        state = eqx.combine(arrays, rest)
        state, metrics = update(state, (batch, None), jax.random.fold_in(key, number), number)
        return eqx.filter(state, eqx.is_array), metrics["loss"]

    def step() -> float:
        nonlocal arrays, number
        number += 1
        arrays, loss = compiled(arrays, batch, key, np.int32(number))
        return float(loss)

    return step


def torch_loss(network: TorchResidualMLP, t: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`E |u(t, (1-t) x0 + t x1) - (x1 - x0)|^2`."""
    share = t[:, None]
    return torch.nn.functional.mse_loss(network(t, (1 - share) * source + share * target), target - source)


def torch_update(size: Size) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same step of training in PyTorch, from a batch to its loss."""
    network = TorchResidualMLP(size.network())
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def update(batch: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch_loss(network, torch.rand(len(batch)), torch.randn_like(batch), batch)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return update


def torch_step(size: Size, batch: Array) -> Callable[[], float]:
    update, target = torch_update(size), torch.tensor(np.asarray(batch))
    return lambda: update(target).item()


def torch_training(size: Size, data: Array, batch_size: int) -> Callable[[], Any]:
    """A whole training in PyTorch: shuffled anew each epoch, the losses on the host at the end."""
    target = torch.tensor(np.asarray(data))

    def call() -> np.ndarray:
        update, losses = torch_update(size), []
        while len(losses) < TRAINING_STEPS:
            for rows in torch.randperm(len(target)).split(batch_size)[: TRAINING_STEPS - len(losses)]:
                losses.append(update(target[rows]))
        return torch.stack(losses).numpy()

    return call


def check_loss(size: Size, batch: Array) -> None:
    """Both must find the same loss, and the same gradient for every weight."""
    t = jnp.linspace(0.0, 1.0, len(batch))
    source = jax.random.normal(jax.random.key(3), batch.shape)

    def loss(fields: Fields) -> Array:
        terms = (Term("velocity"),)
        return jax.vmap(lambda t, x0, x1: loss_terms(fields, terms, t, x0, x1, x0))(t, source, batch).mean()

    ours, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(flow(size))
    network = TorchResidualMLP(size.network())
    theirs = torch_loss(network, *(torch.tensor(np.asarray(part)) for part in (t, source, batch)))
    theirs.backward()
    np.testing.assert_allclose(float(ours), theirs.item(), rtol=AGREEMENT)
    for ours, parameter in zip(jax.tree.leaves(gradient), network.parameters(), strict=True):
        assert parameter.grad is not None
        check_equal(ours, parameter.grad)


def check_equal(ours: Array, theirs: torch.Tensor) -> None:
    """To `AGREEMENT`, relative to the largest."""
    wanted = theirs.numpy()
    np.testing.assert_allclose(np.asarray(ours), wanted, atol=AGREEMENT * float(np.abs(wanted).max()))


def steps(size: Size, batch_size: int, *, whole: bool = False) -> list[dict[str, Any]]:
    """A step of flow matching, and perhaps a whole training."""
    data = size.vectors(DATA)
    batch = data[:batch_size]
    check_loss(size, batch)
    threads = set_best_threads(lambda: torch_step(size, batch))
    sizes = f"{size}, batches of {batch_size}, Adam, {_threads(threads)}"
    against = f"PyTorch {torch.__version__}"
    what = f"{size.label}, batches of {batch_size}"
    candidates = {"ours": our_step(size, batch), "peer": torch_step(size, batch)}
    found = take_turns(candidates, repeats=REPEATS, calls=5 * size.calls)
    rows = [row(f"flow-matching step, {what}", found["ours"], found["peer"], against=against, sizes=sizes, target=1.5)]
    if whole:
        coupling = Independent(data)
        loss, fields = Regression(coupling), flow(size)
        options = {"steps": TRAINING_STEPS, "batch_size": batch_size, "optimiser": OPTIMISER, "progress": False}
        found = take_turns(
            {
                "ours": lambda: fit(fields, coupling.data, loss, key=jax.random.key(4), **options),
                "peer": torch_training(size, data, batch_size),
            },
            repeats=TRAINING_REPEATS,
        )
        name = f"{TRAINING_STEPS} steps through fit, {what}"
        sizes = f"{sizes}, of {DATA} samples"
        rows.append(row(name, found["ours"], found["peer"], against=against, sizes=sizes, target=1.5))
    return rows


# Sampling


def our_samples(fields: Fields, starts: Array, sampler: Sampler) -> Callable[[], Array]:
    return lambda: jax.block_until_ready(sample(fields, starts, sampler))


def torch_euler(size: Size, starts: Array) -> Callable[[], torch.Tensor]:
    """Euler's method as a loop, the fastest way in PyTorch: solvers of packages also keep the states between."""
    network, begin = TorchResidualMLP(size.network()), torch.tensor(np.asarray(starts))

    @torch.inference_mode()
    def call() -> torch.Tensor:
        states, times = begin, torch.arange(EVALUATIONS) / EVALUATIONS
        for t in times:
            states = states + network(t, states) / EVALUATIONS
        return states

    return call


def scheduled(size: Size, starts: Array, scheduler: Any) -> Callable[[], torch.Tensor]:
    """A scheduler of diffusers driving the network, as its pipelines do."""
    network, begin = TorchResidualMLP(size.network()), torch.tensor(np.asarray(starts))
    last = NOISING["num_train_timesteps"]

    @torch.inference_mode()
    def call() -> torch.Tensor:
        scheduler.set_timesteps(EVALUATIONS)
        states = begin
        for timestep in scheduler.timesteps:
            noise = network(1 - (timestep + 1) / last, states)
            states = scheduler.step(noise, timestep, states, return_dict=False)[0]
        return states

    return call


def samplers(size: Size) -> list[dict[str, Any]]:
    """The same samplers in PyTorch."""
    starts = size.vectors(STARTS)
    packages = f"diffusers {diffusers.__version__}"
    ddim = diffusers.DDIMScheduler(**NOISING, clip_sample=False)
    dpm = diffusers.DPMSolverMultistepScheduler(**NOISING)
    ours = {
        "Euler": our_samples(flow(size), starts, Euler(EVALUATIONS)),
        "DDIM": our_samples(diffusion(size), starts, DDIM(EVALUATIONS, _same_grid(ddim))),
        "DPM-Solver++ 2M": our_samples(diffusion(size), starts, DPMSolverPP(EVALUATIONS, _same_grid(dpm))),
    }
    peers = {
        "Euler": (f"PyTorch {torch.__version__}, a loop", torch_euler(size, starts)),
        "DDIM": (f"{packages} DDIMScheduler", scheduled(size, starts, ddim)),
        "DPM-Solver++ 2M": (f"{packages} DPMSolverMultistepScheduler", scheduled(size, starts, dpm)),
    }
    rows = []
    for name, (against, peer) in peers.items():
        check_equal(ours[name](), peer())
        threads = set_best_threads(lambda peer=peer: peer)
        found = take_turns({"ours": ours[name], "peer": peer}, repeats=REPEATS, calls=size.calls)
        sizes = f"{size}, {EVALUATIONS} evaluations, {STARTS} samples, {_threads(threads)}"
        what = f"{EVALUATIONS} steps of {name}, {size.label}"
        rows.append(row(what, found["ours"], found["peer"], against=against, sizes=sizes, target=1.5))
    return rows


def _same_grid(scheduler: Any) -> Timesteps:
    scheduler.set_timesteps(EVALUATIONS)
    return Timesteps(stop=1.0, timesteps=tuple(scheduler.timesteps.tolist()))


def _threads(count: int) -> str:
    return f"PyTorch with {count} thread{'s' if count > 1 else ''}"


def main() -> list[dict[str, Any]]:
    """Samplers beside the bare network, then training and sampling beside PyTorch."""
    return [
        *overhead(PLANE),
        *overhead(VECTORS),
        *steps(SMALL, 256, whole=True),
        *steps(PLANE, 256, whole=True),
        *steps(PLANE, 512),
        *steps(VECTORS, 256, whole=True),
        *steps(VECTORS, 512),
        *samplers(SMALL),
        *samplers(PLANE),
        *samplers(VECTORS),
    ]
