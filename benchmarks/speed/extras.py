"""What is found out beside times: memory, graphs, ceilings, profiles, bounds, accuracy.

Accuracy beside speed: a configuration through the evaluation of ``hot-eval``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk._base.records import build
from hot_sdk.benchmarks.evaluation.data_sets import DataSet, data_set, load_data
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.benchmarks.evaluation.metrics import ClipErrors, mean_of, summarise
from hot_sdk.benchmarks.evaluation.protocols import protocol
from hot_sdk.benchmarks.evaluation.run import measure_model
from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.power import UnavailableError
from hot_sdk.benchmarks.power.nvml import Nvml
from hot_sdk.benchmarks.roofline import board
from hot_sdk.benchmarks.speed.measure import Effort, Running, Telling
from hot_sdk.benchmarks.speed.messages import Streaming
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.profilers import Profile
from hot_sdk.benchmarks.speed.profilers.graph_cost import GraphCost
from hot_sdk.benchmarks.speed.projection import project, project_here
from hot_sdk.benchmarks.speed.record import Accuracy, Projection
from hot_sdk.benchmarks.speed.results import Extras
from hot_sdk.benchmarks.speed.worker.ceilings import COPY, PRODUCT
from hot_sdk.errors import HotSDKError
from hot_sdk.pose_engine import Pose3DEngine

_PROTOCOL = "frames"


def measure_accuracy(
    configuration: Configuration,
    data: DataSet,
    clips: list[EvaluationClip],
    cache_dir: Path | None,
    tell: Callable[[float], None],
) -> Accuracy:
    """Lift every clip in the configuration's own engine, device and precision.

    Args:
        configuration: Of an exported file.
        data: The data set.
        clips: Its clips, or some of them.
        cache_dir: Folder for what the engine builds.
        tell: Is told what share is done.

    Raises:
        HotSDKError: The engine failed, or the model gives no metric unit.
    """
    counted = protocol(_PROTOCOL)
    by_action: dict[str, list[ClipErrors]] = {}
    every: list[ClipErrors] = []
    with Pose3DEngine(
        configuration.model,
        engine=configuration.engine,
        device=configuration.device,
        threads=configuration.threads,
        cache_dir=cache_dir,
        policies=data.policies,
    ) as engine:
        for number, clip in enumerate(clips):
            tell(number / len(clips))
            errors = measure_model(engine, clip, counted).errors
            every += errors
            by_action.setdefault(clip.action, []).extend(errors)
    overall = summarise(every)
    head = mean_of([summarise(one) for one in by_action.values()]) if data.by_action else overall
    return Accuracy(
        data=data.name,
        frames=overall.frames_scored,
        mpjpe_mm=head.mpjpe_mm,
        p_mpjpe_mm=head.p_mpjpe_mm,
        mpjve_mm_per_frame=head.mpjve_mm_per_frame,
    )


_YARDSTICK_ROUNDS = 5
_YARDSTICK_S = 0.1


@dataclass(frozen=True)
class Wanted:
    """What is looked at beside times.

    Attributes:
        effort: How long it is measured.
        streaming: How streams are run.
        cache_dir: Folder for what engines build.
        profile_runs: Runs under the profiler; 0 for none.
        power: Source of power.
        boards: Boards that bounds are made for.
        data: Data set; None for no accuracy.
        root: Folder of its files.
        views: Cameras of each sequence, of ``starter-val``; None for all.
    """

    effort: Effort
    streaming: Streaming
    cache_dir: Path | None
    profile_runs: int
    power: str
    boards: tuple[str, ...]
    data: str | None
    root: Path | None
    views: int | None


def look_further(
    running: Sequence[Running],
    extras: Sequence[Extras],
    wanted: Wanted,
    stamp: MachineStamp,
    tell: Telling,
) -> None:
    """Find out what times do not tell: memory, graphs, ceilings, profiles, accuracy.

    Args:
        running: The configurations, measured already.
        extras: Where it is noted, one for each.
        wanted: What is asked for.
        stamp: The machine.
        tell: Is told how far it is.
    """
    for number, (one, extra) in enumerate(zip(running, extras, strict=True)):
        tell("looking at memory and graphs", number / len(running))
        extra.peak_mib = one.worker.ask({"do": "memory"})["peak_mib"]
        extra.gpu_mib = _gpu_memory(one)
        if one.configuration.baseline is None:
            with _told(extra, "its graph was not looked at"):
                extra.graph = build(GraphCost, one.worker.ask({"do": "graph"}))
                extra.projections = _projections(one, extra.graph, wanted, stamp)
    _measure_yardsticks(running, extras, tell)
    for number, (one, extra) in enumerate(zip(running, extras, strict=True)):
        if wanted.profile_runs:
            tell(f"profiling {one.configuration.name}", number / len(running))
            question = {"do": "profile", "runs": wanted.profile_runs}
            with _told(extra, "no profile"):
                extra.profile = build(Profile, one.worker.ask(question))
    if wanted.data is not None:
        _measure_accuracy(running, extras, wanted, tell)


def _measure_yardsticks(
    running: Sequence[Running], extras: Sequence[Extras], tell: Telling
) -> None:
    for one, extra in zip(running, extras, strict=True):
        if one.configuration.baseline is None:
            shape = None if extra.graph is None else extra.graph.largest_product
            with _told(extra, "no ceilings"):
                found = one.worker.ask({"do": "yardsticks", "shape": shape})
                extra.work, extra.problems = found["work"], found["problems"]
    for number in range(_YARDSTICK_ROUNDS):
        tell("measuring the machine's ceilings", number / _YARDSTICK_ROUNDS)
        for one, extra in zip(running, extras, strict=True):
            for name in (PRODUCT, COPY):
                if name in extra.work:
                    with _told(extra, f"no ceiling by {name}"):
                        one.take(name, one.worker.turn(name, _YARDSTICK_S))


def _measure_accuracy(
    running: Sequence[Running], extras: Sequence[Extras], wanted: Wanted, tell: Telling
) -> None:
    assert wanted.data is not None
    clips = load_data(wanted.data, wanted.root, views=wanted.views)
    for one, extra in zip(running, extras, strict=True):
        if one.configuration.baseline is not None:
            continue

        def say(share: float, name: str = one.configuration.name) -> None:
            tell(f"measuring the accuracy of {name}", share)

        with _told(extra, "no accuracy"):
            extra.accuracy = measure_accuracy(
                one.configuration, data_set(wanted.data), clips, wanted.cache_dir, say
            )


@contextlib.contextmanager
def _told(extra: Extras, what: str) -> Iterator[None]:
    """Keep an error for the record's notes: the times that were measured are not lost for it."""
    try:
        yield
    except HotSDKError as error:
        extra.failed.append(f"{what}: {error.message}")


def problems(running: Sequence[Running], extras: Sequence[Extras]) -> Iterator[str]:
    """What could not be found out, for the record's notes."""
    for one, extra in zip(running, extras, strict=True):
        yield from (f"{one.configuration.name}: {text}" for text in extra.failed)


def _projections(
    one: Running, graph: GraphCost, wanted: Wanted, stamp: MachineStamp
) -> tuple[Projection, ...]:
    frames = one.opened.frames // one.opened.windows * graph.windows
    precision, device = one.opened.precision, one.opened.device
    found = [project(graph, frames, precision, board(key), stamp, device) for key in wanted.boards]
    if wanted.boards and device == "cpu":
        found.append(project_here(graph, frames, precision, stamp))
    return tuple(one for one in found if one is not None)


def _gpu_memory(one: Running) -> float | None:
    device, _, index = one.opened.device.partition(":")
    if device != "cuda":
        return None
    try:
        nvml = Nvml(int(index or 0))
    except UnavailableError:
        return None
    try:
        taken = nvml.memory_of(one.worker.pid)
    except UnavailableError:
        taken = None
    finally:
        nvml.close()
    return None if taken is None else taken / 2**20
