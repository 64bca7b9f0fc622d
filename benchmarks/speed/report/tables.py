"""Tables of what times cost and bring: operations, energy, accuracy, blocks, bounds.

Tables of times: calls, streams, speed-ups, starts.

A record as tables of text, from which the terminal, Markdown and the page are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hot_sdk._base.tables import NONE, Table, number
from hot_sdk.benchmarks.speed.comparison import front
from hot_sdk.benchmarks.speed.figures import KINDS, frames_per_s, served
from hot_sdk.benchmarks.speed.profilers.blocks import BLOCKS
from hot_sdk.benchmarks.speed.record import Measure, Record, Result
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval
from hot_sdk.latency import Statistics


def cost_sheet(results: Sequence[Result]) -> Table:
    """Operations, and the machine's ceilings."""
    rows = []
    for result in results:
        cost, top = result.cost, result.ceiling
        if cost is None:
            continue
        achieved = None if top is None else top.achieved_flops_per_s
        ceiling = None if top is None else top.product_flops_per_s
        share = None if top is None else top.share_of_product
        copy = None if top is None else top.copy_bytes_per_s
        rows.append(
            (
                result.subject.name,
                number(cost.parameters / 1e6),
                number(cost.papers_flops / 1e9),
                number(cost.products_flops / 1e9),
                number(cost.executed_flops / 1e9),
                number(None if achieved is None else achieved / 1e9),
                number(None if ceiling is None else ceiling / 1e9),
                NONE if share is None else f"{share:.0%}",
                number(None if copy is None else copy / 1e9),
            )
        )
    return Table(
        "cost of a window, and what the machine can do at most",
        (
            "",
            "params M",
            "GFLOPs, papers",
            "GFLOPs, products",
            "GFLOPs, executed",
            "GFLOP/s",
            "ceiling GFLOP/s",
            "of ceiling",
            "copy GB/s",
        ),
        tuple(rows),
        "Papers count linear layers alone. The ceiling is the model's largest matrix product in the"
        " same precision through the same engine, measured in the same run; smaller products may"
        " run faster than it. The copy reads and writes main memory.",
    )


def energy_sheet(results: Sequence[Result]) -> Table:
    """Power and energy."""
    rows = []
    for result in results:
        energy = result.energy
        if energy is not None:
            cells = (energy.mean_w, energy.idle_w, 1e3 * energy.j_per_frame)
            each = energy.j_per_new_frame
            rows.append(
                (
                    result.subject.name,
                    *(number(value) for value in cells),
                    number(None if each is None else 1e3 * each),
                )
            )
    return Table(
        "power and energy of everything on the rail",
        ("", "mean W", "idle W", "mJ/frame", "mJ/new frame"),
        tuple(rows),
    )


def accuracy_sheet(results: Sequence[Result]) -> Table:
    """Accuracy beside speed."""
    best = front(results)
    rows = []
    for result in results:
        found = result.accuracy
        if found is not None:
            cells = (found.mpjpe_mm, found.p_mpjpe_mm, found.mpjve_mm_per_frame)
            rows.append(
                (
                    result.subject.name,
                    *(f"{value:.2f}" for value in cells),
                    number(frames_per_s(served(result))),
                    number(KINDS["latency"].of(result)),
                    "front" if result.subject.name in best else NONE,
                )
            )
    data = next(one.accuracy.data for one in results if one.accuracy is not None)
    return Table(
        f"accuracy on {data}, and speed",
        ("", "MPJPE mm", "P-MPJPE mm", "MPJVE mm/frame", "frames/s", "p95 ms", "Pareto"),
        tuple(rows),
        "On the front is what no other configuration beats in both MPJPE and frames a second.",
    )


def profile_sheet(results: Sequence[Result]) -> Table:
    """Time by block."""
    there = {
        share.name
        for result in results
        if result.profile is not None
        for share in result.profile.blocks
    }
    names = [name for name in BLOCKS if name in there]
    rows = []
    for result in results:
        profile = result.profile
        if profile is None or profile.problem:
            continue
        found = {share.name: share for share in profile.blocks}
        cells = (
            f"{found[name].ms:.3g} ({found[name].share:.0%})" if name in found else NONE
            for name in names
        )
        rows.append((result.subject.name, *cells, number(profile.run_ms)))
    return Table(
        "time by block in the engine, ms",
        ("", *names, "whole run"),
        tuple(rows),
        "Medians under the engine's profiler, which slows it down; the shares are what counts.",
    )


def projections_sheet(results: Sequence[Result]) -> Table:
    """Roofline bounds."""
    rows = []
    for result in results:
        name = result.subject.name
        for found in result.projections:
            measured = frames_per_s(result.measure("engine")) if found.is_this_machine else None
            rows.append(
                (
                    name,
                    found.title,
                    found.precision,
                    f"{found.bound_ms:.3g}",
                    number(found.frames_per_s),
                    number(found.derated_frames_per_s),
                    found.limited_by,
                    number(measured),
                )
            )
            name = NONE
    return Table(
        "roofline bounds: nothing here was measured but the last column",
        ("", "board", "in", "ms at least", "frames/s at most", "derated", "limit", "measured"),
        tuple(rows),
        "A bound says what cannot be exceeded, and not what is reached. Derated takes the shares of"
        " the peaks that others have measured, and a launch for each kernel.",
    )


_SPREAD = ("runs", "median", "p90", "p95", "p99", "max", "std")


def speed_sheet(results: Sequence[Result]) -> Table:
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
    return Table(
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


def streams_sheet(results: Sequence[Result]) -> Table:
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
    return Table(
        "a stream of one person, ms",
        ("", "hop", "lookahead", "per new frame", "frames/s", *_SPREAD, "state"),
        tuple(rows),
        "Per new frame spreads a run of the engine over its hop; median to std are of single"
        " pushes, most of which run no engine where the hop is larger than 1.",
    )


def ratios_sheet(results: Sequence[Result]) -> Table:
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
    return Table(
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


def start_sheet(results: Sequence[Result]) -> Table:
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
    return Table(
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


def sheets(record: Record) -> Iterator[Table]:
    """Every table that a record has figures for."""
    results = record.results
    yield speed_sheet(results)
    if any(result.stream is not None and result.measure("stream") for result in results):
        yield streams_sheet(results)
    if any(result.ratios for result in results):
        yield ratios_sheet(results)
    yield start_sheet(results)
    if any(result.cost is not None for result in results):
        yield cost_sheet(results)
    if any(result.energy is not None for result in results):
        yield energy_sheet(results)
    if any(result.accuracy is not None for result in results):
        yield accuracy_sheet(results)
    if any(result.profile is not None for result in results):
        yield profile_sheet(results)
    if any(result.projections for result in results):
        yield projections_sheet(results)
