"""Measure several configurations in turn: A B A B, so that a drifting clock hits all alike."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hot_sdk._base.leftovers import temporary_folder
from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.machine import busy_cpu_seconds, process_cpu_seconds
from hot_sdk.benchmarks.speed.messages import STARTS, Batch, WorkerReady
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.profilers import Profile
from hot_sdk.benchmarks.speed.profilers.onnxruntime import GraphCost
from hot_sdk.benchmarks.speed.result import Accuracy, Projection, ShapeTime, Stage
from hot_sdk.benchmarks.speed.series import Series
from hot_sdk.benchmarks.speed.starts import time_command, time_start, write_short_clip
from hot_sdk.benchmarks.speed.worker.client import WorkerProcess
from hot_sdk.errors import HotSDKError
from hot_sdk.host.machine import Machine

BESIDE = "beside"
"""Name of the series of the model's own runs that are taken in the rounds of the ceilings."""

BATCH_S = 0.1
"""A turn lasts this long, or one run; short against drift, long against a change of process."""

LEAST_RUNS = 20
"""With fewer nothing is known of the steady state, and nothing can be judged by them."""

_LONGER_WHILE_NOT_STEADY = 3.0


@dataclass
class Measurement:
    """A configuration in its process, and everything measured of it so far.

    Attributes:
        configuration: What is measured.
        worker: Its process.
        ready: What the process reported when its model was ready.
        series: Times by measure: ``window``, ``engine``, ``stream``, ``push``, ``start``,
            ``command``; of the ceilings; and of the model in their rounds, as ``BESIDE``.
        spans: By measure, start and end of each turn on the monotonic clock, and its samples.
        peak_mib: The most memory of the process.
        gpu_mib: Memory on the GPU.
        graph: Cost of the file, node by node.
        work: Operations of the ceilings that are multiplications, and bytes of the copy.
        problems: Why a ceiling could not be measured, by name.
        shapes: Times of each multiplication by itself.
        stages: Times of the stages of calls and pushes.
        start_stages: Seconds of each stage of each start.
        profile: Where the time goes.
        accuracy: Accuracy on a data set.
        stream_accuracy: The same of the stream.
        projections: Roofline bounds.
        failed: What could not be measured, and why.
        given_up: Measures that failed once.
    """

    configuration: Configuration
    worker: WorkerProcess
    ready: WorkerReady
    series: dict[str, Series] = field(default_factory=dict)
    spans: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)
    peak_mib: float | None = None
    gpu_mib: float | None = None
    graph: GraphCost | None = None
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    shapes: tuple[ShapeTime, ...] = ()
    stages: tuple[Stage, ...] = ()
    start_stages: list[tuple[float, ...]] = field(default_factory=list)
    profile: Profile | None = None
    accuracy: Accuracy | None = None
    stream_accuracy: Accuracy | None = None
    projections: tuple[Projection, ...] = ()
    failed: list[str] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured in turn."""
        if self.configuration.is_baseline:
            return self.ready.measures
        wanted = set(self.configuration.task.measures) - self.given_up
        return (*self.ready.measures, *(name for name in STARTS if name in wanted))

    def measure(self, name: str) -> None:
        """Let the process run a measure for one turn, and keep the times.

        Raises:
            HotSDKError: The process failed, or died.
        """
        if name in STARTS:
            try:
                self._start(name)
            except HotSDKError as error:
                # What else was measured is not lost.
                self.failed.append(f"no times of {name}: {error.message}")
                self.given_up.add(name)
            return
        # The pushes between two runs of the engine belong together.
        group = (self.ready.hop or 1) if name == "stream" else 1
        self._add(name, self.worker.measure(name, BATCH_S, group=group), group)

    def measure_beside(self) -> None:
        """Run the model for one turn next to the ceilings, apart from its other times.

        Raises:
            HotSDKError: The process failed, or died.
        """
        name = self.ready.measures[0]
        group = (self.ready.hop or 1) if name == "stream" else 1
        batch = self.worker.measure(name, BATCH_S, group=group)
        seconds = batch.engine or batch.total
        sums = [sum(seconds[at : at + group]) for at in range(0, len(seconds), group)]
        self._series(BESIDE).add(sums)

    def measure_ceiling(self, name: str, seconds: float) -> None:
        """Run a ceiling for one turn.

        Raises:
            HotSDKError: The process failed, or died.
        """
        self._add(name, self.worker.measure(name, seconds), 1)

    def _start(self, name: str) -> None:
        with temporary_folder("hot-benchmark") as folder:
            clip = write_short_clip(self.configuration.manifest, folder / "clip.npz")
            time_it = time_start if name == "start" else time_command
            if name not in self.series:
                # The first compiles modules and reads files that later ones find in memory.
                time_it(self.configuration.task, clip)
            found = time_it(self.configuration.task, clip)
        self._add(name, found.batch, 1)
        if found.stages:
            self.start_stages.append(found.stages)

    def _add(self, name: str, batch: Batch, group: int) -> None:
        samples = len(batch.total) // group
        self.spans.setdefault(name, []).append((batch.start, batch.end, samples))
        if name == "stream":
            groups = [batch.total[at : at + group] for at in range(0, len(batch.total), group)]
            self._series("stream").add([sum(pushes) for pushes in groups])
            self._series("push", of="stream", parts=group).add(batch.total)
            return
        self._series(name).add(batch.total)
        if batch.engine and name != "engine":
            self._series("engine", of=name).add(batch.engine)

    def _series(self, name: str, *, of: str | None = None, parts: int = 1) -> Series:
        if name not in self.series:
            whole = None if of is None else self.series[of]
            self.series[name] = Series(whole, parts=parts)
        return self.series[name]


@contextlib.contextmanager
def open_workers(
    configurations: Sequence[Configuration], progress: Progress
) -> Iterator[list[Measurement]]:
    """Open each configuration in its own process, one after the other.

    Raises:
        HotSDKError: One of them cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        measurements = []
        for number, one in enumerate(configurations):
            progress.update(number, len(configurations), task=f"opening {one.name}")
            worker = stack.enter_context(WorkerProcess())
            measurements.append(Measurement(one, worker, worker.open(one.task)))
        yield measurements


