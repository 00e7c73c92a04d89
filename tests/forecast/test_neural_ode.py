"""Adaptive steps find the solution of the fine grid, and a regulariser makes them fewer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.data import Series
from pathline.errors import InputError
from pathline.forecast import NeuralODE
from pathline.forecast.neural_ode import LatentDynamics, _GrowingHorizon
from pathline.train import load, read_history, save

KEY = jax.random.key(0)
SMALL = {"context": 4, "latent": 1, "width": 8, "members": 1, "steps": 10, "batch_size": 16}


def wave() -> Series:
    times = np.arange(120.0)
    return Series.from_arrays(times, np.sin(0.5 * times) + 0.2 * np.sin(2.0 * times))


def test_adaptive_steps_solve_the_same_equation():
    with jax.enable_x64(True):
        grid = LatentDynamics(2, 3, 1, 16, 1, None, key=KEY)
        # A field that moves: before training the last layer is small.
        grid = eqx.tree_at(lambda model: model.field.linear, grid, jax.random.normal(KEY, (3, 3)))
        adaptive = eqx.tree_at(lambda m: (m.encoder, m.field), LatentDynamics(2, 3, 1, 16, 1, 1e-9, key=KEY),
                               (grid.encoder, grid.field))  # fmt: skip
        past = jnp.arange(3.0), jax.random.normal(KEY, (3, 2)), jnp.ones((3, 2), bool)
        fine = grid(*past, jnp.linspace(2.0, 4.0, 2001)[1:])[999::1000]
        found = adaptive(*past, jnp.asarray([3.0, 4.0]))
        assert jnp.abs(fine[1] - fine[0]).max() > 0.1
    np.testing.assert_allclose(found, fine, atol=1e-7)


def test_the_penalty_joins_the_loss_and_has_a_gradient():
    model = LatentDynamics(1, 3, 1, 8, 1, 1e-4, key=KEY)
    past = jnp.tile(jnp.arange(3.0), (2, 1)), jax.random.normal(KEY, (2, 3, 1)), jnp.ones((2, 3, 1), bool)
    batch = *past, jnp.tile(jnp.arange(3.0, 7.0), (2, 1)), jnp.zeros((2, 4, 1)), jnp.ones((2, 4, 1))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def penalty(model):
        plain, _ = _GrowingHorizon(4, 10, 0.0, "error", 0.0)(model, batch, KEY, jnp.asarray(0))
        with_penalty, cost = _GrowingHorizon(4, 10, 0.0, "error", 3.0)(model, batch, KEY, jnp.asarray(0))
        return with_penalty - plain - 3.0 * jax.lax.stop_gradient(cost["penalty"])

    rest, gradient = penalty(model)
    assert rest == pytest.approx(0.0, abs=1e-6)
    assert jnp.abs(gradient.field.network.layers[-1].weight).max() > 1e-6


@pytest.mark.slow
def test_adaptive_training_keeps_what_it_cost(tmp_path):
    forecaster = NeuralODE(**SMALL, tolerance=1e-3, regulariser="error").fit(wave(), horizon=4, key=KEY, run=tmp_path)
    save(tmp_path, forecaster)
    np.testing.assert_array_equal(load(tmp_path).forecast(wave()).mean, forecaster.forecast(wave()).mean)
    history = read_history(tmp_path / "round-1" / "history.csv")
    assert (history["evaluations"] > 6).all() and (history["penalty"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regulariser": "error"}, "give a tolerance"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)
def test_mistakes_are_told(settings, message):
    with pytest.raises(InputError, match=message):
        NeuralODE(**SMALL, **settings).fit(wave(), horizon=4, key=KEY)
