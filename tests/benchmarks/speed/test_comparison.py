"""What changed since an earlier record, what fails, the Pareto front, and advice for a budget."""

import dataclasses

import pytest
from benchmark_records import MACHINE, record, result

from hot_sdk.benchmarks.speed.comparison import (
    advice,
    compare,
    failures,
    pareto_front,
    require_same_machine,
)
from hot_sdk.benchmarks.speed.metrics import parse_limit
from hot_sdk.errors import ResultError


def changed(comparison):
    return {change.metric.name: change for change in comparison.changes if change.beyond_noise}


def test_the_same_again_is_no_change():
    found = compare(record(result("a", 10.0, seed=9)), record(result("a", 10.0)))
    assert changed(found) == {}
    assert "nothing changed beyond noise" in found.as_text()


def test_slower_model_is_worse_in_time_and_rate():
    changes = changed(compare(record(result("a", 11.0, seed=9)), record(result("a", 10.0))))
    assert {"latency_median", "frames_per_s", "engine", "per_frame"} <= set(changes)
    assert all(change.is_worse for change in changes.values())
    assert changes["latency_median"].ratio.value == pytest.approx(1.1, rel=0.02)
    assert changes["frames_per_s"].ratio.value == pytest.approx(1 / 1.1, rel=0.02)


def test_a_faster_and_larger_model_is_both():
    new = record(result("a", 8.0, seed=9, memory=150.0))
    changes = changed(compare(new, record(result("a", 10.0))))
    assert not changes["latency_median"].is_worse
    assert changes["memory"].is_worse
    text = compare(new, record(result("a", 10.0))).as_text()
    assert "better: a, latency_median" in text
    assert "worse: a, memory 100 → 150 MiB, +50.0%" in text


def test_configurations_of_one_record_are_listed():
    found = compare(record(result("a", 10.0)), record(result("b", 10.0, ratio=0.5)))
    assert (found.only_old, found.only_new) == (("b",), ("a",))


def test_different_versions_are_noted():
    newer = dataclasses.replace(MACHINE, packages=())
    found = compare(record(result("a", 10.0), machine=newer), record(result("a", 10.0)))
    assert found.notes == ("numpy was 2.4.6 and is absent.",)


def test_rejects_other_machines_and_comparison_notes_them():
    other = record(result("a", 10.0), machine=dataclasses.replace(MACHINE, cpu="Another"))
    here = record(result("a", 10.0))
    with pytest.raises(ResultError, match="--any-machine"):
        require_same_machine(here.machine, other.machine)
    require_same_machine(here.machine, here.machine)
    assert "the machines differ." in compare(here, other).notes


def test_large_change_reported_without_interval_when_rounds_are_few():
    few = [
        record(
            dataclasses.replace(
                one,
                measures=tuple(
                    dataclasses.replace(measure, rounds_ms=measure.rounds_ms[:3])
                    for measure in one.measures
                ),
            )
        )
        for one in (result("a", 10.0), result("a", 12.0, seed=9), result("a", 10.2, seed=9))
    ]
    assert changed(compare(few[1], few[0]))["latency_median"].ratio.rounds == 1
    assert changed(compare(few[2], few[0])) == {}


def failing(new, old, *texts):
    limits = [parse_limit(text, allow_baseline=True) for text in texts]
    return failures(new, old, limits)


def test_limit_relative_to_the_old_value():
    old, new = record(result("a", 10.0)), record(result("a", 12.0, seed=9))
    assert len(failing(new, old, "frames_per_s<0.95*old")) == 1
    assert failing(new, old, "frames_per_s<0.5*old") == []
    assert len(failing(new, old, "latency_median>1.1*old")) == 1


def test_noise_fails_nothing():
    old, new = record(result("a", 10.0)), record(result("a", 10.05, seed=9))
    assert failing(new, old, "latency_median>1*old") == []


def test_a_check_that_checks_nothing_fails():
    new = record(result("a", 10.0))
    assert "no metric 'mpjpe'" in failing(new, new, "mpjpe>50mm")[0]
    assert "the earlier record has no" in failing(new, record(), "frames_per_s<0.9*old")[0]


def test_absolute_limit():
    new = record(result("a", 10.0))
    assert failing(new, None, "latency>33ms") == []
    assert len(failing(new, None, "latency>5ms")) == 1


GOOD = result("good", 30.0, mpjpe=36.0)
FAST = result("fast", 10.0, mpjpe=40.0)
BEATEN = result("beaten", 31.0, mpjpe=38.0)
UNKNOWN = result("unknown", 5.0)


def test_front_is_what_nothing_beats_in_both():
    assert pareto_front([GOOD, FAST, BEATEN, UNKNOWN]) == {"good", "fast"}


def test_equals_are_both_on_the_front():
    twin = result("twin", 30.0, mpjpe=36.0)
    assert pareto_front([GOOD, twin]) == {"good", "twin"}


def budget(text):
    return parse_limit(text, allow_baseline=False)


def test_the_most_accurate_that_keeps_the_budget_is_advised():
    assert "use good" in advice([GOOD, FAST], budget("latency<40ms"))
    assert "use fast" in advice([GOOD, FAST], budget("latency<20ms"))
    assert "the most accurate of the 1" in advice([GOOD, FAST], budget("latency<20ms"))


def test_without_accuracy_the_fastest_is_advised():
    other = result("slow", 20.0)
    assert "use unknown" in advice([other, UNKNOWN], budget("memory<1GiB"))


def test_nearest_is_named_if_nothing_keeps_the_budget():
    assert "fast comes nearest" in advice([GOOD, FAST], budget("latency<1ms"))
    assert "fast comes nearest" in advice([GOOD, FAST], budget("frames_per_s>1000000"))


def test_unmeasured_metric_is_reported():
    assert "'gpu_memory' was not measured" in advice([GOOD], budget("gpu_memory<1GiB"))
