"""EDM's preconditioning: exact for Gaussian data, and read as a rectified flow and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.generate.denoiser import Denoiser
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Trigonometric, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Adaptive, sample

LEVELS = np.geomspace(1e-3, 80.0, 41)
WIDE = VarianceExploding(5e-4, 200.0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def nothing(level, x, condition):
    return jnp.zeros_like(x)


def wild(level, x, condition):
    """Any network: it sees its level."""
    return jnp.sin(2 * x + 3 * level) + 0.3 * x[::-1]


class Velocity(eqx.Module):
    """A model of the velocity alone, so that going back has to undo the conversion."""

    fields: Fields

    def __call__(self, t, x, condition):
        return self.fields.velocity(t, x, condition)


def states(count=41, dim=3):
    return 2.0 * jax.random.normal(jax.random.key(0), (count, dim))


@pytest.mark.parametrize(
    "path", [Linear(), VariancePreserving(), WIDE, Trigonometric()], ids=lambda p: type(p).__name__
)
def test_without_a_network_it_is_exact_for_gaussian_data(path):
    sd = 0.75
    exact = exact_fields(path, GaussianMixture.of(jnp.zeros((1, 3)), sd**2))
    fields = Fields(path, Denoiser(nothing, path, sd), "data")
    x = states(1)[0]
    for t in np.linspace(0.02, 0.98, 9):
        np.testing.assert_allclose(fields.data(t, x), exact.data(t, x), rtol=1e-10)
        np.testing.assert_allclose(fields.velocity(t, x), exact.velocity(t, x), rtol=1e-8)


def test_velocity_of_a_rectified_flow_in_closed_form():
    """E[x1 - x0 | x_t] = (t sd^2 - (1-t)) x / ((1-t)^2 + t^2 sd^2) for data N(0, sd^2)."""
    sd, x = 0.5, states(1)[0]
    fields = Fields(Linear(), Denoiser(nothing, Linear(), sd), "data")
    for t in (0.0, 1e-5, 0.3, 0.9, 1 - 1e-5):
        exact = (t * sd**2 - (1 - t)) / ((1 - t) ** 2 + (t * sd) ** 2) * x
        np.testing.assert_allclose(fields.velocity(t, x), exact, rtol=1e-8)


@pytest.mark.parametrize("level", [1e-3, 0.3, 5.0, 80.0])
def test_the_published_preconditioning(level):
    sd, x = 0.5, states(1)[0]
    time = WIDE.time_at(-np.log(level))
    norm = np.sqrt(level**2 + sd**2)
    inner = wild(jnp.asarray(np.log(level) / 4), x / norm, None)
    expected = sd**2 / norm**2 * x + level * sd / norm * inner
    np.testing.assert_allclose(Denoiser(wild, WIDE, sd)(time, x), expected, rtol=1e-8)


@pytest.mark.parametrize("path", [Linear(), Trigonometric()], ids=lambda p: type(p).__name__)
def test_denoiser_to_velocity_and_back(path):
    """For noise levels from 1e-3 to 80, by way of a model that knows the velocity only."""
    edm = Fields(WIDE, Denoiser(wild, WIDE, 0.5), "data")
    flow = Fields(path, Velocity(edm.on(path)), "velocity")
    back = flow.on(WIDE)
    for level, x in zip(LEVELS, states(), strict=True):
        time = WIDE.time_at(-np.log(level))
        x = x * np.hypot(1, level)
        np.testing.assert_allclose(back.data(time, x), edm.data(time, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", [WIDE, VariancePreserving(beta_max=40.0, end=1e-7)], ids=lambda p: type(p).__name__)
def test_reading_on_the_straight_path_is_the_denoiser_on_it(path):
    """The published rule D(x/(1-s), s/(1-s)), with s = 1 - t, is the same network with another path."""
    read = Fields(path, Denoiser(wild, path, 0.5), "data").on(Linear())
    direct = Fields(Linear(), Denoiser(wild, Linear(), 0.5), "data")
    for t, x in zip(np.linspace(0.01, 0.99, 41), states(), strict=True):
        np.testing.assert_allclose(read.velocity(t, x), direct.velocity(t, x), rtol=1e-6, atol=1e-6)


def test_finite_at_both_ends_in_single_precision():
    fields = Fields(Linear(), Denoiser(wild, Linear(), 0.5), "data")
    x = states(1)[0].astype(jnp.float32)
    for t in (0.0, 1e-5, 1 - 1e-5, 1.0):
        found = fields.data(jnp.asarray(t, jnp.float32), x)
        assert found.dtype == jnp.float32 and jnp.isfinite(found).all()
    # With noise alone the state says nothing: the network is asked about its own input.
    np.testing.assert_allclose(fields.data(jnp.asarray(0.0, jnp.float32), x), 0.5 * wild(1.25, x, None), rtol=1e-5)
    # Without noise the state is the data.
    np.testing.assert_allclose(fields.data(jnp.asarray(1.0, jnp.float32), x), x, rtol=1e-6)


def test_inversion_and_generation_of_a_gaussian_flow():
    sd = 0.75
    fields = Fields(Linear(), Denoiser(nothing, Linear(), sd), "data")
    data = states(16)
    noise = sample(fields, data, Adaptive(1e-10, start=1 - 1e-4, stop=0.0))
    np.testing.assert_allclose(noise, data / sd, rtol=3e-4)
    np.testing.assert_allclose(sample(fields, noise, Adaptive(1e-10, stop=1 - 1e-4)), data, rtol=1e-7)
