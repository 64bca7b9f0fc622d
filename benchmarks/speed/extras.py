"""Measure what times do not show: memory, graphs, ceilings, profiles, bounds, accuracy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from hot_sdk._base.progress import Progress
from hot_sdk._base.records import build
from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.power import UnavailableError
from hot_sdk.benchmarks.power.nvml import Nvml
from hot_sdk.benchmarks.roofline import board, bound
from hot_sdk.benchmarks.roofline.bound import Roof, cpu_roof
from hot_sdk.benchmarks.speed.measure import Measurement
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.profilers import Profile
from hot_sdk.benchmarks.speed.profilers.onnxruntime import GraphCost
from hot_sdk.benchmarks.speed.result import Accuracy, Projection, ShapeTime, Stage
from hot_sdk.benchmarks.speed.starts import STAGES
from hot_sdk.errors import HotSDKError
from hot_sdk.latency import LatencyReport, Statistics
from hot_sdk.pose_engine import Pose3DEngine

if TYPE_CHECKING:
    from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors
    from hot_sdk.benchmarks.evaluation.data_sets import DataSet
    from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip

THIS_CPU = "this-cpu"

_PROTOCOL = "frames"
_CEILING_ROUNDS = 7
"""At least ``series.LEAST_ROUNDS``, so that the model's shares of the ceilings have intervals."""

_CEILING_S = 0.03
_STAGES = ("preparation", "inference", "stitching")


def measure_extras(
    measurements: Sequence[Measurement],
    options: BenchmarkOptions,
    stamp: MachineStamp,
    progress: Progress,
) -> None:
    """Measure everything but times of configurations whose times are measured already."""
    total = len(measurements)
    for number, one in enumerate(measurements):
        progress.update(number, total, task="reading memory and graphs")
        one.peak_mib = one.worker.ask({"do": "memory"})["peak_mib"]
        one.gpu_mib = _gpu_memory(one)
        one.stages = tuple(_stages(one))
        if not one.configuration.is_baseline:
            with _failure_recorded(one, "its graph was not read"):
                one.graph = build(GraphCost, one.worker.ask({"do": "graph"}))
                one.projections = _projections(one, one.graph, options.boards, stamp)
    _measure_ceilings(measurements, progress)
    for number, one in enumerate(measurements):
        if options.profile_runs:
            progress.update(number, total, task=f"profiling {one.configuration.name}")
            question = {"do": "profile", "runs": options.profile_runs}
            with _failure_recorded(one, "no profile"):
                one.profile = build(Profile, one.worker.ask(question))
    if options.data is not None:
        _measure_accuracies(measurements, options, progress)


@contextlib.contextmanager
def _failure_recorded(one: Measurement, what: str) -> Iterator[None]:
    """Keep an error for the record's notes, so that the measured times are not lost."""
    try:
        yield
    except HotSDKError as error:
        one.failed.append(f"{what}: {error.message}")


def _gpu_memory(one: Measurement) -> float | None:
    device, _, index = one.ready.device.partition(":")
    if device != "cuda":
        return None
    try:
        with contextlib.closing(Nvml(int(index or 0))) as nvml:
            used = nvml.memory_of(one.worker.pid)
    except UnavailableError:
        return None
    return None if used is None else used / 2**20


def _measure_ceilings(measurements: Sequence[Measurement], progress: Progress) -> None:
    done: dict[tuple[str | None, str, str], Measurement] = {}
    for one in measurements:
        task = one.configuration.task
        key = (task.model, task.engine, task.device)
        # Streams of another hop are the same network.
        if one.configuration.is_baseline or key in done:
            continue
        done[key] = one
        products = [] if one.graph is None else [asdict(each) for each in one.graph.products]
        with _failure_recorded(one, "no ceilings"):
            found = one.worker.ask({"do": "ceilings", "products": products})
            one.work, one.problems = found["work"], found["problems"]
            one.shapes = tuple(build(ShapeTime, each) for each in found["shapes"])
    for number in range(_CEILING_ROUNDS):
        progress.update(number, _CEILING_ROUNDS, task="measuring the machine's ceilings")
        for one in done.values():
            if not one.work:
                continue
            # The model itself in each round, too, so that its share compares times of one round.
            with _failure_recorded(one, "not run beside the ceilings"):
                one.measure_beside()
            for name in one.work:
                with _failure_recorded(one, f"no ceiling by {name}"):
                    one.measure_ceiling(name, _CEILING_S)


def _stages(one: Measurement) -> Iterator[Stage]:
    """Yield the stages of calls, of pushes and of starts."""
    with _failure_recorded(one, "no times of its stages"):
        for of, report in one.worker.ask({"do": "stages"}).items():
            found = LatencyReport.from_dict(report)
            for name in _STAGES:
                statistics = getattr(found, name)
                if statistics is not None:
                    yield Stage(of, name, statistics)
    for name, seconds in zip(STAGES, zip(*one.start_stages, strict=True), strict=False):
        yield Stage("start", name, Statistics.from_seconds(seconds))


