"""Conformal intervals against what probability theory promises."""

import numpy as np
import pytest
from scipy import stats

from pathline.forecast.conformal import LEVELS, RATE, adapted, conformal_offsets, stretched

NAN = float("nan")


def test_offsets_are_the_order_statistics_told():
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 1 to 19: n + 1 = 20
    for miscoverage, low, high in ((0.5, 5.0, 15.0), (0.2, 2.0, 18.0), (0.1, 1.0, 19.0)):
        lower, upper = conformal_offsets(errors[:, None], miscoverage)
        assert (lower.item(), upper.item()) == (low, high)


def test_too_few_errors_are_extended_by_the_tail_of_a_normal_law():
    """Five normal order statistics: the outermost lie at about 1/6; the interval asked for at 1/40."""
    errors = stats.norm.ppf(np.arange(1, 6) / 6)[:, None]
    lower, upper = conformal_offsets(errors, 0.05)
    assert (lower.item(), upper.item()) == pytest.approx((stats.norm.ppf(0.025), stats.norm.ppf(0.975)))
    alone = np.asarray([[2.0]])
    assert conformal_offsets(alone, 0.05) == (2.0, 2.0)
    widths = [np.subtract(*conformal_offsets(errors, asked)[::-1]).item() for asked in np.linspace(0.9, 0.0, 50)]
    assert np.all(np.diff(widths) >= 0)


def test_gaps_do_not_count():
    errors = np.asarray([[3.0, NAN], [1.0, NAN], [NAN, NAN], [2.0, NAN]])
    whole = conformal_offsets(errors[[0, 1, 3], :1], 0.5)
    lower, upper = conformal_offsets(errors, 0.5)
    assert (lower[0], upper[0]) == (whole[0].item(), whole[1].item())
    assert np.isnan(lower[1]) and np.isnan(upper[1])


@pytest.mark.parametrize("level", LEVELS)
def test_coverage_of_independent_errors_is_exact(level):
    """With n + 1 = 80, every level falls on whole ranks, and coverage is exactly nominal for any continuous law."""
    rng = np.random.default_rng(1)
    trials = 40_000
    calibration = rng.gamma(0.7, size=(79, trials))  # far from symmetric
    fresh = rng.gamma(0.7, size=trials)
    lower, upper = conformal_offsets(calibration, 1 - level)
    inside = np.mean((lower <= fresh) & (fresh <= upper))
    assert inside == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / trials))


def test_offsets_tend_to_the_quantiles():
    sample = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)[:, None]
    for level in LEVELS:
        lower, upper = conformal_offsets(sample, 1 - level)
        assert upper.item() == pytest.approx(stats.norm.ppf((1 + level) / 2), abs=1e-3)
        assert lower.item() == pytest.approx(-upper.item(), abs=1e-3)


def test_adaptation_brings_the_long_run_share_of_misses_to_the_target():
    """Errors whose spread doubles: fixed intervals fail, adapted ones miss as often as they should."""
    rng = np.random.default_rng(2)
    steps, series, target = 4000, 20, 0.2
    asked, missed = np.full(series, target), np.empty((steps, series))
    for step in range(steps):
        spread = 1.0 if step < steps // 2 else 2.0
        half = stats.norm.ppf(1 - np.clip(asked, 1e-9, 1.0) / 2)  # the interval that was right at first
        missed[step] = np.abs(rng.normal(scale=spread, size=series)) > half
        asked = adapted(asked, target, missed[step])
    fixed = 2 * stats.norm.sf(stats.norm.ppf(1 - target / 2) / 2.0)
    assert fixed > 0.5
    assert missed[steps // 2 :].mean(axis=0) == pytest.approx(target, abs=1.05 / (RATE * target * steps / 2))


def test_adaptation_ignores_what_was_not_observed():
    assert adapted(np.asarray([0.3, 0.3]), 0.2, np.asarray([NAN, 1.0])) == pytest.approx([0.3, 0.3 - 0.8 * 0.2 * RATE])


def test_stretched_errors_grow_like_a_random_walk():
    walk = np.random.default_rng(3).normal(size=(20_000, 16, 1)).cumsum(axis=1)
    longer = stretched(walk[:, :4], 16)
    assert np.array_equal(longer[:, :4], walk[:, :4])
    assert longer.std(axis=0) == pytest.approx(walk.std(axis=0), rel=0.03)
    assert np.array_equal(stretched(walk, 5), walk[:, :5])
