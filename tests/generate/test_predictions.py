"""All predictions say the same: each is computed from every other one, and the truths of a pair obey the algebra."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import (
    CosineVariancePreserving,
    EncodeDecode,
    Linear,
    Mirror,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)
from pathline.generate.predictions import check_kinds, conversion, conversions, possible, truth

ONE_SIDED = [
    Linear(),
    Trigonometric(),
    VariancePreserving(),
    CosineVariancePreserving(),
    VarianceExploding(0.01, 20.0),
    VarianceExploding(0.01, 20.0, law=StudentT(3.0)),
    Mirror(),
]
TWO_SIDED = [Linear(latent="brownian", law=None), Trigonometric(latent="parabola", law=None)]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def pair(seed=0, dim=4):
    return jax.random.normal(jax.random.key(seed), (3, dim))


def named(path):
    return f"{type(path).__name__}-{type(path.law).__name__}"


@pytest.mark.parametrize("fraction", [0.2, 0.61])
@pytest.mark.parametrize("path", [*ONE_SIDED, *TWO_SIDED], ids=named)
def test_every_prediction_follows_from_every_other(path, fraction):
    """For a single pair the mean is the truth itself, so that conversions must be exact."""
    first, last = path.span
    t = first + fraction * (last - first)
    source, target, latent = pair()
    x = path.point(t, source, target, latent if path.has_latent else None)
    kinds = possible(path)
    sets = [one for one in permutations(kinds, 2 if path.has_latent else 1) if set(one) != {"latent", "score"}]
    assert len(sets) >= 5
    for known in sets:
        values = [truth(path, kind, t, source, target, latent) for kind in known]
        for wanted in kinds:
            state, weights = conversion(path, known, wanted, t)
            found = state * x + sum(weight * value for weight, value in zip(weights, values, strict=True))
            expected = truth(path, wanted, t, source, target, latent)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


def test_velocity_from_transport_and_score_is_finite_where_the_latent_vanishes():
    """`b = v - gamma gamma' s` (remark 14): the factor is finite at both ends, `gamma'` is not."""
    path = Linear(latent="brownian", strength=2.0, law=None)
    for t, factor in ((0.0, 1.0), (1.0, -1.0), (0.5, 0.0)):
        state, weights = conversion(path, ("transport", "score"), "velocity", t)
        np.testing.assert_allclose(jnp.stack([state, *weights]), [0.0, 1.0, -factor], atol=1e-12)


def test_closed_form_rows():
    state, weights = conversion(Linear(), ("velocity",), "data", 0.25)
    np.testing.assert_allclose([state, *weights], [1.0, 0.75])  # x1 = x + (1 - t) v
    state, weights = conversion(VarianceExploding(0.01, 20.0), ("data",), "score", 0.3)
    variance = VarianceExploding(0.01, 20.0).source_scale(0.3) ** 2
    np.testing.assert_allclose([state, *weights], [-1 / variance, 1 / variance])  # s = (D - x) / sigma^2


def test_singular_conversions_are_infinite():
    for path in (Linear(), Trigonometric()):
        _, weights = conversions(path, ("data",), "velocity", np.asarray([0.5, 1.0]))
        assert np.isfinite(weights[0]).all() and np.isinf(weights[1]).all()


def test_what_cannot_be_computed_is_told():
    with pytest.raises(InputError, match="no prediction 'velocty' \\(did you mean 'velocity'"):
        check_kinds(Linear(), ("velocty",))
    with pytest.raises(InputError, match="has no latent"):
        Fields(Linear(), lambda t, x, c: x, "latent")
    with pytest.raises(InputError, match=r"noise of the law StudentT.*no score"):
        conversion(VarianceExploding(law=StudentT(8.0)), ("data",), "score", 0.5)
    with pytest.raises(InputError, match="starts from data, so no score"):
        conversion(Linear(law=None), ("velocity",), "score", 0.5)
    with pytest.raises(InputError, match=r"'score' cannot be computed from 'velocity'.*two of"):
        conversion(Linear(latent="brownian", law=None), ("velocity",), "score", 0.5)
    with pytest.raises(InputError, match="cannot be computed from 'latent' and 'score'"):
        conversion(Linear(latent="brownian", law=None), ("latent", "score"), "velocity", 0.5)
    # One half of encode-decode does not know the other end.
    state, weights = conversion(EncodeDecode(latent="sine", law=None), ("velocity", "latent"), "data", 0.2)
    assert not np.isfinite(jnp.stack([state, *weights])).all()


def test_fields_derive_everything_from_one_evaluation():
    mixture = GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-1.0, 1.0]]), 0.3)
    calls = []

    def model(t, x, condition):
        calls.append(condition)
        return exact_fields(Linear(), mixture).velocity(t, x)

    fields, x = Fields(Linear(), model), jnp.asarray([0.3, -0.4])
    velocity, data, noise, score = fields.several(("velocity", "data", "noise", "score"), 0.4, x, "label")
    assert calls == ["label"]
    np.testing.assert_allclose(0.6 * noise + 0.4 * data, x, atol=1e-12)
    np.testing.assert_allclose(velocity, data - noise, atol=1e-12)
    np.testing.assert_allclose(score, -noise / 0.6, atol=1e-12)
    at = GaussianMixture.of(0.4 * mixture.means, 0.4**2 * 0.3 + 0.6**2)
    np.testing.assert_allclose(score, jax.grad(at.log_density)(x), atol=1e-10)
    np.testing.assert_allclose(fields.data(0.4, x), data, atol=1e-12)


def test_a_model_of_the_wrong_shape_is_told():
    with pytest.raises(InputError, match=r"shapes \(1,\) for a state of shape \(2,\)"):
        Fields(Linear(), lambda t, x, c: x[:1]).velocity(0.5, jnp.zeros(2))


@pytest.mark.parametrize("path", ONE_SIDED[:4], ids=named)
def test_a_model_is_read_on_another_path(path):
    mixture = GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-1.0, 1.0]]), 0.3)
    wide = VarianceExploding(1e-4, 1e4)
    x = jnp.asarray([0.7, 0.2])
    again = exact_fields(wide, mixture).on(path)
    for t in (0.2, 0.5, 0.9):
        np.testing.assert_allclose(again.data(t, x), exact_fields(path, mixture).data(t, x), rtol=1e-6)
    with pytest.raises(InputError, match="noise of the two paths differs"):
        exact_fields(wide, mixture).on(VarianceExploding(law=StudentT(4.0)))
