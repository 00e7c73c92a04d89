"""What the comparisons with PyTorch share: its number of threads, and `pathline.nets.ResidualMLP` written in it."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
import torch
from benchmarks.timing import take_turns

from pathline.nets import ResidualMLP

THREADS = (1, 2)


def set_best_threads(make: Callable[[], Callable[[], Any]]) -> int:
    """Set the number of threads with which PyTorch is fastest, and return it.

    Arguments:
        make: gives a call to be timed, a new one for each number of threads.
    """

    def with_threads(count: int) -> Callable[[], None]:
        step = make()

        def call() -> None:
            torch.set_num_threads(count)
            step()

        return call

    seconds = take_turns({str(count): with_threads(count) for count in THREADS}, repeats=5)
    best = min(THREADS, key=lambda count: seconds[str(count)].min())
    torch.set_num_threads(best)
    return best


class TorchResidualMLP(torch.nn.Module):
    """The same network with the same weights, its parameters in the order of the leaves of ours.

    Arguments:
        network: ours, without a condition.
    """

    def __init__(self, network: ResidualMLP):
        super().__init__()
        self.frequencies = torch.tensor(network.conditioning.waves.frequencies, dtype=torch.float32)
        self.embed_inward, self.embed_outward = (
            _linear(network.conditioning.inward),
            _linear(network.conditioning.outward),
        )
        self.inward = _linear(network.inward)
        self.blocks = torch.nn.ModuleList(
            torch.nn.ModuleList([_linear(block.first), _linear(block.modulation), _linear(block.second)])
            for block in network.blocks
        )
        self.outward = _linear(network.outward)

    def forward(self, level: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Of a batch of states, at one level or at one for each: one level is embedded once, as in ours."""
        silu = torch.nn.functional.silu
        phases = level[..., None] * self.frequencies
        waves = math.sqrt(2) * torch.cat([phases.cos(), phases.sin()], dim=-1)
        embedding = silu(self.embed_outward(silu(self.embed_inward(waves))))
        hidden = self.inward(states)
        for first, modulation, second in self.blocks:
            scale, shift = modulation(embedding).chunk(2, dim=-1)
            hidden = hidden + second(silu((1 + scale) * first(silu(hidden)) + shift))
        return self.outward(silu(hidden))


def _linear(layer: eqx.nn.Linear) -> torch.nn.Linear:
    linear = torch.nn.Linear(int(layer.in_features), int(layer.out_features))
    linear.weight.data = torch.tensor(np.asarray(layer.weight))
    linear.bias.data = torch.tensor(np.asarray(layer.bias))
    return linear
