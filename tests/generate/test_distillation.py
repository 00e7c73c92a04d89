"""A distilled map fits the pairs where Euler's method evaluates it, and nowhere else."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.discrepancies import PseudoHuber
from pathline.generate.distillation import StepTimes, distill
from pathline.generate.fields import Fields
from pathline.generate.objectives import Term
from pathline.generate.paths import Linear, VariancePreserving
from pathline.generate.samplers import Euler, sample

KEY = jax.random.key(0)
SOURCE = jax.random.normal(KEY, (512, 2))
PAIRS = Paired(SOURCE, 2 * SOURCE + jnp.asarray([1.0, 0.5]))


class AtSteps(eqx.Module):
    """An affine velocity of its own at each time `i/k`, and NaN at all others."""

    slopes: jax.Array
    shifts: jax.Array

    def __call__(self, t, x, condition):
        place = t * len(self.slopes)
        row = jnp.round(place).astype(int)
        value = self.slopes[row] * x + self.shifts[row]
        return jnp.where(jnp.abs(place - row) < 1e-6, value, jnp.nan)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_map_of_k_steps(steps):
    fields = Fields(Linear(), AtSteps(jnp.zeros(steps), jnp.zeros((steps, 2))))
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 600))
    found = distill(fields, PAIRS, steps=600, key=KEY, k=steps, optimiser=optimiser, ema=None, progress=False)
    np.testing.assert_allclose(sample(found, SOURCE, Euler(steps)), PAIRS.target, atol=1e-2)


@pytest.mark.parametrize("terms", [(Term("data", PseudoHuber()),), (Term("data", PseudoHuber(0.1)), Term("velocity"))])
def test_every_discrepancy_has_this_minimiser(terms):
    fields = Fields(Linear(), AtSteps(jnp.zeros(1), jnp.zeros((1, 2))))
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 600))
    found = distill(fields, PAIRS, steps=600, key=KEY, terms=terms, optimiser=optimiser, ema=0.9, progress=False)
    np.testing.assert_allclose(sample(found, SOURCE, Euler(1)), PAIRS.target, atol=2e-2)


def test_times_of_steps():
    for count in (1, 2, 5):
        drawn = np.asarray(StepTimes(count).sample(KEY, 100))
        values, counts = np.unique(drawn, return_counts=True)
        np.testing.assert_allclose(values, np.arange(count) / count, atol=1e-6)
        assert counts.min() >= 100 // count - 1
        # The least time with at least the share u below or at it.
        np.testing.assert_allclose(
            StepTimes(count).cdf(jnp.asarray(values)), np.arange(1, count + 1) / count, rtol=1e-6
        )
    assert float(StepTimes(4).quantile(jnp.asarray(1.0))) == 0.75


def test_mistakes_are_told():
    model = AtSteps(jnp.zeros(1), jnp.zeros((1, 2)))
    with pytest.raises(InputError, match=r"on VariancePreserving .*fields\.on\(Linear\(\)\)"):
        distill(Fields(VariancePreserving(), model, "noise"), PAIRS, steps=1, key=KEY)
    with pytest.raises(InputError, match="with a latent"):
        distill(Fields(Linear("brownian"), model), PAIRS, steps=1, key=KEY)
    with pytest.raises(InputError, match="at least one step"):
        distill(Fields(Linear(), model), PAIRS, steps=1, key=KEY, k=0)
