"""How long lifting takes, stage by stage, and what it ran on."""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
import threading
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hot_sdk._base import records
from hot_sdk.engines import Session
from hot_sdk.errors import ResultError

STAGES = ("preparation", "engine", "stitching", "total", "push", "delay")
"""Keypoint preparation; one run of the engine; putting poses together; all of one call that lifts
clips; all of one push to a stream; how late a pose is."""

NEWEST = 10_000
"""Samples of each stage that percentiles are taken of: the newest ones."""

_COLUMNS = 80


@dataclass(frozen=True)
class Statistics:
    """Milliseconds, many times over. No sample is dropped.

    Attributes:
        count: Samples.
        min: Smallest of all, as are the next two and the last of all.
        mean: Mean.
        max: Largest.
        std: Standard deviation of the population.
        median: Of the newest 10 000 samples, as are the percentiles, interpolated linearly.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    std: float

    @classmethod
    def from_seconds(cls, seconds: ArrayLike) -> Statistics:
        """Return the statistics of all given samples, one or more, which are in seconds."""
        ms = 1e3 * np.asarray(seconds, dtype=np.float64)
        median, p90, p95, p99 = np.percentile(ms, [50, 90, 95, 99]).tolist()
        return cls(
            count=len(ms),
            min=float(ms.min()),
            mean=float(ms.mean()),
            median=median,
            p90=p90,
            p95=p95,
            p99=p99,
            max=float(ms.max()),
            std=float(ms.std()),
        )


@dataclass
class _Samples:
    """Running figures of a stage, in memory of fixed size however long it runs; in seconds."""

    count: int = 0
    sum: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf
    newest: array[float] = dataclasses.field(default_factory=lambda: array("d"))

    def add(self, value: float) -> None:
        if self.count < NEWEST:
            self.newest.append(value)
        else:
            self.newest[self.count % NEWEST] = value
        self.count += 1
        self.sum += value
        # Welford's update (Technometrics, 1962), which keeps its digits over millions of samples.
        apart = value - self.mean
        self.mean += apart / self.count
        self.squares += apart * (value - self.mean)
        if value < self.smallest:
            self.smallest = value
        if value > self.largest:
            self.largest = value

    def statistics(self) -> Statistics | None:
        """In milliseconds; None without samples."""
        if self.count == 0:
            return None
        newest = Statistics.from_seconds(self.newest)
        return dataclasses.replace(
            newest,
            count=self.count,
            min=1e3 * self.smallest,
            mean=1e3 * self.mean,
            max=1e3 * self.largest,
            std=1e3 * math.sqrt(self.squares / self.count),
        )


@dataclass(frozen=True)
class LatencyReport:
    """How long lifting took, and what really ran.

    Attributes:
        kind: ``clip`` or ``stream``.
        engine: Name and version of the inference engine.
        device: The device that was in use.
        precision: Of the network.
        load_ms: Loading the model.
        first_inference_ms: The first run of the engine since; engines are slower then.
        preparation: Keypoint preparation, once for each batch of windows, the clip's own included.
        inference: One run of the engine; a run lifts as many windows as the model's batch, and
            there are two where the mirror image is averaged outside the graph.
        stitching: Putting poses together, once for each batch of windows and each clip.
        total: From the keypoints to the result, of a clip or of several people's clips in one
            call; one sample in the report of a result. None for a stream.
        windows: Windows lifted.
        frames: Frames lifted: of clips, or pushed to a stream.
        windows_per_s: Windows over the total time, or over the time in the engine for a stream.
        frames_per_s: Frames of a clip over the total time; None for a stream.
        per_new_frame: All that one push costs the thread that pushes, whether it runs the engine
            or not; None for a clip.
        compute_per_new_frame_ms: All computing of a stream over its frames; None for a clip.
        delay: How late the poses of a stream came: lookahead and computing; None for a clip.
        dropped: Frames of a live stream that got no pose, for newer ones were waiting.
    """

    kind: str
    engine: str
    device: str
    precision: str
    load_ms: float
    first_inference_ms: float | None
    preparation: Statistics | None
    inference: Statistics | None
    stitching: Statistics | None
    total: Statistics | None
    windows: int
    frames: int
    windows_per_s: float | None
    frames_per_s: float | None
    per_new_frame: Statistics | None
    compute_per_new_frame_ms: float | None
    delay: Statistics | None
    dropped: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """As one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, record: object) -> LatencyReport:
        """Read back what ``to_dict`` gave.

        Raises:
            ResultError: It is no such record.
        """
        try:
            return records.build(cls, record, "latency.")
        except records.TypedJSONError as error:
            raise ResultError(
                f"The latency report is broken: {error}.", hint="Lift the keypoints again."
            ) from error

    def __str__(self) -> str:
        head = f"{self.kind} on {self.engine}, {self.device}, {self.precision}"
        head += _figure("load", self.load_ms, "ms")
        head += _figure("first inference", self.first_inference_ms, "ms")
        names = ("min", "mean", "median", "p90", "p95", "p99", "max", "std")
        stages = (
            ("preparation", self.preparation),
            ("engine", self.inference),
            ("stitching", self.stitching),
            ("total", self.total),
            ("per push", self.per_new_frame),
            ("delay", self.delay),
        )
        rows = [(name, stage) for name, stage in stages if stage is not None]
        table = [f"{'ms':<11} {'count':>8}" + "".join(f" {name:>6}" for name in names)]
        table += [_row(name, stage) for name, stage in rows]
        if any(stage.count > NEWEST for _, stage in rows):
            table.append(f"median, p90, p95 and p99 are of the newest {NEWEST} samples")
        end = f"{self.windows} windows, {self.frames} frames"
        end += _figure("rate", self.windows_per_s, "windows/s")
        end += _figure("clip", self.frames_per_s, "frames/s")
        end += _figure("compute per new frame", self.compute_per_new_frame_ms, "ms")
        if self.kind == "stream":
            end += f", {self.dropped} dropped"
        return "\n".join([*textwrap.wrap(head, _COLUMNS), *table, *textwrap.wrap(end, _COLUMNS)])


