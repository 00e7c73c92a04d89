"""The reproduction of rectified flow runs in every part, and its test sets are what they should be."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest

from pathline.errors import InputError
from pathline.papers import rectified_flow as paper
from pathline.papers import reproduce
from pathline.papers.rectified_flow import planar

KEY = jax.random.key(0)


@pytest.mark.slow
def test_smoke(tmp_path):
    done = reproduce(paper.PAPER, "smoke", run=tmp_path)
    values = np.concatenate([np.ravel(value) for value in done.record["measured"].values()])
    assert np.isfinite(values).all()
    assert json.loads((tmp_path / "outcome.json").read_text()) == done.record
    assert set(done.outcome.figures) == set(done.outcome.captions)
    for draw in done.outcome.figures.values():
        assert isinstance(draw(), matplotlib.figure.Figure)


def test_modes_are_equally_many():
    """Otherwise the random numbers of points in each mode dominate the Wasserstein distance."""
    points = np.asarray(planar.three_modes(KEY, 3000, 0.5))
    centres = np.asarray(planar.three_modes(KEY, 3, 0.5)) * 0
    for mode in range(3):
        angle = 2 * np.pi * (mode + 0.5) / 3
        centres[mode] = planar.RADIUS * np.asarray([np.cos(angle), np.sin(angle)])
    nearest = np.argmin(np.linalg.norm(points[:, None] - centres[None], axis=2), axis=1)
    assert np.bincount(nearest).tolist() == [1000, 1000, 1000]
    spread = points - centres[nearest]
    np.testing.assert_allclose(spread.std(axis=0), planar.DEVIATION, rtol=0.05)


def test_mirrored_starts():
    """Half of each mode lies on either side of its axis, with the law of the mode."""
    starts = np.asarray(planar.mirrored_modes(KEY, 6000))
    side = np.sign(starts[:3000, 1])
    axis = np.arange(3000) % 3 == 0
    # The axis of the first mode is the first coordinate's.
    np.testing.assert_allclose(starts[:3000][axis][:, 0], starts[3000:][axis][:, 0], rtol=1e-5)
    np.testing.assert_allclose(starts[:3000][axis][:, 1], -starts[3000:][axis][:, 1], rtol=1e-4, atol=1e-5)
    assert 0.4 < (side[axis] > 0).mean() < 0.6
    first = starts[np.arange(6000) % 3 == 0]
    np.testing.assert_allclose(first.mean(axis=0), [planar.RADIUS, 0.0], atol=0.05)
    np.testing.assert_allclose(first.std(axis=0), planar.DEVIATION, rtol=0.05)


def test_ratios_of_claims():
    flow = planar.Transport({1: 5.0, 4: 2.0}, 0.5, 8.0, 10.0, 3.0, np.zeros((1, 2, 2)))
    reflowed = replace(flow, wasserstein={1: 1.0, 4: 0.8}, straightness=0.1, squared_cost=9.0, cost=3.03)
    seed = planar.Seed(
        flows={"1-RF": flow, "2-RF": reflowed, "3-RF": reflowed, "VP": flow, "2-VP": flow},
        distilled={"1-RF": 0.5},
        floor=0.2,
        optimal_cost=9.5,
        independent_squared_cost=30.0,
        independent_cost=5.0,
        intersection=11.0,
        starts=np.zeros((1, 2)),
        target=np.zeros((1, 2)),
    )
    found = paper._of_plane([seed])
    expected = {
        "one-step excess 2-RF / 1-RF": 0.8 / 4.8,
        "straightness 2-RF / 1-RF": 0.1 / 8,
        "straightness / squared cost, 2-RF": 0.1 / 9,
        "largest cost ratio of a round": 1.01,
        "squared cost 1-RF / independent": 1 / 3,
        "least squared cost / optimal": 9 / 9.5,
        "mismatch of equation 13": 1 / 20,
        "one-step excess VP / 2-RF": 4.8 / 0.8,
        "four-step excess VP / 2-RF": 1.8 / 0.6,
        "straightness 2-VP / 1-RF": 1.0,
    }
    for quantity, value in expected.items():
        np.testing.assert_allclose(found[quantity], [value], err_msg=quantity)
    assert {claim.quantity for claim in paper.PAPER.claims} - set(found) == {"FD distilled 2-RF / distilled 1-RF"}


@pytest.mark.slow
def test_published_setup_on_small_files(tmp_path, monkeypatch):
    """The code of the published scale, on a few colour images of one's own."""
    with pytest.raises(InputError, match="--data FOLDER"):
        reproduce(paper.PAPER, "paper")
    pixels = np.random.default_rng(0).uniform(size=(40, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "images.npz", samples=pixels)
    monkeypatch.setattr(
        paper, "PUBLISHED_IMAGES", replace(paper.SMOKE_DIGITS, network=_small_transformer, batch_size=16)
    )
    monkeypatch.setattr(paper, "PUBLISHED_PLANE", paper.SMOKE_PLANE)
    outcome = paper.reproduce("paper", KEY, None, tmp_path / "images.npz")
    assert all(np.isfinite(value).all() for value in outcome.measured.values())
    assert isinstance(outcome.figures["samples"](), matplotlib.figure.Figure)


def _small_transformer(key, shape):
    return paper.PatchTransformer(shape, width=16, depth=1, heads=2, key=key)


def test_published_network_takes_colour_images():
    network = jax.eval_shape(lambda key: paper.transformer(key, (3, 32, 32)), KEY)
    shape = jax.eval_shape(
        lambda net, x: net(jnp.zeros(()), x), network, jax.ShapeDtypeStruct((3, 32, 32), jnp.float32)
    )
    assert shape.shape == (3, 32, 32)
