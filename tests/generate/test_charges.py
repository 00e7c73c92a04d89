"""The field of charges against electrostatics, integrals done another way, and its Gaussian limit."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from pathline.errors import InputError
from pathline.generate.charges import empirical_fields, heavy_tailed_mean
from pathline.generate.laws import Gaussian, StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, VarianceExploding
from pathline.generate.samplers import sample, trajectories
from pathline.generate.samplers.edm_heun import EDMHeun

CHARGES = np.asarray([[1.5, 0.0, 0.3], [-1.0, 1.0, -0.4], [0.2, -0.7, 1.1]])
WEIGHTS = np.asarray([0.5, 0.2, 0.3])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def exploding(degrees):
    return VarianceExploding(0.01, 50.0, law=Gaussian() if degrees is None else StudentT(degrees))


def at_level(path, sigma):
    return path.time_at(-np.log(sigma))


@eqx.filter_jit
def data(fields, t, x):
    return fields.data(jnp.asarray(t), jnp.asarray(x))


def slope(fields, sigma, x):
    """`dx/dsigma`, which is the mean noise."""
    return (x - np.asarray(data(fields, at_level(fields.path, sigma), x))) / sigma


@pytest.mark.parametrize("degrees", [1.0, 2.5, 8.0, 64.0])
@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_field_lines_of_the_potential(degrees, sigma):
    """`dx/dsigma = sqrt(D) E_x / E_r`, by finite differences of the harmonic potential in `N + D` dimensions."""
    size, x, radius, h = 3, np.asarray([0.4, -0.2, 0.9]), sigma * np.sqrt(degrees), 1e-5

    def potential(x, r):
        square = ((x - CHARGES) ** 2).sum(axis=1) + r**2
        return WEIGHTS @ square ** (-0.5 * (size + degrees - 2))

    along = [(potential(x + h * e, radius) - potential(x - h * e, radius)) / (2 * h) for e in np.eye(size)]
    outward = (potential(x, radius + h) - potential(x, radius - h)) / (2 * h)
    found = slope(empirical_fields(exploding(degrees), CHARGES, WEIGHTS), sigma, x)
    np.testing.assert_allclose(found, np.sqrt(degrees) * np.asarray(along) / outward, rtol=1e-6)


def test_one_degree_is_the_poisson_flow():
    """With one more dimension the field is `sum_i w_i (x~ - y~_i) / |x~ - y~_i|^(N+1)`, and `dx/dz = E_x / E_z`."""
    x, z = np.asarray([0.4, -0.2, 0.9]), 0.8
    apart = np.append(x, z) - np.pad(CHARGES, ((0, 0), (0, 1)))
    field = (WEIGHTS / np.linalg.norm(apart, axis=1) ** 4) @ apart
    found = slope(empirical_fields(exploding(1.0), CHARGES, WEIGHTS), z, x)
    np.testing.assert_allclose(found, field[:3] / field[3], rtol=1e-9)


@pytest.mark.parametrize("degrees", [1.0, 16.0, None])
def test_lines_of_one_charge_are_straight(degrees):
    """Every start ends at the charge; the distance from it shrinks as sigma and keeps its direction."""
    path = exploding(degrees)
    fields = empirical_fields(path, CHARGES[:1])
    start = jax.vmap(lambda key: path.start(key, (3,)))(jax.random.split(jax.random.key(0), 5))
    times, states = trajectories(fields, start, EDMHeun(12))
    # The points at which a step begins; the others are guesses.
    levels = np.asarray(jax.vmap(path.source_scale)(jnp.asarray(times[:-1:2])))
    apart = np.asarray(states)[:, :-1:2] - CHARGES[0]
    wanted = np.asarray(start - CHARGES[0])[:, None] * (levels / levels[0])[:, None]
    np.testing.assert_allclose(apart, wanted, rtol=1e-9)
    np.testing.assert_allclose(states[:, -1], np.broadcast_to(CHARGES[0], (5, 3)), atol=1e-10)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_many_degrees_are_the_softmax(sigma):
    rng = np.random.default_rng(0)
    charges = rng.normal(size=(50, 16))
    x = jnp.asarray(charges[3] + sigma * rng.normal(size=16))
    many, none = (data(empirical_fields(exploding(d), charges), at_level(exploding(d), sigma), x) for d in (1e6, None))
    np.testing.assert_allclose(many, none, atol=1e-3)
    softmax = data(exact_fields(exploding(None), GaussianMixture.of(charges, 0.0)), at_level(exploding(None), sigma), x)
    np.testing.assert_allclose(none, softmax, rtol=1e-8)


@pytest.mark.parametrize(
    "path", [VarianceExploding(0.01, 50.0, law=StudentT(4.0)), Linear(law=StudentT(4.0))], ids=repr
)
def test_the_scale_mixture_of_points_is_the_closed_form(path):
    """Student's denoiser as the mean of Gaussian ones, for components without width."""
    charges = np.random.default_rng(1).normal(size=(20, 8))
    points = exact_fields(path, GaussianMixture.of(charges, 0.0))
    for t, x in ((0.3, charges[0] + 0.2), (0.8, charges[1] - 0.3)):
        closed = data(empirical_fields(path, charges), t, x)
        np.testing.assert_allclose(data(points, t, x), closed, atol=1e-5)


