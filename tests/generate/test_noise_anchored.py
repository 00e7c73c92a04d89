"""Steps that keep the initial noise, against Euler's method and against the rule written out."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Mirror, Trigonometric, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Euler, UniformTime, sample
from pathline.generate.samplers.noise_anchored import NoiseAnchored

MIXTURE = GaussianMixture.of(np.asarray([[1.5, 0.0, 0.3], [-1.0, 1.0, 0.0]]), 0.2)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def starts(path, count=8, t=None):
    keys = jax.random.split(jax.random.key(1), count)
    return jax.vmap(lambda key: path.start(key, (3,), t))(keys)


def wild(t, x, condition):
    """Any field at all: it need not be the field of a flow."""
    return jnp.sin(3 * x + 5 * t) + x[::-1] * t


@pytest.mark.parametrize("predicts", ["velocity", "data", "v"])
@pytest.mark.parametrize("steps", [1, 2])
def test_one_and_two_steps_are_those_of_euler(predicts, steps):
    fields = Fields(Linear(), wild, predicts)
    begin = starts(fields.path)
    found = sample(fields, begin, NoiseAnchored(steps))
    # Euler's last evaluation is before the data, so every kind gives a velocity.
    np.testing.assert_allclose(found, sample(fields, begin, Euler(steps)), rtol=1e-12, atol=1e-12)
    if steps == 2:
        assert jnp.abs(found - sample(fields, begin, NoiseAnchored(1))).max() > 0.1


def test_three_steps_differ_from_euler():
    fields = Fields(Linear(), wild, "velocity")
    begin = starts(fields.path)
    assert jnp.abs(sample(fields, begin, NoiseAnchored(3)) - sample(fields, begin, Euler(3))).max() > 1e-2


class Remembered(eqx.Module):
    """A guess of the data that does not change on the way: a function of the start, which a straight flow knows."""

    path: Linear

    def __call__(self, t, x, condition):
        # On the segment from n to A n + c: x = (1-t) n + t (A n + c), solved for n.
        matrix, shift = jnp.diag(jnp.asarray([2.0, 0.5, 3.0])), jnp.asarray([1.0, -1.0, 0.2])
        start = jnp.linalg.solve((1 - t) * jnp.eye(3) + t * matrix, x - t * shift)
        return matrix @ start + shift


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_straight_flow_is_solved_exactly(steps):
    fields = Fields(Linear(), Remembered(Linear()), "data")
    begin = starts(fields.path)
    exact = begin * jnp.asarray([2.0, 0.5, 3.0]) + jnp.asarray([1.0, -1.0, 0.2])
    for sampler in (NoiseAnchored(steps), Euler(steps)):
        np.testing.assert_allclose(sample(fields, begin, sampler), exact, rtol=1e-10, atol=1e-10)


PATHS = [Linear(), Trigonometric(), VariancePreserving(), VarianceExploding(0.02, 20.0)]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_the_rule_written_out(path):
    """On every path from noise, for exact fields and a grid that begins inside."""
    grid, fields = UniformTime(0.1, 0.9), exact_fields(path, MIXTURE)
    begin = starts(path, t=0.1)
    times = np.linspace(0.1, 0.9, 6)
    x, noise = begin, begin / path.source_scale(0.1)
    for here, there in pairwise(times):
        guess = jax.vmap(lambda x, here=here: fields.data(here, x))(x)
        x = path.source_scale(there) * noise + path.target_scale(there) * guess
    np.testing.assert_allclose(sample(fields, begin, NoiseAnchored(5, grid)), x, rtol=1e-9)


def test_evaluations():
    assert NoiseAnchored(5).evaluations(Linear(), ("velocity",)) == 5


def test_refusals():
    with pytest.raises(InputError, match="from noise to data"):
        NoiseAnchored(3, UniformTime(1.0, 0.0)).table(Linear(), ("velocity",))
    with pytest.raises(InputError, match="has a latent"):
        NoiseAnchored(3).table(Linear(latent="sine"), ("velocity", "score"))
    with pytest.raises(InputError, match="from noise to data"):
        NoiseAnchored(4).table(Mirror(), ("data",))
    with pytest.raises(InputError, match="does not tell where to go at t = 0"):
        NoiseAnchored(3).table(Linear(), ("noise",))
    with pytest.raises(InputError, match="at least one step"):
        NoiseAnchored(0).table(Linear(), ("velocity",))
