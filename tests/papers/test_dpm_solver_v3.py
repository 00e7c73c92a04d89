"""The reproduction of DPM-Solver-v3: every part runs, and its exact model is what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pathline.data import Samples
from pathline.errors import InputError
from pathline.generate import Fields
from pathline.nets import ResidualMLP
from pathline.papers import dpm_solver_v3, reproduce
from pathline.papers.dpm_solver_v3 import PAPER, SMOKE, comparison
from pathline.train import save_model


@pytest.fixture(scope="module")
def outcome():
    return reproduce(PAPER, "smoke").outcome


def test_smoke(outcome):
    assert all(np.isfinite(value).all() for value in outcome.measured.values())
    for name in (*comparison.BASELINES, "Heun (EDM)", "v3", "v3, first order"):
        for model in ("exact", "trained"):
            assert f"error {name}, 3 evaluations, {model}" in outcome.measured
    assert set(outcome.figures) == set(outcome.captions)
    for draw in outcome.figures.values():
        draw()


def test_ratios_are_to_the_best_other(outcome):
    for model in ("exact", "trained"):
        others = [
            outcome.measured[f"error {name}, 3 evaluations, {model}"] for name in (*comparison.BASELINES, "Heun (EDM)")
        ]
        expected = np.mean(outcome.measured[f"error v3, 3 evaluations, {model}"]) / np.mean(others, axis=1).min()
        assert outcome.measured[f"v3 / best other, few evaluations, {model}"] == pytest.approx(expected)


def test_the_exact_model_has_the_moments_of_each_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    values = (rng.normal(size=(400, 3)) * [1.0, 2.0, 0.5] + labels[:, None] * 4).astype(np.float32)
    fields = comparison.exact_model(Samples(values, labels))
    # Where only noise is left the data are predicted to be their mean, where none is left the state itself.
    noisy = fields.data(0.0, jnp.zeros(3))
    np.testing.assert_allclose(noisy, values.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(fields.data(0.9999, jnp.asarray(values[0])), values[0], atol=0.02)


def test_every_sampler_stays_in_its_budget(outcome):
    found = comparison.compare(
        SMOKE,
        [
            comparison.exact_model(
                digits := Samples(np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32), np.arange(64) % 2)
            )
        ],
        digits,
        digits,
        jax.random.key(0),
    )
    for name, samplers in comparison._samplers(found.statistics[0], 5).items():
        for sampler in samplers:
            assert sampler.evaluations(comparison.PATH, ("noise",)) <= 5, name


def test_the_paper_preset_reads_images_and_a_model(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="needs --data FOLDER"):
        PAPER.reproduce("paper", jax.random.key(0), None, None)
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(20):
            picture = Image.fromarray(rng.integers(0, 255, (4, 4), np.uint8))
            picture.save(tmp_path / "images" / kind / f"{number}.png")
    network = ResidualMLP((1, 4, 4), 8, 1, key=jax.random.key(0))
    save_model(tmp_path / "model.eqx", network)
    with pytest.raises(InputError, match="holds a ResidualMLP"):
        PAPER.reproduce("paper", jax.random.key(0), None, tmp_path)
    save_model(tmp_path / "model.eqx", Fields(comparison.PATH, network, "noise"))
    monkeypatch.setattr(dpm_solver_v3, "PUBLISHED", SMOKE)
    assert np.isfinite(
        PAPER.reproduce("paper", jax.random.key(0), None, tmp_path).measured["first order / DDIM, trained"]
    )
