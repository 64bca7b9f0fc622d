"""Ratios with intervals."""

import numpy as np
import pytest

from hot_sdk.benchmarks.speed.series import paired_ratio, unpaired_ratio


def test_a_drift_that_both_share_cancels_in_pairs():
    random = np.random.default_rng(0)
    clock = np.linspace(1.0, 3.0, 60)
    slow = 2.0 * clock * (1.0 + 0.01 * random.standard_normal(60))
    fast = clock * (1.0 + 0.01 * random.standard_normal(60))
    found = paired_ratio(slow, fast)
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.high - found.low < 0.05
    assert found.low <= found.value <= found.high
    assert found.rounds == 60


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        ratios = 1.5 * np.exp(0.1 * random.standard_normal(40))
        found = paired_ratio(ratios, np.ones(40))
        covered += found.low <= 1.5 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_unpaired_series_may_differ_in_length():
    random = np.random.default_rng(2)
    found = unpaired_ratio(3.0 + 0.1 * random.random(30), 1.0 + 0.03 * random.random(50))
    assert found.value == pytest.approx(3.0, rel=0.02)
    assert 2.9 < found.low <= 3.0 <= found.high < 3.1


def test_nothing_gives_no_ratio():
    assert paired_ratio([], []) is None
    assert unpaired_ratio([], [1.0]) is None


def test_the_same_series_gives_the_same_interval():
    values = np.random.default_rng(3).random(20) + 1.0
    assert paired_ratio(values, values[::-1]) == paired_ratio(values, values[::-1])