@pytest.mark.parametrize("degrees", [2.0, 16.0, 300.0])
@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("told", [0.5, 1.0, 2.0])
def test_the_scale_mixture_against_quadrature(degrees, sigma, told):
    """On a line: `E[y|x]` by adaptive integration over `y` with Student's density itself."""
    mixture = GaussianMixture.of(np.asarray([[-1.0], [0.5], [2.0]]), np.asarray([0.09, 0.04, 0.25]))
    x = 0.55 + told * sigma
    law = StudentT(degrees)

    def joint(y):
        centres, variances = np.asarray([-1.0, 0.5, 2.0]), np.asarray([0.09, 0.04, 0.25])
        density = (np.exp(-0.5 * (y - centres) ** 2 / variances) / np.sqrt(variances)).sum()
        return density * (1 + ((x - y) / sigma) ** 2 / degrees) ** (-0.5 * (1 + degrees))

    marks = [-3.0, -1.0, 0.5, x, 2.0, 4.0]
    above, below = (quad(f, -6, 8, points=marks, limit=400)[0] for f in (lambda y: y * joint(y), joint))
    path = VarianceExploding(0.01, 50.0, law=law)
    found = data(exact_fields(path, mixture), at_level(path, sigma), np.asarray([x]))
    np.testing.assert_allclose(found, above / below, atol=1e-4)


def test_nodes_that_are_enough():
    """In as many dimensions as small images have, the usual nodes agree with 200."""
    rng = np.random.default_rng(2)
    mixture = GaussianMixture.of(rng.normal(size=(40, 64)) * 0.7, 0.04)
    far = jnp.asarray(400.0)
    for degrees, sigma, told in ((4.0, 1.0, 2.0), (16.0, 0.3, 0.5)):
        x = mixture.means[0] + 0.2 * rng.normal(size=64) + told * sigma * rng.normal(size=64)

        @functools.partial(jax.jit, static_argnums=0)
        def mean(nodes, x=x, degrees=degrees, level=sigma):
            level = jnp.asarray(level)
            return heavy_tailed_mean(
                degrees,
                64,
                far,
                level,
                lambda level: jax.nn.logsumexp(mixture._log_joint(x, 1.0, level)),
                lambda level: mixture.posterior_mean(x, 1.0, level),
                nodes=nodes,
            )

        np.testing.assert_allclose(mean(None), mean(200), atol=1e-5)


def test_the_flow_has_the_density_of_the_data():
    """Heavy-tailed noise is carried to a normal law when that is the target."""
    path = VarianceExploding(0.02, 40.0, law=StudentT(6.0))
    fields = exact_fields(path, GaussianMixture.of(jnp.asarray([[2.0, -1.0]]), 0.25))
    start = jax.vmap(lambda key: path.start(key, (2,)))(jax.random.split(jax.random.key(3), 4000))
    found = np.asarray(sample(fields, start, EDMHeun(40)))
    np.testing.assert_allclose(found.mean(axis=0), [2.0, -1.0], atol=4 * np.sqrt(0.25 / 4000) + 0.02)
    np.testing.assert_allclose(found.var(axis=0), 0.25, rtol=4 * np.sqrt(2 / 4000) + 0.01)
    # The wrong prior throws the benefit away: normal noise does not end at the normal law.
    kurtosis = ((found - found.mean(axis=0)) ** 4).mean(axis=0) / found.var(axis=0) ** 2
    np.testing.assert_allclose(kurtosis, 3.0, atol=0.4)


def test_mistakes():
    with pytest.raises(InputError, match="no law"):
        empirical_fields(Linear(law=None), CHARGES)
    with pytest.raises(InputError, match="give a source"):
        exact_fields(Linear(law=None), GaussianMixture.of(CHARGES, 0.1))
