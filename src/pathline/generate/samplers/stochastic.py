"""Stochastic samplers: the same marginals as the ODE, with as much noise on the way as one likes."""

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.errors import InputError
from pathline.generate.paths import AffinePath, Time
from pathline.generate.paths.base import as_time, rates
from pathline.generate.predictions import Kind, conversions
from pathline.generate.samplers.grids import Grid, UniformTime
from pathline.generate.samplers.table import Table, TableSampler


class Diffusion(eqx.Module):
    """The strength of the noise on the way, `eps(t)` in `sqrt(2 eps) dW`. Abstract.

    Diffusion models write `g dW`: `eps = g^2 / 2`.
    """

    @abstractmethod
    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """`eps(t)`, not negative."""


class ConstantDiffusion(Diffusion):
    """The same at every time. The grid must keep away from ends where the score is infinite.

    Arguments:
        strength: `eps`; 0 is the ODE, 0.5 to 5 are good values for data of unit variance.

    Raises:
        InputError: it is negative.
    """

    strength: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        _check_strength(self.strength)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The strength."""
        return jnp.full_like(as_time(t), self.strength)


class VanishingDiffusion(Diffusion):
    """`4 eps t (1 - t)`: none at the ends. With a Brownian latent `eps(t) / gamma(t)^2` is bounded, so that the pull of the
    score is too, however sharp the data are.

    Arguments:
        strength: `eps`, in the middle; 0.5 to 5 are good values for data of unit variance.

    Raises:
        InputError: it is negative.
    """

    strength: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        _check_strength(self.strength)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The strength at one time."""
        time = as_time(t)
        return 4 * self.strength * time * (1 - time)


class ReverseDiffusion(Diffusion):
    """On a path from noise, that of the noising process itself: `a^2 d log(b/a)/dt`, which is `beta/2` for a
    variance-preserving diffusion. It is infinite where there is no signal (`b = 0`).

    Tapered, it is multiplied by `b / (a + b)`: finite where there is no signal, and the same where the data prevail. On
    `Linear` it is then `1 - t`.

    Arguments:
        strength: a factor; 1 is the reverse-time diffusion, 0 the ODE.
        tapered: whether it is.

    Raises:
        InputError: the strength is negative or, when called, the path does not start from noise alone.

    Source: Song et al., Score-Based Generative Modeling through SDEs, 2021, equation 6, for any affine path; the taper is
    our own.
    """

    strength: float = eqx.field(static=True, default=1.0)
    tapered: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        _check_strength(self.strength)

    def __call__(self, path: AffinePath, t: Time) -> Float[Array, ""]:
        """The strength at one time."""
        if path.law is None or path.has_latent:
            what = "has a latent" if path.has_latent else "starts from data"
            raise InputError(
                f"ReverseDiffusion needs a path from noise and nothing else, and {type(path).__name__} {what}; use "
                "VanishingDiffusion() or a constant."
            )
        (a, a_rate), (b, b_rate) = rates(path.source_scale, t), rates(path.target_scale, t)
        # a^2 (b'/b - a'/a), with no division by a.
        return self.strength * a * (a * b_rate - a_rate * b) / (a + b if self.tapered else b)


class StochasticSampler(TableSampler):
    """`dX = (b + eps s) dt + sqrt(2 eps) dW` from the source to the target, with the velocity `b` and the score `s`; with a
    grid that runs from 1 to 0 the equation backwards in time, `dX = (b - eps s) dt + sqrt(2 eps) dW`. Abstract:
    `EulerMaruyama` or `StochasticHeun`.

    With exact fields the marginals are those of the path for every `eps`. With learnt ones noise helps: it forgets earlier
    errors, and the score pulls back to where the data are. More noise needs smaller steps: `eps h` times the slope of the
    score must be small, so compare with twice as many steps before comparing with an ODE.

    Arguments:
        steps: how many.
        diffusion: `eps(t)`, a number for a constant one. When absent, `ReverseDiffusion()` on a path from noise and
            `VanishingDiffusion()` on one with a latent.
        grid: where the steps lie.

    Source: Albergo et al., Stochastic Interpolants, 2025, corollary 18.
    """

    steps: eqx.AbstractVar[int]
    diffusion: eqx.AbstractVar[Diffusion | float | None]
    grid: eqx.AbstractVar[Grid]

    def drift(
        self, path: AffinePath, predicts: Sequence[Kind], times: Float[np.ndarray, " time"], direction: float
    ) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"], Float[np.ndarray, "time kind"]]:
        """`eps` and the weights of the state and of the predictions in `b + direction eps s`, in double precision.

        Arguments:
            path: the path.
            predicts: what the model does.
            times: at which.
            direction: 1 forwards and -1 backwards in time.

        Raises:
            InputError: the path has no score, or the model does not determine it.
        """
        diffusion = diffusion_on(path, self.diffusion)
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            eps = np.asarray(jax.vmap(lambda t: diffusion(path, t))(jnp.asarray(times, jnp.float64)))
        velocity_state, velocity = conversions(path, predicts, "velocity", times)
        noisy = eps > 0
        if not noisy.any():
            return eps, velocity_state, velocity
        score_state, score = conversions(path, predicts, "score", times)
        # Where there is no noise the score does not matter, be it infinite.
        score_state, score = np.where(noisy, score_state, 0.0), np.where(noisy[:, None], score, 0.0)
        factor = direction * eps
        return eps, velocity_state + factor * score_state, velocity + factor[:, None] * score


