"""What is measured: a lifter as a robot's program holds it, or one of the baselines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hot_sdk.benchmarks.speed.messages import Assignment, Streaming
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import Manifest
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.streams import Pose3DStream

Run = Callable[[], tuple[float, float]]
"""Does one thing; returns seconds end to end and in the engine, NaN where that is not known."""

_PERSON = 1


class Subject(Protocol):
    """Something that can be measured."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def engine_version(self) -> str:
        """Its version."""

    @property
    def device(self) -> str:
        """The device in use."""

    @property
    def precision(self) -> str:
        """Of the model."""

    @property
    def windows(self) -> int:
        """Windows in one call."""

    @property
    def frames(self) -> int:
        """Frames that one call gives."""

    @property
    def streaming(self) -> Streaming | None:
        """How its stream is run; None without one."""

    @property
    def load_seconds(self) -> float:
        """From the file to a ready session."""

    @property
    def build_seconds(self) -> float | None:
        """The same where the engine had to build first; None where it had not."""

    @property
    def measuring_seconds(self) -> float:
        """Of opening it, what only a measurement needs: keypoints to run with."""

    @property
    def runs(self) -> dict[str, Run]:
        """What can be measured, by name."""


class ServedModel:
    """An exported file behind ``Pose3DEngine``, the very code that a robot's program calls.

    Args:
        assignment: What to open.

    Raises:
        HotSDKError: As ``Pose3DEngine``.
    """

    def __init__(self, assignment: Assignment) -> None:
        cache = None if assignment.cache_dir is None else Path(assignment.cache_dir)
        self.build_seconds: float | None = None
        before = _content(cache)
        self._lifter = self._open(assignment, cache)
        if _content(cache) != before:
            self.build_seconds = self._lifter.latency().load_ms / 1e3
            self._lifter.close()
            self._lifter = self._open(assignment, cache)
        manifest = self._lifter.manifest
        if manifest.batch not in (None, assignment.batch):
            raise UsageError(
                f"The file lifts {manifest.batch} windows in one run, and {assignment.batch} were"
                " asked for.",
                hint="Leave --batch out, or export the model with another.",
            )
        report = self._lifter.latency()
        self.engine, _, self.engine_version = report.engine.partition(" ")
        self.device = report.device
        self.precision = report.precision
        self.load_seconds = report.load_ms / 1e3
        self.windows = assignment.batch
        start = time.perf_counter()
        self._footage, self._people = _footage_for(manifest, assignment.batch)
        self.measuring_seconds = time.perf_counter() - start
        self.frames = sum(len(person) for person in self._people)
        self.streaming = self._possible(assignment.streaming)
        self._stream = self._open_stream(self.streaming)
        self._pushed = 0

    @property
    def runs(self) -> dict[str, Run]:
        """A window end to end, and a push to a stream."""
        return {"window": self._lift, "stream": self._push}

    def _open(self, assignment: Assignment, cache: Path | None) -> Pose3DEngine:
        return Pose3DEngine(
            assignment.file,
            engine=assignment.engine,
            device=assignment.device,
            threads=assignment.threads,
            cache_dir=cache,
        )

    def _possible(self, asked: Streaming) -> Streaming:
        """What was asked for, or the one way in which the network can be streamed."""
        manifest = self._lifter.manifest
        if manifest.output_frames < manifest.frames:
            return Streaming(hop=1, lookahead=manifest.frames // 2)
        return Streaming() if manifest.frames == 1 else asked

    def _open_stream(self, streaming: Streaming) -> Pose3DStream:
        return self._lifter.stream(
            "video",
            hop=streaming.hop,
            lookahead=streaming.lookahead,
            fps=self._lifter.manifest.training_fps,
            skeleton=self._footage.skeleton,
            image_size=self._footage.image_size,
        )

    def _lift(self) -> tuple[float, float]:
        start = time.perf_counter()
        result = self._lifter.lift(self._people)[0]
        taken = time.perf_counter() - start
        spent = result.latency
        if spent is None or spent.inference is None or spent.windows != self.windows:
            raise EngineError(
                "A call lifted another number of windows than it was to.",
                hint="Report it, with the model's manifest.",
            )
        return taken, spent.inference.mean * spent.inference.count / 1e3

    def _push(self) -> tuple[float, float]:
        footage = self._footage
        period = max(1, 2 * (len(footage) - 1))
        place = self._pushed % period
        number = place if place < len(footage) else period - place
        timestamp = self._pushed / (footage.rate or 1.0)
        self._pushed += 1
        start = time.perf_counter()
        self._stream.push(footage.points[number], timestamp, _PERSON)
        return time.perf_counter() - start, float("nan")


def _footage_for(manifest: Manifest, windows: int) -> tuple[Keypoints, list[Keypoints]]:
    """A person who moves, and clips of them that are so many windows together."""
    # Here, since a robot's program imports none of it, and what it takes is not counted.
    from hot_sdk.benchmarks.speed.worker.motion import cut, motion

    footage = motion(manifest.training_fps)
    if manifest.output_frames < manifest.frames or manifest.frames == 1:
        # A window for each frame: of those that give their centre only, and of single frames.
        return footage, [cut(footage, windows)]
    return footage, [cut(footage, manifest.frames)] * windows


def _content(folder: Path | None) -> frozenset[str]:
    if folder is None or not folder.is_dir():
        return frozenset()
    return frozenset(file.name for file in folder.rglob("*") if file.is_file())


def open_subject(assignment: Assignment) -> Subject:
    """Open what an assignment names.

    Raises:
        HotSDKError: It cannot be opened.
    """
    if assignment.baseline is None:
        return ServedModel(assignment)
    from hot_sdk.benchmarks.speed.worker.baselines import Baseline

    return Baseline(assignment)
