"""The reproduction runs in every part, on the digits and on a folder of images."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from pathline.errors import InputError
from pathline.papers import reproduce
from pathline.papers import stochastic_interpolants as paper
from pathline.papers.stochastic_interpolants import exact, restoration

KEY = jax.random.key(0)


@pytest.mark.slow
def test_smoke(tmp_path):
    done = reproduce(paper.PAPER, "smoke", run=tmp_path)
    values = np.concatenate([np.atleast_1d(value) for value in done.record["measured"].values()])
    assert np.isfinite(values).all()
    assert json.loads((tmp_path / "outcome.json").read_text()) == done.record
    assert set(done.outcome.figures) == set(done.outcome.captions)
    for draw in done.outcome.figures.values():
        assert isinstance(draw(), matplotlib.figure.Figure)


def test_errors_on_the_line_have_equal_size():
    """Of both fields, with a mean square of half the squared amplitude."""
    with jax.enable_x64(True):
        source, target = exact.mixtures()
        fields = exact.exact_fields(exact.LATENT, target, source)
        model = exact._disturbed(exact.Line(), fields, KEY)
        x = jnp.linspace(-2 * np.pi, 2 * np.pi, 4001)
        found = jax.vmap(lambda x: model(0.3, x[None], None))(x)
        truth = jax.vmap(lambda x: fields.model(0.3, x[None], None))(x)
        for part, other in zip(found, truth, strict=True):
            np.testing.assert_allclose(np.mean((part - other) ** 2), 0.045, rtol=1e-3)


def test_the_distance_with_own_neighbours():
    """Against all pairs at once, and positive for equal laws."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 1)), rng.normal(size=(50, 1)) + 0.5
    pairs = [np.abs(one - other.T).mean() for one, other in ((x, y), (x, x), (y, y))]
    assert exact._biased_distance(x, y) == pytest.approx(2 * pairs[0] - pairs[1] - pairs[2])
    assert exact._biased_distance(x, rng.normal(size=(50, 1))) > 0


def test_coarse_images_are_means_of_squares():
    images = np.arange(2 * 64, dtype=float).reshape(2, 1, 8, 8)
    found = restoration.coarse(images, 4)
    assert found.shape == images.shape
    np.testing.assert_allclose(found[1, 0, :4, 4:], images[1, 0, :4, 4:].mean())
    np.testing.assert_allclose(restoration.coarse(found, 4), found)


@pytest.mark.slow
def test_published_setup_on_a_small_folder(tmp_path, monkeypatch):
    """The code of the published scale, on thirty images."""
    folder = tmp_path / "flowers"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(0, 256, (16, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    with pytest.raises(InputError, match="--data FOLDER"):
        reproduce(paper.PAPER, "paper")
    monkeypatch.setattr(paper, "_large_network", _tiny_network)
    small = replace(paper.PUBLISHED.restoration, steps=2, batch_size=4, held=10, repeats=2, sampler_steps=6)
    monkeypatch.setattr(paper, "PUBLISHED", replace(paper.SMOKE, restoration=small))
    outcome = paper.reproduce("paper", KEY, None, tmp_path)
    assert outcome.measured["pixel spread, SDE"] > 0
    Image.fromarray(np.zeros((20, 32, 3), np.uint8)).save(folder / "00.png")
    for number in range(1, 30):
        (folder / f"{number:02d}.png").unlink()
    with pytest.raises(InputError, match="multiples of 16"):
        paper.reproduce("paper", KEY, None, tmp_path)


def _tiny_network(shape, block, key):
    condition = shape[0] * (shape[1] // block) * (shape[2] // block)
    return paper.PatchTransformer(shape, 16, width=16, depth=1, heads=2, condition_dim=condition, key=key)
