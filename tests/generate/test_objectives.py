"""The regression has the conditional mean as its minimiser, and couplings pair what they should."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pathline.errors import InputError
from pathline.generate.couplings import Independent, MinibatchOT, Paired, Pairs
from pathline.generate.discrepancies import PseudoHuber
from pathline.generate.fields import Fields
from pathline.generate.laws import Gaussian, StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Regression, Term, loss_terms, losses_by_time
from pathline.generate.paths import Linear, VariancePreserving
from pathline.generate.times import Uniform
from pathline.generate.weightings import EDM, Constant, Power
from pathline.train import fit


class Affine(eqx.Module):
    """`w(t) x + u(t)` with quadratic polynomials of time: holds the exact velocity of some Gaussian flows."""

    weights: jax.Array

    def __call__(self, t, x, condition):
        w, u = self.weights @ jnp.stack([jnp.ones_like(t), t, t**2])
        return w * x + u


@pytest.mark.parametrize("kind", ["velocity", "data", "noise", "v"])
def test_regression_finds_the_conditional_mean(kind):
    """At one time, for Gaussian data, every kind is affine in the state and known in closed form."""
    mean, deviation, t = 1.5, 0.5, 0.4
    path = Linear()
    key = jax.random.key(0)
    data = mean + deviation * jax.random.normal(key, (4096, 1))
    times = Uniform(t, t + 1e-6)
    fields = Fields(path, Affine(jnp.zeros((2, 3))), kind)
    found = fit(
        fields,
        Independent(data).data,
        Regression(Independent(data), times=times),
        steps=800,
        batch_size=1024,
        key=jax.random.key(1),
        optimiser=optax.adam(optax.cosine_decay_schedule(0.05, 800)),
    ).model
    exact = exact_fields(path, GaussianMixture.of(jnp.asarray([[mean]]), deviation**2))
    for x in (-0.5, 0.3, 1.2):
        state = jnp.asarray([x])
        np.testing.assert_allclose(
            found.several((kind,), t, state)[0], exact.several((kind,), t, state)[0], atol=0.08, rtol=0.05
        )


def test_terms_are_compared_in_their_own_kind():
    """A term in another kind than the prediction is the same square up to the factor of the conversion."""
    path, model = Linear(), Affine(jnp.ones((2, 3)))
    source, target = jnp.asarray([0.3, -1.0]), jnp.asarray([1.0, 2.0])
    t = jnp.asarray(0.4)
    terms = (Term("velocity"), Term("data"), Term("data", weighting=Power(rest=-2.0)))
    velocity, data, weighted = loss_terms(Fields(path, model), terms, t, source, target, source)
    np.testing.assert_allclose(data, 0.6**2 * velocity, rtol=1e-5)
    np.testing.assert_allclose(weighted, velocity, rtol=1e-5)


def test_weightings():
    path = VariancePreserving()
    sigma = path.noise_level(0.3)
    signal = path.target_scale(0.3)
    np.testing.assert_allclose(EDM(0.5)(path, 0.3), (sigma**2 + 0.25) / (sigma * 0.5) ** 2, rtol=1e-5)
    assert signal < 1 and Constant(2.0)(path, 0.3) == 2.0
    np.testing.assert_allclose(Power(1.0, 2.0)(path, 0.3), 0.3 * 0.49, rtol=1e-6)


def test_dropped_conditions_are_the_null():
    seen = []

    class Spy(eqx.Module):
        def __call__(self, t, x, condition):
            jax.debug.callback(lambda c: seen.append(int(c)), condition)
            return jnp.zeros_like(x)

    data, labels = jnp.zeros((400, 1)), jnp.ones(400, int)
    coupling = Independent(data, condition=labels)
    regression = Regression(coupling, drop_condition=0.25, null=jnp.asarray(7))
    jax.block_until_ready(regression(Fields(Linear(), Spy()), coupling.data, jax.random.key(0)))
    jax.effects_barrier()
    assert set(seen) == {1, 7} and 60 < seen.count(7) < 140
    with pytest.raises(InputError, match="null condition"):
        Regression(coupling, drop_condition=0.1)


def test_path_and_coupling_must_agree_on_the_source():
    data = jnp.zeros((8, 2))
    for path, coupling in (
        (Linear(law=None), Independent(data)),
        (Linear(), Independent(data, data)),
        (Linear(law=StudentT(3.0)), Independent(data)),
    ):
        with pytest.raises(InputError, match="path starts from"):
            Regression(coupling)(Fields(path, lambda t, x, c: x), coupling.data, jax.random.key(0))
    assert Independent(data, Gaussian()).law == Gaussian()


def test_independent_and_paired():
    target, source = jnp.arange(12.0).reshape(6, 2), -jnp.arange(12.0).reshape(6, 2)
    pairs = Paired(source, target).sample(jax.random.key(0), 50)
    np.testing.assert_array_equal(pairs.source, -pairs.target)
    pairs = Independent(target, source).sample(jax.random.key(0), 2000)
    assert abs(np.corrcoef(pairs.source[:, 0], pairs.target[:, 0])[0, 1]) < 0.1
    assert isinstance(pairs, Pairs) and len(pairs) == 2000
    for wrong in (lambda: Independent(target, source[:, :1]), lambda: Paired(source[:3], target)):
        with pytest.raises(InputError, match="shape"):
            wrong()


def test_minibatch_transport_sorts_on_the_line():
    """In one dimension the optimal plan is monotone, and its cost is the squared distance of the quantiles."""
    target = jax.random.normal(jax.random.key(1), (128, 1)) * 2 + 5
    coupling = MinibatchOT(target, sharpness=500.0)
    labels = jnp.arange(128)
    pairs = MinibatchOT(target, condition=labels, sharpness=500.0).pair((target, labels), jax.random.key(0))
    np.testing.assert_array_equal(pairs.target, target)
    np.testing.assert_array_equal(pairs.condition, labels)
    rank = np.corrcoef(np.argsort(np.argsort(pairs.source[:, 0])), np.argsort(np.argsort(target[:, 0])))[0, 1]
    assert rank > 0.98
    cost = float(jnp.mean((pairs.target - pairs.source) ** 2))
    least = float(jnp.mean((jnp.sort(pairs.target, axis=0) - jnp.sort(pairs.source, axis=0)) ** 2))
    independent = Independent(target).pair((target, None), jax.random.key(0))
    assert least <= cost < least + 0.3 < float(jnp.mean((independent.target - independent.source) ** 2))
    assert coupling.sample(jax.random.key(2), 16).target.shape == (16, 1)


def test_loss_by_time_is_the_irreducible_one_of_the_exact_field():
    """For noise and Gaussian data of variance c^2: `Var(x1 - x0 | x_t) = c^2 / (t^2 c^2 + (1-t)^2)`."""
    c = 0.5
    fields = exact_fields(Linear(), GaussianMixture.of(jnp.zeros((1, 1)), c**2))
    key = jax.random.split(jax.random.key(0))
    pairs = Pairs(jax.random.normal(key[0], (20000, 1)), c * jax.random.normal(key[1], (20000, 1)))
    times = jnp.asarray([0.1, 0.5, 0.8])
    found = losses_by_time(fields, pairs, times, key=jax.random.key(3), term=Term("velocity"))
    np.testing.assert_allclose(found, c**2 / (times**2 * c**2 + (1 - times) ** 2), rtol=0.05)
    robust = losses_by_time(fields, pairs, times, key=jax.random.key(3), term=Term("velocity", PseudoHuber()))
    assert (robust > 0).all()
