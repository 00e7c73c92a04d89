"""Pairs of a flow, transfer both ways, and reflow, against flows that are known in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.special import ndtr, ndtri

from pathline.errors import InputError
from pathline.generate.couplings import Independent, Paired
from pathline.generate.discrepancies import PseudoHuber
from pathline.generate.fields import Fields
from pathline.generate.kernel_velocity import KernelVelocity
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Regression
from pathline.generate.paths import Linear, Retimed, VarianceExploding, VariancePreserving
from pathline.generate.reflow import generate_pairs, invert_pairs, reflow, reflow_regression, transfer
from pathline.generate.samplers import RK4, Adaptive, EulerMaruyama, Heun, UniformTime, sample, trajectories
from pathline.generate.times import UShaped
from pathline.train import fit

KEY = jax.random.key(0)
MEAN, SCALE = jnp.asarray([2.0, -1.0]), 0.6


class Straight(eqx.Module):
    """The velocity `w (x - t) / (1 + t) + u`: with `w = u = 1` that of the straight coupling `x1 = 2 x0 + 1`."""

    weights: jax.Array

    def __call__(self, t, x, condition):
        return self.weights[0] * (x - t) / (1 + t) + self.weights[1]


def gaussian(path=None, dtype=None):
    target = GaussianMixture.of(MEAN[None].astype(dtype or jnp.float32), SCALE**2)
    return exact_fields(path or Linear(), target)


def test_the_velocity_between_gaussians():
    """v = m + (t c^2 - (1-t)) / (t^2 c^2 + (1-t)^2) (x - t m)."""
    fields, x = gaussian(), jnp.asarray([0.3, 0.8])
    for t in (0.0, 0.3, 0.9):
        slope = (t * SCALE**2 - (1 - t)) / (t**2 * SCALE**2 + (1 - t) ** 2)
        np.testing.assert_allclose(fields.velocity(t, x), MEAN + slope * (x - t * MEAN), rtol=1e-4)


def test_pairs_of_a_gaussian_flow():
    """From noise to N(m, c^2) the flow is the map m + c x, exactly."""
    with jax.enable_x64(True):
        starts = jax.random.normal(KEY, (64, 2))
        # The velocity of a prediction of the data is singular at the very end, where one short step of Euler is made.
        pairs = generate_pairs(gaussian(dtype=jnp.float64), starts, Adaptive(1e-9), batch_size=24)
        np.testing.assert_allclose(pairs.target, MEAN + SCALE * starts, atol=1e-5)
        np.testing.assert_array_equal(pairs.source, starts)


@pytest.mark.parametrize("path", [VarianceExploding(0.002, 200.0), VariancePreserving(end=1e-5)])
def test_pairs_are_in_units_of_the_noise(path):
    keys = jax.random.split(KEY, 32)
    starts = jax.vmap(lambda key: path.start(key, (2,)))(keys)
    pairs = generate_pairs(gaussian(path), starts)
    np.testing.assert_allclose(pairs.source, jax.vmap(lambda key: path.law.sample(key, (2,)))(keys), rtol=1e-5)
    np.testing.assert_allclose(pairs.target, MEAN + SCALE * pairs.source, atol=0.03)


def test_there_and_back():
    """Between two data sets, and between data and their noise."""
    with jax.enable_x64(True):
        left = GaussianMixture.of(jnp.asarray([[3.0, 0.0], [-3.0, 0.0]]), 0.25)
        right = GaussianMixture.of(jnp.asarray([[0.0, 3.0], [0.0, -3.0]]), 0.25)
        fields = exact_fields(Linear(law=None), right, left)
        begin = jax.vmap(left.sample)(jax.random.split(KEY, 32))
        there = transfer(fields, begin, sampler=Adaptive(1e-9))
        back = transfer(fields, there, reverse=True, sampler=Adaptive(1e-9, start=1.0, stop=0.0))
        assert jnp.abs(there - begin).max() > 1
        np.testing.assert_allclose(back, begin, atol=1e-6)
        fixed = transfer(fields, there, reverse=True, sampler=RK4(200, UniformTime(1.0, 0.0)))
        np.testing.assert_allclose(fixed, begin, atol=1e-3)
    data = MEAN + SCALE * jax.random.normal(KEY, (32, 2))
    pairs = invert_pairs(gaussian(), data)
    np.testing.assert_allclose(pairs.source, (data - MEAN) / SCALE, atol=2e-3)
    np.testing.assert_array_equal(pairs.target, data)
    np.testing.assert_allclose(transfer(gaussian(), pairs.source), data, atol=1e-3)


def test_marginals_along_the_flow():
    """In one dimension the flow is monotone: it carries each quantile of the noise to that of X_t."""
    with jax.enable_x64(True):
        means, variance = jnp.asarray([[-2.0], [0.5], [1.5]]), 0.09
        fields = exact_fields(Linear(), GaussianMixture.of(means, variance))
        levels = (jnp.arange(64) + 0.5) / 64
        times, states = trajectories(fields, ndtri(levels)[:, None], RK4(400, UniformTime(0.0, 0.98)))
        for row in range(0, len(times), 200):
            t = times[row]
            deviation = jnp.sqrt(t**2 * variance + (1 - t) ** 2)
            found = ndtr((states[:, row, 0] - t * means) / deviation).mean(axis=0)
            np.testing.assert_allclose(found, levels, atol=1e-4)


def test_another_clock_has_the_same_map():
    """The path with alpha = t^2 has the same trajectories, at other speeds."""
    with jax.enable_x64(True):
        target = GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-2.0, 0.5]]), 0.16)
        plain, slow = (exact_fields(path, target) for path in (Linear(), Retimed(Linear(), 2.0)))
        starts = jax.random.normal(KEY, (32, 2))
        ends = [transfer(fields, starts, sampler=Adaptive(1e-9)) for fields in (plain, slow)]
        np.testing.assert_allclose(*ends, atol=2e-3)
        halfway = sample(slow, starts, Adaptive(1e-9, stop=0.5))
        np.testing.assert_allclose(halfway, sample(plain, starts, Adaptive(1e-9, stop=0.25)), atol=1e-6)
        assert jnp.abs(halfway - sample(plain, starts, Adaptive(1e-9, stop=0.5))).max() > 0.1


def test_a_straight_coupling_is_a_fixed_point():
    source = jax.random.normal(KEY, (512, 2))
    pairs = Paired(source, 2 * source + 1)
    fields = Fields(Linear(), Straight(jnp.ones(2)))
    loss, _ = Regression(pairs)(fields, pairs.data, KEY)
    assert loss < 1e-10
    arguments = {"steps": 400, "key": KEY, "optimiser": optax.sgd(0.2), "ema": None, "progress": False}
    again = reflow(fields, pairs, **arguments)
    np.testing.assert_allclose(again.model.weights, 1.0, atol=1e-5)
    np.testing.assert_allclose(transfer(again, source), pairs.target, atol=1e-4)
    # Not because nothing is trained: from elsewhere it is found, by other discrepancies too.
    elsewhere = Fields(Linear(), Straight(jnp.asarray([0.3, 0.0])))
    np.testing.assert_allclose(reflow(elsewhere, pairs, **arguments).model.weights, 1.0, atol=1e-3)
    terms, times = reflow_regression(elsewhere)
    assert isinstance(terms[0].discrepancy, PseudoHuber) and isinstance(times, UShaped)
    robust = {**arguments, "optimiser": optax.adam(optax.cosine_decay_schedule(0.02, 400))}
    found = reflow(elsewhere, pairs, terms=terms, times=times, **robust)
    np.testing.assert_allclose(found.model.weights, 1.0, atol=1e-2)


def test_reflow_makes_its_pairs_itself():
    """The present flow's own map is learnt, and not a random coupling of the same marginals."""
    source = jax.random.normal(KEY, (256, 1))
    fields = Fields(Linear(), Straight(jnp.ones(2)))
    arguments = {"steps": 100, "key": KEY, "optimiser": optax.sgd(0.1), "progress": False}
    np.testing.assert_allclose(reflow(fields, source, **arguments).model.weights, 1.0, atol=1e-3)
    shuffled = Paired(source, 2 * source[::-1] + 1)
    assert abs(float(reflow(fields, shuffled, **arguments).model.weights[0]) - 1.0) > 0.2


