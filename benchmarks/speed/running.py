"""A whole run of ``hot-benchmark``: open, measure in turn, look further, and make the record."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hot_sdk.benchmarks.evaluation.data_sets import data_set, load_data
from hot_sdk.benchmarks.power import PowerSampler, PowerSamples, UnavailableError, open_source
from hot_sdk.benchmarks.power.nvml import Nvml
from hot_sdk.benchmarks.roofline import board
from hot_sdk.benchmarks.speed.accuracy import measure_accuracy
from hot_sdk.benchmarks.speed.assembling import Extras, results_of
from hot_sdk.benchmarks.speed.assignment import Streaming
from hot_sdk.benchmarks.speed.conditions import Conditions, conditions_of, throttled_between
from hot_sdk.benchmarks.speed.graph_cost import GraphCost
from hot_sdk.benchmarks.speed.measuring import (
    Effort,
    Running,
    Telling,
    measure_in_turn,
    opened,
)
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.profiling import Profile
from hot_sdk.benchmarks.speed.projecting import project, project_here
from hot_sdk.benchmarks.speed.record import SCHEMA, PowerTrace, Record, Settings
from hot_sdk.benchmarks.speed.result import Projection
from hot_sdk.benchmarks.speed.stamp import MachineStamp, stamp_of
from hot_sdk.benchmarks.speed.yardsticks import COPY, PRODUCT
from hot_sdk.doctor.machine import Machine
from hot_sdk.typed_json import build

_IDLE_S = 1.0
_YARDSTICK_ROUNDS = 5
_YARDSTICK_S = 0.1
_MOST_TRACED = 2000

_BUSY = 0.5
"""Other processes that ran on average before the start; from so many on, the record says so."""


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


def run_benchmark(
    configurations: Sequence[Configuration],
    wanted: Wanted,
    machine: Machine,
    command: Sequence[str],
    tell: Telling,
) -> Record:
    """Measure, and make the record. Ctrl-C ends it early, and the record says so.

    Args:
        configurations: What to measure; the first is the reference.
        wanted: What is looked at.
        machine: What it runs on.
        command: The command line, for the record.
        tell: Is told what is going on.

    Raises:
        HotSDKError: A configuration cannot be opened, a source of power is not there, or an
            engine failed.
        KeyboardInterrupt: It was interrupted before anything was measured.
    """
    stamp, before = stamp_of(machine), conditions_of(machine)
    source, problem = open_source(wanted.power, machine, configurations[0].device)
    interrupted = False
    rounds = 0
    idle = None
    with contextlib.ExitStack() as stack:
        sampler = None if source is None else stack.enter_context(PowerSampler(source))
        if sampler is not None:
            start = time.monotonic()
            time.sleep(_IDLE_S)
            idle = (start, time.monotonic())
        cache = None if wanted.cache_dir is None else str(wanted.cache_dir)
        running = stack.enter_context(opened(configurations, wanted.streaming, cache, tell))
        extras = [Extras() for _ in running]
        try:
            rounds = measure_in_turn(running, wanted.effort, tell)
            _look_further(running, extras, wanted, stamp, tell)
        except KeyboardInterrupt:
            if not any(one.series for one in running):
                raise
            interrupted = True
        samples = None if sampler is None else sampler.samples()
        if sampler is not None:
            problem = sampler.problem
        results = results_of(running, extras, samples, idle)
        order = tuple(one.configuration.name for one in running)
    after = conditions_of(machine)
    return Record(
        schema=SCHEMA,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        interrupted=interrupted,
        machine=stamp,
        before=before,
        after=after,
        settings=Settings(
            command=tuple(command),
            duration_s=wanted.effort.duration_s,
            windows=wanted.effort.windows,
            rounds=rounds,
            order=order,
            data=wanted.data,
        ),
        power=None if samples is None or sampler is None else _trace(samples, sampler),
        power_problem=problem,
        results=results,
        notes=_notes(stamp, before, after, interrupted),
    )


def _look_further(
    running: Sequence[Running],
    extras: Sequence[Extras],
    wanted: Wanted,
    stamp: MachineStamp,
    tell: Telling,
) -> None:
    for number, (one, extra) in enumerate(zip(running, extras, strict=True)):
        tell("looking at memory and graphs", number / len(running))
        extra.peak_mib = one.worker.ask({"do": "memory"})["peak_mib"]
        extra.gpu_mib = _gpu_memory(one)
        if one.configuration.baseline is None:
            extra.graph = build(GraphCost, one.worker.ask({"do": "graph"}))
            extra.projections = _projections(one, extra.graph, wanted, stamp)
    _measure_yardsticks(running, extras, tell)
    for number, (one, extra) in enumerate(zip(running, extras, strict=True)):
        if wanted.profile_runs:
            tell(f"profiling {one.configuration.name}", number / len(running))
            question = {"do": "profile", "runs": wanted.profile_runs}
            extra.profile = build(Profile, one.worker.ask(question))
    if wanted.data is not None:
        _measure_accuracy(running, extras, wanted, tell)


def _measure_yardsticks(
    running: Sequence[Running], extras: Sequence[Extras], tell: Telling
) -> None:
    for one, extra in zip(running, extras, strict=True):
        if one.configuration.baseline is None:
            shape = None if extra.graph is None else extra.graph.largest_product
            found = one.worker.ask({"do": "yardsticks", "shape": shape})
            extra.work, extra.problems = found["work"], found["problems"]
    for number in range(_YARDSTICK_ROUNDS):
        tell("measuring the machine's ceilings", number / _YARDSTICK_ROUNDS)
        for one, extra in zip(running, extras, strict=True):
            for name in (PRODUCT, COPY):
                if name in extra.work:
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

        extra.accuracy = measure_accuracy(
            one.configuration, data_set(wanted.data), clips, wanted.cache_dir, say
        )


def _projections(
    one: Running, graph: GraphCost, wanted: Wanted, stamp: MachineStamp
) -> tuple[Projection, ...]:
    frames = one.opened.frames // one.opened.windows * graph.windows
    found = [
        project(graph, frames, one.opened.precision, board(key), stamp) for key in wanted.boards
    ]
    if wanted.boards and one.opened.device == "cpu":
        found.append(project_here(graph, frames, stamp))
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


def _trace(samples: PowerSamples, sampler: PowerSampler) -> PowerTrace | None:
    count = len(samples.times)
    if count == 0:
        return None
    step = -(-count // _MOST_TRACED)
    return PowerTrace(
        source=sampler.source.name,
        rail=sampler.source.rail,
        seconds=tuple(round(float(value), 3) for value in samples.times[::step] - samples.times[0]),
        watts=tuple(float(f"{value:.5g}") for value in samples.watts[::step]),
    )


def _notes(
    stamp: MachineStamp, before: Conditions, after: Conditions, interrupted: bool
) -> tuple[str, ...]:
    notes = []
    if before.load is not None and before.load > _BUSY:
        notes.append(
            f"The machine was busy before the start (load {before.load:.2f} on {stamp.processors}"
            " CPUs): times are longer than on an idle one, and ratios hold better than times."
        )
    if throttled_between(before, after):
        notes.append("The machine slowed itself down while it was measured, for heat or current.")
    if before.governors and before.governors != ("performance",):
        notes.append(
            f"The CPUs' clocks follow the load (governor {', '.join(before.governors)}); lock them"
            " for steady times."
        )
    if interrupted:
        notes.append("It was interrupted: what is missing was not measured.")
    return tuple(notes)
