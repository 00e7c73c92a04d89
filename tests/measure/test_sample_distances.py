"""Distances between sets of samples against closed forms on Gaussians, and what every distance owes."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from pathline.errors import InputError
from pathline.measure import (
    PrincipalComponents,
    energy_distance,
    frechet_distance,
    frechet_distance_of_moments,
    maximum_mean_discrepancy,
    nearest_distances,
    precision_recall,
    sample_sets,
    sliced_wasserstein,
    wasserstein2,
)

KEY = jax.random.key(0)


def normal(count, dim, *, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).normal(size=(count, dim))


def sliced(x, y):
    return sliced_wasserstein(x, y, key=KEY, projections=512)


DISTANCES = [sliced, wasserstein2, energy_distance, maximum_mean_discrepancy, frechet_distance]


@pytest.mark.parametrize("distance", DISTANCES)
def test_symmetric_and_blind_to_order(distance):
    x, y = normal(60, 3), normal(60, 3, shift=0.5, seed=1)
    assert distance(x, y) == pytest.approx(distance(x[::-1], y), rel=1e-9)
    if distance is not maximum_mean_discrepancy:
        assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-9)
    assert distance(np.asarray(x, np.float32), y) == pytest.approx(distance(x, y), rel=1e-5)


@pytest.mark.parametrize("distance", [sliced, wasserstein2, frechet_distance])
def test_nothing_between_a_set_and_itself(distance):
    x = normal(80, 4)
    assert distance(x, x.copy()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 5, 40])
def test_sliced_wasserstein_of_a_shift_and_of_a_scale(dim):
    x = normal(400, dim)
    shift = np.linspace(-1, 1, dim) + 0.3
    # The mean of (m . u)^2 over 4000 directions has a relative error of sqrt(2 / 4000).
    found = sliced_wasserstein(x, x + shift, key=KEY, projections=4000)
    assert found == pytest.approx(np.linalg.norm(shift) / np.sqrt(dim), rel=0.06)
    # A set scaled by c about its centre: every projection is scaled, and its quantiles move by (c - 1) times themselves.
    expected = np.sqrt(np.mean(np.sum(x**2, axis=1)) / dim)
    assert sliced_wasserstein(x, 2 * x, key=KEY, projections=4000) == pytest.approx(expected, rel=0.06)


def test_sliced_wasserstein_of_sets_of_different_size():
    x = normal(150, 2)
    assert sliced(x, np.repeat(x, 4, axis=0)) == pytest.approx(0.0, abs=1e-9)
    point = np.asarray([[0.0], [0.0]]), np.asarray([[1.0], [1.0], [4.0]])
    assert sliced_wasserstein(*point, key=KEY) == pytest.approx(np.sqrt((1 + 1 + 16) / 3))


def test_wasserstein_is_that_of_the_best_assignment():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    assert wasserstein2(x, rng.permutation(x) + np.asarray([3.0, 0.0, 4.0])) == pytest.approx(5.0)
    line, other = rng.normal(size=(300, 1)), rng.exponential(size=(300, 1))
    expected = np.sqrt(np.mean((np.sort(line, axis=0) - np.sort(other, axis=0)) ** 2))
    assert wasserstein2(line, other) == pytest.approx(expected)
    with pytest.raises(InputError, match="300 and 299 points"):
        wasserstein2(line, other[1:])


def test_energy_distance_is_twice_the_area_between_distribution_functions():
    """On the line `E = 2 int (F - G)^2`."""
    exact, _ = integrate.quad(lambda t: 2 * (stats.norm.cdf(t) - stats.norm.cdf(t, 0.7, 1.5)) ** 2, -20, 20)
    found = [
        energy_distance(normal(1500, 1, seed=seed), normal(1500, 1, shift=0.7, scale=1.5, seed=100 + seed))
        for seed in range(6)
    ]
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(6)
    assert exact > 5 * np.std(found)


@pytest.mark.parametrize("dim", [1, 3])
def test_maximum_mean_discrepancy_of_gaussians(dim):
    """`E exp(-|u|^2 / 2h^2)` for `u ~ N(m, v I)` is `(1 + v/h^2)^(-d/2) exp(-|m|^2 / (2 (h^2 + v)))`."""
    shift, scale, h = 0.6, 1.4, 1.1

    def mean(m2, v):
        return (1 + v / h**2) ** (-dim / 2) * np.exp(-m2 / (2 * (h**2 + v)))

    exact = mean(0, 2) + mean(0, 2 * scale**2) - 2 * mean(dim * shift**2, 1 + scale**2)
    found = [
        maximum_mean_discrepancy(
            normal(1000, dim, seed=seed), normal(1000, dim, shift=shift, scale=scale, seed=50 + seed), bandwidth=h
        )
        for seed in range(6)
    ]
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(6)
    assert exact > 5 * np.std(found)


@pytest.mark.parametrize("distance", [energy_distance, maximum_mean_discrepancy])
def test_unbiased_for_equal_laws(distance):
    found = [distance(normal(100, 2, seed=seed), normal(100, 2, seed=1000 + seed)) for seed in range(60)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(60)
    assert min(found) < 0 < max(found)


def test_frechet_distance_of_moments():
    """Commuting covariances: `|m|^2 + sum (sqrt(a) - sqrt(b))^2`; and against the square root of the product."""
    a, b, m = np.asarray([1.0, 4.0, 0.25]), np.asarray([2.0, 1.0, 0.0]), np.asarray([1.0, 0.0, 2.0])
    rotation = np.linalg.qr(normal(3, 3))[0]
    exact = np.sum(m**2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    found = frechet_distance_of_moments(
        rotation @ m, rotation @ np.diag(a) @ rotation.T, np.zeros(3), rotation @ np.diag(b) @ rotation.T
    )
    assert found == pytest.approx(exact)
    one, other = (np.cov(normal(50, 4, seed=seed), rowvar=False) for seed in (1, 2))
    eigenvalues = np.linalg.eigvals(one @ other).real
    exact = np.trace(one) + np.trace(other) - 2 * np.sqrt(eigenvalues).sum()
    assert frechet_distance_of_moments(np.zeros(4), one, np.zeros(4), other) == pytest.approx(exact)


def test_frechet_distance_of_sets_has_their_moments():
    x = normal(500, 3)
    assert frechet_distance(x, 2 * x + 1) == pytest.approx(
        np.sum((x.mean(0) + 1) ** 2) + np.trace(np.cov(x, rowvar=False)), rel=1e-9
    )


def test_principal_components():
    x = normal(400, 6) * [5, 3, 1, 0.1, 0.1, 0.1] + 2
    components = PrincipalComponents.of(x, 2)
    found = components(x)
    assert np.abs(components.directions[:2]).sum() > 1.9
    assert found.var(axis=0) == pytest.approx(np.linalg.eigvalsh(np.cov(x, rowvar=False, bias=True))[::-1][:2])
    with pytest.raises(InputError, match="7 principal components"):
        PrincipalComponents.of(x, 7)


def test_precision_and_recall_know_collapse_from_nonsense():
    real = np.concatenate([normal(300, 2), normal(100, 2, shift=50.0, seed=1)])
    assert precision_recall(real, real.copy()) == (1.0, 1.0)
    precision, recall = precision_recall(real, normal(400, 2, seed=2))
    assert precision > 0.95 and 0.65 < recall <= 0.75
    precision, recall = precision_recall(normal(400, 2), real)
    assert 0.65 < precision <= 0.76 and recall > 0.95
    assert precision_recall(real, normal(400, 2, shift=-500.0)) == (0.0, 0.0)


def test_nearest_distances():
    reference = np.asarray([[0.0, 0.0], [10.0, 0.0]])
    np.testing.assert_allclose(nearest_distances(np.asarray([[3.0, 4.0], [9.0, 0.0]]), reference), [5.0, 1.0])
    many = normal(3000, 2)
    assert nearest_distances(many, many).max() == 0.0


def test_mistakes_are_told():
    x = normal(10, 2)
    for distance in (*DISTANCES, precision_recall, nearest_distances):
        with pytest.raises(InputError, match="2 and 3 dimensions"):
            distance(x, normal(10, 3))
        with pytest.raises(InputError, match=r"the shape \(10, 1, 2\)"):
            distance(x[:, None], x)
        with pytest.raises(InputError, match="second set holds numbers that are not finite"):
            distance(x, np.where(x > 0, np.nan, x))
    with pytest.raises(InputError, match="10 neighbours cannot be found among 10 points"):
        precision_recall(x, x, neighbours=10)
    with pytest.raises(InputError, match="at least 2 samples"):
        energy_distance(x[:1], x)
    with pytest.raises(InputError, match="0 projections"):
        sliced_wasserstein(x, x, key=KEY, projections=0)
    with pytest.raises(InputError, match="bandwidth of the kernel is 0"):
        maximum_mean_discrepancy(x, np.ones((10, 2)))


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (np.zeros(2), np.eye(3), r"the shape \(3, 3\); 2 means need \(2, 2\)"),
        (np.zeros(2), np.diag([1.0, np.nan]), "not finite"),
        (np.zeros(2), np.asarray([[1.0, 0.5], [0.0, 1.0]]), "not symmetric or has negative"),
        (np.zeros(2), np.diag([1.0, -0.1]), "not symmetric or has negative"),
        (np.zeros(1), np.eye(1), r"shapes \(1,\) and \(2,\)"),
    ],
)
def test_what_is_no_covariance_is_refused(mean, covariance, message):
    with pytest.raises(InputError, match=message):
        frechet_distance_of_moments(mean, covariance, np.zeros(2), np.eye(2))


def test_rounding_in_single_precision_is_no_mistake():
    """A singular covariance, whose least eigenvalues single precision makes negative."""
    covariance = np.cov(normal(20, 60).astype(np.float32), rowvar=False).astype(np.float32)
    assert np.linalg.eigvalsh(covariance).min() < 0
    moments = np.zeros(60), covariance.astype(float)
    # Each eigenvalue may be off by the rounding of the largest.
    rounding = 60 * float(np.finfo(np.float32).eps * np.trace(covariance))
    assert frechet_distance_of_moments(*moments, *moments) <= rounding


def test_principal_components_refuse_points_of_another_space():
    components = PrincipalComponents.of(normal(30, 5), 2)
    for dim in (1, 4):
        with pytest.raises(InputError, match=f"{dim} dimensions, and the components were taken of 5"):
            components(normal(3, dim))
    with pytest.raises(InputError, match="ask for 1 to 2"):
        PrincipalComponents.of(normal(3, 5), 3)
    with pytest.raises(InputError, match="reference set holds"):
        PrincipalComponents.of(np.full((9, 4), np.nan), 2)


# Any dimension and any draw. "Five standard errors" below are those of the estimate at hand, stated beside it.
dims, seeds = st.integers(1, 12), st.integers(0, 10**6)
anywhere = settings(max_examples=20, deadline=None, derandomize=True)
REPEATS = 40


def within_five_standard_errors(found, exact):
    return abs(np.mean(found) - exact) < 5 * np.std(found, ddof=1) / math.sqrt(len(found))


def whitened(count, dim, seed):
    """Points of mean zero and covariance one (over `count`), up to rounding."""
    x = normal(count, dim, seed=seed)
    x -= x.mean(axis=0)
    return math.sqrt(count) * np.linalg.svd(x, full_matrices=False)[0]


def gaussian_pairs(dim, seed, shift, scale):
    """Independent draws of N(0, 1) and N(shift, scale^2), unequally many."""
    for child in np.random.default_rng(seed).spawn(REPEATS):
        yield child.normal(size=(80, dim)), shift + scale * child.normal(size=(60, dim))


@anywhere
@given(dims, seeds)
def test_sliced_wasserstein_of_a_shift_within_the_error_of_its_directions(dim, seed):
    """`(m . u)^2` has the mean `|m|^2 / d` and the variance `2 |m|^4 (d - 1) / (d^2 (d + 2))` over unit vectors `u`."""
    m, projections = normal(1, dim, seed=seed)[0], 1000
    x = normal(50, dim, seed=seed + 1)
    found = sliced_wasserstein(x, x + m, key=jax.random.key(seed), projections=projections) ** 2
    error = m @ m / dim * math.sqrt(2 * (dim - 1) / (dim + 2) / projections)
    assert abs(found - m @ m / dim) < 5 * error + 1e-9


@anywhere
@given(dims, seeds, st.floats(0.1, 5.0))
def test_sliced_wasserstein_of_a_scale_is_exact_on_white_points(dim, seed, scale):
    """Every projection of white points has variance one, and its quantiles move by `(scale - 1)` times themselves."""
    x = whitened(60, dim, seed)
    assert sliced(x, scale * x[::-1]) == pytest.approx(abs(scale - 1), abs=1e-9)


@anywhere
@given(st.integers(2, 12), st.integers(2, 12), seeds)
def test_sliced_wasserstein_on_a_line_is_exact_transport_of_repeated_points(n, m, seed):
    x, y, common = normal(n, 1, seed=seed), normal(m, 1, seed=seed + 1), math.lcm(n, m)
    exact = wasserstein2(np.repeat(x, common // n, axis=0), np.repeat(y, common // m, axis=0))
    assert sliced(x, y) == pytest.approx(exact, rel=1e-9)
    assert sliced(y, x) == pytest.approx(exact, rel=1e-9)


@anywhere
@given(dims, seeds)
def test_wasserstein_of_the_gradient_of_a_convex_function(dim, seed):
    """`x -> A x + m` with `A` positive is optimal between the sets (Brenier); then the bound of Gelbrich is met, and it
    is a bound for any other set.
    """
    x, factor, m = normal(60, dim, seed=seed), normal(dim, dim, seed=seed + 1), normal(1, dim, seed=seed + 2)
    y = x @ (factor @ factor.T) + m
    found = wasserstein2(x, np.random.default_rng(seed).permutation(y))
    assert found == pytest.approx(np.sqrt(np.mean(np.sum((x - y) ** 2, axis=1))), rel=1e-9)

    def gelbrich(one, other):
        moments = [
            (part.mean(axis=0), np.cov(part, rowvar=False, bias=True).reshape(dim, dim)) for part in (one, other)
        ]
        return math.sqrt(frechet_distance_of_moments(*moments[0], *moments[1]))

    assert found == pytest.approx(gelbrich(x, y), rel=1e-6)
    other = np.random.default_rng(seed).exponential(size=(60, dim))
    assert wasserstein2(x, other) >= gelbrich(x, other)
    assert wasserstein2(x, other) >= sliced(x, other)


def mean_length(dim, m2, variance):
    """`E|u|` for `u ~ N(m, variance I)`: the mean of a noncentral chi variable, `m2 = |m|^2`."""
    central = math.sqrt(2 * variance) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
    return central * special.hyp1f1(-0.5, dim / 2, -m2 / (2 * variance))


def test_the_closed_form_of_the_energy_distance_against_quadrature():
    """On the line `E = 2 int (F - G)^2`."""
    m, s = 0.7, 1.5
    exact, _ = integrate.quad(lambda t: 2 * (stats.norm.cdf(t) - stats.norm.cdf(t, m, s)) ** 2, -20, 20)
    assert 2 * mean_length(1, m**2, 1 + s**2) - mean_length(1, 0, 2) - mean_length(1, 0, 2 * s**2) == pytest.approx(
        exact
    )


@anywhere
@given(dims, seeds, st.floats(0.0, 1.0), st.floats(0.5, 2.0))
def test_energy_distance_of_gaussians_in_any_dimension(dim, seed, shift, scale):
    exact = (
        2 * mean_length(dim, dim * shift**2, 1 + scale**2) - mean_length(dim, 0, 2) - mean_length(dim, 0, 2 * scale**2)
    )
    found = [energy_distance(x, y) for x, y in gaussian_pairs(dim, seed, shift, scale)]
    assert within_five_standard_errors(found, exact)


@anywhere
@given(dims, seeds, st.floats(0.0, 1.0), st.floats(0.5, 2.0), st.floats(0.5, 4.0))
def test_maximum_mean_discrepancy_of_gaussians_in_any_dimension(dim, seed, shift, scale, h):
    def kernel_mean(m2, variance):
        return (1 + variance / h**2) ** (-dim / 2) * math.exp(-m2 / (2 * (h**2 + variance)))

    exact = kernel_mean(0, 2) + kernel_mean(0, 2 * scale**2) - 2 * kernel_mean(dim * shift**2, 1 + scale**2)
    found = [maximum_mean_discrepancy(x, y, bandwidth=h) for x, y in gaussian_pairs(dim, seed, shift, scale)]
    assert within_five_standard_errors(found, exact)


@pytest.mark.parametrize("pairs", [1, 200, sample_sets._PAIRS])
def test_pairs_are_counted_once_whatever_the_blocks(monkeypatch, pairs):
    """Against plain loops over pairs, and on a set against itself."""
    monkeypatch.setattr(sample_sets, "_PAIRS", pairs)
    x, y, h = normal(23, 3), normal(31, 3, shift=0.4, seed=1), 1.3

    def mean(function, one, other):
        same = one is other
        values = [
            function(np.linalg.norm(a - b))
            for i, a in enumerate(one)
            for j, b in enumerate(other)
            if not (same and i == j)
        ]
        return math.fsum(values) / len(values)

    def kernel(distance):
        return math.exp(-(distance**2) / (2 * h**2))

    exact = 2 * mean(float, x, y) - mean(float, x, x) - mean(float, y, y)
    assert energy_distance(x, y) == pytest.approx(exact, rel=1e-9)
    exact = mean(kernel, x, x) + mean(kernel, y, y) - 2 * mean(kernel, x, y)
    assert maximum_mean_discrepancy(x, y, bandwidth=h) == pytest.approx(exact, rel=1e-9)
    assert maximum_mean_discrepancy(y, x, bandwidth=h) == pytest.approx(exact, rel=1e-9)
    # Across a set and its copy the 23 pairs of equal points count, and within it they do not.
    assert energy_distance(x, x.copy()) == pytest.approx(-2 / 23 * mean(float, x, x), rel=1e-9)
    np.testing.assert_allclose(nearest_distances(x, y), KDTree(y).query(x)[0], rtol=1e-12)


def test_blocks_are_small_however_large_the_sets():
    blocks = [block.shape for block in sample_sets.distance_blocks(normal(3000, 1), normal(3000, 1))]
    assert sum(rows for rows, _ in blocks) == 3000 and len(blocks) > 1
    assert all(rows * columns <= sample_sets._PAIRS for rows, columns in blocks)


@pytest.mark.parametrize("count", [300, 1500])
def test_bandwidth_is_the_median_distance_whatever_the_order(count):
    """Sets that are ordered by class must not be judged by their first classes."""
    x, y = normal(100, 2), np.concatenate([normal(count, 2), normal(count // 3, 2, shift=30.0, scale=8.0, seed=1)])
    exact = maximum_mean_discrepancy(x, y, bandwidth=float(np.median(pdist(y))))
    assert maximum_mean_discrepancy(x, y) == pytest.approx(exact, rel=1e-9)
    assert maximum_mean_discrepancy(x, y[::-1]) == pytest.approx(exact, rel=1e-9)


@anywhere
@given(dims, seeds)
def test_frechet_distance_by_singular_values(dim, seed):
    """`tr (C1 C2)^(1/2)` is the sum of the singular values of `A B^T` where `C1 = A^T A` and `C2 = B^T B`."""
    x, y = normal(60, dim, seed=seed) @ normal(dim, dim, seed=seed + 1), normal(50, dim, shift=0.3, seed=seed + 2)
    a, b = ((part - part.mean(axis=0)) / math.sqrt(len(part) - 1) for part in (x, y))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    exact = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * cross
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(exact, rel=1e-6)


def covered(points, among, neighbours):
    """The share of points within the ball of some point of a set; every ball looked into by a tree."""
    radii = KDTree(among).query(among, k=neighbours + 1)[0][:, -1]
    inside = KDTree(points).query_ball_point(among, radii * (1 + 1e-12))
    return len({index for found in inside for index in found}) / len(points)


@anywhere
@given(dims, seeds, st.integers(1, 5))
def test_precision_and_recall_by_trees(dim, seed, neighbours):
    real, generated = normal(90, dim, seed=seed), normal(70, dim, scale=0.8, shift=0.2, seed=seed + 1)
    exact = covered(generated, real, neighbours), covered(real, generated, neighbours)
    assert precision_recall(real, generated, neighbours=neighbours) == pytest.approx(exact)
    assert precision_recall(generated, real, neighbours=neighbours) == pytest.approx(exact[::-1])


@anywhere
@given(dims, seeds, st.integers(10, 90))
def test_recall_of_one_mode_is_its_share(dim, seed, share):
    """A generator that repeats one of two far modes: all it makes is real, and it covers that mode alone."""
    mode = normal(share, dim, seed=seed)
    real = np.concatenate([mode, normal(100 - share, dim, shift=1000.0, seed=seed + 1)])
    assert precision_recall(real, mode) == (1.0, share / 100)
