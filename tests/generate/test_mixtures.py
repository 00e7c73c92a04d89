"""Exact fields of mixtures: against finite differences, the continuity equation, regression on pairs, and one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.objectives import Term, loss_terms
from pathline.generate.paths import (
    EncodeDecode,
    Linear,
    Mirror,
    Trigonometric,
    VarianceExploding,
    VariancePreserving,
)

WITH_LATENT = [
    Linear(latent="brownian", strength=2.0, law=None),
    Linear(latent="parabola", law=None),
    Linear(latent="sigmoids", law=None),
    Trigonometric(latent="brownian", law=None),
    EncodeDecode(latent="sine", law=None),
]
TIMES = (0.07, 0.4, 0.81)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def named(path):
    return f"{type(path).__name__}-{getattr(path, 'latent', '')}"


def ends():
    source = GaussianMixture.of(
        jnp.asarray([[-2.0, 0.5], [1.5, 0.0]]), jnp.asarray([0.3, 0.8]), jnp.asarray([0.4, 0.6])
    )
    target = GaussianMixture.of(
        jnp.asarray([[0.0, 3.0], [2.0, -1.0], [-1.0, 0.0]]), jnp.asarray([[0.5, 0.2], [0.4, 0.9], [0.3, 0.3]])
    )
    return source, target


def states(count=6):
    return 2 * jax.random.normal(jax.random.key(3), (count, 2))


@pytest.mark.parametrize("path", WITH_LATENT, ids=named)
def test_score_and_continuity(path):
    """`s = grad log rho_t` by central differences of the density, and `d log rho/dt + div b + b . s = 0`."""
    source, target = ends()
    fields = exact_fields(path, target, source)
    step = 1e-5

    def log_density(t, x):
        return fields.model.density(t).log_density(x)

    @jax.jit
    def checked(t, x):
        b, s = fields.several(("velocity", "score"), t, x)
        differences = jnp.stack(
            [(log_density(t, x + step * e) - log_density(t, x - step * e)) / (2 * step) for e in jnp.eye(2)]
        )
        divergence = jnp.trace(jax.jacfwd(lambda x: fields.velocity(t, x))(x))
        rate = (log_density(t + step, x) - log_density(t - step, x)) / (2 * step)
        return s, differences, rate + divergence + b @ s, jnp.abs(rate) + jnp.abs(divergence)

    for t in TIMES:
        for x in states():
            s, differences, residual, size = checked(t, x)
            np.testing.assert_allclose(s, differences, rtol=1e-6, atol=1e-7)
            assert abs(residual) < 1e-5 * (1 + size)


@pytest.mark.parametrize("path", WITH_LATENT[:4], ids=named)
def test_the_algebra_of_the_fields(path):
    """`b - v = -gamma gamma' s`, and the means of the ends and of the latent add up to the state and to the velocity."""
    source, target = ends()
    fields = exact_fields(path, target, source)
    kinds = ("velocity", "score", "transport", "noise", "data", "latent")
    for t in TIMES:
        rates = [jax.grad(f)(t) for f in (path.source_scale, path.target_scale, path.latent_variance)]
        gamma = path.latent_scale(t)
        for x in states():
            b, s, v, zero, one, z = fields.several(kinds, t, x)
            np.testing.assert_allclose(b - v, -0.5 * rates[2] * s, atol=1e-9)
            np.testing.assert_allclose(
                path.source_scale(t) * zero + path.target_scale(t) * one + gamma * z, x, atol=1e-9
            )
            np.testing.assert_allclose(rates[0] * zero + rates[1] * one + 0.5 * rates[2] / gamma * z, b, atol=1e-9)
            np.testing.assert_allclose(z, -gamma * s, atol=1e-12)


def test_fields_are_means_given_the_state():
    """Self-normalised importance sampling: pairs weighted by the density of the latent that brings them to the state."""
    path = Linear(latent="brownian", strength=2.0, law=None)
    source, target = ends()
    fields = exact_fields(path, target, source)
    keys = jax.random.split(jax.random.key(0), (2, 200_000))
    one, other = jax.vmap(source.sample)(keys[0]), jax.vmap(target.sample)(keys[1])
    for t, x in ((0.3, [0.2, 0.5]), (0.6, [1.0, -0.5])):
        gamma = path.latent_scale(t)
        latent = (jnp.asarray(x) - path.interpolate(t, one, other)) / gamma
        weight = jax.nn.softmax(-0.5 * jnp.sum(latent**2, axis=1))
        velocity = weight @ path.velocity(t, one, other, latent)
        error = jnp.sqrt(weight**2 @ (path.velocity(t, one, other, latent) - velocity) ** 2)
        b, z = fields.several(("velocity", "latent"), t, jnp.asarray(x))
        assert (jnp.abs(velocity - b) < 5 * error).all() and (error < 0.03).all()
        np.testing.assert_allclose(weight @ latent, z, atol=0.03)


def test_without_a_latent_from_noise_both_formulas_agree():
    """A Gaussian source given as a mixture is the noise of a one-sided path: its velocity is the denoiser's."""
    _, target = ends()
    noise = GaussianMixture.of(jnp.zeros((1, 2)), 1.0)
    for path in (Linear(), Trigonometric(), VariancePreserving()):
        bridge, denoiser = exact_fields(path, target, noise), exact_fields(path, target)
        assert (bridge.predicts, denoiser.predicts) == (("velocity",), ("data",))
        for t in TIMES:
            for x in states(3):
                np.testing.assert_allclose(bridge.velocity(t, x), denoiser.velocity(t, x), rtol=1e-8, atol=1e-9)
                np.testing.assert_allclose(bridge.score(t, x), denoiser.score(t, x), rtol=1e-7, atol=1e-9)