def _figure(name: str, value: float | None, unit: str) -> str:
    return "" if value is None else f", {name} {value:.4g} {unit}"


def _row(name: str, row: Statistics) -> str:
    values = (row.min, row.mean, row.median, row.p90, row.p95, row.p99, row.max, row.std)
    return f"{name:<11} {row.count:>8}" + "".join(f" {_milliseconds(value):>6}" for value in values)


def _milliseconds(value: float) -> str:
    """Six characters at most below a quarter of an hour, to the microsecond below 100 ms."""
    decimals = 3 if value < 99.9995 else 1 if value < 9999.95 else 0
    return f"{value:.{decimals}f}"


class LatencyRecorder:
    """Collects the time of stages, from any thread; a sample costs about two microseconds.

    What one made ``within`` another collects, the other collects too.
    """

    def __init__(self, kind: str, *, within: LatencyRecorder | None = None) -> None:
        self._kind = kind
        self._within = within
        self._lock = threading.Lock()
        self._stages = {name: _Samples() for name in STAGES}

    def add(self, stage: str, seconds: float) -> None:
        """Add a sample to one of ``STAGES``."""
        with self._lock:
            self._stages[stage].add(seconds)
        if self._within is not None:
            self._within.add(stage, seconds)

    def report(
        self,
        session: Session,
        *,
        first_inference_s: float | None,
        windows: int,
        frames: int,
        dropped: int = 0,
    ) -> LatencyReport:
        """What was collected so far.

        Args:
            session: What ran.
            first_inference_s: Its first run, seconds.
            windows: Windows lifted.
            frames: Frames of clips, or pushed.
            dropped: Frames of a live stream that got no pose.
        """
        with self._lock:
            # Only copied here: a camera's thread is not to wait until percentiles are taken.
            copies = {
                name: dataclasses.replace(samples, newest=samples.newest[:])
                for name, samples in self._stages.items()
            }
        statistics = {name: samples.statistics() for name, samples in copies.items()}
        computing = sum(copies[name].sum for name in ("preparation", "engine", "stitching"))
        stream = self._kind == "stream"
        spent = copies["engine" if stream else "total"].sum
        return LatencyReport(
            kind=self._kind,
            engine=f"{session.engine} {session.engine_version}",
            device=session.device,
            precision=session.precision,
            load_ms=1e3 * session.load_seconds,
            first_inference_ms=None if first_inference_s is None else 1e3 * first_inference_s,
            preparation=statistics["preparation"],
            inference=statistics["engine"],
            stitching=statistics["stitching"],
            total=statistics["total"],
            windows=windows,
            frames=frames,
            windows_per_s=windows / spent if spent > 0.0 else None,
            frames_per_s=frames / spent if spent > 0.0 and not stream else None,
            per_new_frame=statistics["push"],
            compute_per_new_frame_ms=1e3 * computing / frames if stream and frames else None,
            delay=statistics["delay"],
            dropped=dropped,
        )