class OthersWatch:
    """Watches how many CPUs other programs keep busy.

    Args:
        machine: The machine.
        pids: The processes that measure, besides this one.
    """

    def __init__(self, machine: Machine, pids: Sequence[int]) -> None:
        self._machine, self._pids = machine, pids
        self._start = time.monotonic()
        self._before = self._read()

    def busy(self) -> float | None:
        """Return the mean number since the start; None if the system does not say.

        Processes that have ended meanwhile, such as starts that were timed, count as others only
        while nobody has waited for them, which the benchmark does at once.
        """
        now = self._read()
        elapsed = time.monotonic() - self._start
        if now is None or self._before is None or elapsed <= 0.0:
            return None
        return max(0.0, (now - self._before) / elapsed)

    def _read(self) -> float | None:
        """Return the CPU seconds of all but ours since the machine started."""
        busy = busy_cpu_seconds(self._machine)
        own = [process_cpu_seconds(self._machine, pid) for pid in self._pids]
        if busy is None or None in own:
            return None
        return busy - sum(one or 0.0 for one in own) - _own_cpu_seconds()


def _own_cpu_seconds() -> float:
    """Return the CPU seconds of this process, and of children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure_in_turn(
    measurements: Sequence[Measurement], options: BenchmarkOptions, progress: Progress
) -> None:
    """Measure until every measure of every configuration is steady and long enough.

    A measure that does not become steady ends after a multiple of its duration, marked as drifting.
    KeyboardInterrupt goes through; what was measured until then is in ``measurements``.
    """
    rounds = 0
    while True:
        turns = [(one, name) for one in measurements for name in one.measures]
        if all(_is_enough(one.series.get(name), options) for one, name in turns):
            return
        rounds += 1
        done = min(_share_done(one.series.get(name), options) for one, name in turns)
        task = "measuring a first time" if rounds == 1 else f"measuring, round {rounds}"
        progress.update(done, 1.0, task=task)
        # All take part in each round, also those that have enough: pairs need both. A turn has the
        # same length for all, so that all wait equally long for theirs.
        for one, name in turns:
            one.measure(name)


def _is_enough(series: Series | None, options: BenchmarkOptions) -> bool:
    if series is None:
        return False
    if options.runs is not None:
        return len(series.steady()) >= options.runs
    assert options.duration_s is not None
    if series.seconds < options.duration_s or len(series.all) < LEAST_RUNS:
        return False
    if series.seconds > options.duration_s * _LONGER_WHILE_NOT_STEADY:
        return True
    steady = series.steady()
    if len(steady) < LEAST_RUNS or float(steady.sum()) < options.duration_s:
        return False
    return series.steadiness().state != "drifting"


def _share_done(series: Series | None, options: BenchmarkOptions) -> float:
    if series is None:
        return 0.0
    if options.runs is not None:
        return min(1.0, len(series.all) / options.runs)
    return min(1.0, series.seconds / (options.duration_s or 1.0))
