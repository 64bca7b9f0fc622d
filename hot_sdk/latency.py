"""Measure how long lifting takes, stage by stage, and report what it ran on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import textwrap
import threading
import time
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hot_sdk._base import records
from hot_sdk._base.arrays import percentiles
from hot_sdk.engines import Session
from hot_sdk.errors import ResultError

STAGES = ("preparation", "inference", "stitching", "total", "per_new_frame", "delay")
"""The stages that are timed: fields of ``LatencyReport``."""

NEWEST = 10_000
"""Number of newest samples of each stage that percentiles are computed from."""

_COLUMNS = 80
_LABELS = {"inference": "engine", "per_new_frame": "per push"}
_SHOWN = ("min", "mean", "median", "p90", "p95", "p99", "max", "std")


@dataclass(frozen=True)
class Statistics:
    """Statistics of times in milliseconds. No sample is dropped.

    Attributes:
        count: Number of samples.
        min: Smallest of all samples, as ``mean``, ``max`` and ``std`` are of all.
        mean: Mean.
        median: Median of the newest 10 000 samples, as are the percentiles, interpolated linearly.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        max: Largest.
        std: Standard deviation of the population.
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
        """Return the statistics of one or more samples, which are in seconds."""
        ms = 1e3 * np.asarray(seconds, dtype=np.float64)
        median, p90, p95, p99 = percentiles(ms, [50, 90, 95, 99]).tolist()
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
    """Running statistics of a stage, in seconds, in memory of fixed size."""

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
        difference = value - self.mean
        self.mean += difference / self.count
        self.squares += difference * (value - self.mean)
        if value < self.smallest:
            self.smallest = value
        if value > self.largest:
            self.largest = value

    def statistics(self) -> Statistics | None:
        """Return the statistics; None without samples."""
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
    """How long lifting took, and what it ran on.

    Attributes:
        kind: ``clip`` or ``stream``.
        engine: Name and version of the inference engine.
        device: The device that was used.
        precision: The network's precision.
        load_ms: Time to load the model.
        first_inference_ms: Time of the first run after that; engines are slower then.
        preparation: Keypoint preparation, one sample per clip and per batch of windows.
        inference: One run of the engine; a run lifts as many windows as the model's batch, and
            there are two if the mirror image is averaged outside the graph.
        stitching: Stitching of poses, one sample per batch of windows and per clip.
        total: From the keypoints to the result, of one or several people's clips in one call; one
            sample in the report of a result. None for a stream.
        windows: Windows lifted.
        frames: Frames lifted: of clips, or pushed to a stream.
        windows_per_s: Windows over the total time, or over the time in the engine for a stream.
        frames_per_s: Frames of a clip over the total time; None for a stream.
        per_new_frame: Cost of one push for the thread that pushes, whether it runs the engine or
            not; None for a clip.
        compute_per_new_frame_ms: All computing of a stream over its frames; None for a clip.
        delay: Delay of the poses of a stream: lookahead and computing; None for a clip.
        dropped: Frames of a live stream without a pose, because newer ones were waiting.
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
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, record: object) -> LatencyReport:
        """Read what ``to_dict`` returned.

        Raises:
            ResultError: The record is not a latency report.
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
        stages = ((_LABELS.get(stage, stage), getattr(self, stage)) for stage in STAGES)
        rows: list[tuple[str, Statistics]] = [(name, one) for name, one in stages if one]
        table = [f"{'ms':<11} {'count':>8}" + "".join(f" {name:>6}" for name in _SHOWN)]
        table += [_row(name, stage) for name, stage in rows]
        if any(stage.count > NEWEST for _, stage in rows):
            table.append(f"median, p90, p95 and p99: of the newest {NEWEST} samples")
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
    values = [_milliseconds(getattr(row, figure)) for figure in _SHOWN]
    return f"{name:<11} {row.count:>8}" + "".join(f" {value:>6}" for value in values)


def _milliseconds(value: float) -> str:
    """Return at most six characters below 15 minutes, to the microsecond below 100 ms."""
    decimals = 3 if value < 99.9995 else 1 if value < 9999.95 else 0
    return f"{value:.{decimals}f}"


class _Timed(contextlib.AbstractContextManager[None]):
    # Half as long as a generator's; a push takes several.
    def __init__(self, recorder: LatencyRecorder, stage: str) -> None:
        self._recorder, self._stage = recorder, stage

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._recorder.add(self._stage, time.perf_counter() - self._start)


class LatencyRecorder:
    """Collects the times of stages, from any thread; a sample costs about two microseconds.

    A recorder created ``within`` another passes its samples on to it.
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

    def timed(self, stage: str) -> contextlib.AbstractContextManager[None]:
        """Add the time of the ``with`` block, unless it raises."""
        return _Timed(self, stage)

    def report(
        self,
        session: Session,
        *,
        first_inference_s: float | None,
        windows: int,
        frames: int,
        dropped: int = 0,
    ) -> LatencyReport:
        """Report what was collected so far.

        Args:
            session: The session that ran.
            first_inference_s: Time of its first run, seconds.
            windows: Windows lifted.
            frames: Frames of clips, or pushed.
            dropped: Frames of a live stream without a pose.
        """
        with self._lock:
            # Only copied here: a camera's thread must not wait for the percentiles.
            copies = {
                name: dataclasses.replace(samples, newest=samples.newest[:])
                for name, samples in self._stages.items()
            }
        statistics = {name: samples.statistics() for name, samples in copies.items()}
        computing = sum(copies[name].sum for name in ("preparation", "inference", "stitching"))
        stream = self._kind == "stream"
        spent = copies["inference" if stream else "total"].sum
        return LatencyReport(
            kind=self._kind,
            engine=f"{session.engine} {session.engine_version}",
            device=session.device,
            precision=session.precision,
            load_ms=1e3 * session.load_seconds,
            first_inference_ms=None if first_inference_s is None else 1e3 * first_inference_s,
            windows=windows,
            frames=frames,
            windows_per_s=windows / spent if spent > 0.0 else None,
            frames_per_s=frames / spent if spent > 0.0 and not stream else None,
            compute_per_new_frame_ms=1e3 * computing / frames if stream and frames else None,
            dropped=dropped,
            **statistics,
        )
