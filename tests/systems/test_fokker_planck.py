"""Finite volumes for the Fokker-Planck equation against closed forms, with measured orders of convergence."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, t

from pathline.errors import InputError
from pathline.systems.fokker_planck import cell_centres, fokker_planck

LOW, HIGH = -9.0, 11.0


class OrnsteinUhlenbeck(eqx.Module):
    """`f = -rate (x - mean)`."""

    rate: float = 1.0
    mean: float = 1.0

    def __call__(self, t, x):
        return -self.rate * (x - self.mean)


class Constant(eqx.Module):
    value: float

    def __call__(self, t, x):
        return jnp.full_like(x, self.value)


def moving_gaussian(cells, steps, order, strength=0.5):
    """Largest error at time 1 of a Gaussian that starts at 4 with a deviation of 0.7."""
    x = cell_centres(LOW, HIGH, cells)
    found = fokker_planck(
        OrnsteinUhlenbeck(),
        Constant(strength),
        norm.pdf(x, 4, 0.7),
        LOW,
        HIGH,
        np.asarray([0.0, 1.0]),
        substeps=steps,
        order=order,
    )[-1]
    decay = np.exp(-1)
    exact = norm.pdf(x, 1 + 3 * decay, np.sqrt(0.49 * decay**2 + strength * (1 - decay**2)))
    return np.abs(found - exact).max()


def slope(counts, errors):
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


def test_order_in_space():
    counts = [100, 200, 400]
    errors = [moving_gaussian(cells, 2000, 2) for cells in counts]
    assert 1.85 < slope(counts, errors) < 2.2, errors


@pytest.mark.parametrize(("order", "expected"), [(1, 1.0), (2, 2.0)])
def test_order_in_time(order, expected):
    counts = [16, 32, 64]
    errors = [moving_gaussian(6000, steps, order) for steps in counts]
    assert abs(slope(counts, errors) - expected) < 0.2, errors


def test_without_diffusion_it_is_an_upwind_method():
    """A density that is carried along moves as it should, blurred by the scheme to first order."""
    x = cell_centres(0.0, 10.0, 2000)
    found = fokker_planck(
        Constant(2.0), Constant(0.0), norm.pdf(x, 3, 0.5), 0.0, 10.0, np.linspace(0, 1, 5), substeps=200
    )
    h = x[1] - x[0]
    for time, density in zip(np.linspace(0, 1, 5), found, strict=True):
        mean = h * (x * density).sum()
        variance = h * ((x - mean) ** 2 * density).sum()
        assert abs(mean - (3 + 2 * time)) < 1e-6
        # Upwind differences diffuse by v h / 2, implicit Euler by v^2 dt / 2.
        assert abs(variance - (0.25 + 2 * time * (2.0 * h / 2 + 4.0 / 800 / 2))) < 1e-5


def test_mass_is_kept_and_the_first_order_is_positive():
    x = cell_centres(-3.0, 3.0, 300)
    # Discontinuous, with walls that are felt, and time steps far too long.
    initial = np.where(np.abs(x) < 0.4, 1 / 0.8, 0.0)
    initial /= initial.sum() * (x[1] - x[0])
    found = fokker_planck(
        lambda t, x: 8 * jnp.sin(5 * x + 9 * t),
        lambda t, x: 0.02 + 0.01 * x**2,
        initial,
        -3.0,
        3.0,
        np.linspace(0, 4, 9),
    )
    np.testing.assert_allclose(found.sum(axis=1) * (x[1] - x[0]), 1.0, rtol=1e-12)
    assert (found >= 0).all() and found.dtype == np.float64


def test_the_gaussian_equilibrium_is_exact_for_every_cell_size():
    """With a linear drift the ratio of neighbours, `exp(h v / D)`, is that of the Gaussian itself."""
    for cells in (20, 80):
        x = cell_centres(-5.0, 5.0, cells)
        density = np.exp(-(x**2) / (2 * 0.8))
        density /= density.sum() * (x[1] - x[0])
        found = fokker_planck(
            OrnsteinUhlenbeck(1.0, 0.0), Constant(0.8), density, -5.0, 5.0, np.asarray([0.0, 3.0]), substeps=10
        )
        np.testing.assert_allclose(found[-1], density, rtol=1e-10, atol=1e-12)


def test_state_dependent_noise_is_that_of_ito():
    """`dX = -X dt + sqrt(2 (1 + X^2/3)) dW` comes to rest in the density `(1 + x^2/3)^-(5/2)`, a scaled Student law with four
    degrees; in the sense of Stratonovich it would be another one."""
    x = cell_centres(-60.0, 60.0, 6000)
    found = fokker_planck(
        OrnsteinUhlenbeck(1.0, 0.0),
        lambda t, x: 1 + x**2 / 3,
        norm.pdf(x),
        -60.0,
        60.0,
        np.asarray([0.0, 12.0]),
        substeps=300,
    )[-1]
    scale = np.sqrt(3 / 4)
    np.testing.assert_allclose(found, t.pdf(x / scale, 4) / scale, atol=2e-4)


def test_coefficients_may_depend_on_time():
    """`dX = cos(t) dt + sqrt(2 t) dW` keeps a Gaussian one: mean sin(t), variance v + t^2."""
    x = cell_centres(-8.0, 8.0, 1600)
    times = np.asarray([0.0, 0.3, 1.0, 1.2])
    found = fokker_planck(
        lambda t, x: jnp.cos(t), lambda t, x: t, norm.pdf(x, 0, 0.6), -8.0, 8.0, times, substeps=100, order=2
    )
    for time, density in zip(times, found, strict=True):
        np.testing.assert_allclose(density, norm.pdf(x, np.sin(time), np.sqrt(0.36 + time**2)), atol=1e-3)


def test_mistakes_are_told():
    x, start = cell_centres(0.0, 1.0, 10), np.ones(10)
    assert x[0] == pytest.approx(0.05) and x[-1] == pytest.approx(0.95)
    drift = Constant(0.0)
    with pytest.raises(InputError, match="two increasing times"):
        fokker_planck(drift, drift, start, 0.0, 1.0, np.asarray([0.0, 0.0]))
    with pytest.raises(InputError, match="finite density"):
        fokker_planck(drift, drift, start * np.nan, 0.0, 1.0, np.asarray([0.0, 1.0]))