class EulerMaruyama(StochasticSampler):
    """`X' = X + h drift(t, X) + sqrt(2 eps h) xi`: one evaluation of the model in each step, of weak order 1.

    Arguments:
        steps: 100 to 500 are good values.
        diffusion: `eps(t)`, a number for a constant one; see `StochasticSampler`.
        grid: where the steps lie.
    """

    steps: int = eqx.field(static=True, default=200)
    diffusion: Diffusion | float | None = None
    grid: Grid = UniformTime()

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """One row for each step."""
        grid = self.grid.times(path, self.steps)
        step = np.diff(grid)
        eps, state, prediction = self.drift(path, predicts, grid[:-1], float(np.sign(step[0])))
        return Table.of(
            grid[:-1],
            prediction,
            state,
            next_anchor=np.ones(self.steps),
            next_record=step[:, None],
            next_noise=np.sqrt(2 * eps * np.abs(step)),
        )


class StochasticHeun(StochasticSampler):
    """The noise first, then a step of Heun with both slopes at the end of the step:
    `Y = X + sqrt(2 eps h) xi`, `K1 = drift(t + h, Y)`, `K2 = drift(t + h, Y + h K1)`, `X' = Y + h (K1 + K2) / 2`.

    Two evaluations of the model in each step. As the noise comes first it is of weak order 1 too: the variance is too small by
    about `eps h`, where Euler-Maruyama makes it too large by half of that. It is here to compare with published results.

    Arguments:
        steps: 50 to 200 are good values.
        diffusion: `eps(t)`, a number for a constant one, taken at the end of each step; see `StochasticSampler`.
        grid: where the steps lie; velocity and score must be finite at its stop.

    Source: the authors' implementation of stochastic interpolants, in words of its algorithm.
    """

    steps: int = eqx.field(static=True, default=100)
    diffusion: Diffusion | float | None = None
    grid: Grid = UniformTime()

    def table(self, path: AffinePath, predicts: Sequence[Kind]) -> Table:
        """Two rows for each step."""
        grid = self.grid.times(path, self.steps)
        step, times = np.repeat(np.diff(grid), 2), np.repeat(grid[1:], 2)
        eps, state, prediction = self.drift(path, predicts, times, float(np.sign(step[0])))
        noise = np.sqrt(2 * eps * np.abs(step))
        first = np.arange(2 * self.steps) % 2 == 0
        return Table.of(
            times,
            prediction,
            state,
            anchor_anchor=np.where(first, 0.0, 1.0),
            anchor_point=np.where(first, 1.0, 0.0),
            next_anchor=np.ones(len(times)),
            next_record=np.stack([np.where(first, step, 0.5 * step), np.where(first, 0.0, 0.5 * step)], axis=1),
            # The second row of a step ends with the noise of the next one; the last step ends without.
            next_noise=np.where(first, 0.0, np.append(noise[1:], 0.0)),
            first_noise=float(noise[0]),
        )


def diffusion_on(path: AffinePath, given: Diffusion | float | None) -> Diffusion:
    """The strength of the noise as a function of time.

    Arguments:
        path: whose default is taken when nothing is given: `VanishingDiffusion()` with a latent, `ReverseDiffusion()`
            without.
        given: a function of time, or a number for a constant one.

    Raises:
        InputError: the number is negative.
    """
    if given is None:
        return VanishingDiffusion() if path.has_latent else ReverseDiffusion()
    return given if isinstance(given, Diffusion) else ConstantDiffusion(float(given))


def _check_strength(strength: float) -> None:
    if not strength >= 0:
        raise InputError(f"The strength of the noise cannot be {strength}; give 0 for the ODE, or a positive number.")
