"""Tables of samplers are computed once for what does not change, and anew for what can."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pathline.generate.fields import Fields
from pathline.generate.paths import Linear
from pathline.generate.samplers import Euler, UniformTime, sample
from pathline.generate.samplers.table import table_of


class Still(eqx.Module):
    """A velocity of a given size."""

    speed: Float[Array, ""]

    def __call__(self, t, x, condition):
        return self.speed * jnp.ones_like(x)


class Warped(Linear):
    """`b = s t`: a path with an array, which can change."""

    scale: Array = eqx.field(default_factory=lambda: jnp.asarray(1.0))

    def target_scale(self, t):
        return self.scale * super().target_scale(t)


def test_equal_samplers_share_a_table_whatever_the_model():
    slow, fast = (Fields(Linear(), Still(jnp.asarray(speed))) for speed in (1.0, 2.0))
    table = table_of(Euler(3), slow)
    assert table_of(Euler(3), fast) is table
    for other in (Euler(4), Euler(3, UniformTime(stop=0.5))):
        assert table_of(other, slow) is not table
    data = Fields(Linear(), Still(jnp.asarray(1.0)), "data")
    assert not np.array_equal(table_of(Euler(3, UniformTime(stop=0.5)), data).prediction, table.prediction)
    starts = jnp.zeros((2, 1))
    np.testing.assert_allclose(sample(slow, starts, Euler(3)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(sample(fast, starts, Euler(3)), 2.0, rtol=1e-6)


def test_a_path_with_arrays_gets_a_table_of_its_own():
    """With the data prediction 1 on `a = 1 - t, b = s t`, the velocity at `x = 0` is `s t / (1 - t) + s`."""
    sampler = Euler(1, UniformTime(start=0.1, stop=0.5))
    for scale in (1.0, 2.0):
        fields = Fields(Warped(scale=jnp.asarray(scale)), Still(jnp.asarray(1.0)), "data")
        np.testing.assert_allclose(sample(fields, jnp.zeros((2, 1)), sampler), 0.4 * scale / 0.9, rtol=1e-6)
