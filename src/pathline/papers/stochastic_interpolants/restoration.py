"""From a coarse image to many sharp ones: data to data with pairs, sampled from a single start."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.generate.couplings import Paired
from pathline.generate.fields import Fields
from pathline.generate.objectives import Regression
from pathline.generate.paths import Linear
from pathline.generate.samplers import Heun, sample
from pathline.generate.samplers.stochastic import EulerMaruyama
from pathline.measure import energy_distance
from pathline.train import fit


@dataclass(frozen=True)
class Restoration:
    """The experiment on images.

    Arguments:
        network: from a key to a network `F(t, x, condition)` of an image, conditioned on the coarse one as a vector.
        block: edge of the squares of pixels that a coarse image is averaged over.
        strength: of the latent.
        steps, batch_size, rate, ema: of training.
        held: images that are not learnt from, of which coarse ones are restored.
        repeats: samples of each coarse image.
        sampler_steps: of Euler-Maruyama at `eps = 1`.
    """

    network: Callable[[Array], eqx.Module]
    block: int = 4
    strength: float = 1.0
    steps: int = 2500
    batch_size: int = 128
    rate: float = 1e-3
    ema: float = 0.998
    held: int = 300
    repeats: int = 8
    sampler_steps: int = 300


@dataclass(frozen=True)
class Restored:
    """What became of coarse images.

    Arguments:
        spread: standard deviation of the pixels over samples from one start: of the stochastic equation, and of the ODE.
        residual: root mean square of a restored image's coarse version less its start; of the stochastic equation, and of
            coarse images of other real ones for comparison.
        energy: distance to real held-out images of the samples of the stochastic equation, of the ODE, and of the coarse
            images; and the floor.
        shown: coarse image, real image, ODE, then samples of the stochastic equation: a row for each start.
    """

    spread: dict[str, float]
    residual: dict[str, float]
    energy: dict[str, float]
    shown: Float[np.ndarray, "start column height width"]


class Conditioned(eqx.Module):
    """Velocity and latent given the coarse image, by two networks.

    Arguments:
        velocity, latent: networks `F(t, x, condition)`.
    """

    velocity: eqx.Module
    latent: eqx.Module

    def __call__(self, t, x, condition) -> tuple[Array, Array]:
        """Both predictions."""
        return self.velocity(t, x, condition), self.latent(t, x, condition)  # pyright: ignore[reportCallIssue]


def coarse(images: Float[np.ndarray, "sample channel height width"], block: int) -> Float[np.ndarray, "sample ..."]:
    """Each square of pixels replaced by its mean."""
    count, channels, height, width = images.shape
    squares = images.reshape(count, channels, height // block, block, width // block, block)
    means = squares.mean(axis=(3, 5), keepdims=True)
    return np.broadcast_to(means, squares.shape).reshape(images.shape)


def restore(setup: Restoration, images: Float[np.ndarray, "sample channel height width"], key: Array) -> Restored:
    """Train on pairs of a coarse and a sharp image, and restore held-out ones."""
    split_key, training_key, noise_key = jax.random.split(key, 3)
    order = np.asarray(jax.random.permutation(split_key, len(images)))
    sharp = (2 * images - 1).astype(np.float32)[order]
    blurred = coarse(sharp, setup.block)
    told = blurred[..., :: setup.block, :: setup.block].reshape(len(blurred), -1)
    held, rest = slice(0, setup.held), slice(setup.held, None)
    path = Linear(latent="brownian", strength=setup.strength, law=None)

    def model(key: Array) -> Fields:
        return Fields(path, Conditioned(*map(setup.network, jax.random.split(key))), ("velocity", "latent"))

    coupling = Paired(blurred[rest], sharp[rest], condition=told[rest])
    model_key, fit_key = jax.random.split(training_key)
    fields = fit(
        model(model_key),
        coupling.data,
        Regression(coupling),
        steps=setup.steps,
        batch_size=setup.batch_size,
        optimiser=optax.chain(
            optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(setup.rate, setup.steps))
        ),
        ema=setup.ema,
        key=fit_key,
    ).ema_model
    assert fields is not None
    # Every sample begins at the coarse image itself: all that differs is the noise on the way.
    starts, conditions = (jnp.repeat(jnp.asarray(part[held]), setup.repeats, axis=0) for part in (blurred, told))
    found = np.asarray(
        sample(fields, starts, EulerMaruyama(setup.sampler_steps, 1.0), key=noise_key, conditions=conditions)
    ).reshape(-1, setup.repeats, *sharp.shape[1:])
    flow = np.asarray(
        sample(fields, jnp.asarray(blurred[held]), Heun(setup.sampler_steps // 2), conditions=jnp.asarray(told[held]))
    )
    again = coarse(found.reshape(-1, *sharp.shape[1:]), setup.block).reshape(found.shape)
    real, other = sharp[held], sharp[rest][: setup.held]
    columns = [blurred[held], real, flow, *np.moveaxis(found, 1, 0)[:5]]
    return Restored(
        spread={"SDE": float(found.std(axis=1).mean()), "real": float(sharp.std(axis=0).mean())},
        residual={
            "SDE": float(np.sqrt(np.mean((again - blurred[held][:, None]) ** 2))),
            "other images": float(np.sqrt(np.mean((blurred[held] - blurred[rest][: setup.held]) ** 2))),
        },
        energy={
            name: energy_distance(part.reshape(len(part), -1), real.reshape(len(real), -1))
            for name, part in (("SDE", found[:, 0]), ("ODE", flow), ("coarse", blurred[held]), ("real", other))
        },
        shown=np.stack([column[:6].mean(axis=1) for column in columns], axis=1),
    )
