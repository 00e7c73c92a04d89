"""Discrepancies: their limits, their gradients, and the same minimiser on deterministic pairs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.discrepancies import Features, PseudoHuber, Squared
from pathline.generate.fields import Fields
from pathline.generate.objectives import Regression, Term
from pathline.generate.paths import Linear
from pathline.generate.times import UShaped
from pathline.train import fit

KEY = jax.random.key(0)


def unit(shape=(3, 5)):
    direction = jax.random.normal(KEY, shape)
    return direction / jnp.linalg.norm(direction)


def angle(x):
    """A feature of a number from which, normalised to unit length, the number can be told."""
    return jnp.concatenate([x, jnp.ones_like(x)])


def test_squared():
    truth = jax.random.normal(KEY, (3, 5))
    assert float(Squared()(truth + 0.3, truth)) == pytest.approx(0.09, rel=1e-5)


@pytest.mark.parametrize("per_component", [0.00054, 0.03])
def test_pseudo_huber_limits(per_component):
    """|e|^2 / (2 c d) for small errors and (|e| - c) / d for large ones, with c = per_component d."""
    with jax.enable_x64(True):
        huber, size = PseudoHuber(per_component), 15
        c, truth = per_component * size, jax.random.normal(KEY, (3, 5))
        direction = unit().astype(float)
        for norm in (1e-3 * c, 1e-4 * c, 1e-6 * c):
            found = float(huber(truth + norm * direction, truth))
            assert found == pytest.approx(norm**2 / (2 * c * size), rel=1e-5)
        for norm in (1e3 * c, 1e5 * c):
            found = float(huber(truth + norm * direction, truth))
            assert found == pytest.approx((norm - c) / size, rel=1e-3)
        exact = np.sqrt(0.7**2 + c**2) - c
        assert float(huber(truth + 0.7 * direction, truth)) == pytest.approx(exact / size, rel=1e-10)


def test_pseudo_huber_gradient_is_bounded():
    huber, truth = PseudoHuber(), jnp.zeros((3, 5))
    norms = [float(jnp.linalg.norm(jax.grad(huber)(norm * unit(), truth))) for norm in (0.0, 1e-4, 1e-2, 1.0, 1e3)]
    assert norms[0] == 0.0 and (np.diff(norms) > -1e-8).all()
    assert max(norms) <= (1 + 1e-5) / 15 and norms[-1] == pytest.approx(1 / 15, rel=1e-4)


def test_pseudo_huber_keeps_small_errors_in_single_precision():
    """Without the rearrangement, sqrt(e^2 + c^2) - c is zero here."""
    size = 3072
    c, error = 0.00054 * size, 1e-4
    truth = jnp.zeros(size, jnp.float32)
    found = float(PseudoHuber()(truth.at[0].set(error), truth))
    assert found == pytest.approx(error**2 / (2 * c * size), rel=1e-4)


def test_features_compare_directions_of_every_layer():
    both = Features(lambda x: (x.ravel(), jnp.stack([x.sum(), x[0, 0]])))
    one, other = jnp.asarray([[3.0, 4.0]]), jnp.asarray([[4.0, 3.0]])
    first = 2 - 2 * 24 / 25
    second = 2 - 2 * (49 + 12) / np.sqrt((49 + 9) * (49 + 16))
    assert float(both(one, other)) == pytest.approx(first + second, rel=1e-5)
    assert float(Features(jnp.ravel)(one, 5 * one)) == pytest.approx(0.0, abs=1e-7)
    assert float(both(one, one)) == 0.0


@pytest.mark.parametrize("features", [False, True])
def test_gradients_are_finite_where_the_prediction_is_exact(features):
    """The root in the norm and in the Huber discrepancy must not give 0/0."""
    measure = Features(jnp.ravel) if features else PseudoHuber()
    for truth in (jnp.ones((3, 5)), jnp.zeros((3, 5))):
        assert jnp.isfinite(jax.grad(measure)(truth, truth)).all()


class Affine(eqx.Module):
    """`w(t) x + u(t)` with polynomials of time, which hold the 1/(1+t) of the coupling below to 1e-4."""

    weights: jax.Array

    def __call__(self, t, x, condition):
        w, u = self.weights @ jnp.cos(jnp.arange(6) * jnp.arccos(jnp.clip(2 * t - 1, -0.999999, 0.999999)))
        return w * x + u


@pytest.mark.parametrize(
    "term",
    [Term("velocity"), Term("velocity", PseudoHuber()), Term("data", Features(angle))],
    ids=["squared", "pseudo-huber", "features"],
)
def test_the_same_minimiser_on_deterministic_pairs(term):
    """x1 = 2 x0 + 1: whatever the discrepancy, the map of one step is found."""
    noise = jax.random.normal(KEY, (512, 1))
    coupling = Paired(noise, 2 * noise + 1)
    found = fit(
        Fields(Linear(), Affine(jnp.zeros((2, 6)))),
        coupling.data,
        Regression(coupling, [term], UShaped()),
        steps=3000,
        batch_size=256,
        key=jax.random.key(1),
        optimiser=optax.adam(optax.cosine_decay_schedule(0.03, 3000)),
        progress=False,
    ).model
    for t in (0.0, 0.4, 0.9):
        for start in (-1.0, 0.2, 1.5):
            x = jnp.asarray([(1 - t) * start + t * (2 * start + 1)])
            np.testing.assert_allclose(found.data(t, x), [2 * start + 1], atol=0.01)


def test_another_minimiser_on_random_pairs():
    """Why all but the square are for deterministic pairs: on others Huber finds about the median, not the mean."""
    target = jnp.where(jax.random.uniform(KEY, (4096, 1)) < 0.8, 0.0, 1.0)
    coupling = Paired(jnp.zeros_like(target), target)

    def minimiser(discrepancy):
        return fit(
            Fields(Linear(), Affine(jnp.zeros((2, 6)))),
            coupling.data,
            # At the noise alone, where every start is the same.
            Regression(coupling, [Term("velocity", discrepancy)], UShaped(50.0)),
            steps=1500,
            batch_size=1024,
            key=jax.random.key(1),
            optimiser=optax.adam(optax.cosine_decay_schedule(0.03, 1500)),
            progress=False,
        ).model.data(0.0, jnp.zeros(1))[0]

    assert float(minimiser(Squared())) == pytest.approx(0.2, abs=0.03)
    assert float(minimiser(PseudoHuber())) < 0.08


def test_refusals():
    with pytest.raises(InputError, match="positive constant"):
        PseudoHuber(0.0)
