"""Stochastic samplers: marginals of the path for every strength of the noise, in both directions of time."""

import dataclasses

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.laws import StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import Linear, Trigonometric, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Adaptive, Euler, UniformTime, sample
from pathline.generate.samplers import table as tables
from pathline.generate.samplers.stochastic import (
    ConstantDiffusion,
    Diffusion,
    EulerMaruyama,
    ReverseDiffusion,
    StochasticHeun,
    VanishingDiffusion,
    diffusion_on,
)
from pathline.generate.samplers.table import run_table
from pathline.generate.samplers.terms import ode_term, sde_terms
from pathline.measure import energy_distance

BRIDGE = Linear(latent="brownian", strength=2.0, law=None)
DIFFUSIONS = [0.0, 1.0, 5.0, VanishingDiffusion(2.0)]
SAMPLERS = [EulerMaruyama, StochasticHeun]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def gaussians():
    return GaussianMixture.of(jnp.asarray([[-1.0]]), 0.5), GaussianMixture.of(jnp.asarray([[2.0]]), 1.5)


def moments(sampler, fields, mean, variance):
    """Mean and variance of the ends for Gaussian starts and affine fields, without random numbers: every number drawn adds
    its variance times the squared slope of what is left of the scheme."""
    table = sampler.table(fields.path, fields.predicts)
    slope, mean_end = map(np.asarray, remaining_slopes(table, fields, jnp.asarray(mean)))
    noise = np.append(table.first_noise, table.next_noise)
    return float(mean_end), float(slope[0] ** 2 * variance + (slope**2 * noise**2).sum())


@eqx.filter_jit
def remaining_slopes(table, fields, mean):
    """The slope of the end in the point of each row and in the end itself, and the end of the mean."""
    table = jax.tree.map(jnp.asarray, table)

    def end(start, first):
        """From row `first` on, with the rows before it doing nothing and no noise."""
        idle = jnp.arange(len(table.times)) < first
        quiet = dataclasses.replace(
            table,
            anchor_anchor=jnp.where(idle, 0.0, table.anchor_anchor),
            anchor_point=jnp.where(idle, 1.0, table.anchor_point),
            next_anchor=jnp.where(idle, 1.0, table.next_anchor),
            next_record=jnp.where(idle[:, None], 0.0, table.next_record),
            next_noise=jnp.zeros_like(table.next_noise),
            first_noise=jnp.zeros(()),
        )
        return run_table(quiet, fields, start[None], key=jax.random.key(0))[0][0]

    one, nought = jnp.ones(()), jnp.zeros(())
    firsts = jnp.arange(len(table.times) + 1)
    return jax.vmap(lambda first: end(one, first) - end(nought, first))(firsts), end(mean, 0)


def law(fields, t):
    density = fields.model.density(t)
    return float(density.means[0, 0]), float(density.variances[0, 0])


@pytest.mark.parametrize("ends", [(0.02, 0.98), (0.98, 0.02)], ids=["forward", "backward"])
@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gaussian_marginals_to_first_order(sampler, diffusion, ends):
    """Between two Gaussians everything is affine, so that the moments of the scheme itself are known, and converge to those
    of the path for every noise; backwards too, from the target's law to the source's."""
    fields = exact_fields(BRIDGE, *gaussians()[::-1])
    expected = law(fields, ends[1])
    counts = np.asarray([64, 128, 256]) // (1 if sampler is EulerMaruyama else 2)
    found = [
        moments(sampler(int(steps), diffusion, UniformTime(*ends)), fields, *law(fields, ends[0])) for steps in counts
    ]
    errors = np.abs(np.asarray(found) - expected).max(axis=1)
    # The variance of an Ornstein-Uhlenbeck process is too large by eps h / 2 with Euler, too small by eps h with noise first.
    most = float(diffusion_on(BRIDGE, diffusion)(BRIDGE, 0.5))
    assert errors[-1] < 0.01 + 1.2 * most * 0.96 / counts[-1], errors
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] > 0.85, errors


