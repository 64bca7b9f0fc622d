"""Limits of ``--fail-if``: met, kept, or no verdict."""

import dataclasses

import pytest
from benchmark_records import CONDITIONS, in_turn, measure, record, result

from hot_sdk.benchmarks.speed.gate import judge
from hot_sdk.benchmarks.speed.metrics import parse_limit

BUSY = dataclasses.replace(CONDITIONS, load=1.5)


def judged(new, old, *texts):
    return judge(new, old, [parse_limit(text, allow_baseline=True) for text in texts])


def test_limit_relative_to_the_old_value():
    old, new = record(result("a", 10.0)), record(result("a", 12.0, seed=9))
    assert len(judged(new, old, "frames_per_s<0.95*old").failed) == 1
    assert judged(new, old, "frames_per_s<0.5*old") == judged(new, old)
    assert len(judged(new, old, "latency_median>1.1*old").failed) == 1


def test_noise_passes_a_limit_with_room_and_decides_none_without():
    old, new = record(result("a", 10.0)), record(result("a", 10.05, seed=9))
    assert judged(new, old, "latency_median>1.1*old") == judged(new, old)
    found = judged(new, old, "latency_median>1*old")
    assert not found.failed
    assert "the limit lies within the uncertainty" in found.undecided[0]


def test_a_check_that_checks_nothing_fails():
    new = record(result("a", 10.0))
    assert "mpjpe was not measured" in judged(new, new, "mpjpe>50mm").failed[0]
    assert "has no earlier value" in judged(new, record(), "frames_per_s<0.9*old").failed[0]


def test_what_could_not_be_measured_in_turn_fails():
    made = in_turn(1.0, 0.99, 1.01)
    old, new = made.results
    # Its rounds had nothing in common with those of the old file.
    alone = dataclasses.replace(made, results=(old, dataclasses.replace(new, ratios=())))
    found = judged(alone, None, "frames_per_s<0.95*old")
    assert [line.partition(",")[0] for line in found.failed] == ["failed: new"]
    assert "has no earlier value" in found.failed[0]


@pytest.mark.parametrize(
    ("limit", "failed", "undecided"),
    [("latency>33ms", 0, 0), ("latency>5ms", 1, 0), ("latency_median>10ms", 0, 1)],
)
def test_absolute_limit(limit, failed, undecided):
    found = judged(record(result("a", 10.0)), None, limit)
    assert (len(found.failed), len(found.undecided)) == (failed, undecided)


def test_absolute_limit_on_a_busy_machine_has_no_verdict():
    busy = record(result("a", 10.0, mpjpe=60.0), before=BUSY)
    found = judged(busy, None, "latency>5ms", "mpjpe>50mm")
    assert "busy with other things" in found.undecided[0]
    # Accuracy does not depend on it.
    assert len(found.failed) == 1


def test_absolute_limit_of_too_few_runs_has_no_verdict():
    few = dataclasses.replace(result("a", 10.0), measures=(measure("window", 10.0, count=30),))
    found = judged(record(few), None, "latency>5ms")
    assert "too few runs for a 95% quantile (30)" in found.undecided[0]


def test_limit_on_what_ran_in_turn():
    slower, even = in_turn(0.9, 0.88, 0.92), in_turn(1.0, 0.99, 1.01)
    assert len(judged(slower, None, "frames_per_s<0.95*old").failed) == 1
    (noise,) = judged(
        in_turn(0.9, 0.88, 0.92, before=BUSY), None, "frames_per_s<0.95*old"
    ).undecided
    assert "busy with other things" in noise
    assert "(0.765 to 1.058 of the old value)" in noise
    assert judged(even, None, "frames_per_s<0.95*old") == judged(even, None)
    assert judged(in_turn(0.95, 0.9, 1.0), None, "frames_per_s<0.95*old").undecided