def test_a_one_sided_path_is_a_diffusion_after_a_change_of_clock():
    """On the variance-preserving path the velocity is the probability-flow field of the score,
    `b = (beta/2) (x + s)`, as the noising process runs backwards."""
    _, target = ends()
    path = VariancePreserving(0.1, 20.0)
    fields = exact_fields(path, target)
    for t in TIMES:
        beta = 0.1 + (1 - t) * 19.9
        for x in states(3):
            velocity, score = fields.several(("velocity", "score"), t, x)
            np.testing.assert_allclose(velocity, 0.5 * beta * (x + score), rtol=1e-8, atol=1e-9)


def test_without_a_latent_the_linear_path_regresses_on_the_displacement():
    path, (source, target) = Linear(law=None), states(2)
    np.testing.assert_allclose(path.velocity(0.3, source, target), target - source, rtol=1e-12)


def test_the_mirror_of_a_gaussian():
    """`x_t = x1 + gamma n` with normal data: `s = -x / (1 + gamma^2)` and `b = -gamma gamma' s`."""
    path = Mirror(2.0)
    fields = exact_fields(path, GaussianMixture.of(jnp.zeros((1, 2)), 1.0))
    for t in TIMES:
        variance, rate = 2 * t * (1 - t), 2 - 4 * t
        for x in states(3):
            velocity, score = fields.several(("velocity", "score"), t, x)
            np.testing.assert_allclose(score, -x / (1 + variance), rtol=1e-9)
            np.testing.assert_allclose(velocity, 0.5 * rate * x / (1 + variance), rtol=1e-7, atol=1e-12)


def test_between_two_gaussians_everything_is_affine():
    source, target = GaussianMixture.of(jnp.asarray([[1.0]]), 0.3), GaussianMixture.of(jnp.asarray([[-2.0]]), 1.2)
    path = Linear(latent="brownian", strength=2.0, law=None)
    fields = exact_fields(path, target, source)
    for t in TIMES:
        mean, variance = 1 - 3 * t, 0.3 * (1 - t) ** 2 + 1.2 * t**2 + 2 * t * (1 - t)
        rate = -0.6 * (1 - t) + 2.4 * t + 2 - 4 * t
        x = jnp.asarray([0.7])
        velocity, score = fields.several(("velocity", "score"), t, x)
        np.testing.assert_allclose(velocity, -3 + 0.5 * rate / variance * (0.7 - mean), rtol=1e-10)
        np.testing.assert_allclose(score, -(0.7 - mean) / variance, rtol=1e-10)


def test_losses_of_score_and_latent_differ_by_the_variance_of_the_latent():
    """So they have the same minimiser: at one time, `gamma^2` times one is the other, for every prediction."""
    path = Linear(latent="brownian", strength=2.0, law=None)
    source, target = states(2)
    latent, t = jnp.asarray([0.3, -1.2]), jnp.asarray(0.35)
    for guess in (0.0, 0.4, -2.0):
        fields = Fields(path, lambda t, x, c, guess=guess: guess * x, "latent")
        of_latent, of_score = loss_terms(fields, (Term("latent"), Term("score")), t, source, target, latent)
        np.testing.assert_allclose(path.latent_variance(t) * of_score, of_latent, rtol=1e-10)


