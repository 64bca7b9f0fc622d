"""The Pareto front, and which configuration keeps a budget."""

import dataclasses

from benchmark_records import CONDITIONS, measure, record, result

from hot_sdk.benchmarks.speed.advice import advice, pareto_front
from hot_sdk.benchmarks.speed.metrics import parse_limit
from hot_sdk.benchmarks.speed.result import Accuracy, Stream

GOOD = result("good", 30.0, mpjpe=36.0)
FAST = result("fast", 10.0, mpjpe=40.0)
BEATEN = result("beaten", 31.0, mpjpe=38.0)
UNKNOWN = result("unknown", 5.0)


def test_front_is_what_nothing_beats_in_both():
    assert pareto_front([GOOD, FAST, BEATEN, UNKNOWN]) == {"good", "fast"}


def test_equals_are_both_on_the_front():
    twin = result("twin", 30.0, mpjpe=36.0)
    assert pareto_front([GOOD, twin]) == {"good", "twin"}


def advised(results, *texts, **changes):
    limits = [parse_limit(text, allow_baseline=False) for text in texts]
    return "\n".join(advice(record(*results, **changes), limits))


def test_the_most_accurate_that_keeps_the_budget_is_advised():
    assert "use good" in advised([GOOD, FAST], "latency<40ms")
    assert "use fast" in advised([GOOD, FAST], "latency<20ms")
    assert "the most accurate of the 1" in advised([GOOD, FAST], "latency<20ms")


def test_all_limits_have_to_be_kept():
    text = advised([GOOD, FAST], "latency<20ms", "mpjpe<50mm")
    assert "For latency<20ms and mpjpe<50mm use fast" in text
    assert "Nothing keeps latency<20ms and mpjpe<38mm" in advised(
        [GOOD, FAST], "latency<20ms", "mpjpe<38mm"
    )


def test_without_accuracy_the_fastest_is_advised():
    other = result("slow", 20.0)
    assert "use unknown" in advised([other, UNKNOWN], "memory<1GiB")


def test_nearest_is_named_if_nothing_keeps_the_budget():
    assert "fast comes nearest" in advised([GOOD, FAST], "latency<1ms")
    assert "fast comes nearest" in advised([GOOD, FAST], "frames_per_s>1000000")
    assert "not sure" not in advised([GOOD, FAST], "latency<1ms")
    busy = dataclasses.replace(CONDITIONS, load=1.5)
    text = advised([GOOD, FAST], "latency<1ms", before=busy)
    assert "That latency misses its limit is not sure: the machine was busy" in text


def test_what_to_measure_next_is_said_if_nothing_keeps_the_budget():
    text = advised([GOOD, FAST], "latency<1ms")
    assert "Not measured: --precisions int8-dynamic,int8" in text
    assert "Not measured: --engines openvino" in text
    assert "--ratios 0.33,0.2" in text


def test_no_hop_keeps_a_limit_of_nothing():
    found = streaming("live", 10.0)
    assert "Nothing keeps per_new_frame<0ms" in advised([found], "per_new_frame<0ms")


def test_unmeasured_metric_is_reported():
    assert "'gpu_memory' was not measured" in advised([GOOD], "gpu_memory<1GiB")


def test_advice_on_a_busy_machine_is_not_sure():
    busy = dataclasses.replace(CONDITIONS, load=2.0)
    text = advised([GOOD, FAST], "latency<40ms", before=busy)
    assert "That latency keeps its limit is not sure: the machine was busy" in text
    near = advised([GOOD], "latency_median<30.05ms")
    assert "is not sure: it is" in near


def streaming(name, run_ms, *, hop=1, lookahead=0, live=False, mpjpe=None, people=1):
    """A result of a stream at 30 frames per second whose runs take so long."""
    found = result(name, run_ms, mpjpe=mpjpe)
    return dataclasses.replace(
        found,
        measures=(*found.measures, measure("stream", run_ms, frames=hop)),
        stream=Stream(hop, lookahead, 1e3 * lookahead / 30.0, people, 30.0, live),
    )


def test_a_stream_is_advised_with_its_hop_delay_and_accuracy():
    results = [
        streaming("every", 20.0, mpjpe=35.0),
        streaming("fourth", 20.0, hop=4, lookahead=3, mpjpe=35.0),
    ]
    text = advised(results, "per_new_frame<10ms", "delay<300ms")
    assert "use fourth: per_new_frame 5" in text
    # Three frames of lookahead, three of the hop, and the 95th percentile of a run.
    assert "delay 220.6 ms" in text or "delay 22" in text
    assert "hop 4, lookahead 3" in text
    assert "35.0 mm on whole clips" in text
    assert "use every" in advised(results, "per_new_frame<30ms", "delay<50ms")


def test_the_streams_own_accuracy_decides():
    poor = dataclasses.replace(
        streaming("poor", 20.0, mpjpe=30.0),
        stream_accuracy=Accuracy("starter-val", 100, 50.0, 40.0, 5.0),
    )
    good = dataclasses.replace(
        streaming("good", 20.0, lookahead=5, mpjpe=30.0),
        stream_accuracy=Accuracy("starter-val", 100, 40.0, 30.0, 4.0),
    )
    text = advised([poor, good], "per_new_frame<30ms")
    assert "use good" in text
    assert "40.0 mm as a stream" in text
    assert "use poor" in advised([poor, good], "per_new_frame<30ms", "lookahead<100ms")


def test_a_larger_hop_is_proposed_if_each_frame_costs_too_much():
    text = advised([streaming("every", 20.0)], "per_new_frame<6ms", "delay<200ms")
    # Four runs in five frames would still be 5 ms each; 20 / 4 = 5 < 6.
    assert "Measure next: every with --hop 4" in text
    assert "about 5" in text
    assert "a live network" in text
    # At 30 frames per second three more frames are 100 ms late.
    assert "Measure next" not in advised(
        [streaming("every", 20.0)], "per_new_frame<6ms", "delay<90ms"
    )


def test_a_live_network_has_no_larger_hop():
    live = streaming("live", 2.0, live=True, people=4)
    assert "a run for each frame, lookahead 0, 4 people" in advised([live], "per_new_frame<3ms")
    text = advised([live], "per_new_frame<1ms")
    assert "Measure next" not in text
    assert "Not measured: a live network" not in text
