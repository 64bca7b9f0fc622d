"""An exported file as it is measured: behind ``Pose3DEngine``, as a robot's program holds it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hot_sdk.benchmarks.speed.messages import ModelInfo, WorkerTask
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.manifest import Manifest
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.streams import Pose3DStream

Run = Callable[[], tuple[float, float]]
"""Does one thing; returns seconds end to end and in the engine, NaN if that is not known."""

_PERSON = 1


@dataclass(frozen=True)
class MeasuredModel:
    """A model that is ready to be measured.

    Attributes:
        info: What is known of it.
        runs: What can be measured, by name; the first is run once before anything is measured.
        measuring_seconds: Part of the opening that only a measurement needs: keypoints to run with.
        stages: Returns the times of the stages of calls and of pushes so far, each as
            ``LatencyReport.to_dict`` has it, by measure; None for a baseline.
    """

    info: ModelInfo
    runs: Mapping[str, Run]
    measuring_seconds: float
    stages: Callable[[], dict[str, Any]] | None = None


def open_served_model(task: WorkerTask) -> MeasuredModel:
    """Open an exported file; its runs are a call for windows, and a push to a stream.

    Raises:
        HotSDKError: As ``Pose3DEngine``; or the file lifts another number of windows in one run.
    """
    build_ms = None
    before = _content(task.cache_path)
    lifter = _open(task)
    if _content(task.cache_path) != before:
        build_ms = lifter.latency().load_ms
        lifter.close()
        lifter = _open(task)
    manifest = lifter.manifest
    if manifest.batch not in (None, task.batch):
        raise UsageError(
            f"The file lifts {manifest.batch} windows in one run, but {task.batch} were requested.",
            hint="Remove --batch, or export the model with another.",
        )
    start = time.perf_counter()
    clip, people = _motion_for(manifest, task.batch)
    measuring_seconds = time.perf_counter() - start
    live = manifest.step is not None
    runs = {} if live else {"window": _lifting(lifter, people, task.batch)}
    hop = lookahead = None
    stream: Pose3DStream | None = None
    if live or "stream" in task.measures:
        hop, lookahead = _stream_options(manifest, task)
        stream = lifter.stream(
            "video",
            hop=hop,
            lookahead=lookahead,
            max_people=task.people,
            fps=manifest.training_fps,
            skeleton=clip.skeleton,
            image_size=clip.image_size,
        )
        # The first pushes wait for later frames and run no engine.
        silent = hop * math.ceil((lookahead + hop) / hop)
        runs["stream"] = _pushing(stream, clip, task.people, silent)
    report = lifter.latency()
    engine, _, version = report.engine.partition(" ")
    info = ModelInfo(
        engine=engine,
        engine_version=version,
        device=report.device,
        precision=report.precision,
        windows=task.batch,
        frames=sum(len(person) for person in people),
        hop=hop,
        lookahead=lookahead,
        load_ms=report.load_ms,
        build_ms=build_ms,
    )

    def stages() -> dict[str, Any]:
        found = {"window": lifter.latency().to_dict()}
        if stream is not None:
            found["stream"] = stream.report().latency.to_dict()
        return found

    return MeasuredModel(info, runs, measuring_seconds, stages)


def _open(task: WorkerTask) -> Pose3DEngine:
    return Pose3DEngine(
        task.file,
        engine=task.engine,
        device=task.device,
        threads=task.threads,
        cache_dir=task.cache_path,
        largest_batch=task.largest_batch,
    )


def _content(folder: Path | None) -> frozenset[str]:
    if folder is None or not folder.is_dir():
        return frozenset()
    return frozenset(file.name for file in folder.rglob("*") if file.is_file())


def _stream_options(manifest: Manifest, task: WorkerTask) -> tuple[int, int]:
    """Return hop and lookahead: those requested, or the only ones that the network allows."""
    if manifest.step is not None:
        return 1, manifest.step.lookahead
    if manifest.output_frames < manifest.frames:
        return 1, manifest.frames // 2
    return (1, 0) if manifest.frames == 1 else (task.hop, task.lookahead)


def _lifting(lifter: Pose3DEngine, people: list[Keypoints], windows: int) -> Run:
    def lift() -> tuple[float, float]:
        start = time.perf_counter()
        result = lifter.lift(people)[0]
        taken = time.perf_counter() - start
        spent = result.latency
        if spent is None or spent.inference is None or spent.windows != windows:
            raise EngineError(
                f"A call did not lift {windows} windows.",
                hint="Report it, with the model's manifest.",
            )
        return taken, spent.inference.mean * spent.inference.count / 1e3

    return lift


def _pushing(stream: Pose3DStream, clip: Keypoints, people: int, silent: int) -> Run:
    """Return a push of one frame; of several people together, each elsewhere in the clip.

    The first call pushes some frames more, which are not timed: ``silent``, whole groups of the
    hop.
    """
    pushed = 0
    apart = max(1, len(clip) // people)

    def push() -> tuple[float, float]:
        if pushed == 0:
            for _ in range(silent):
                push_one()
        return push_one()

    def push_one() -> tuple[float, float]:
        nonlocal pushed
        frame = _back_and_forth(len(clip), pushed)
        timestamp = pushed / (clip.effective_fps or 1.0)
        pushed += 1
        if people == 1:
            start = time.perf_counter()
            stream.push(clip.points[frame], timestamp, _PERSON)
            return time.perf_counter() - start, float("nan")
        all_people = [
            _person(clip, _back_and_forth(len(clip), pushed + number * apart), number)
            for number in range(people)
        ]
        start = time.perf_counter()
        stream.push_people(all_people, timestamp)
        return time.perf_counter() - start, float("nan")

    return push


def _person(clip: Keypoints, frame: int, number: int) -> Keypoints:
    return Keypoints(
        clip.points[frame : frame + 1],
        None,
        skeleton=clip.skeleton,
        image_size=clip.image_size,
        track_id=number,
    )


def _motion_for(manifest: Manifest, windows: int) -> tuple[Keypoints, list[Keypoints]]:
    """Return a real person's keypoints, and clips of them that make ``windows`` windows together.

    The clip is the longest of ``starter-val``. It is labeled with the model's frame rate, so that
    nothing is resampled and one frame of it is one frame of the network.
    """
    # Here, since a robot's program imports none of it, and the time it takes is not counted.
    from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val

    longest = max(load_starter_val(views=1), key=len).keypoints
    clip = dataclasses.replace(longest, fps=manifest.training_fps, timestamps=None)
    if manifest.output_frames < manifest.frames or manifest.frames == 1:
        # A window for each frame: networks that return their center only, and single frames.
        return clip, [_first_frames(clip, windows)]
    return clip, [_first_frames(clip, manifest.frames)] * windows


def _first_frames(clip: Keypoints, count: int) -> Keypoints:
    """Return the first frames of a clip, played back and forth if it is shorter."""
    frames = [_back_and_forth(len(clip), place) for place in range(count)]
    return dataclasses.replace(clip, points=clip.points[frames], timestamps=None)


def _back_and_forth(length: int, place: int) -> int:
    """Return the frame at a place of a clip that is played back and forth, so nothing jumps."""
    period = max(1, 2 * (length - 1))
    place %= period
    return place if place < length else period - place
