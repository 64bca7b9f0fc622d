"""Measuring several configurations in turn: A B A B, so that a drifting clock hits all alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hot_sdk.benchmarks.speed.messages import Assignment, Opened, Streaming, Turn
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.series import Series
from hot_sdk.benchmarks.speed.worker.client import WorkerProcess

TURN_S = 0.1
"""A turn lasts so long, or one run; short against drift, long against a change of process."""

LEAST_RUNS = 10
_LONGER_WHILE_NOT_STEADY = 3.0

MEASURES = ("window", "stream")
"""What is measured of an exported file; of a baseline it is ``engine`` alone."""


@dataclass(frozen=True)
class Effort:
    """How long it is measured.

    Attributes:
        duration_s: Counted seconds of each measure, at least; None where ``windows`` are given.
        windows: Counted runs of each measure; None where ``duration_s`` is given.
        measures: Which of ``MEASURES``.
    """

    duration_s: float | None
    windows: int | None
    measures: tuple[str, ...] = MEASURES


@dataclass
class Running:
    """A configuration in its process.

    Attributes:
        configuration: What is measured.
        worker: Its process.
        opened: What it said when its model was ready.
        series: By measure: ``window``, ``engine``, ``stream`` and ``push``, ``product``, ``copy``.
        spans: By measure, the seconds of the monotonic clock in which it ran, and its samples.
    """

    configuration: Configuration
    worker: WorkerProcess
    opened: Opened
    series: dict[str, Series] = field(default_factory=dict)
    spans: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)

    def take(self, measure: str, turn: Turn) -> None:
        """Keep what was measured in a turn."""
        group = self.group(measure)
        samples = len(turn.total) // group
        self.spans.setdefault(measure, []).append((turn.start, turn.end, samples))
        if measure == "engine":
            self._series("engine").add(turn.engine)
        elif measure == "stream":
            groups = [turn.total[at : at + group] for at in range(0, len(turn.total), group)]
            self._series("stream").add([sum(pushes) for pushes in groups])
            self._series("push", of="stream", parts=group).add(turn.total)
        else:
            self._series(measure).add(turn.total)
            if turn.engine:
                self._series("engine", of=measure).add(turn.engine)

    def group(self, measure: str) -> int:
        """Runs that belong together: the pushes between two runs of the engine."""
        return (self.opened.hop or 1) if measure == "stream" else 1

    def _series(self, name: str, *, of: str | None = None, parts: int = 1) -> Series:
        if name not in self.series:
            whole = None if of is None else self.series[of]
            self.series[name] = Series(whole, parts=parts)
        return self.series[name]


Telling = Callable[[str, float | None], None]
"""Is told what is going on, and what share of it is done, if that is known."""


@contextlib.contextmanager
def opened(
    configurations: Sequence[Configuration],
    streaming: Streaming,
    cache_dir: str | None,
    tell: Telling,
) -> Iterator[list[Running]]:
    """Open each configuration in a process of its own, one after the other.

    Raises:
        HotSDKError: One of them cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for number, one in enumerate(configurations):
            tell(f"opening {one.name}", number / len(configurations))
            worker = stack.enter_context(WorkerProcess())
            assignment = Assignment(
                model=None if one.model is None else str(one.model),
                baseline=one.baseline,
                network=one.network,
                engine=one.engine,
                device=one.device,
                threads=one.threads,
                cache_dir=cache_dir,
                batch=one.batch,
                streaming=streaming,
                spawned=worker.spawned,
            )
            running.append(Running(one, worker, worker.open(assignment)))
        yield running


def measure_in_turn(running: Sequence[Running], effort: Effort, tell: Telling) -> None:
    """Measure until every measure of every configuration is steady and long enough.

    A measure that does not become steady is given up after some times its duration, and says so.
    KeyboardInterrupt goes through; what was measured until then is in ``running``.

    Args:
        running: The configurations.
        effort: How long.
        tell: Is told how far it is.
    """
    rounds = 0
    while True:
        open_measures = [
            (one, measure)
            for one in running
            for measure in wanted(one, effort)
            if not _is_enough(one, measure, effort)
        ]
        if not open_measures:
            return
        rounds += 1
        tell(f"measuring, round {rounds}", _share(running, effort))
        # All take part in each round, also those that have enough: pairs need both.
        for one in running:
            for measure in wanted(one, effort):
                # A turn has the same length for all, so that all wait equally long for theirs.
                one.take(measure, one.worker.turn(measure, TURN_S, group=one.group(measure)))


def wanted(one: Running, effort: Effort) -> list[str]:
    """What is measured of a configuration."""
    offered = one.opened.measures
    chosen = [measure for measure in offered if measure in effort.measures]
    return chosen or list(offered[:1])


def _is_enough(one: Running, measure: str, effort: Effort) -> bool:
    series = one.series.get(measure)
    if series is None:
        return False
    if effort.windows is not None:
        return len(series.counted()) >= effort.windows
    assert effort.duration_s is not None
    if series.seconds < effort.duration_s:
        return False
    if series.seconds > effort.duration_s * _LONGER_WHILE_NOT_STEADY:
        return True
    counted = series.counted()
    if len(counted) < LEAST_RUNS or float(counted.sum()) < effort.duration_s:
        return False
    return series.steadiness().state != "drifting"


def _share(running: Sequence[Running], effort: Effort) -> float:
    """How much is done, by the measure that lags most."""
    least = 1.0
    for one in running:
        for measure in wanted(one, effort):
            series = one.series.get(measure)
            if series is None:
                return 0.0
            if effort.windows is not None:
                done = len(series.all) / effort.windows
            else:
                done = series.seconds / (effort.duration_s or 1.0)
            least = min(least, done)
    return least
