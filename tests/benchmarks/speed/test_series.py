"""Times of turns, their steady state, and ratios with intervals."""

import numpy as np
import pytest

from hot_sdk.benchmarks.speed.series import (
    Series,
    examine,
    median_interval,
    paired_ratio,
    quantiles_ms,
    unpaired_ratio,
)
from hot_sdk.latency import Statistics


def test_statistics_are_numpys_in_milliseconds():
    seconds = np.random.default_rng(0).random(500)
    found = Statistics.from_seconds(seconds)
    assert found.count == 500
    assert found.median == pytest.approx(1e3 * np.median(seconds))
    assert found.p99 == pytest.approx(1e3 * np.percentile(seconds, 99))
    assert found.max == pytest.approx(1e3 * seconds.max())
    assert found.std == pytest.approx(1e3 * seconds.std())


def test_quantiles_go_from_the_least_to_the_most():
    found = quantiles_ms(np.array([0.001, 0.002, 0.003]))
    assert len(found) == 101
    assert (found[0], found[50], found[100]) == (1.0, 2.0, 3.0)


def test_warm_up_turns_have_no_median():
    series = Series()
    for level in (2.0, 2.0, *[1.0] * 20):
        series.add([level] * 5)
    assert series.steadiness().warm_up_runs == 10
    medians = series.round_medians()
    assert np.isnan(medians[:2]).all()
    assert (medians[2:] == 1.0).all()
    assert len(series.steady()) == 100
    assert len(series.all) == 110


def test_missing_turn_has_no_median():
    series = Series()
    series.add([1.0])
    series.add([])
    assert np.isnan(series.round_medians()[1])


def test_parts_share_the_steady_state_of_the_whole():
    whole = Series()
    parts = Series(whole, parts=2)
    for level in (2.0, 2.0, *[1.0] * 20):
        whole.add([level] * 5)
        parts.add([0.1 * level, 0.9 * level] * 5)
    assert parts.steadiness().warm_up_runs == 20
    assert len(parts.steady()) == 200
    assert parts.steadiness().state == whole.steadiness().state == "steady"


def noise(count, level=1.0, seed=0):
    return level * (1.0 + 0.01 * np.random.default_rng(seed).standard_normal(count))


def test_steady_series_has_no_warm_up():
    found = examine(noise(200))
    assert (found.state, found.warm_up_runs) == ("steady", 0)
    assert abs(found.drift) < 0.01


@pytest.mark.parametrize("slow", [7, 20, 60])
def test_slow_runs_at_the_start_are_warm_up(slow):
    found = examine(np.concatenate([noise(slow, 1.5), noise(200, seed=1)]))
    assert found.state == "steady"
    # A block of five may still hold two of them.
    assert slow - 2 <= found.warm_up_runs <= slow + 5


def test_slow_run_in_the_middle_is_counted():
    times = noise(200)
    times[40] = 10.0
    assert examine(times).warm_up_runs == 0


def test_single_slow_run_at_the_start_is_no_warm_up():
    times = noise(200)
    times[0] = 10.0
    assert examine(times).warm_up_runs == 0


def test_series_that_grows_slower_drifts():
    found = examine(noise(300) * np.linspace(1.0, 1.3, 300))
    assert found.state == "drifting"
    assert found.drift > 0.05


def test_significant_but_tiny_change_is_no_drift():
    times = np.concatenate([np.full(100, 1.0), np.full(100, 1.001)])
    times += 1e-5 * np.random.default_rng(0).standard_normal(200)
    assert examine(times).state == "steady"


def test_few_runs_are_unknown():
    found = examine(noise(19))
    assert (found.state, found.warm_up_runs, found.drift) == ("unknown", 0, None)


def test_equal_times_are_steady():
    assert examine(np.full(50, 0.5)).state == "steady"


def test_shared_drift_cancels_in_pairs():
    random = np.random.default_rng(0)
    clock = np.linspace(1.0, 3.0, 60)
    slow = 2.0 * clock * (1.0 + 0.01 * random.standard_normal(60))
    fast = clock * (1.0 + 0.01 * random.standard_normal(60))
    found = paired_ratio(slow, fast)
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.high - found.low < 0.05
    assert found.low <= found.value <= found.high
    assert found.rounds == 60


@pytest.mark.parametrize("rounds", [6, 8, 10, 13, 40])
def test_intervals_cover_the_truth_as_often_as_they_claim(rounds):
    random = np.random.default_rng(1)
    draws, paired, unpaired = 2000, 0, 0
    for _ in range(draws):
        # Times are skewed: a median is nearer to the fast ones.
        times, others = np.exp(0.3 * random.standard_exponential((2, rounds)))
        truth = 2.0**0.3
        one = paired_ratio(times, np.ones(rounds))
        two = unpaired_ratio(times, others)
        paired += one.low <= truth <= one.high
        unpaired += two.low <= 1.0 <= two.high
    # Three standard deviations of a share of 95 % in so many draws.
    assert paired / draws > 0.935
    assert unpaired / draws > 0.935


@pytest.mark.parametrize(
    ("values", "low", "high"), [(5, 1.0, 5.0), (6, 1.0, 6.0), (8, 1.0, 8.0), (9, 2.0, 8.0)]
)
def test_interval_lies_between_two_of_the_values(values, low, high):
    found = median_interval(np.arange(values, 0, -1))
    assert (found.low, found.high, found.rounds) == (low, high, values)


def test_interval_of_many_values_is_that_of_the_normal_distribution():
    found = median_interval(np.arange(10_000))
    assert found.high - found.low == pytest.approx(1.96 * 100.0, rel=0.02)


def test_unpaired_series_may_differ_in_length():
    random = np.random.default_rng(2)
    found = unpaired_ratio(3.0 + 0.1 * random.random(30), 1.0 + 0.03 * random.random(50))
    assert found.value == pytest.approx(3.0, rel=0.02)
    assert 2.9 < found.low <= 3.0 <= found.high < 3.1


def test_no_ratio_without_values():
    assert paired_ratio([], []) is None
    assert unpaired_ratio([], [1.0]) is None
    assert unpaired_ratio([1.0], [0.0]) is None


def test_the_same_series_gives_the_same_interval():
    values = np.random.default_rng(3).random(20) + 1.0
    assert paired_ratio(values, values[::-1]) == paired_ratio(values, values[::-1])


def test_interval_of_a_median():
    found = median_interval(list(range(1000)))
    assert 460 < found.low < 480
    assert 520 < found.high < 540
