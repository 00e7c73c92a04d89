"""Every metric against a closed form or an independent computation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, signal, stats

from pathline.measure import (
    crps,
    crps_by_entry,
    interval_coverage,
    interval_score,
    mase,
    power_spectrum_distance,
    rmse,
    smape,
    valid_prediction_time,
)

RNG = np.random.default_rng(0)
NAN = float("nan")
column = arrays(float, (7, 2), elements=st.floats(-1e3, 1e3))


def test_rmse_by_hand_and_blind_to_gaps():
    assert rmse(np.asarray([1.0, 2.0, 9.0]), np.asarray([1.0, 4.0, NAN])) == pytest.approx(math.sqrt(2.0))
    assert math.isnan(rmse(np.ones(2), np.full(2, NAN)))


def test_mase_by_hand():
    history = np.asarray([[0.0], [2.0], [1.0], [3.0]])
    forecast, truth = np.asarray([[4.0], [5.0]]), np.asarray([[3.0], [3.0]])
    assert mase(forecast, truth, history) == pytest.approx(1.5 / (5 / 3))
    assert mase(forecast, truth, history, season=2) == pytest.approx(1.5 / 1.0)
    gappy = np.asarray([[0.0], [2.0], [NAN], [3.0]])
    assert mase(forecast, np.asarray([[3.0], [NAN]]), gappy) == pytest.approx(1.0 / 2.0)
    assert math.isnan(mase(forecast, truth, np.ones((4, 1)))) and math.isnan(mase(forecast, truth, history[:1]))


def test_persistence_scores_one_on_a_random_walk():
    walk = RNG.normal(size=(200_001, 1)).cumsum(axis=0)
    assert mase(walk[100_000:-1], walk[100_001:], walk[:100_000]) == pytest.approx(1.0, rel=0.02)


def test_smape_by_hand():
    assert smape(np.asarray([1.0, 0.0, 3.0]), np.asarray([3.0, 0.0, NAN])) == pytest.approx(100 * (2 * 2 / 4 + 0) / 2)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(column, column)
def test_smape_is_bounded_and_symmetric(one, other):
    assert 0 <= smape(one, other) <= 200 + 1e-9 and smape(one, other) == pytest.approx(smape(other, one))


@pytest.mark.parametrize("truth", [-1.3, 0.2, 4.0])
def test_crps_is_the_integral_of_its_definition(truth):
    members = np.sort(RNG.normal(size=9))
    grid = np.sort(np.append(members, truth))
    integral = 0.0
    for low, high in itertools.pairwise(grid):
        below = np.mean(members <= low)
        integral += (high - low) * (below - (truth <= low)) ** 2
    assert crps(members[:, None], np.asarray([truth])) == pytest.approx(integral)


def test_crps_of_a_gaussian_ensemble_approaches_the_closed_form():
    truth = 0.7
    exact = truth * (2 * stats.norm.cdf(truth) - 1) + 2 * stats.norm.pdf(truth) - 1 / math.sqrt(math.pi)
    check, _ = integrate.quad(lambda x: (stats.norm.cdf(x) - (x >= truth)) ** 2, -10, 10, points=[truth])
    assert exact == pytest.approx(check, abs=1e-8)
    quantiles = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert crps(quantiles[:, None], np.asarray([truth])) == pytest.approx(exact, abs=1e-4)
    # The fair score is unbiased even for two members; the plain one is not.
    pairs = RNG.normal(size=(2, 200_000))
    assert crps(pairs, np.full(200_000, truth), fair=True) == pytest.approx(exact, abs=5e-3)
    assert crps(pairs, np.full(200_000, truth)) > exact + 0.1


@pytest.mark.parametrize("fair", [False, True])
def test_crps_leaves_out_members_that_are_unknown(fair):
    rng = np.random.default_rng(0)
    ensemble, truth = rng.normal(size=(7, 2, 3)), rng.normal(size=(2, 3))
    ensemble[rng.random(ensemble.shape) < 0.4] = np.nan
    ensemble[:, 0, 0], truth[1, 2] = np.nan, np.nan
    found = crps_by_entry(ensemble, truth, fair=fair)
    assert np.isnan(found[0, 0]) and np.isnan(found[1, 2])
    for place in [(0, 1), (0, 2), (1, 0), (1, 1)]:
        known = ensemble[:, *place][~np.isnan(ensemble[:, *place])]
        pairs = np.abs(known[:, None] - known).sum() / (len(known) * (len(known) - 1) if fair else len(known) ** 2)
        assert found[place] == pytest.approx(np.abs(known - truth[place]).mean() - pairs / 2)


def test_crps_of_one_member_is_the_absolute_error():
    forecast, truth = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
    truth[1, 2] = NAN
    assert crps(forecast[None], truth) == pytest.approx(np.nanmean(np.abs(forecast - truth)))


def test_coverage_by_hand():
    low, high, truth = np.zeros(4), np.ones(4), np.asarray([0.0, 0.5, 2.0, NAN])
    assert interval_coverage(low, high, truth) == pytest.approx(2 / 3)


def test_interval_score_by_hand_and_proper():
    assert interval_score(np.zeros(2), np.ones(2), np.asarray([0.5, 1.5]), 0.8) == pytest.approx(1 + 0.5 * 2 / 0.2 / 2)
    sample = RNG.normal(size=100_000)
    end = stats.norm.ppf(0.9)
    scores = [
        interval_score(np.full_like(sample, -width), np.full_like(sample, width), sample, 0.8)
        for width in (end, 0.8 * end, 1.2 * end)
    ]
    assert min(scores) == scores[0]


def test_valid_time_by_hand():
    truth = np.stack([np.tile([1.0, -1.0], 5), np.tile([2.0, -2.0], 5)], axis=1)
    forecast = truth.copy()
    forecast[6:, 1] += 2.0  # an error of one standard deviation in one of two columns: 0.707
    assert valid_prediction_time(forecast, truth, step=0.5) == pytest.approx(3.0)
    assert valid_prediction_time(forecast, truth, step=0.5, lyapunov=0.9) == pytest.approx(2.7)
    assert valid_prediction_time(forecast, truth, step=0.5, threshold=0.8) == pytest.approx(5.0)
    assert valid_prediction_time(truth, truth, step=1.0) == 10.0


def test_spectrum_distance_of_known_spectra():
    times = np.arange(512)
    slow, fast = (np.sin(2 * np.pi * k * times / 512)[:, None] for k in (20, 200))
    assert power_spectrum_distance(slow, slow) == pytest.approx(0.0, abs=1e-7)
    assert power_spectrum_distance(slow, fast, smoothing=0.0) == pytest.approx(1.0, abs=1e-6)
    # Two lines of powers 1:1 against one of them: overlap sqrt(1/2).
    both = slow + fast
    assert power_spectrum_distance(slow, both, smoothing=0.0) == pytest.approx(math.sqrt(1 - math.sqrt(0.5)), abs=1e-6)
    # Where a line begins does not matter.
    assert power_spectrum_distance(slow, np.roll(slow, 7, axis=0)) == pytest.approx(0.0, abs=1e-6)


def test_spectrum_distance_agrees_with_scipy_periodogram():
    one, other = RNG.normal(size=(256, 1)).cumsum(0), RNG.normal(size=(300, 1))
    spectra = [signal.periodogram(x[:256, 0], detrend="constant")[1][1:] for x in (one, other)]
    for spectrum in spectra:
        spectrum[-1] *= 2  # scipy halves the Nyquist bin of a one-sided spectrum
        spectrum /= spectrum.sum()
    expected = math.sqrt(1 - np.sqrt(spectra[0] * spectra[1]).sum())
    assert power_spectrum_distance(one, other, smoothing=0.0) == pytest.approx(expected, abs=1e-9)
    assert math.isnan(power_spectrum_distance(np.ones((256, 1)), other))
