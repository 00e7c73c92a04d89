"""What makes an echo state network one: it forgets where it started, and its radius is the one asked for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.data import Series, Standardiser
from pathline.errors import InputError
from pathline.forecast import EchoState, Linear, evaluate
from pathline.forecast.echo_state import EchoStatePoint, readout_features, scaled_to_radius
from pathline.forecast.forecaster import standardised
from pathline.forecast.point import predict
from pathline.measure import valid_prediction_time
from pathline.systems import LORENZ63_LYAPUNOV, lorenz63

KEY = jax.random.key(0)


def wave(rows: int = 300) -> Series:
    times = np.arange(float(rows))
    return Series.from_arrays(times, np.stack([np.sin(0.4 * times), np.cos(0.4 * times) ** 3], axis=1))


def network(**settings) -> EchoStatePoint:
    point = EchoState(**settings).fit(wave(), horizon=3, key=KEY).point
    assert isinstance(point, EchoStatePoint)
    return point


@pytest.mark.parametrize("radius", [0.3, 0.9, 1.4])
def test_spectral_radius(radius):
    with jax.enable_x64(True):
        matrix = scaled_to_radius(jax.random.normal(KEY, (40, 40)), radius)
        # Power iteration: the growth of a vector per step tends to the radius, whatever the angle of the eigenvalue.
        grown = np.linalg.norm(np.linalg.matrix_power(np.asarray(matrix) / radius, 4096), 2)
    assert grown ** (1 / 4096) == pytest.approx(1.0, abs=5e-3)


def test_fitted_network_has_the_radius_and_leak_asked_for():
    point = network(size=30, spectral_radius=0.7, leak=0.4)
    assert np.abs(np.linalg.eigvals(np.asarray(point.recurrent))).max() == pytest.approx(0.7)
    assert float(point.leak) == pytest.approx(0.4)


def test_states_from_different_starts_meet():
    """The echo state property: driven by the same input, any two states converge within the washout."""
    point = network(size=50, spectral_radius=0.8, leak=1.0)
    with jax.enable_x64(True):
        inputs = jnp.asarray(wave().values[: point.context])
        states = jax.random.uniform(jax.random.key(1), (20, 50), jnp.float64, -1.0, 1.0)
        step = eqx.filter_jit(jax.vmap(point.advance, in_axes=(0, None)))
        began = float(jnp.ptp(states, axis=0).max())
        for value in inputs:
            states = step(states, value)
        assert began > 1.0 and float(jnp.ptp(states, axis=0).max()) < 1e-3


def test_one_step_is_the_equation():
    point = network(size=5, spectral_radius=0.5, leak=0.3)
    state, value = np.linspace(-0.5, 0.5, 5), np.asarray([0.2, -1.0])
    a, b, c = (np.asarray(x) for x in (point.recurrent, point.inward, point.bias))
    expected = [
        0.7 * state[i] + 0.3 * np.tanh(sum(a[i, j] * state[j] for j in range(5)) + b[i] @ value + c[i])
        for i in range(5)
    ]
    with jax.enable_x64(True):
        np.testing.assert_allclose(point.advance(jnp.asarray(state), jnp.asarray(value)), expected, rtol=1e-12)
        features = readout_features(jnp.asarray(state), jnp.asarray(value))
    np.testing.assert_allclose(features, [1.0, 0.2, -1.0, *state, *state**2])


def test_an_oscillation_is_continued():
    series = wave(500)
    forecast = EchoState(size=100).fit(series[:400], horizon=20, key=KEY).forecast(series[:400], 60)
    np.testing.assert_allclose(forecast.mean, series.values[400:460], atol=0.02)


def test_lorenz_is_forecast_for_lyapunov_times():
    times, values = lorenz63(4000, key=jax.random.key(3))
    series = Series.from_arrays(times, values)
    series = standardised(series, Standardiser.of(series[:2000]))
    with jax.enable_x64(True):
        method = EchoState(size=300, spectral_radius=0.8, leak=1.0, input_scale=0.3, ridge=1e-9)
        point = method.fit_point(series[:2000], horizon=20, key=KEY, run=None)
    origins, horizon = 2000 + 180 * np.arange(10), 300
    found = predict(point, series, origins, horizon, 64)
    valid = [
        valid_prediction_time(
            path, series.values[o + 1 : o + 1 + horizon], step=0.025, scale=np.ones(3), lyapunov=LORENZ63_LYAPUNOV
        )
        for o, path in zip(origins, found, strict=True)
    ]
    assert np.median(valid) >= 3.0


def test_nonlinear_memory_is_used():
    """Hénon's map shows one of its two variables: the next value is a quadratic function of the last two."""
    values = [0.1, 0.2]
    for _ in range(898):
        values.append(1.0 - 1.4 * values[-1] ** 2 + 0.3 * values[-2])
    series = Series.from_arrays(None, values)
    scores = [
        evaluate(method.fit(series[:700], horizon=1, key=KEY), series, start=700).metrics()["rmse"]
        for method in (EchoState(size=100, spectral_radius=0.4, leak=1.0), Linear())
    ]
    assert scores[0] < 0.1 * scores[1]


def test_a_diverging_network_stays_within_the_range_told():
    rng = np.random.default_rng(0)
    series = Series.from_arrays(None, rng.standard_t(2, size=120).cumsum())
    method = EchoState(size=60, spectral_radius=3.0, leak=1.0, ridge=1e-14, input_scale=3.0)
    mean = method.fit(series, horizon=3, key=KEY).forecast(series, 300).mean
    low, high = series.values[:90].min(), series.values[:90].max()
    assert np.all(mean >= low - (high - low) - 1e-9) and np.all(mean <= high + (high - low) + 1e-9)


@pytest.mark.parametrize(
    "settings", [{"size": 0}, {"washout": 1}, {"leak": 0.0}, {"leak": 1.5}, {"spectral_radius": -1.0}]
)
def test_mistakes_are_told(settings):
    with pytest.raises(InputError, match=next(iter(settings)).replace("_", " ")):
        EchoState(**settings).fit(wave(), horizon=3, key=KEY)
