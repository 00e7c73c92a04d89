"""Disturbances of a sampler: noise of the right size at the right places, and weights on a grid."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture, exact_fields
from pathline.generate.paths import VarianceExploding, VariancePreserving
from pathline.generate.robustness import Injected, quantise, robustness_sweep
from pathline.generate.samplers import RK4, Euler, sample, trajectories
from pathline.generate.samplers.edm_heun import EDMHeun

PATH = VarianceExploding(0.1, 10.0)
MIXTURE = GaussianMixture.of(np.asarray([[1.5, 0.0], [-1.0, 1.0]], np.float32), 0.1)


def starts(path, count):
    return jax.vmap(lambda key: path.start(key, (2,)))(jax.random.split(jax.random.key(1), count))


@pytest.mark.parametrize("sampler", [Euler(6), RK4(4), EDMHeun(5)], ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("path", [PATH, VariancePreserving()], ids=lambda path: type(path).__name__)
def test_noise_is_added_where_a_step_begins(sampler, path):
    """A model without any velocity of its own: what moves the state is the noise, known from its keys."""
    table = sampler.table(path, ("data",))
    noisy = Injected(sampler, 0.3).table(path, ("data",))
    begins = np.flatnonzero(np.asarray(table.anchor_anchor) == 0)
    levels = np.asarray([float(path.source_scale(t)) for t in table.times])
    assert noisy.first_noise == pytest.approx(0.3 * levels[0], rel=1e-5)
    wanted = np.zeros(len(levels))
    wanted[begins[1:] - 1] = 0.3 * levels[begins[1:]]
    np.testing.assert_allclose(noisy.next_noise, wanted, rtol=1e-5)
    stages = len(getattr(getattr(sampler, "tableau", None), "weights", (0.5, 0.5)))
    assert len(begins) == sampler.steps and begins[1] == stages


def test_injected_noise_has_its_variance():
    """One step from sigma to 0 with a denoiser that gives its input back leaves the start and the noise."""

    fields = Fields(PATH, _same, "data")
    start = jnp.zeros((20_000, 1))
    found = sample(fields, start, Injected(EDMHeun(1), 0.5), key=jax.random.key(2))
    assert float(found.std()) == pytest.approx(0.5 * 10.0, rel=0.02)


def _same(t, x, condition):
    return x


def test_no_noise_changes_nothing():
    fields, begin = exact_fields(PATH, MIXTURE), starts(PATH, 8)
    assert not Injected(EDMHeun(5), 0.0).table(PATH, ("data",)).stochastic
    np.testing.assert_array_equal(sample(fields, begin, Injected(EDMHeun(5), 0.0)), sample(fields, begin, EDMHeun(5)))


def test_injection_adds_to_churn():
    churned = EDMHeun(6, churn=2.0, churn_range=(0.0, 100.0))
    both, alone = Injected(churned, 0.2).table(PATH, ("data",)), churned.table(PATH, ("data",))
    injected = 0.2 * np.asarray([float(PATH.source_scale(t)) for t in alone.times[2::2]])
    np.testing.assert_allclose(both.next_noise[1::2] ** 2, alone.next_noise[1::2] ** 2 + injected**2, rtol=1e-5)


def test_a_corrector_is_refused():
    class Corrected(Euler):
        def table(self, path, predicts):
            table = super().table(path, predicts)
            return replace(table, anchor_record=np.full_like(table.anchor_record, 0.1))

    with pytest.raises(InputError, match="corrects the state"):
        Injected(Corrected(4), 0.1).table(PATH, ("data",))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_on_a_grid(bits):
    network = eqx.nn.MLP(3, 2, 16, 2, key=jax.random.key(0))
    coarse = quantise(network, bits)
    for layer, rough in zip(network.layers, coarse.layers, strict=True):
        weight, rounded = np.asarray(layer.weight), np.asarray(rough.weight)
        step = np.abs(weight).max() / (2 ** (bits - 1) - 1)
        assert np.abs(rounded - weight).max() <= 0.5 * step * (1 + 1e-5)
        assert len(np.unique(np.round(rounded / step))) <= 2**bits - 1
        np.testing.assert_allclose(rounded / step, np.round(rounded / step), atol=1e-4)
        np.testing.assert_array_equal(layer.bias, rough.bias)
    again = quantise(coarse, bits)
    for rough, twice in zip(coarse.layers, again.layers, strict=True):
        np.testing.assert_allclose(rough.weight, twice.weight, rtol=1e-6)


def test_quantising_other_trees():
    tree = {
        "zeros": jnp.zeros((2, 2)),
        "counts": jnp.arange(6).reshape(2, 3),
        "name": "x",
        "bias": jnp.asarray([0.123]),
    }
    found = quantise(tree, 3)
    np.testing.assert_array_equal(found["zeros"], 0.0)
    np.testing.assert_array_equal(found["counts"], tree["counts"])
    np.testing.assert_array_equal(found["bias"], tree["bias"])
    with pytest.raises(InputError, match="two bits"):
        quantise(tree, 1)


def test_the_sweep_disturbs_one_thing_at_a_time():
    fields, begin = exact_fields(PATH, MIXTURE), starts(PATH, 256)
    clean = np.asarray(sample(fields, begin, EDMHeun(12)))

    def quality(found):
        return float(((found - clean) ** 2).mean())

    swept = robustness_sweep(
        fields, begin, EDMHeun(12), quality, key=jax.random.key(3), inject=(0.0, 0.1, 0.5), steps=(3, 12), bits=(2, 12)
    )
    assert list(swept) == ["inject", "steps", "bits"]
    assert swept["inject"][0.0] == 0.0 and swept["steps"][12] == 0.0
    assert 0 < swept["inject"][0.1] < swept["inject"][0.5]
    assert swept["steps"][3] > 0
    assert swept["bits"][12] < swept["bits"][2]


def test_the_noise_reaches_the_states():
    fields, begin = exact_fields(PATH, MIXTURE), starts(PATH, 4)
    _, plain = trajectories(fields, begin, EDMHeun(4))
    _, noisy = trajectories(fields, begin, Injected(EDMHeun(4), 0.2), key=jax.random.key(0))
    assert float(jnp.abs(noisy[:, 0] - plain[:, 0]).min()) > 0
