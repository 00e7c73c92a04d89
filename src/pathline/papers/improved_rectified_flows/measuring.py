"""How good students are: distances to the data, errors against the teacher, and where on the path the loss lies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.generate.couplings import Paired, Pairs
from pathline.generate.fields import Fields
from pathline.generate.objectives import Term, losses_by_time
from pathline.generate.samplers import Euler, NoiseAnchored, TableSampler, UniformTime, sample
from pathline.measure import PrincipalComponents, frechet_distance

SAMPLERS: dict[str, TableSampler] = {
    "1": Euler(1),
    "2": Euler(2),
    "4": Euler(4),
    "4 anchored": NoiseAnchored(4),
}
"""By evaluations of the model. At 1 and 2 the anchored steps are those of Euler's method."""

TIMES = np.linspace(0.02, 0.98, 25)
INVERSION_STEPS = 8
BEGIN = 1e-3
"""Inversions begin this far from the data, where the denoiser still tells a velocity."""


@dataclass(frozen=True)
class Yardstick:
    """In what distances are taken.

    Arguments:
        components: principal components of the data.
        features: a classifier that no loss has seen.
        reference: many samples of the teacher's law, `[sample, *shape]`.
        pairs: held-out pairs of the teacher.
    """

    components: PrincipalComponents
    features: Callable[[Array], Array]
    reference: np.ndarray
    pairs: Paired

    def distances(self, samples: Float[np.ndarray, "sample *shape"]) -> tuple[float, float]:
        """Fréchet distances in principal components and in features."""
        flat, other = (part.reshape(len(part), -1) for part in (samples, self.reference))
        seen = [np.asarray(_featured(self.features, jnp.asarray(part))) for part in (samples, self.reference)]
        return frechet_distance(self.components(flat), self.components(other)), frechet_distance(*seen)


@dataclass(frozen=True)
class Student:
    """What was measured of one student.

    Arguments:
        components, features: Fréchet distances by sampler.
        paired: `|x - x_teacher|^2`, summed over entries, of one evaluation, over held-out noise.
        inversion: `|x - x'|^2` for images that are inverted and generated again with eight evaluations each.
        images: by sampler, the first samples.
    """

    components: Mapping[str, float]
    features: Mapping[str, float]
    paired: float
    inversion: float
    images: Mapping[str, np.ndarray]


def measure(fields: Fields, yardstick: Yardstick) -> Student:
    """Everything about one student."""
    noise, ends = yardstick.pairs.source, yardstick.pairs.target
    found = {name: np.asarray(sample(fields, noise, sampler)) for name, sampler in SAMPLERS.items()}
    distances = {name: yardstick.distances(samples) for name, samples in found.items()}
    back = sample(fields, ends, Euler(INVERSION_STEPS, UniformTime(1 - BEGIN, 0.0)))
    again = sample(fields, back, Euler(INVERSION_STEPS))
    return Student(
        components={name: one for name, (one, _) in distances.items()},
        features={name: other for name, (_, other) in distances.items()},
        paired=_square(found["1"], ends),
        inversion=_square(again, ends),
        images={name: samples[:12] for name, samples in found.items()},
    )


def loss_curve(fields: Fields, pairs: Paired, key: Array) -> Float[np.ndarray, " time"]:
    """The squared error of the velocity, the mean over entries, at each of `TIMES`."""
    return np.asarray(
        _losses(
            fields, Pairs(jnp.asarray(pairs.source), jnp.asarray(pairs.target)), jnp.asarray(TIMES, jnp.float32), key
        )
    )


@eqx.filter_jit
def _losses(fields: Fields, pairs: Pairs, times: Array, key: Array) -> Array:
    return losses_by_time(fields, pairs, times, key=key, term=Term("velocity"))


@eqx.filter_jit
def _featured(features: Callable[[Array], Array], samples: Array) -> Array:
    return jax.vmap(features)(samples)


def _square(found: Array | np.ndarray, wanted: Array | np.ndarray) -> float:
    difference = (np.asarray(found) - np.asarray(wanted)).reshape(len(wanted), -1)
    return float(np.mean(np.sum(difference**2, axis=1)))
