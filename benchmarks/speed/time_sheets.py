"""Tables of times: calls, streams, speed-ups, starts."""

from __future__ import annotations

from collections.abc import Sequence

from hot_sdk.benchmarks.speed.figures import frames_per_s
from hot_sdk.benchmarks.speed.intervals import LEAST_ROUNDS, Interval
from hot_sdk.benchmarks.speed.result import Measure, Result
from hot_sdk.benchmarks.speed.sheet import NONE, Sheet, number
from hot_sdk.latency import Statistics

_SPREAD = ("runs", "median", "p90", "p95", "p99", "max", "std")


def speed_sheet(results: Sequence[Result]) -> Sheet:
    """Calls of the lifter, end to end and in the engine alone."""
    rows = []
    for result in results:
        name = result.subject.name
        for measure in (result.measure("window"), result.measure("engine")):
            if measure is None:
                continue
            what = "end to end" if measure.name == "window" else "engine alone"
            rows.append(
                (
                    name,
                    what,
                    *_spread(measure.statistics),
                    number(measure.statistics.median / measure.frames),
                    number(frames_per_s(measure)),
                    _state(measure),
                )
            )
            name = NONE
    batches = {result.subject.batch for result in results}
    one = "one window" if batches == {1} else "one call"
    return Sheet(
        f"{one}, ms",
        ("", "", *_SPREAD, "per frame", "frames/s", "state"),
        tuple(rows),
        "End to end is from keypoints to poses as Pose3DEngine serves them. Per frame is the median"
        " over the frames of a call. No run of the steady state is left out.",
    )


def _spread(one: Statistics) -> tuple[str, ...]:
    values = (one.median, one.p90, one.p95, one.p99, one.max, one.std)
    return (str(one.count), *(number(value) for value in values))


def _state(measure: Measure) -> str:
    found = measure.steadiness
    if found.state == "unknown":
        return "too few runs to tell"
    return f"{found.state} after {found.warm_up_runs}"


def streams_sheet(results: Sequence[Result]) -> Sheet:
    """Streams of one person."""
    rows = []
    for result in results:
        stream, each, push = result.stream, result.measure("stream"), result.measure("push")
        if stream is None or each is None or push is None:
            continue
        rows.append(
            (
                result.subject.name,
                str(stream.hop),
                f"{stream.lookahead} ({stream.lookahead_ms:.0f} ms)",
                number(each.statistics.median / each.frames),
                number(frames_per_s(each)),
                *_spread(push.statistics),
                _state(each),
            )
        )
    return Sheet(
        "a stream of one person, ms",
        ("", "hop", "lookahead", "per new frame", "frames/s", *_SPREAD, "state"),
        tuple(rows),
        "Per new frame spreads a run of the engine over its hop; median to std are of single"
        " pushes, most of which run no engine where the hop is larger than 1.",
    )


def ratios_sheet(results: Sequence[Result]) -> Sheet:
    """Speed-up against the first configuration."""
    rows = []
    for result in results:
        name = result.subject.name
        for ratio in result.ratios:
            rows.append(
                (
                    name,
                    ratio.measure,
                    _interval(ratio.speed_up),
                    str(ratio.speed_up.rounds),
                    number(ratio.flops_ratio),
                    number(ratio.efficiency),
                )
            )
            name = NONE
    reference = next((ratio.reference for one in results for ratio in one.ratios), "")
    return Sheet(
        f"speed-up against {reference}, per frame",
        ("", "measure", "speed-up (95 %)", "rounds", "fewer FLOPs", "efficiency"),
        tuple(rows),
        "Both ran in every round; the interval is by the bootstrap over rounds. Efficiency is the"
        " speed-up over the ratio of executed FLOPs: 1 where all that is saved is gained.",
    )


def _interval(one: Interval) -> str:
    if one.rounds < LEAST_ROUNDS:
        return f"{one.value:.3f} (too few rounds)"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def start_sheet(results: Sequence[Result]) -> Sheet:
    """Start and memory."""
    rows = []
    for result in results:
        start, memory, size = result.start, result.memory, result.subject.file_bytes
        cells = (
            start.startup_ms,
            start.load_ms,
            start.build_ms,
            start.first_inference_ms,
            memory.base_mib,
            memory.loaded_mib,
            memory.peak_mib,
            memory.gpu_mib,
            None if size is None else size / 2**20,
        )
        rows.append((result.subject.name, *(number(value) for value in cells)))
    return Sheet(
        "start (ms) and memory (MiB), each in a process of its own",
        (
            "",
            "start to first poses",
            "load",
            "build",
            "first inference",
            "RSS before",
            "RSS loaded",
            "RSS peak",
            "GPU",
            "file",
        ),
        tuple(rows),
        "Each was started once. RSS before is Python with NumPy.",
    )