def test_without_noise_it_is_euler():
    fields = exact_fields(Linear(), GaussianMixture.of(jnp.asarray([[1.0, 0.0], [-1.0, 0.5]]), 0.3))
    start, grid = jnp.asarray([[0.3, -0.4]]), UniformTime(0.0, 0.97)
    np.testing.assert_allclose(
        sample(fields, start, EulerMaruyama(9, 0.0, grid), key=jax.random.key(0)), sample(fields, start, Euler(9, grid))
    )


@pytest.mark.parametrize(
    ("path", "sampler"),
    [
        (Linear(), EulerMaruyama(200)),
        (Trigonometric(), EulerMaruyama(200)),
        (VariancePreserving(), EulerMaruyama(200, ReverseDiffusion(tapered=False))),
        (VarianceExploding(0.02, 10.0), EulerMaruyama(200)),
        (VarianceExploding(0.02, 10.0), StochasticHeun(100, ReverseDiffusion(tapered=False))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_paths_from_noise_reach_the_data(path, sampler):
    mixture = GaussianMixture.of(jnp.asarray([[2.0, 0.0], [-1.0, 1.0]]), 0.2, jnp.asarray([0.7, 0.3]))
    count = 1500
    keys = jax.random.split(jax.random.key(0), 3 * count).reshape(3, count)
    starts = jax.vmap(lambda key: path.start(key, (2,)))(keys[0])
    ends = sample(exact_fields(path, mixture), starts, sampler, key=jax.random.key(1))
    real, others = jax.vmap(jax.vmap(mixture.sample))(keys[1:])
    floor = abs(energy_distance(real, others))
    assert energy_distance(ends, real) < floor + 0.01


def test_reverse_diffusion_is_that_of_the_noising_process():
    """`beta/2` on the variance-preserving path, `-d sigma^2/dt / 2` on the exploding one, and `1 - t` tapered on `Linear`."""
    path, exploding = VariancePreserving(0.1, 20.0), VarianceExploding(0.02, 10.0)
    for t in (0.1, 0.6, 0.95):
        beta = 0.1 + (1 - t) * 19.9
        np.testing.assert_allclose(ReverseDiffusion(tapered=False)(path, t), beta / 2, rtol=1e-9)
        rate = jax.grad(lambda t: exploding.source_scale(t) ** 2)(t)
        np.testing.assert_allclose(ReverseDiffusion(2.0, tapered=False)(exploding, t), -rate, rtol=1e-9)
        np.testing.assert_allclose(ReverseDiffusion()(Linear(), t), 1 - t, rtol=1e-9)
    assert float(ReverseDiffusion()(Linear(), 0.0)) == 1.0
    taper = ReverseDiffusion()(path, 0.999) / ReverseDiffusion(tapered=False)(path, 0.999)
    assert 0.98 < float(taper) < 1


def test_vanishing_diffusion_may_reach_the_ends():
    """The source is a single point and the target has no width: the score is infinite at both ends."""
    fields = exact_fields(BRIDGE, *(GaussianMixture.of(jnp.asarray([[m]]), 1e-12) for m in (2.0, -1.0)))
    mean, variance = moments(EulerMaruyama(400), fields, -1.0, 2e-3)
    assert abs(mean - 2) < 0.01 and variance < 0.01
    assert float(VanishingDiffusion(3.0)(BRIDGE, 0.0)) == 0.0 and float(VanishingDiffusion(3.0)(BRIDGE, 0.5)) == 3.0


class Rising(Diffusion):
    slope: jax.Array

    def __call__(self, path, t):
        return self.slope * t


def test_a_strength_of_ones_own():
    fields = exact_fields(BRIDGE, *gaussians()[::-1])
    sampler = EulerMaruyama(256, Rising(jnp.asarray(2.0)), UniformTime(0.02, 0.98))
    np.testing.assert_allclose(moments(sampler, fields, *law(fields, 0.02)), law(fields, 0.98), atol=0.03)


def test_another_noise_compiles_nothing():
    fields, start = exact_fields(BRIDGE, *gaussians()), jnp.zeros((3, 1))
    sample(fields, start, EulerMaruyama(8, 1.0), key=jax.random.key(0))
    traced = tables._run_many._cached._cache_size()
    for sampler in (EulerMaruyama(8, 3.0), EulerMaruyama(8), StochasticHeun(4, VanishingDiffusion(2.0))):
        sample(fields, start, sampler, key=jax.random.key(0))
    assert tables._run_many._cached._cache_size() == traced


def test_what_has_no_score_is_refused():
    heavy = exact_fields(VarianceExploding(0.02, 10.0, law=StudentT(4.0)), GaussianMixture.of(jnp.zeros((1, 2)), 0.3))
    start, key = jnp.zeros((1, 2)), jax.random.key(0)
    with pytest.raises(InputError, match=r"noise of the law StudentT.*use an ODE sampler"):
        sample(heavy, start, EulerMaruyama(5), key=key)
    between = Fields(Linear(law=None), lambda t, x, c: x, "velocity")
    with pytest.raises(InputError, match="starts from data, so no score"):
        sample(between, start, StochasticHeun(5, 1.0), key=key)
    with pytest.raises(InputError, match="ReverseDiffusion needs a path from noise and nothing else"):
        sample(between, start, EulerMaruyama(5), key=key)
    with pytest.raises(InputError, match="starts from data, so no score"):
        sde_terms(between, 1.0, diffrax.UnsafeBrownianPath((2,), key))
    # Without noise no score is needed.
    assert sample(between, start, EulerMaruyama(5, 0.0), key=key).shape == (1, 2)
    with pytest.raises(InputError, match="'score' cannot be computed from 'velocity'"):
        sample(Fields(BRIDGE, lambda t, x, c: x, "velocity"), start, EulerMaruyama(5), key=key)
    with pytest.raises(InputError, match="needs a random key"):
        sample(exact_fields(BRIDGE, *gaussians()), jnp.zeros((1, 1)), EulerMaruyama(5))
    for wrong in (ConstantDiffusion, VanishingDiffusion, ReverseDiffusion):
        with pytest.raises(InputError, match=r"strength of the noise cannot be -1\.0"):
            wrong(-1.0)


def test_terms_of_diffrax():
    fields = exact_fields(BRIDGE, *gaussians()[::-1])
    first, last = 0.02, 0.98
    start = jnp.asarray([0.4])
    solution = diffrax.diffeqsolve(
        ode_term(fields),
        diffrax.Tsit5(),
        first,
        last,
        None,
        start,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-9),
    )
    np.testing.assert_allclose(solution.ys[0], Adaptive(1e-9, start=first, stop=last)(fields, start), atol=1e-7)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_stochastic_terms_have_the_marginals(direction):
    """By a solver for additive noise; the moments of 2000 paths, to four standard errors."""
    fields = exact_fields(BRIDGE, *gaussians()[::-1])
    first, last = (0.02, 0.98) if direction == "forward" else (0.98, 0.02)
    mean, variance = law(fields, first)

    @jax.jit
    @jax.vmap
    def end(key):
        start_key, noise_key = jax.random.split(key)
        brownian = diffrax.VirtualBrownianTree(
            0.0, 1.0, tol=1e-3, shape=(1,), key=noise_key, levy_area=diffrax.SpaceTimeLevyArea
        )
        start = mean + jnp.sqrt(variance) * jax.random.normal(start_key, (1,))
        terms = sde_terms(fields, VanishingDiffusion(2.0), brownian, direction=direction)
        # Both run from 0.02 to 0.98 on their own clock.
        return diffrax.diffeqsolve(terms, diffrax.SEA(), 0.02, 0.98, 0.02, start).ys[0][0]

    count = 2000
    ends = np.asarray(end(jax.random.split(jax.random.key(3), count)))
    mean, variance = law(fields, last)
    assert abs(ends.mean() - mean) < 4 * np.sqrt(variance / count) + 0.01
    assert abs(ends.var() - variance) < 4 * variance * np.sqrt(2 / count) + 0.01
