"""What changed since an earlier record, or against a file that ran in turn."""

import dataclasses

import pytest
from benchmark_records import CONDITIONS, MACHINE, in_turn, measure, record, result

from hot_sdk.benchmarks.speed.comparison import compare, compare_in_turn, require_same_machine
from hot_sdk.errors import ResultError

BUSY = dataclasses.replace(CONDITIONS, load=1.5)


def changed(comparison):
    return {change.metric.name: change for change in comparison.changes if change.beyond_noise}


def of(comparison, name):
    return next(change for change in comparison.changes if change.metric.name == name)


def test_the_same_again_is_no_change():
    found = compare(record(result("a", 10.0, seed=9)), record(result("a", 10.0)))
    assert changed(found) == {}
    assert of(found, "latency_median").verdict == "same"
    assert not found.is_undecided


def test_slower_model_is_worse_in_time_and_rate():
    changes = changed(compare(record(result("a", 11.0, seed=9)), record(result("a", 10.0))))
    assert {"latency_median", "frames_per_s", "engine", "per_frame"} <= set(changes)
    assert all(change.is_worse for change in changes.values())
    assert changes["latency_median"].ratio.value == pytest.approx(1.1, rel=0.02)
    assert changes["frames_per_s"].ratio.value == pytest.approx(1 / 1.1, rel=0.02)


def test_a_faster_and_larger_model_is_both():
    new = record(result("a", 8.0, seed=9, memory=150.0))
    found = compare(new, record(result("a", 10.0)))
    changes = changed(found)
    assert not changes["latency_median"].is_worse
    assert changes["memory"].is_worse
    assert "better: a, latency_median" in found.as_text()
    assert "worse: a, memory 100 → 150 MiB, +50.0%" in found.as_text()


def test_a_less_accurate_model_is_worse_by_any_amount():
    found = compare(record(result("a", 10.0, mpjpe=30.3)), record(result("a", 10.0, mpjpe=30.0)))
    assert of(found, "mpjpe").verdict == "worse"


def test_configurations_of_one_record_are_listed():
    found = compare(record(result("a", 10.0)), record(result("b", 10.0, ratio=0.5)))
    assert (found.only_old, found.only_new) == (("b",), ("a",))
    # No verdict, and not that nothing changed.
    assert found.is_undecided
    assert "nothing was compared" in found.as_text()
    assert "nothing changed" not in found.as_text()


def test_a_file_that_shares_no_measure_with_the_other_is_noted():
    made = in_turn(1.0, 0.99, 1.01)
    old, new = made.results
    alone = dataclasses.replace(made, results=(old, dataclasses.replace(new, ratios=())))
    found = compare_in_turn(alone)
    assert found.is_undecided
    assert found.notes == ("new has no measure in common with it.",)
    assert compare_in_turn(made).notes == ()


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"before": BUSY}, "busy with other things before the start (1.50 CPUs)"),
        ({"after": BUSY}, "busy with other things after the end"),
        ({"busy_meanwhile": 0.8}, "busy with other things meanwhile (0.80 CPUs)"),
        ({"after": dataclasses.replace(CONDITIONS, throttled=3)}, "throttled itself"),
    ],
)
@pytest.mark.parametrize("which", ["new", "old"])
def test_no_verdict_from_a_disturbed_machine(changes, said, which):
    new, old = record(result("a", 20.0, memory=150.0)), record(result("a", 10.0))
    if which == "new":
        new = dataclasses.replace(new, **changes)
    else:
        old = dataclasses.replace(old, **changes)
    found = compare(new, old)
    assert found.is_undecided
    # Memory does not depend on what else runs.
    assert set(changed(found)) == {"memory"}
    assert said in of(found, "latency_median").reason
    assert "no verdict: a, latency, latency_median, " in found.as_text()


@pytest.mark.parametrize(
    ("count", "said"), [(10, "too few runs to tell (10)"), (30, "too few runs for a 95% quantile")]
)
def test_no_verdict_from_too_few_runs(count, said):
    few = [
        dataclasses.replace(one, measures=(measure("window", ms, count=count),))
        for one, ms in ((result("a", 10.0), 10.0), (result("a", 20.0), 20.0))
    ]
    found = compare(record(few[1]), record(few[0]))
    assert said in of(found, "latency").reason


def test_no_verdict_from_what_was_read_once():
    slow = dataclasses.replace(
        result("a", 10.0), start=dataclasses.replace(result("a", 10.0).start, startup_ms=900.0)
    )
    found = of(compare(record(slow), record(result("a", 10.0))), "startup")
    assert found.verdict == "no verdict"
    assert "read once; add start to --measure" in found.reason


def test_no_verdict_where_the_interval_is_wide():
    noisy = [
        dataclasses.replace(
            result("a", 10.0), measures=(measure("window", 10.0, noise=0.9, seed=seed),)
        )
        for seed in (1, 2)
    ]
    found = of(compare(record(noisy[0]), record(noisy[1])), "latency_median")
    assert found.verdict == "no verdict"
    assert "interval is too wide" in found.reason


def test_streams_of_another_hop_are_not_compared():
    one = result("a", 10.0)
    with_stream = dataclasses.replace(
        one, measures=(*one.measures, measure("stream", 10.0, frames=2))
    )
    other = dataclasses.replace(with_stream, stream=dataclasses.replace(with_stream.stream, hop=2))
    names = {change.metric.name for change in compare(record(other), record(with_stream)).changes}
    assert "latency_median" in names
    assert "per_new_frame" not in names


def test_what_ran_in_turn_is_judged_by_the_rounds():
    found = compare_in_turn(in_turn(1.1, 1.08, 1.12))
    change = of(found, "frames_per_s")
    assert (change.verdict, change.ratio.low, change.ratio.high) == ("better", 1.08, 1.12)
    change = of(found, "latency_median")
    assert change.verdict == "better"
    assert change.ratio.value == pytest.approx(1 / 1.1)
    assert (change.ratio.low, change.ratio.high) == pytest.approx((1 / 1.12, 1 / 1.08))
    assert {change.name for change in found.changes} == {"new"}


def test_what_ran_in_turn_on_a_busy_machine_has_to_differ_by_more_than_a_file_from_itself_does():
    change = of(compare_in_turn(in_turn(0.87, 0.83, 0.94, before=BUSY)), "frames_per_s")
    assert change.verdict == "no verdict"
    assert "busy with other things before the start (1.50 CPUs), where two processes" in (
        change.reason
    )
    assert of(compare_in_turn(in_turn(0.7, 0.6, 0.8, before=BUSY)), "frames_per_s").is_worse
    assert of(compare_in_turn(in_turn(0.87, 0.83, 0.94)), "frames_per_s").is_worse


def test_what_ran_in_turn_a_few_times_gives_no_verdict():
    assert of(compare_in_turn(in_turn(1.5, 1.4, 1.6, rounds=5)), "frames_per_s").verdict == (
        "no verdict"
    )


def test_a_record_without_a_file_to_compare_with_has_no_comparison():
    assert compare_in_turn(record(result("a", 10.0))) is None


def test_files_of_one_configuration_are_told_apart_by_their_names():
    before = record(result("old", 10.0), result("new", 5.0))
    found = compare(record(result("new", 5.0)), before)
    assert of(found, "latency_median").old == pytest.approx(5.0, rel=0.01)
    assert found.only_old == ("old",)
    assert compare(record(result("third", 5.0)), before).only_new == ("third",)
