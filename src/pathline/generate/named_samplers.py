"""Samplers by name, for the command line and for whoever does not want to choose the pieces."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pathline.errors import InputError, nearest
from pathline.generate.samplers import (
    DDIM,
    RK4,
    Adaptive,
    DPMSolverPP,
    EDMHeun,
    Euler,
    EulerMaruyama,
    Heun,
    NoiseAnchored,
    Sampler,
    UniPC,
)


@dataclass(frozen=True)
class NamedSampler:
    """A sampler that can be asked for by name.

    Arguments:
        build: from the number of steps to the sampler.
        per_step: evaluations of the model in each step.
        about: one line.
    """

    build: Callable[[int], Sampler]
    per_step: int
    about: str

    def with_evaluations(self, evaluations: int) -> Sampler:
        """With as many steps as the evaluations allow, one at least."""
        return self.build(max(1, math.ceil(evaluations / self.per_step)))


SAMPLERS: dict[str, NamedSampler] = {
    "euler": NamedSampler(lambda steps: Euler(steps), 1, "first order, in the path's time; best for straight flows"),
    "heun": NamedSampler(lambda steps: Heun(steps), 2, "second order, two evaluations in each step"),
    "rk4": NamedSampler(lambda steps: RK4(steps), 4, "fourth order, four evaluations in each step"),
    "edm-heun": NamedSampler(lambda steps: EDMHeun(steps), 2, "Heun in the noise level, with EDM's steps"),
    "ddim": NamedSampler(lambda steps: DDIM(steps), 1, "first order in the noise level; the usual one of diffusions"),
    "dpm-solver++": NamedSampler(lambda steps: DPMSolverPP(steps), 1, "second order in the log signal-to-noise ratio"),
    "unipc": NamedSampler(lambda steps: UniPC(steps), 1, "the same with a corrector that costs nothing; few steps"),
    "noise-anchored": NamedSampler(lambda steps: NoiseAnchored(steps), 1, "for flows after reflow, few steps"),
    "euler-maruyama": NamedSampler(lambda steps: EulerMaruyama(steps), 1, "the stochastic equation; many steps"),
    "adaptive": NamedSampler(lambda steps: Adaptive(), 6, "to a tolerance, whatever it takes: the reference"),
}
"""Every sampler by name. `dpm-solver-v3` is a further one, with statistics of the model that are computed first."""

STATISTICAL = "dpm-solver-v3"
"""The name of the sampler that needs statistics of the model, from `model_statistics`, before it can run."""


def sampler_named(name: str, steps: int) -> Sampler:
    """A sampler with so many steps.

    Arguments:
        name: a key of `SAMPLERS`.
        steps: how many; `adaptive` chooses its own.

    Raises:
        InputError: there is none of that name, or no step.
    """
    if name not in SAMPLERS:
        raise InputError(
            f"There is no sampler {name!r}{nearest(name, [*SAMPLERS, STATISTICAL])}; there are {', '.join(SAMPLERS)} and "
            f"{STATISTICAL}."
        )
    if steps < 1:
        raise InputError(f"A sampler needs at least one step, and {steps} were asked for.")
    return SAMPLERS[name].build(steps)


def needs_statistics(name: str) -> bool:
    """Whether the sampler of that name needs statistics of the model."""
    return name == STATISTICAL
