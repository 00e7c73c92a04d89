"""The reproduction runs in every part, on the digits and on a folder of images."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from pathline.errors import InputError
from pathline.generate.couplings import Paired
from pathline.generate.fields import Fields
from pathline.generate.mixtures import GaussianMixture
from pathline.generate.paths import Linear
from pathline.measure import PrincipalComponents
from pathline.papers import improved_rectified_flows as paper
from pathline.papers import reproduce
from pathline.papers.improved_rectified_flows import measuring, training

KEY = jax.random.key(0)


@pytest.mark.slow
def test_smoke(tmp_path):
    done = reproduce(paper.PAPER, "smoke", run=tmp_path)
    values = np.concatenate([np.atleast_1d(value) for value in done.record["measured"].values()])
    assert np.isfinite(values).all()
    assert len(done.record["claims"]) == len(paper.PAPER.claims)
    assert set(done.outcome.figures) == set(done.outcome.captions)
    for draw in done.outcome.figures.values():
        assert isinstance(draw(), matplotlib.figure.Figure)


@pytest.mark.slow
def test_published_setup_on_a_small_folder(tmp_path, monkeypatch):
    """The code of the published scale: the first flow teaches, and its pairs are stored and streamed."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / "cifar10" / name
        folder.mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")
    small = replace(
        paper.CIFAR10,
        network=paper.small,
        teacher_steps=3,
        pairs=24,
        held_out=12,
        steps=4,
        batch_size=8,
        again_steps=2,
        shard=12,
    )
    monkeypatch.setattr(paper, "CIFAR10", small)
    outcome = paper.reproduce("paper", KEY, tmp_path / "run", tmp_path / "data")
    assert np.isfinite(np.concatenate([np.atleast_1d(value) for value in outcome.measured.values()])).all()
    assert sorted(path.name for path in (tmp_path / "run" / "pairs").iterdir()) == [
        "pairs-00000.npz",
        "pairs-00001.npz",
        "pairs.json",
    ]
    assert isinstance(outcome.figures["images"](), matplotlib.figure.Figure)


def test_the_published_setup_asks_for_its_data(tmp_path):
    for data in (None, tmp_path):
        with pytest.raises(InputError, match="--data FOLDER"):
            paper.reproduce("paper", KEY, None, data)
    (tmp_path / "cifar10").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "cifar10" / "0.png")
    with pytest.raises(InputError, match="no classes"):
        paper.reproduce("paper", KEY, None, tmp_path)


def test_recipes_differ_in_one_thing_at_a_time():
    found = training.recipes(jnp.ravel)
    assert found["uniform + l2"].terms == found["U + l2"].terms != found["U + Huber"].terms
    assert found["uniform + Huber"].times == found["uniform + l2"].times != found["U + Huber"].times
    assert [name for name, recipe in found.items() if recipe.warm] == [f"warm {name}" for name in list(found)[:4]]
    # Trainings with one schedule share it, and with it their compilation.
    assert paper.DIGITS.optimiser(100) is replace(paper.DIGITS, steps=3).optimiser(100)


def test_teacher_pairs_are_the_flow_of_the_teacher():
    """For one kernel the flow is affine: x = m + sd (80 n - m) / sqrt(sd^2 + 80^2), from the start 80 n."""
    law = GaussianMixture.of(jnp.full((1, 2), 0.5), 0.3**2)
    setup = replace(paper.SMOKE, teacher_steps=200)
    pairs = training.teacher_pairs(setup, training.kernel_teacher(law), 50, (2,), KEY)
    exact = 0.5 + 0.3 * (80 * pairs.source - 0.5) / np.hypot(0.3, 80)
    np.testing.assert_allclose(pairs.target, exact, atol=5e-4)


def exact_student(noise, target):
    """A straight flow that knows where each of its starts goes: `x_1 = 2 x_0 + 1`."""
    return Fields(Linear(), lambda t, x, condition: 2 * (x - t) / (1 + t) + 1, "data")


def test_what_is_measured_of_a_perfect_student():
    noise = jax.random.normal(KEY, (400, 1, 2, 2))
    target = 2 * noise + 1
    yardstick = measuring.Yardstick(
        PrincipalComponents.of(np.asarray(target).reshape(400, -1), 3),
        jnp.ravel,
        np.asarray(target),
        Paired(noise, target),
    )
    found = measuring.measure(exact_student(noise, target), yardstick)
    # The features see images as vectors, so that both distances are taken of all there is to see.
    for values in (found.components, found.features):
        assert max(values.values()) < 1e-6
    assert found.paired < 1e-9 and found.images["1"].shape == (12, 1, 2, 2)
    assert found.inversion == pytest.approx(0.0, abs=1e-5)
    curve = measuring.loss_curve(exact_student(noise, target), yardstick.pairs, KEY)
    np.testing.assert_allclose(curve, 0.0, atol=1e-6)


def test_what_is_measured_of_a_wrong_student():
    noise = jax.random.normal(KEY, (400, 1, 2, 2))
    yardstick = measuring.Yardstick(
        PrincipalComponents.of(np.asarray(noise).reshape(400, -1), 4),
        jnp.ravel,
        np.asarray(noise),
        Paired(noise, noise),
    )
    shifted = measuring.measure(Fields(Linear(), lambda t, x, condition: x + 0.5, "data"), yardstick)
    assert shifted.paired == pytest.approx(4 * 0.25, rel=1e-5)
    assert shifted.components["1"] == pytest.approx(1.0, rel=1e-4)
    assert shifted.features["1"] == pytest.approx(1.0, rel=1e-4)
