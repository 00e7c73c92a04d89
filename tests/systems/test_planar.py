"""Densities in the plane have the shape that they are named for."""

import jax
import numpy as np
import pytest

from pathline.systems import PLANAR, checkerboard, pinwheel, ring, two_moons


@pytest.mark.parametrize("name", PLANAR)
def test_draws_are_finite_and_repeatable(name):
    points = PLANAR[name](jax.random.key(0), 500)
    assert points.shape == (500, 2) and np.isfinite(points).all()
    np.testing.assert_array_equal(points, PLANAR[name](jax.random.key(0), 500))
    assert np.abs(points - PLANAR[name](jax.random.key(1), 500)).max() > 0.1


def test_checkerboard_fills_its_eight_squares_evenly():
    points = np.asarray(checkerboard(jax.random.key(0), 8000))
    column, row = np.floor((points + 4) / 2).astype(int).T
    assert ((column + row) % 2 == 0).all() and points.min() >= -4 and points.max() <= 4
    counts = np.bincount(4 * row + column, minlength=16).reshape(4, 4)
    filled = counts[counts > 0]
    assert len(filled) == 8 and np.abs(filled - 1000).max() < 5 * np.sqrt(1000)


def test_ring_has_its_radius():
    radius = np.linalg.norm(ring(jax.random.key(0), 4000, radius=2.0, noise=0.1), axis=1)
    np.testing.assert_allclose([radius.mean(), radius.std()], [2.0, 0.1], rtol=0.05)


def test_moons_are_two_half_circles():
    points = np.asarray(two_moons(jax.random.key(0), 4000, noise=0.0)) / 2
    upper = np.abs(np.linalg.norm(points - [-0.5, -0.25], axis=1) - 1)
    lower = np.abs(np.linalg.norm(points - [0.5, 0.25], axis=1) - 1)
    assert (np.minimum(upper, lower) < 1e-5).all() and 0.45 < (upper < lower).mean() < 0.55


def test_pinwheel_has_as_many_arms_as_asked():
    """The angle, less the bend, gathers around as many directions as there are arms."""
    points = np.asarray(pinwheel(jax.random.key(0), 6000, arms=3)) / 2
    radius = np.linalg.norm(points, axis=1)
    bend = np.arctan2(points[:, 1], points[:, 0]) - 0.25 * np.exp(radius)
    assert np.abs(np.exp(3j * bend).mean()) > 0.5 > np.abs(np.exp(2j * bend).mean()) + 0.3
