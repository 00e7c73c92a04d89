"""A fitted generative model of samples, in the data's own units."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pathline.data import Samples, Standardiser
from pathline.errors import InputError, nearest
from pathline.generate.fields import Fields
from pathline.generate.guidance import guided
from pathline.generate.likelihood import log_density
from pathline.generate.model_statistics import ModelStatistics
from pathline.generate.named_samplers import needs_statistics, sampler_named
from pathline.generate.samplers import Sampler, sample
from pathline.generate.samplers.dpm_solver_v3 import DPMSolverV3

_BATCH = 2048


class Generator(eqx.Module):
    """Draws new samples, and tells the density of given ones.

    Arguments:
        fields: the trained model on its path, in standard units.
        standardiser: to and from standard units.
        low, high: of the training data; images are clipped to it, as grey levels are bounded.
        frequencies: of the classes in training; `None` when they were not known.
        statistics: of the model, for DPM-Solver-v3; computed once where wanted.
        classes: names of the classes.
        shape: of a sample.
        title: of the data.
        method: that was fitted.
    """

    fields: Fields
    standardiser: Standardiser
    low: float
    high: float
    frequencies: Float[np.ndarray, " class"] | None
    statistics: ModelStatistics | None
    classes: tuple[str, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    title: str = eqx.field(static=True)
    method: str = eqx.field(static=True)

    def sample(
        self,
        key: Array,
        count: int,
        *,
        steps: int = 20,
        sampler: str | Sampler = "heun",
        labels: Int[np.ndarray, " sample"] | str | None = None,
        guidance: float = 0.0,
    ) -> Samples:
        """Draw new samples.

        Arguments:
            key: of all random numbers.
            count: how many.
            steps: of the sampler; 10 to 50 are good values. Not used with a sampler object.
            sampler: a name (see `SAMPLERS`) or an object of `pathline.generate.samplers`.
            labels: the class of each sample, or one name for all; drawn with the frequencies of the training data when
                absent.
            guidance: `w` of classifier-free guidance: 0 samples the classes as they are, 1 to 3 more typical ones.

        Returns:
            The samples in the data's units, with their labels where the model knows classes.

        Raises:
            InputError: there is no such sampler or class, or guidance is asked for without classes.
        """
        start_key, label_key, noise_key = jax.random.split(key, 3)
        chosen = self._labels(labels, count, label_key)
        fields = self._guided(guidance)
        starts = self.starts(start_key, count)
        method = self.sampler(sampler, steps)
        found = sample(fields, starts, method, key=noise_key, conditions=chosen, batch_size=_BATCH)
        return self.in_units(found, chosen)

    def starts(self, key: Array, count: int) -> Float[Array, "sample *shape"]:
        """Noise that samplers begin with, in standard units."""
        return jax.vmap(lambda one: self.fields.path.start(one, self.shape))(jax.random.split(key, count))

    def sampler(self, sampler: str | Sampler, steps: int) -> Sampler:
        """A sampler by name, or the one given.

        Raises:
            InputError: there is none of that name, or it needs statistics that were not computed.
        """
        if isinstance(sampler, Sampler):
            return sampler
        if needs_statistics(sampler):
            if self.statistics is None:
                raise InputError(
                    f"{sampler} needs statistics of the model, which this one was not given; call with_statistics(samples, "
                    "key=...) first."
                )
            return DPMSolverV3(self.statistics, steps=steps)
        return sampler_named(sampler, steps)

    def in_units(self, states: Float[Array, "sample *shape"], labels: Array | None = None) -> Samples:
        """States of the model as samples in the data's units."""
        values = self.standardiser.undo(np.asarray(states))
        if len(self.shape) > 1:
            values = np.clip(values, self.low, self.high)
        if labels is None:
            return Samples(values, title=self.title)
        return Samples(values, np.asarray(labels), classes=self.classes, title=self.title)

    def log_density(
        self, samples: Samples, *, key: Array | None = None, tolerance: float = 1e-4
    ) -> Float[np.ndarray, " sample"]:
        """The logarithm of the model's density at each sample, by the probability-flow ODE.

        Arguments:
            samples: of the shape that the model was fitted to; classes are taken into account where the model knows them.
            key: for Hutchinson's estimate of the divergence, much cheaper above a dozen dimensions; exact when absent.
            tolerance: of the solver.

        Returns:
            One number for each sample, per unit volume in the data's units.

        Raises:
            InputError: the shape differs, or the path has no density at its start.
        """
        if samples.shape != self.shape:
            raise InputError(
                f"The samples have the shape {samples.shape} and the model {self.shape}; give such samples."
            )
        states = jnp.asarray(self.standardiser.apply(samples.values), jnp.float32)
        labels = None
        if self.frequencies is not None:
            null = len(self.classes)
            labels = jnp.full(len(states), null) if samples.labels is None else jnp.asarray(samples.labels)
        keys = None if key is None else jax.random.split(key, len(states))
        found = _log_densities(self.fields, states, labels, keys, tolerance)
        volume = np.log(np.broadcast_to(self.standardiser.scale, self.shape)).sum()
        return np.asarray(found) - volume

    def _labels(self, labels: Int[np.ndarray, " sample"] | str | None, count: int, key: Array) -> Array | None:
        if self.frequencies is None:
            if labels is not None:
                raise InputError(f"The model of {self.title!r} knows no classes; fit it to samples with labels.")
            return None
        if labels is None:
            return jax.random.choice(key, len(self.classes), (count,), p=jnp.asarray(self.frequencies))
        if isinstance(labels, str):
            if labels not in self.classes:
                hint = nearest(labels, self.classes)
                raise InputError(f"There is no class {labels!r}{hint}; there are {', '.join(self.classes)}.")
            return jnp.full(count, self.classes.index(labels))
        if len(labels) != count:
            raise InputError(f"There are {len(labels)} labels for {count} samples; give one for each.")
        return jnp.asarray(labels)

    def _guided(self, guidance: float) -> Fields:
        if guidance == 0:
            return self.fields
        if self.frequencies is None:
            raise InputError(f"The model of {self.title!r} knows no classes, so there is nothing to guide to.")
        return guided(self.fields, guidance, null=jnp.asarray(len(self.classes)))


@eqx.filter_jit
def _log_densities(
    fields: Fields, states: Array, labels: Array | None, keys: Array | None, tolerance: float
) -> Float[Array, " sample"]:
    divergence = "exact" if keys is None else "hutchinson"

    def one(state: Array, label: Array | None, key: Array | None) -> Array:
        return log_density(fields, state, tolerance=tolerance, divergence=divergence, key=key, condition=label)

    return jax.vmap(one)(states, labels, keys)
