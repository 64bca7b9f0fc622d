"""The Pareto front, and advice for a budget."""

from benchmark_records import result

from hot_sdk.benchmarks.speed.comparison import advice, pareto_front
from hot_sdk.benchmarks.speed.metrics import parse_limit

GOOD = result("good", 30.0, mpjpe=36.0)
FAST = result("fast", 10.0, mpjpe=40.0)
BEATEN = result("beaten", 31.0, mpjpe=38.0)
UNKNOWN = result("unknown", 5.0)


def test_the_front_is_what_nothing_beats_in_both():
    assert pareto_front([GOOD, FAST, BEATEN, UNKNOWN]) == {"good", "fast"}


def test_equals_are_both_on_the_front():
    twin = result("twin", 30.0, mpjpe=36.0)
    assert pareto_front([GOOD, twin]) == {"good", "twin"}


def limit(text):
    return parse_limit(text, allow_baseline=False)


def test_the_most_accurate_that_keeps_the_budget_is_advised():
    assert "use good" in advice([GOOD, FAST], limit("latency<40ms"))
    assert "use fast" in advice([GOOD, FAST], limit("latency<20ms"))
    assert "the most accurate of the 1" in advice([GOOD, FAST], limit("latency<20ms"))


def test_without_accuracy_the_fastest_is_advised():
    other = result("slow", 20.0)
    assert "use unknown" in advice([other, UNKNOWN], limit("memory<1GiB"))


def test_what_comes_nearest_is_named_where_nothing_keeps_it():
    assert "fast comes nearest" in advice([GOOD, FAST], limit("latency<1ms"))
    assert "fast comes nearest" in advice([GOOD, FAST], limit("frames_per_s>1000000"))


def test_what_was_not_measured_is_told():
    assert "'gpu_memory' was not measured" in advice([GOOD], limit("gpu_memory<1GiB"))
