"""The tables of a record: times, speed-ups, starts, costs, energy, accuracy, blocks, bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hot_sdk._base.tables import NONE, Table, number
from hot_sdk.benchmarks.speed.advice import pareto_front
from hot_sdk.benchmarks.speed.metrics import METRICS, Reader, frames_per_s, read_part
from hot_sdk.benchmarks.speed.profilers import BLOCKS, Profile
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Measure, Result, Stage
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval
from hot_sdk.latency import Statistics

_MOST_SHAPES = 8
_STAGE_OF = {"window": "clip", "stream": "stream", "start": "start"}
_SPREAD = ("runs", "median", "p90", "p95", "p99", "max", "std")

_STARTS: Mapping[str, Reader] = {
    "start to first poses": METRICS["startup"].of,
    "load": METRICS["load"].of,
    "build": read_part("start", "build_ms"),
    "first inference": METRICS["first_inference"].of,
    "RSS before": read_part("memory", "base_mib"),
    "RSS loaded": read_part("memory", "loaded_mib"),
    "RSS peak": METRICS["memory"].of,
    "GPU": METRICS["gpu_memory"].of,
    "file": read_part("subject", "file_bytes", 2**-20),
}
_CALLS = (("window", "end to end"), ("engine", "engine alone"))
_TIMED_STARTS = (("start", "program to first poses"), ("command", "hot-infer"))
_COSTS: Mapping[str, Reader] = {
    "params M": read_part("cost", "parameters", 1e-6),
    "GFLOPs, papers": read_part("cost", "papers_flops", 1e-9),
    "GFLOPs, MatMuls": read_part("cost", "products_flops", 1e-9),
    "GFLOPs, executed": read_part("cost", "executed_flops", 1e-9),
    "kernels": read_part("cost", "kernels"),
}
_ENERGIES: Mapping[str, Reader] = {
    "mean W": METRICS["power"].of,
    "idle W": read_part("energy", "idle_w"),
    "mJ/frame": read_part("energy", "j_per_frame", 1e3),
    "mJ/new frame": read_part("energy", "j_per_new_frame", 1e3),
}
_ACCURACIES: Mapping[str, Reader] = {
    "MPJPE mm": METRICS["mpjpe"].of,
    "P-MPJPE mm": METRICS["p_mpjpe"].of,
    "MPJVE mm/frame": read_part("accuracy", "mpjve_mm_per_frame"),
    "MPJPE of the stream mm": METRICS["stream_mpjpe"].of,
    "frames/s": METRICS["frames_per_s"].of,
    "p95 ms": METRICS["latency"].of,
}


def tables(record: Record) -> Iterator[Table]:
    """Yield every table that a record has figures for."""
    results = record.results
    yield from _if_filled(_calls(results), _streams(results), _ratios(results))
    yield Table(
        "start (ms) and memory (MiB), each in its own process",
        ("", *_STARTS),
        _cells(results, _STARTS),
        "Each was started once, to be measured. RSS before is Python with NumPy.",
    )
    yield from _if_filled(_timed_starts(results))
    costs = Table(
        "cost of a window",
        ("", *_COSTS),
        _cells([one for one in results if one.cost is not None], _COSTS),
        "Papers count linear layers alone.",
    )
    energies = Table(
        "power and energy of everything on the rail",
        ("", *_ENERGIES),
        _cells([one for one in results if one.energy is not None], _ENERGIES),
    )
    accuracies = _accuracies([one for one in results if one.accuracy is not None])
    yield from _if_filled(
        costs,
        _ceilings(results),
        _shapes(results),
        _stages(results),
        energies,
        accuracies,
        _profiles(results),
        _projections(results),
    )


def _if_filled(*found: Table) -> Iterator[Table]:
    return (table for table in found if table.rows)


def _cells(results: Iterable[Result], columns: Mapping[str, Reader]) -> tuple[tuple[str, ...], ...]:
    """Return a row for each result: its name, and its figure in each column."""
    return tuple(
        (result.subject.name, *(number(read(result)) for read in columns.values()))
        for result in results
    )


def _named_once(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Leave the first cell empty in rows that go on about the same configuration."""
    before = [NONE, *(row[0] for row in rows)]
    return tuple(
        (NONE if row[0] == name else row[0], *row[1:])
        for row, name in zip(rows, before[:-1], strict=True)
    )


