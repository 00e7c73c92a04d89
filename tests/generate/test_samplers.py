"""Samplers that are tables: order of convergence, reversal, and one compiled program for all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Trigonometric, VarianceExploding, VariancePreserving
from pathline.generate.samplers import (
    RK4,
    Adaptive,
    Euler,
    Heun,
    Karras,
    Midpoint,
    UniformLogSNR,
    UniformTime,
    sample,
    trajectories,
)
from pathline.generate.samplers import table as tables

MIXTURE = GaussianMixture.of(np.asarray([[1.5, 0.0], [-1.0, 1.0]]), 0.4)
INSIDE = UniformTime(0.05, 0.95)
PATHS = [Linear(), Trigonometric(), VariancePreserving(), VarianceExploding(0.02, 20.0)]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def starts(path, count=16, t=None):
    keys = jax.random.split(jax.random.key(1), count)
    return jax.vmap(lambda key: path.start(key, (2,), t))(keys)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize(("sampler", "order"), [(Euler, 1), (Heun, 2), (Midpoint, 2), (RK4, 4)])
def test_order_of_convergence(path, sampler, order):
    mixture = GaussianMixture.of(MIXTURE.means.astype(float), 0.4)
    fields, begin = exact_fields(path, mixture), starts(path, t=0.05)
    reference = sample(fields, begin, Adaptive(1e-11, start=0.05, stop=0.95))
    counts = [16, 32, 64] if order < 4 else [12, 24, 48]
    errors = [float(jnp.abs(sample(fields, begin, sampler(n, grid=INSIDE)) - reference).max()) for n in counts]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope > order - 0.35, errors


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_the_flow_has_the_density_of_the_data(path):
    """A Gaussian is carried to a Gaussian by an affine map: `x -> m + c x / a(0)` for a wide source."""
    target = GaussianMixture.of(jnp.asarray([[2.0, -1.0]]), 0.25)
    fields, begin = exact_fields(path, target), starts(path)
    a, b = path.source_scale(path.span[0]), path.target_scale(path.span[0])
    a1, b1 = path.source_scale(path.span[1]), path.target_scale(path.span[1])
    before, after = jnp.sqrt(0.25 * b**2 + a**2), jnp.sqrt(0.25 * b1**2 + a1**2)
    expected = b1 * target.means[0] + after / before * (begin - b * target.means[0])
    np.testing.assert_allclose(sample(fields, begin, Adaptive(1e-9)), expected, atol=2e-4)


def test_running_backwards_returns_to_the_start():
    fields, begin = exact_fields(Linear(), MIXTURE), starts(Linear())
    ends = sample(fields, begin, RK4(64, grid=UniformTime(0.0, 0.9)))
    back = sample(fields, ends, RK4(64, grid=UniformTime(0.9, 0.0)))
    np.testing.assert_allclose(back, begin, atol=1e-5)
    ends = sample(fields, begin, Adaptive(1e-9))
    np.testing.assert_allclose(sample(fields, ends, Adaptive(1e-9, start=1 - 1e-4, stop=0.0)), begin, atol=2e-3)


def test_a_singular_end_becomes_a_step_of_euler():
    fields = exact_fields(Linear(), MIXTURE)
    assert fields.predicts == ("data",)
    assert Heun(10).evaluations(fields.path, ("data",)) == 19
    assert Heun(10).evaluations(fields.path, ("velocity",)) == 20
    with pytest.raises(InputError, match=r"does not tell where to go at t = 0"):
        Euler(4).table(Linear(), ("noise",))
    with pytest.raises(InputError, match=r"does not tell where to go at t = 0"):
        sample(Fields(Linear(), lambda t, x, c: x, "noise"), starts(Linear()), Adaptive())


def test_changing_the_sampler_compiles_nothing():
    fields, begin = exact_fields(VariancePreserving(), MIXTURE), starts(VariancePreserving())
    sample(fields, begin, Euler(12))
    traced = tables._run_many._cached._cache_size()
    for sampler in (
        Heun(6, grid=UniformTime(stop=0.98)),
        RK4(3, grid=UniformTime(0.1)),
        Euler(12, grid=UniformLogSNR()),
    ):
        assert sampler.evaluations(fields.path, fields.predicts) == 12
        sample(fields, begin, sampler)
    assert tables._run_many._cached._cache_size() == traced


def test_grids():
    path = VariancePreserving()
    level = jax.vmap(path.half_log_snr)
    np.testing.assert_allclose(np.diff(level(UniformLogSNR().times(path, 7)), 2), 0.0, atol=1e-9)
    sigma = 1 / np.exp(level(Karras(rho=3.0).times(path, 9)))
    np.testing.assert_allclose(np.diff(sigma ** (1 / 3), 2), 0.0, atol=1e-9)
    np.testing.assert_allclose(Karras().times(VarianceExploding(), 5), np.linspace(0, 1, 6), atol=1e-9)
    times = UniformLogSNR(0.9, 0.1).times(path, 4)
    assert times[0] == 0.9 and times[-1] == 0.1 and (np.diff(times) < 0).all()
    with pytest.raises(InputError, match="at least one step"):
        UniformTime().times(path, 0)
    with pytest.raises(InputError, match=r"cannot go from t = 0\.4 to 0\.4"):
        UniformTime(0.4, 0.4).times(path, 3)
    with pytest.raises(InputError, match="need noise and signal at both ends"):
        UniformLogSNR(stop=1.0).times(Linear(), 3)
    assert UniformLogSNR().times(Linear(), 3)[[0, -1]].tolist() == [1e-3, 1 - 1e-3]
    assert Karras(start=0.1).times(Linear(), 3)[[0, -1]].tolist() == [0.1, 1 - 1e-3]


def test_batches_and_conditions_change_nothing():
    def model(t, x, condition):
        return condition["shift"] - x

    fields, begin = Fields(Linear(), model), starts(Linear(), 10)
    conditions = {"shift": jnp.arange(10.0)[:, None] * jnp.ones(2)}
    whole = sample(fields, begin, RK4(8), conditions=conditions)
    np.testing.assert_allclose(sample(fields, begin, RK4(8), conditions=conditions, batch_size=4), whole, rtol=1e-12)
    step = 1 / 8
    shrunk = (1 - step + step**2 / 2 - step**3 / 6 + step**4 / 24) ** 8
    np.testing.assert_allclose(whole, conditions["shift"] + (begin - conditions["shift"]) * shrunk, rtol=1e-10)


def test_trajectories_record_the_states():
    fields, begin = Fields(Linear(), lambda t, x, c: jnp.ones_like(x)), starts(Linear(), 3)
    times, states = trajectories(fields, begin, Euler(4))
    np.testing.assert_allclose(times, [0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(states, begin[:, None] + times[None, :, None], rtol=1e-12)


def test_single_precision_stays_single():
    with jax.enable_x64(False):
        mixture = GaussianMixture.of(np.asarray(MIXTURE.means, np.float32), 0.4)
        fields = exact_fields(Linear(), mixture)
        begin = jax.vmap(lambda key: Linear().start(key, (2,)))(jax.random.split(jax.random.key(0), 3))
        assert sample(fields, begin, Heun(4)).dtype == jnp.float32
        assert sample(fields, begin, Adaptive()).dtype == jnp.float32
