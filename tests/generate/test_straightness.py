"""Straightness, intersection and transport costs against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from pathline.errors import InputError
from pathline.generate.couplings import Paired, Pairs
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Retimed, VariancePreserving
from pathline.generate.reflow import generate_pairs
from pathline.generate.samplers import Adaptive, Euler, Heun, UniformTime
from pathline.generate.straightness import intersection, nfe_curve, straightness, transport_cost
from pathline.measure import wasserstein2

KEY = jax.random.key(0)
DIM = 2


class Velocity(eqx.Module):
    """Another model's velocity, as a prediction of the velocity itself."""

    fields: Fields

    def __call__(self, t, x, condition):
        return self.fields.velocity(t, x)


class Straight(eqx.Module):
    """The velocity of the straight coupling `x1 = 2 x0 + 1` on a path that has `power` on its clock."""

    power: float = 1.0

    def __call__(self, t, x, condition):
        clock = t**self.power
        return self.power * t ** (self.power - 1) * ((x - clock) / (1 + clock) + 1)


def whitened(key, count, columns):
    """Draws of which the mean is zero and the covariance one exactly: second moments have no sampling error."""
    draws = np.array(jax.random.normal(key, (count, columns)), float)
    draws -= draws.mean(axis=0)
    return jnp.asarray(draws @ np.linalg.inv(np.linalg.cholesky(draws.T @ draws / count)).T)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_gaussian_flow(scale):
    """S and V by quadrature, and equation 13: E|X1 - X0|^2 - E|Z1 - Z0|^2 = S + V."""

    def deviation(t):
        return np.sqrt(t**2 * scale**2 + (1 - t) ** 2)

    def slope(t):
        return (t * scale**2 - (1 - t)) / deviation(t)

    exact_s = DIM * quad(lambda t: (slope(t) - (scale - 1)) ** 2, 0, 1)[0]
    exact_v = DIM * quad(lambda t: scale**2 + 1 - slope(t) ** 2, 0, 1)[0]
    with jax.enable_x64(True):
        mean = jnp.asarray([2.0, -1.0])
        fields = exact_fields(Linear(), GaussianMixture.of(mean[None], scale**2))
        draws = whitened(KEY, 500, 2 * DIM)
        source, target = draws[:, :DIM], mean + scale * draws[:, DIM:]
        s, v = straightness(fields, source, 256), intersection(fields, Pairs(source, target), 256)
        np.testing.assert_allclose(s, exact_s, atol=1e-3)
        np.testing.assert_allclose(v, exact_v, atol=1e-3)
        before = transport_cost(Pairs(source, target))
        after = transport_cost(generate_pairs(fields, source, Adaptive(1e-8)))
        np.testing.assert_allclose(before, float(jnp.sum(mean**2)) + DIM * (1 + scale**2), rtol=1e-9)
        np.testing.assert_allclose(before - after, s + v, rtol=1e-3)
        np.testing.assert_allclose(before - after, 2 * scale * DIM, rtol=1e-3)


def test_a_straight_flow_and_its_clock():
    """Evenly run through it has S = V = 0; with the clock t^2, S = E|Z1 - Z0|^2 / 3."""
    with jax.enable_x64(True):
        source = jax.random.normal(KEY, (200, DIM))
        pairs = Paired(source, 2 * source + 1)
        even = Fields(Linear(), Straight())
        assert straightness(even, source, 16) < 1e-20
        assert intersection(even, pairs, 16) < 1e-20
        slow = Fields(Retimed(Linear(), 2.0), Straight(2.0))
        cost = transport_cost(pairs)
        np.testing.assert_allclose(straightness(slow, source, 400), cost / 3, rtol=1e-4)
        assert intersection(slow, pairs, 16) < 1e-20