def _calls(results: Sequence[Result]) -> Table:
    rows = [
        (
            result.subject.name,
            about,
            *_spread(measure.statistics),
            number(measure.statistics.median / measure.frames),
            number(frames_per_s(measure)),
            _state(measure),
        )
        for result in results
        for name, about in _CALLS
        if (measure := result.measure(name)) is not None
    ]
    one = "one window" if {result.subject.batch for result in results} == {1} else "one call"
    return Table(
        f"{one}, ms",
        ("", "", *_SPREAD, "per frame", "frames/s", "state"),
        _named_once(rows),
        "End to end is from keypoints to poses as Pose3DEngine serves them. Per frame is the median"
        " over the frames of a call. No run of the steady state is left out.",
        text_columns=2,
    )


def _timed_starts(results: Sequence[Result]) -> Table:
    rows = [
        (result.subject.name, about, *_spread(measure.statistics), _state(measure))
        for result in results
        for name, about in _TIMED_STARTS
        if (measure := result.measure(name)) is not None
    ]
    return Table(
        "from the start of a process, ms",
        ("", "", *_SPREAD, "state"),
        _named_once(rows),
        "Each time in a new process: a program that opens the model and lifts a clip of one window,"
        " until its first poses; and hot-infer on the same clip's file, until its end.",
        text_columns=2,
    )


def _spread(one: Statistics) -> tuple[str, ...]:
    values = (one.median, one.p90, one.p95, one.p99, one.max, one.std)
    return (str(one.count), *map(number, values))


def _state(measure: Measure) -> str:
    found = measure.steadiness
    if found.state == "unknown":
        return "too few runs"
    return f"{found.state} after {found.warm_up_runs}"


def _streams(results: Sequence[Result]) -> Table:
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
                str(stream.people),
                number(METRICS["delay"].of(result)),
                number(each.statistics.median / each.frames),
                number(frames_per_s(each)),
                *_spread(push.statistics),
                _state(each),
            )
        )
    return Table(
        "streams, ms",
        (
            *("", "hop", "lookahead", "people", "delay", "per new frame", "frames/s"),
            *(*_SPREAD, "state"),
        ),
        tuple(rows),
        "Per new frame spreads a run of the engine over its hop; median to std are of single"
        " pushes, most of which run no engine if the hop is larger than 1. Delay is the most that a"
        " pose is late: lookahead, waiting for the hop, and the 95th percentile of a run.",
    )


def _ratios(results: Sequence[Result]) -> Table:
    ratios = [(result.subject.name, ratio) for result in results for ratio in result.ratios]
    rows = [
        (
            name,
            ratio.measure,
            _interval(ratio.speed_up),
            str(ratio.speed_up.rounds),
            number(ratio.flops_ratio),
            number(ratio.efficiency),
        )
        for name, ratio in ratios
    ]
    references = list(dict.fromkeys(ratio.reference for _, ratio in ratios))
    if len(references) > 1:
        rows = [
            (row[0], f"{row[1]}, to {ratio.reference}", *row[2:])
            for row, (_, ratio) in zip(rows, ratios, strict=True)
        ]
    against = references[0] if len(references) == 1 else "the same engine and stream"
    return Table(
        f"speed-up against {against}, per frame",
        ("", "measure", "speed-up (95%)", "rounds", "fewer FLOPs", "efficiency"),
        _named_once(rows),
        "Both ran in every round; the interval is that of the median over rounds. Efficiency is the"
        " speed-up over the ratio of executed FLOPs: 1 if all that is saved is gained.",
        text_columns=2,
    )


def _interval(one: Interval) -> str:
    if one.rounds < LEAST_ROUNDS:
        return f"{one.value:.3f} (too few rounds)"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _ceilings(results: Sequence[Result]) -> Table:
    rows = []
    for result in results:
        found = result.ceiling
        if found is None:
            continue
        rates = ", ".join(f"{one.form} {one.flops_per_s / 1e9:.0f}" for one in found.forms)
        engine_ms = None
        if found.shapes_ms is not None and found.share_of_shapes is not None:
            engine_ms = found.shapes_ms / found.share_of_shapes.value
        rows.append(
            (
                result.subject.name,
                number(_giga(found.achieved_flops_per_s)),
                rates,
                _percent(found.share_of_product),
                number(found.shapes_ms),
                number(engine_ms),
                _percent(found.share_of_shapes),
                number(_giga(found.copy_bytes_per_s)),
            )
        )
    return Table(
        "what the machine can do at most, in the model's engine",
        (
            *("", "GFLOP/s", "largest multiplication, GFLOP/s", "% of it"),
            *("shapes, ms", "model, ms", "% of shapes", "copy GB/s"),
        ),
        tuple(rows),
        "The model's largest multiplication runs in each form in which the engine might compute it;"
        " the fastest is the ceiling. Shapes are all multiplications of the model one by one:"
        " what is left to 100% is what the model does beside them. All in the same rounds as the"
        " model, with 95% intervals. The copy reads and writes main memory.",
    )


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9