def test_antithetic_latents_have_the_same_mean_and_far_less_variance():
    """Of the gradient in a slope: near the start `gamma'` is huge, and the pair cancels it."""
    path = Linear(latent="brownian", law=None)
    t, count = jnp.asarray(1e-4), 20_000
    keys = jax.random.split(jax.random.key(0), 3)
    source, target, latent = (
        jax.random.normal(key, (count, 2)) + shift for key, shift in zip(keys, (0, 3, 0), strict=True)
    )

    def gradient(source, target, latent):
        def loss(slope):
            fields = Fields(path, lambda t, x, c: slope * jnp.tanh(x), "velocity")
            return loss_terms(fields, (Term("velocity"),), t, source, target, latent)[0]

        return jax.grad(loss)(0.5)

    plain = jax.vmap(gradient)(source, target, latent)
    paired = 0.5 * (plain + jax.vmap(gradient)(source, target, -latent))
    assert float(paired.var()) < float(plain.var()) / 10
    error = jnp.sqrt(plain.var() / count + paired.var() / count)
    assert abs(float(plain.mean() - paired.mean())) < 4 * float(error)


@pytest.mark.parametrize("form", ["one", "each", "axes", "full"])
def test_densities_and_draws_of_every_form_of_covariance(form):
    means = jnp.asarray([[0.0, 2.0], [1.0, -1.0]])
    full = jnp.asarray([[[0.5, 0.0], [0.0, 0.5]], [[0.5, 0.0], [0.0, 0.5]]])
    given = {"one": 0.5, "each": jnp.asarray([0.5, 0.5]), "axes": jnp.full((2, 2), 0.5), "full": full}[form]
    mixture = GaussianMixture.of(means, given, jnp.asarray([3.0, 1.0]))
    draws = jax.vmap(mixture.sample)(jax.random.split(jax.random.key(0), 40_000))
    np.testing.assert_allclose(draws.mean(axis=0), [0.25, 1.25], atol=0.03)
    spread = np.asarray([[0.1875, -0.5625], [-0.5625, 1.6875]]) + 0.5 * np.eye(2)
    np.testing.assert_allclose(np.cov(draws.T), spread, atol=0.04)
    x = jnp.asarray([0.3, 0.1])
    squares = jnp.sum((x - means) ** 2, axis=1)
    expected = jnp.log(jnp.asarray([0.75, 0.25]) @ jnp.exp(-squares) / jnp.pi)
    np.testing.assert_allclose(mixture.log_density(x), expected, rtol=1e-9)
    posterior = mixture.posterior_mean(x, 0.8, 0.6)
    at = GaussianMixture.of(0.8 * means, 0.64 * 0.5 + 0.36, jnp.asarray([3.0, 1.0]))
    # Tweedie's formula.
    np.testing.assert_allclose(posterior, (x + 0.36 * jax.grad(at.log_density)(x)) / 0.8, rtol=1e-8)


def test_correlated_components():
    covariance = jnp.asarray([[[1.0, 0.6], [0.6, 0.8]]])
    mixture = GaussianMixture.of(jnp.asarray([[1.0, -1.0]]), covariance)
    x = jnp.asarray([0.2, 0.4])
    total = 0.49 * covariance[0] + 0.25 * jnp.eye(2)
    gain = 0.7 * covariance[0] @ jnp.linalg.inv(total)
    expected = jnp.asarray([1.0, -1.0]) + gain @ (x - 0.7 * jnp.asarray([1.0, -1.0]))
    np.testing.assert_allclose(mixture.posterior_mean(x, 0.7, 0.5), expected, rtol=1e-9)
    draws = jax.vmap(mixture.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(np.cov(draws.T), covariance[0], atol=0.04)


def test_heavy_tailed_noise_has_its_own_posterior_mean():
    """By quadrature over the data on the line."""
    law = StudentT(3.0)
    path = VarianceExploding(0.02, 10.0, law=law)
    target = GaussianMixture.of(jnp.asarray([[-1.0], [2.0]]), 0.3)
    fields = exact_fields(path, target)
    t = 0.6
    sigma = path.source_scale(t)
    y = jnp.linspace(-8, 9, 20001)
    x = jnp.asarray([1.1])
    weight = jax.vmap(lambda y: target.log_density(y[None]) + law.log_density((x - y) / sigma))(y)
    weight = jax.nn.softmax(weight)
    np.testing.assert_allclose(fields.data(t, x)[0], weight @ y, rtol=1e-4)


def test_mistakes_are_told():
    source, target = ends()
    full = GaussianMixture.of(jnp.zeros((1, 2)), jnp.eye(2)[None])
    with pytest.raises(InputError, match="no law of noise to start from; give a source"):
        exact_fields(Linear(law=None), target)
    with pytest.raises(InputError, match="covariances along the coordinates"):
        exact_fields(Linear(law=None), target, full)
    with pytest.raises(InputError, match=r"shape \(2, 3\) do not fit 2 components of 2 entries"):
        GaussianMixture.of(source.means, jnp.ones((2, 3)))