def test_burgers_equation():
    """A particle of a straight flow keeps its velocity: dv/dt + (dv/dx) v = 0. A curved flow does not."""

    def acceleration(fields, t, x):
        direction = jnp.ones_like(t), fields.velocity(t, x)
        return jax.jvp(fields.velocity, (t, x), direction)[1]

    with jax.enable_x64(True):
        times = jax.random.uniform(KEY, (20,), minval=0.05, maxval=0.95)
        states = jax.random.normal(KEY, (20, DIM))
        straight = Fields(Linear(), Straight())
        curved = exact_fields(Linear(), GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-2.0, 1.0]]), 0.2))
        found = jax.vmap(lambda t, x: acceleration(straight, t, x))(times, states)
        np.testing.assert_allclose(found, 0.0, atol=1e-12)
        assert jnp.abs(jax.vmap(lambda t, x: acceleration(curved, t, x))(times, states)).max() > 0.1


def test_straightness_of_any_prediction_and_span():
    """The last step of a model of the data is one of Euler; and the span need not be all of [0, 1]."""
    with jax.enable_x64(True):
        data = exact_fields(Linear(), GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-2.0, 1.0]]), 0.5))
        velocity = Fields(Linear(), Velocity(data))
        starts = jax.random.normal(KEY, (100, DIM))
        inside = UniformTime(0.0, 1 - 1e-4)
        reference = straightness(velocity, starts, 500, grid=inside)
        np.testing.assert_allclose(straightness(data, starts, 500), reference, rtol=0.02)
        assert reference > 0.1
        preserving = exact_fields(VariancePreserving(), GaussianMixture.of(jnp.asarray([[0.0, 0.0]]), 1.0))
        assert straightness(preserving, starts, 50) < 1e-6, "unit Gaussians do not move at all"


def test_convex_costs_do_not_grow():
    """For every convex cost, and never below optimal transport."""
    left = GaussianMixture.of(jnp.asarray([[3.0, 0.0], [-1.5, 2.6], [-1.5, -2.6]]), 0.1)
    right = GaussianMixture.of(jnp.asarray([[1.5, 2.6], [-3.0, 0.0], [1.5, -2.6]]), 0.1)
    fields = exact_fields(Linear(law=None), right, left)
    source, target = (
        jax.vmap(law.sample)(jax.random.split(jax.random.key(number), 900)) for number, law in enumerate((left, right))
    )
    pairs = generate_pairs(fields, source)
    for cost in (None, jnp.linalg.norm, lambda x: jnp.abs(x).sum(), lambda x: jnp.logaddexp(x[0], 0.0)):
        assert transport_cost(pairs, cost) < transport_cost(Paired(source, target), cost)
    np.testing.assert_allclose(
        transport_cost(pairs, jnp.linalg.norm),
        np.linalg.norm(np.asarray(pairs.target - pairs.source), axis=1).mean(),
        rtol=1e-5,
    )
    # Against the optimal coupling of the very same points.
    assert transport_cost(pairs) >= 0.999 * wasserstein2(pairs.source, pairs.target) ** 2
    images = Paired(jnp.zeros((3, 1, 2, 2)), 2 * jnp.ones((3, 1, 2, 2)))
    assert transport_cost(images) == 16 and transport_cost(images, jnp.linalg.norm) == 4


def test_curve_over_evaluations():
    with jax.enable_x64(True):
        fields = exact_fields(Linear(), GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-2.0, 1.0]]), 0.5))
        starts = jax.random.normal(KEY, (50, DIM))
        reference = generate_pairs(fields, starts, Adaptive(1e-9)).target

        def error(ends):
            return float(jnp.abs(ends - reference).max())

        evaluations, errors = nfe_curve(fields, starts, error, (8, 16, 32, 64))
        assert evaluations.tolist() == [8, 16, 32, 64]
        assert -np.polyfit(np.log(evaluations), np.log(errors), 1)[0] > 0.7
        twice, better = nfe_curve(fields, starts, error, (8, 16), Heun)
        # Where the data alone are predicted, the last step is one of Euler.
        assert twice.tolist() == [15, 31] and (better < errors[1:3]).all()
        straight = Fields(Linear(), Straight())
        _, gone = nfe_curve(straight, starts, lambda ends: jnp.abs(ends - 2 * starts - 1).max(), (1, 2), Euler)
        assert gone.max() < 1e-12


def test_a_latent_is_refused():
    fields = Fields(Linear("brownian"), Straight())
    with pytest.raises(InputError, match="without a latent"):
        intersection(fields, Pairs(jnp.zeros((2, 1)), jnp.ones((2, 1))))