def _percent(share: Interval | None) -> str:
    if share is None:
        return NONE
    if share.rounds < LEAST_ROUNDS:
        return f"{share.value:.0%} (too few rounds)"
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _shapes(results: Sequence[Result]) -> Table:
    rows = []
    for result in results:
        found = () if result.ceiling is None else result.ceiling.shapes
        total = sum(one.product.count * one.ms for one in found)
        by_time = sorted(found, key=lambda one: -one.product.count * one.ms)
        for one in by_time[:_MOST_SHAPES]:
            taken = one.product.count * one.ms
            rows.append(
                (
                    result.subject.name,
                    str(one.product),
                    one.form,
                    str(one.product.count),
                    number(one.ms),
                    f"{taken / total:.0%}" if total else NONE,
                    number(one.product.flops / one.ms / 1e6 if one.ms else None),
                )
            )
    return Table(
        "multiplications that take most, each by itself",
        ("", "rows x sums x columns", "form", "times", "ms each", "of all shapes", "GFLOP/s"),
        _named_once(rows),
        "In the form that the engine runs fastest.",
        text_columns=3,
    )


def _stages(results: Sequence[Result]) -> Table:
    rows = [
        (
            result.subject.name,
            f"{_STAGE_OF[stage.of]}: {stage.name}",
            str(stage.statistics.count),
            *(
                number(value)
                for value in (
                    stage.statistics.median,
                    stage.statistics.p95,
                    stage.statistics.p99,
                    stage.statistics.max,
                )
            ),
        )
        for result in results
        for stage in (*result.stages, *_quiet(result))
    ]
    return Table(
        "by stage, ms",
        ("", "", "runs", "median", "p95", "p99", "max"),
        _named_once(rows),
        "Preparation is from keypoints to the network's input, stitching from its output to poses."
        " All runs, those of the warm-up included.",
        text_columns=2,
    )


def _quiet(result: Result) -> Iterator[Stage]:
    """Yield the pushes that ran no engine, as a stage of the stream."""
    quiet = result.measure("quiet_push")
    if quiet is not None:
        yield Stage("stream", "a push without the engine", quiet.statistics)


def _accuracies(results: Sequence[Result]) -> Table:
    best = pareto_front(results)
    data = {result.accuracy.data for result in results if result.accuracy is not None}
    return Table(
        f"accuracy on {', '.join(data)}, and speed",
        ("", *_ACCURACIES, "Pareto"),
        tuple((*row, "front" if row[0] in best else NONE) for row in _cells(results, _ACCURACIES)),
        "On the front is what no other configuration beats in both MPJPE and frames a second.",
    )


def _profiles(results: Sequence[Result]) -> Table:
    profiles = [
        (result.subject.name, result.profile)
        for result in results
        if result.profile is not None and not result.profile.problem
    ]
    present = {share.name for _, profile in profiles for share in profile.blocks}
    names = [name for name in BLOCKS if name in present]
    return Table(
        "time by block in the engine, ms",
        ("", *names, "whole run"),
        tuple((subject, *_block_times(profile, names)) for subject, profile in profiles),
        "Medians under the engine's profiler, which slows it down; the shares are what counts.",
    )


def _block_times(profile: Profile, names: Sequence[str]) -> Iterator[str]:
    texts = {share.name: f"{share.ms:.3g} ({share.share:.0%})" for share in profile.blocks}
    yield from (texts.get(name, NONE) for name in names)
    yield number(profile.run_ms)


def _projections(results: Sequence[Result]) -> Table:
    rows = [
        (
            result.subject.name,
            found.title,
            found.precision,
            f"{found.bound_ms:.3g}",
            number(found.frames_per_s),
            number(found.derated_frames_per_s),
            found.limited_by,
            number(frames_per_s(result.measure("engine")) if found.is_this_machine else None),
        )
        for result in results
        for found in result.projections
    ]
    return Table(
        "roofline bounds: nothing here was measured but the last column",
        ("", "board", "in", "ms at least", "frames/s at most", "derated", "limit", "measured"),
        _named_once(rows),
        "A bound is what cannot be exceeded, not what is reached. Derated uses the shares of the"
        " peaks that others have measured, and a launch for each kernel.",
        text_columns=2,
    )
