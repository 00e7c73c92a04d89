"""EDM's sampler against the published algorithm written out, on every path from noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.laws import StudentT
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import CosineVariancePreserving, Linear, VarianceExploding, VariancePreserving
from pathline.generate.samplers import Adaptive, Karras, UniformTime, sample
from pathline.generate.samplers.edm_heun import EDMHeun

MEANS, VARIANCE = np.asarray([[1.5, 0.0], [-1.0, 1.0], [0.3, -0.8]]), 0.09
EXPLODING = VarianceExploding(0.02, 20.0)
MIDDLE = Karras(0.05, 0.95)
PATHS = {
    "VarianceExploding": (EXPLODING, MIDDLE),
    "VariancePreserving": (VariancePreserving(), MIDDLE),
    "CosineVariancePreserving": (CosineVariancePreserving(), MIDDLE),
    "Linear": (Linear(), MIDDLE),
}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def mixture():
    return GaussianMixture.of(MEANS, VARIANCE)


def denoised(y, sigma):
    """The denoiser of the mixture, in NumPy."""
    total = VARIANCE + sigma**2
    log_weight = -0.5 * ((y - MEANS) ** 2).sum(axis=1) / total
    weight = np.exp(log_weight - log_weight.max())
    return (weight / weight.sum()) @ (MEANS + VARIANCE / total * (y - MEANS))


def published(y, levels, lifted, draws):
    """Algorithm 2 with the noise given: `levels` end at zero, and each step begins at its `lifted` level."""
    for here, up, there, draw in zip(levels[:-1], lifted, levels[1:], draws, strict=True):
        y = y + np.sqrt(up**2 - here**2) * draw
        slope = (y - denoised(y, up)) / up
        new = y + (there - up) * slope
        if there > 0:
            new = y + (there - up) * 0.5 * (slope + (new - denoised(new, there)) / there)
        y = new
    return y


def karras(first, last, steps):
    return np.append(np.linspace(first ** (1 / 7), last ** (1 / 7), steps) ** 7, 0.0)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("steps", [2, 9])
def test_the_published_algorithm(name, steps):
    path, grid = PATHS[name]
    first, last = (float(path.noise_level(t)) for t in (0.05, 0.95))
    start = np.asarray([0.7, -1.9]) * max(first, 1.0)
    levels = karras(first, last, steps)
    wanted = published(start, levels, levels[:-1], np.zeros((steps, 2)))
    found = sample(exact_fields(path, mixture()), path.target_scale(0.05) * start[None], EDMHeun(steps, grid))
    np.testing.assert_allclose(found[0], wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["VarianceExploding", "VariancePreserving"])
def test_churn_is_the_published_algorithm(name):
    """With the draws that the sampler makes, taken from its keys."""
    path, grid = PATHS[name]
    steps, key = 6, jax.random.key(3)
    first, last = (float(path.noise_level(t)) for t in (0.05, 0.95))
    levels = karras(first, last, steps)
    # On an exploding path the first step is churned too; elsewhere it would leave the path.
    high = 100.0 if name == "VarianceExploding" else 0.9 * first
    sampler = EDMHeun(steps, grid, churn=1.5, churn_range=(2 * last, high))
    churned = (levels[:-1] >= 2 * last) & (levels[:-1] <= high)
    assert churned.sum() >= 2 and not churned.all()
    one = jax.random.split(key, 1)[0]
    first_key, scan_key = jax.random.split(one)
    # Two rows for each step: the noise of a step is drawn in the row before it.
    draws = [jax.random.normal(first_key, (2,), float)]
    draws += [jax.random.normal(jax.random.fold_in(scan_key, 2 * step + 1), (2,), float) for step in range(steps - 1)]
    start = np.asarray([0.7, -1.9]) * max(first, 1.0)
    wanted = published(start, levels, np.where(churned, levels[:-1] * 1.25, levels[:-1]), np.asarray(draws))
    begin = path.target_scale(0.05) * start[None]
    found = sample(exact_fields(path, mixture()), begin, sampler, key=key)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("name", PATHS)
def test_it_converges_to_the_flow_with_order_two(name):
    path, grid = PATHS[name]
    fields = exact_fields(path, mixture())
    start = path.start(jax.random.key(1), (2,), 0.05)[None]
    near = sample(fields, start, Adaptive(1e-11, start=0.05, stop=0.95))
    level = float(path.noise_level(0.95))
    # From the end of the grid it is one step to the denoised state.
    wanted = denoised(np.asarray(near[0] / path.target_scale(0.95)), level)
    counts = [20, 40, 80]
    errors = [float(np.abs(sample(fields, start, EDMHeun(n, grid))[0] - wanted).max()) for n in counts]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] > 1.7, errors


def test_one_step_is_the_denoised_state():
    start = jnp.asarray([[3.0, -8.0]])
    found = sample(exact_fields(EXPLODING, mixture()), start, EDMHeun(1))
    np.testing.assert_allclose(found[0], denoised(np.asarray(start[0]), 20.0), rtol=1e-10)


def test_churn_keeps_the_law():
    """A stochastic sampler with many steps gives the mixture, as the ODE does."""
    target = GaussianMixture.of(jnp.asarray([[1.0, -2.0]]), 0.5)
    fields = exact_fields(EXPLODING, target)
    start = jax.vmap(lambda key: EXPLODING.start(key, (2,)))(jax.random.split(jax.random.key(5), 4000))
    found = sample(fields, start, EDMHeun(60, churn=20.0, churn_range=(0.01, 10.0)), key=jax.random.key(6))
    np.testing.assert_allclose(found.mean(axis=0), [1.0, -2.0], atol=4 * np.sqrt(0.5 / 4000))
    np.testing.assert_allclose(found.var(axis=0), 0.5, rtol=4 * np.sqrt(2 / 4000))


def test_evaluations():
    assert EDMHeun(18).evaluations(VarianceExploding(), ("data",)) == 35
    assert EDMHeun(1).evaluations(VarianceExploding(), ("data",)) == 1
    assert not EDMHeun(5).table(VarianceExploding(), ("noise",)).stochastic


def test_mistakes():
    heavy = VarianceExploding(0.02, 20.0, law=StudentT(8.0))
    with pytest.raises(InputError, match="Churn needs the score"):
        EDMHeun(5, churn=2.0).table(heavy, ("data",))
    assert EDMHeun(5, churn=2.0, without_score=True).table(heavy, ("data",)).stochastic
    with pytest.raises(InputError, match="a start that is earlier"):
        EDMHeun(5, UniformTime(0.9, 0.1)).table(EXPLODING, ("data",))
    with pytest.raises(InputError, match="above the largest"):
        EDMHeun(5, MIDDLE, churn=2.0, churn_range=(0.0, 1e9)).table(VariancePreserving(), ("data",))
    with pytest.raises(InputError, match="needs a step"):
        EDMHeun(0)
