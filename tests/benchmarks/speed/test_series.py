"""Times of turns."""

import numpy as np
import pytest

from hot_sdk.benchmarks.speed.series import Series, quantiles_ms
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


def test_turns_of_the_warm_up_have_no_median():
    series = Series()
    for level in (2.0, 2.0, *[1.0] * 20):
        series.add([level] * 5)
    assert series.steadiness().warm_up_runs == 10
    medians = series.round_medians()
    assert np.isnan(medians[:2]).all()
    assert (medians[2:] == 1.0).all()
    assert len(series.steady()) == 100
    assert len(series.all) == 110


def test_a_turn_that_was_not_taken_has_no_median():
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
