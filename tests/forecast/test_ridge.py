"""Ridge regression against the normal equations."""

import numpy as np

from pathline.forecast.ridge import ridge_path


def test_every_penalty_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(30, 5)), rng.normal(size=(30, 2))
    penalties = (1e-8, 0.1, 10.0)
    for penalty, weights in zip(penalties, ridge_path(features, targets, penalties), strict=True):
        gram = features.T @ features + 30 * penalty * np.eye(5)
        np.testing.assert_allclose(weights, np.linalg.solve(gram, features.T @ targets), atol=1e-10)


def test_more_features_than_samples():
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(4, 9)), rng.normal(size=(4, 1))
    (weights,) = ridge_path(features, targets, (1e-12,))
    np.testing.assert_allclose(weights, np.linalg.pinv(features) @ targets, atol=1e-8)
