"""Every path of the family: its ends, its derivatives, its clock."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.laws import StudentT
from pathline.generate.paths import (
    CosineVariancePreserving,
    DiscreteVariancePreserving,
    EncodeDecode,
    Linear,
    Mirror,
    Path,
    Retimed,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)

BETAS = np.linspace(1e-4, 0.02, 1000)
FROM_NOISE = [
    Linear(),
    Trigonometric(),
    VariancePreserving(),
    CosineVariancePreserving(),
    VarianceExploding(),
    VarianceExploding(sigma_min=0.01, sigma_max=50.0, rho=float("inf")),
    DiscreteVariancePreserving(BETAS),
    Retimed(Linear(), 2.0),
]
LATENTS = ["brownian", "parabola", "sine", "sigmoids"]
BETWEEN = [
    *(Linear(latent=latent) for latent in LATENTS),
    Trigonometric(latent="brownian"),
    EncodeDecode(latent="sine"),
]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def named(path):
    return f"{type(path).__name__}-{getattr(path, 'latent', '')}-{getattr(path, 'rho', '')}"


@pytest.mark.parametrize("path", [*FROM_NOISE, *BETWEEN], ids=named)
def test_scales_are_those_of_the_definition(path):
    """Finite and non-negative inside, and the rates are the slopes that finite differences see."""
    first, last = path.span
    for t in np.linspace(first, last, 9)[1:-1] + 1.3e-4:
        source, target = jnp.asarray([1.0, 0.0]), jnp.asarray([0.0, 1.0])
        slope = path.transport(t, source, target)
        step = 1e-6
        difference = (path.interpolate(t + step, source, target) - path.interpolate(t - step, source, target)) / (
            2 * step
        )
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-7)
        assert (path.interpolate(t, source, target) >= 0).all()
        latent = jnp.ones(2)
        moved = path.velocity(t, source, target, latent) - slope
        gamma = (path.latent_scale(t + step) - path.latent_scale(t - step)) / (2 * step)
        np.testing.assert_allclose(moved, jnp.full(2, gamma), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("path", [Linear(), Trigonometric(), *BETWEEN], ids=named)
def test_interpolants_meet_both_ends(path):
    source, target = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 3.0])
    np.testing.assert_allclose(path.point(0.0, source, target, jnp.ones(2)), source, atol=1e-12)
    np.testing.assert_allclose(path.point(1.0, source, target, jnp.ones(2)), target, atol=1e-12)


@pytest.mark.parametrize("path", FROM_NOISE, ids=named)
def test_time_at_inverts_the_log_signal_to_noise_ratio(path):
    first, last = path.span
    times = jnp.linspace(first, last, 33)[1:-1]
    levels = jax.vmap(path.half_log_snr)(times)
    assert (np.diff(levels) > 0).all()
    np.testing.assert_allclose(jax.vmap(path.time_at)(levels), times, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "path",
    [Trigonometric(), VariancePreserving(), CosineVariancePreserving(), DiscreteVariancePreserving(BETAS)],
    ids=named,
)
def test_variance_is_preserved(path):
    times = jnp.linspace(*path.span, 11)
    total = jax.vmap(lambda t: path.source_scale(t) ** 2 + path.target_scale(t) ** 2)(times)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_the_time_without_any_signal_is_finite_and_before_all_others():
    """Rectified flows ask a diffusion there: at an infinite noise level."""
    for path in (Linear(), VariancePreserving(), CosineVariancePreserving(), DiscreteVariancePreserving(BETAS)):
        found = path.time_at(-jnp.inf)
        assert np.isfinite(found) and found <= path.span[0] + 1e-9


def test_variance_preserving_matches_its_stochastic_equation():
    """`d log b / ds = -beta(s) / 2` with the linear rate, integrated numerically."""
    path, s = VariancePreserving(0.1, 20.0), np.linspace(0.0, 0.7, 20001)
    integral = np.trapezoid(0.1 + s * 19.9, s)
    np.testing.assert_allclose(path.target_scale(1 - 0.7), np.exp(-0.5 * integral), rtol=1e-7)


def test_discrete_schedule_has_the_products_of_its_betas():
    path = DiscreteVariancePreserving(BETAS)
    for step in (0, 499, 999):
        expected = np.sqrt(np.prod(1 - BETAS[: step + 1]))
        np.testing.assert_allclose(path.target_scale(1 - (step + 1) / 1000), expected, rtol=1e-9)


def test_edm_steps_are_even_in_time():
    path = VarianceExploding(0.002, 80.0, rho=7.0)
    n = 18
    i = np.arange(n)
    published = (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(jax.vmap(path.source_scale)(jnp.linspace(0, 1, n)), published, rtol=1e-10)


def test_mirror_begins_and_ends_at_the_data():
    path, data = Mirror(strength=2.0), jnp.asarray([1.0, 2.0])
    for end in (0.0, 1.0):
        np.testing.assert_allclose(path.point(end, jnp.ones(2), data), data)
    np.testing.assert_allclose(path.point(0.5, jnp.ones(2), data), data + np.sqrt(0.5))
    with pytest.raises(InputError, match="starts from data"):
        path.start(jax.random.key(0), (2,))


def test_a_path_of_ones_own_needs_only_its_interpolation():
    class Circle(Path):
        """From a circle's start to its end along the arc."""

        def interpolate(self, t, source, target):
            return jnp.cos(jnp.pi * t / 2) ** 2 * source + jnp.sin(jnp.pi * t / 2) ** 2 * target

    source, target = jnp.zeros(2), jnp.ones(2)
    np.testing.assert_allclose(Circle().velocity(0.5, source, target), jnp.full(2, jnp.pi / 2))
    assert not Circle().has_latent


def test_starts_have_the_scale_of_the_noise():
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.vmap(lambda key: VarianceExploding(0.01, 40.0).start(key, (3,)))(keys)
    np.testing.assert_allclose(draws.std(), 40.0, rtol=0.03)
    heavy = jax.vmap(lambda key: VarianceExploding(0.01, 40.0, law=StudentT(2.5)).start(key, (3,)))(keys)
    assert np.abs(heavy).max() > 4 * np.abs(draws).max()
    with pytest.raises(InputError, match="starts from data and not from noise"):
        Linear(law=None).start(keys[0], (3,))


def test_mistakes_are_told():
    with pytest.raises(InputError, match="no latent 'brown'"):
        Linear(latent="brown")
    with pytest.raises(InputError, match="must be positive"):
        Linear(latent="brownian", strength=0.0)
    with pytest.raises(InputError, match="not in order"):
        VarianceExploding(2.0, 1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        DiscreteVariancePreserving(np.asarray([0.1, 1.5]))