def _projections(
    one: Measurement, graph: GraphCost, boards: Sequence[str], stamp: MachineStamp
) -> tuple[Projection, ...]:
    """Return the roofline bounds of a graph on boards, and on this CPU if it ran there."""
    precision, device = one.ready.precision, one.ready.device
    frames = one.ready.frames // one.ready.windows * graph.windows
    found = []
    for key in boards:
        there = board(key)
        roof = there.roof(precision)
        if roof is not None:
            # The bound is one of the board's GPU.
            here = device.startswith("cuda") and there.may_be(stamp.board, stamp.memory_mib)
            found.append(_projection(graph, frames, *roof, key, there.title, here=here))
    own = cpu_roof(stamp, precision) if boards and device == "cpu" else None
    if own is not None:
        title = f"{stamp.cpu}, {stamp.processors} CPUs, at twice the clock that it reports"
        found.append(_projection(graph, frames, own, precision, THIS_CPU, title, here=True))
    return tuple(found)


def _projection(
    graph: GraphCost, frames: int, roof: Roof, precision: str, key: str, title: str, *, here: bool
) -> Projection:
    found = bound(
        roof,
        flops=graph.flops,
        least_bytes=graph.weight_bytes + graph.io_bytes,
        kernels=[(kernel.flops, kernel.bytes) for kernel in graph.kernels],
        precision=precision,
    )
    return Projection(
        board=key,
        title=title,
        precision=precision,
        bound_ms=1e3 * found.seconds,
        derated_ms=1e3 * found.derated_seconds,
        frames_per_s=frames / found.seconds,
        derated_frames_per_s=frames / found.derated_seconds,
        limited_by=found.limited_by,
        is_this_machine=here,
    )


def _measure_accuracies(
    measurements: Sequence[Measurement], options: BenchmarkOptions, progress: Progress
) -> None:
    from hot_sdk.benchmarks.evaluation.data_sets import data_set, load_data

    assert options.data is not None
    clips = load_data(options.data, options.data_root, views=options.views)
    data = data_set(options.data)
    known: dict[tuple[str | None, str, str], Accuracy | None] = {}
    for one in measurements:
        task = one.configuration.task
        if one.configuration.is_baseline:
            continue
        key = (task.model, task.engine, task.device)
        if key not in known:
            with _failure_recorded(one, "no accuracy"):
                one.accuracy = _accuracy(one, data, clips, progress)
            known[key] = one.accuracy
        one.accuracy = known[key]
        if options.stream_accuracy and one.ready.hop is not None:
            with _failure_recorded(one, "no accuracy of the stream"):
                one.stream_accuracy = _accuracy(one, data, clips, progress, streamed=True)


def _accuracy(
    one: Measurement,
    data: DataSet,
    clips: Sequence[EvaluationClip],
    progress: Progress,
    *,
    streamed: bool = False,
) -> Accuracy:
    """Lift every clip in the configuration's own engine, device and precision.

    Args:
        one: The configuration.
        data: The data set.
        clips: Its clips.
        progress: Shows what is going on.
        streamed: Frame by frame, with the configuration's hop and lookahead.

    Raises:
        HotSDKError: The engine failed.
    """
    from hot_sdk.benchmarks.evaluation.metrics import mean_of, summarize
    from hot_sdk.benchmarks.evaluation.protocols import protocol
    from hot_sdk.benchmarks.evaluation.run import measure_model

    task = one.configuration.task
    by_action: dict[str, list[ClipErrors]] = {}
    with Pose3DEngine(
        task.file,
        engine=task.engine,
        device=task.device,
        threads=task.threads,
        cache_dir=task.cache_path,
        largest_batch=task.largest_batch,
        policies=data.policies,
    ) as engine:
        for number, clip in enumerate(clips):
            what = "the accuracy of the stream of" if streamed else "the accuracy of"
            about = f"measuring {what} {one.configuration.name}"
            progress.update(number, len(clips), task=about)
            errors = measure_model(
                engine,
                clip,
                protocol(_PROTOCOL),
                lookahead=one.ready.lookahead if streamed else None,
                hop=one.ready.hop if streamed else None,
            ).errors
            by_action.setdefault(clip.action, []).append(errors)
    overall = summarize([error for errors in by_action.values() for error in errors])
    head = mean_of([summarize(each) for each in by_action.values()]) if data.by_action else overall
    return Accuracy(
        data=data.name,
        frames=overall.frames_scored,
        mpjpe_mm=head.mpjpe_mm,
        p_mpjpe_mm=head.p_mpjpe_mm,
        mpjve_mm_per_frame=head.mpjve_mm_per_frame,
    )