def test_the_first_flow_learns_the_mean_over_the_data():
    """For few samples v = (E[x1 | x_t] - x) / (1 - t) with softmax weights; a network comes close in one dimension."""
    points = jnp.asarray([[-1.5], [0.0], [1.0]])
    oracle = exact_fields(Linear(), GaussianMixture.of(points, 0.0))
    coupling = Independent(jnp.tile(points, (200, 1)))

    class Network(eqx.Module):
        layers: eqx.nn.MLP

        def __call__(self, t, x, condition):
            return self.layers(jnp.concatenate([x, jnp.stack([t, jnp.cos(3 * t), jnp.sin(3 * t)])]))

    network = Network(eqx.nn.MLP(4, 1, 64, 2, jax.nn.silu, key=KEY))
    found = fit(
        Fields(Linear(), network),
        coupling.data,
        Regression(coupling),
        steps=1500,
        batch_size=600,
        key=KEY,
        ema=0.99,
        optimiser=optax.adam(optax.cosine_decay_schedule(4e-3, 1500)),
        progress=False,
    ).ema_model
    errors, sizes = [], []
    for t in (0.1, 0.3, 0.5):
        # Where states are likely: x_t itself.
        x = t * coupling.target[:200] + (1 - t) * jax.random.normal(jax.random.key(1), (200, 1))
        exact = jax.vmap(lambda x, t=jnp.asarray(t): oracle.velocity(t, x))(x)
        errors.append(jnp.mean((jax.vmap(lambda x, t=jnp.asarray(t): found.velocity(t, x))(x) - exact) ** 2))
        sizes.append(jnp.var(exact))
    assert sum(errors) < 0.03 * sum(sizes), (errors, sizes)


