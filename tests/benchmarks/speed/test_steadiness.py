"""The end of the warm-up is found in the times, and drift after it is told."""

import numpy as np
import pytest

from hot_sdk.benchmarks.speed.series import examine


def noise(count, level=1.0, seed=0):
    return level * (1.0 + 0.01 * np.random.default_rng(seed).standard_normal(count))


def test_a_steady_series_has_no_warm_up():
    found = examine(noise(200))
    assert (found.state, found.warm_up_runs) == ("steady", 0)
    assert abs(found.drift) < 0.01


@pytest.mark.parametrize("slow", [7, 20, 60])
def test_slow_runs_at_the_start_are_warm_up(slow):
    found = examine(np.concatenate([noise(slow, 1.5), noise(200, seed=1)]))
    assert found.state == "steady"
    # A block of five may still hold two of them.
    assert slow - 2 <= found.warm_up_runs <= slow + 5


def test_a_slow_run_in_the_middle_is_not_left_out():
    times = noise(200)
    times[40] = 10.0
    assert examine(times).warm_up_runs == 0


def test_a_slow_run_right_at_the_start_is_no_level():
    times = noise(200)
    times[0] = 10.0
    assert examine(times).warm_up_runs == 0


def test_a_series_that_grows_slower_drifts():
    found = examine(noise(300) * np.linspace(1.0, 1.3, 300))
    assert found.state == "drifting"
    assert found.drift > 0.05


def test_a_change_that_is_significant_but_tiny_is_no_drift():
    times = np.concatenate([np.full(100, 1.0), np.full(100, 1.001)])
    times += 1e-5 * np.random.default_rng(0).standard_normal(200)
    assert examine(times).state == "steady"


def test_few_runs_tell_nothing():
    found = examine(noise(19))
    assert (found.state, found.warm_up_runs, found.drift) == ("unknown", 0, None)


def test_equal_times_are_steady():
    assert examine(np.full(50, 0.5)).state == "steady"
