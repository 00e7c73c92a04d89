"""What heavy tails do to a network: equal training for every number of degrees, and three ways to disturb the sampler."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pathline.generate import (
    EDM,
    Denoiser,
    EDMHeun,
    Fields,
    Gaussian,
    Independent,
    LogNormalLevel,
    Regression,
    StudentT,
    Term,
    VarianceExploding,
    noise_law,
    robustness_sweep,
    sample,
)
from pathline.measure import PrincipalComponents, frechet_distance, precision_recall
from pathline.papers.pfgm_plus_plus.exact import PATH
from pathline.train import fit, pick_seed


@dataclass(frozen=True)
class Setup:
    """How models are trained and disturbed; everything but the noise is the same for all.

    Arguments:
        network: from a random key to a network `F(level, x, condition)`.
        path: whose law is replaced; its levels are those of training and sampling.
        data_scale: standard deviation of the data.
        mean, deviation: of the logarithm of the noise level in training.
        degrees: `D` of each model; infinity is the baseline.
        jitter: the degrees whose spread of norms the second baseline has, without heavy tails.
        limit: many degrees, to be compared with infinitely many.
        steps, batch_size, rate: of training, by Adam with a cosine schedule.
        ema: decay of the average of the weights.
        seeds: how many.
        samples: of each model.
        sampler_steps: of Heun's method.
        components: principal components for the Frechet distance.
        amounts, fewer, bits: the disturbances.
    """

    network: Callable[[Array], Callable[..., Array]]
    path: VarianceExploding = PATH
    data_scale: float = 0.75
    mean: float = -0.6
    deviation: float = 1.4
    degrees: tuple[float, ...] = (16.0, 128.0, math.inf)
    jitter: float = 16.0
    limit: float = 1e6
    steps: int = 2000
    batch_size: int = 256
    rate: float = 1e-3
    ema: float = 0.999
    seeds: int = 3
    samples: int = 1500
    sampler_steps: int = 18
    components: int = 20
    amounts: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5)
    fewer: tuple[int, ...] = (5, 9, 18)
    bits: tuple[int, ...] = (8, 6, 5, 4)


@dataclass(frozen=True)
class Trained:
    """A model of one kind, a row for each seed.

    Arguments:
        loss: of every training step.
        precision, recall: of undisturbed samples.
        swept: by the way to disturb and its value, the Frechet distances.
        samples: a few of the first seed's.
    """

    loss: Float[np.ndarray, "seed step"]
    precision: list[float]
    recall: list[float]
    swept: dict[str, dict[float, list[float]]]
    samples: Float[np.ndarray, "sample *shape"]

    @property
    def distance(self) -> list[float]:
        """The Frechet distance of undisturbed samples."""
        return self.swept["inject"][0.0]

    @property
    def final_loss(self) -> list[float]:
        """The mean loss over the last tenth of the training."""
        return self.loss[:, -max(self.loss.shape[1] // 10, 1) :].mean(axis=1).tolist()


class Jittered(Independent):
    """Gaussian noise of a level that differs from the one told by a log-normal factor: norms as spread as Student's,
    without its heavy tails."""

    spread: float = eqx.field(static=True)

    def __init__(self, target: Float[np.ndarray, "target *shape"], spread: float):
        super().__init__(target)
        self.spread = spread

    def _draw(self, key: Array, target: Array) -> Array:
        noise_key, level_key = jax.random.split(key)
        factor = jnp.exp(self.spread * jax.random.normal(level_key, (len(target),)))
        return factor.reshape(-1, *(1,) * (target.ndim - 1)) * super()._draw(noise_key, target)


def compare(setup: Setup, data: Float[np.ndarray, "sample *shape"], key: Array) -> dict[str, Trained]:
    """Every kind of noise with equal keys, steps and sampler; first those of `degrees`, by name."""
    laws = {name_of(degrees): noise_law(degrees) for degrees in (*setup.degrees, setup.limit)}
    couplings = {name: Independent(data, law) for name, law in laws.items()}
    couplings["jitter"] = Jittered(data, math.sqrt(0.5 / setup.jitter))
    return {name: _trained(setup, coupling, data, key) for name, coupling in couplings.items()}


def name_of(degrees: float) -> str:
    """`"D=16"`, or `"D=inf"`."""
    return f"D={degrees:g}"


def _trained(setup: Setup, coupling: Independent, data: np.ndarray, key: Array) -> Trained:
    training_key, start_key, noise_key = jax.random.split(key, 3)
    law = coupling.law
    assert isinstance(law, Gaussian | StudentT)
    path = replace(setup.path, law=law)

    def model(key: Array) -> Fields:
        return Fields(path, Denoiser(setup.network(key), path, setup.data_scale), "data")

    fitted = fit(
        model,
        coupling.data,
        Regression(
            coupling,
            [Term("data", weighting=EDM(setup.data_scale))],
            LogNormalLevel(path, setup.mean, setup.deviation),
        ),
        steps=setup.steps,
        batch_size=setup.batch_size,
        optimiser=optax.chain(
            optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(setup.rate, setup.steps))
        ),
        ema=setup.ema,
        seeds=setup.seeds,
        key=training_key,
    )
    flat = data.reshape(len(data), -1)
    features = PrincipalComponents.of(flat, min(setup.components, flat.shape[1]))
    sampler = EDMHeun(setup.sampler_steps)

    def distance(samples: np.ndarray) -> float:
        return frechet_distance(features(samples.reshape(len(samples), -1)), features(flat))

    swept: dict[str, dict[float, list[float]]] = {}
    shares, few = [], []
    for seed in range(setup.seeds):
        # Samplers do not ask for the law: it is in the starts alone. With one law in the path all share a program.
        fields = _on_one_path(pick_seed(fitted.ema_model, seed), setup.path)
        keys = jax.random.split(jax.random.fold_in(start_key, seed), setup.samples)
        starts = jax.vmap(lambda key: path.start(key, data.shape[1:]))(keys)
        found = robustness_sweep(
            fields,
            starts,
            sampler,
            distance,
            key=jax.random.fold_in(noise_key, seed),
            inject=setup.amounts,
            steps=setup.fewer,
            bits=setup.bits,
        )
        for way, values in found.items():
            for value, result in values.items():
                swept.setdefault(way, {}).setdefault(value, []).append(result)
        made = np.asarray(sample(fields, starts, sampler))
        shares.append(precision_recall(flat[: len(made)], made.reshape(len(made), -1)))
        few.append(made[:8])
    return Trained(
        loss=np.asarray(fitted.history["loss"]).reshape(setup.steps, setup.seeds).T,
        precision=[share[0] for share in shares],
        recall=[share[1] for share in shares],
        swept=swept,
        samples=few[0],
    )


def _on_one_path(fields: Fields, path: VarianceExploding) -> Fields:
    assert isinstance(fields.model, Denoiser)
    return Fields(path, replace(fields.model, path=path), "data")