def test_kernel_velocity():
    one = Paired(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[2.0, 2.0]]))
    fields = Fields(Linear(), KernelVelocity(Linear(), one, 0.1), "data")
    np.testing.assert_allclose(fields.velocity(0.5, jnp.asarray([1.0, 1.5])), [2.0, 1.0], rtol=1e-6)
    # On many pairs the velocity of the Gaussian flow, up to the error of the estimate.
    source = jax.random.normal(KEY, (20_000, 1))
    target = 1.0 + 0.6 * jax.random.normal(jax.random.key(1), (20_000, 1))
    estimate = Fields(Linear(), KernelVelocity(Linear(), Paired(source, target), 0.05), "data")
    exact = exact_fields(Linear(), GaussianMixture.of(jnp.asarray([[1.0]]), 0.36))
    for t, x in ((0.1, 0.5), (0.5, 0.2), (0.8, 1.2)):
        np.testing.assert_allclose(
            estimate.velocity(t, jnp.asarray([x])), exact.velocity(t, jnp.asarray([x])), atol=0.15
        )
    with pytest.raises(InputError, match="without a latent and a positive bandwidth"):
        KernelVelocity(Linear(), one, 0.0)
    with pytest.raises(InputError, match="without a latent"):
        KernelVelocity(Linear("brownian"), one, 0.1)


class Exploding(eqx.Module):
    """A velocity that is NaN for large states."""

    def __call__(self, t, x, condition):
        return jnp.where(x > 2, jnp.nan, 1.0)


def test_mistakes_are_told():
    fields, starts = gaussian(), jax.random.normal(KEY, (8, 2))
    with pytest.raises(InputError, match="runs from t = 0 to 1, the wrong way"):
        transfer(fields, starts, reverse=True, sampler=Heun(4))
    with pytest.raises(InputError, match="from source to target"):
        generate_pairs(fields, starts, Adaptive(start=1.0, stop=0.0))
    with pytest.raises(InputError, match="EulerMaruyama is stochastic"):
        generate_pairs(fields, starts, EulerMaruyama(steps=4))
    with pytest.raises(InputError, match=r"1 of 2 samples are not finite .* number 1"):
        generate_pairs(Fields(Linear(), Exploding()), jnp.asarray([[-3.0], [1.5]]), Heun(8))
