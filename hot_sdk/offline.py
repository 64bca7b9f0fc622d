"""Lift people's clips at once, or frame by frame as if they came from a camera."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.camera_knowledge import doubtful_up, unused_warning
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyReport
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.result import CAMERA_AXES, METERS, Pose3DResult
from hot_sdk.skeletons import H36M17

if TYPE_CHECKING:
    from hot_sdk.streams import StreamPose, StreamReport

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class LiftedPeople:
    """The results of the people of one file.

    Attributes:
        results: One for each person.
        report: How long lifting took.
        latency_ms: (frames,), the cost of each frame: its push to the stream; or, as a clip is
            lifted at once, an equal share of the whole time. The frames are those from the first
            to the last that a clip contains.
        first_frame: Number of the first of these frames in the video or file.
    """

    results: tuple[Pose3DResult, ...]
    report: LatencyReport | StreamReport
    latency_ms: NDArray[np.float64]
    first_frame: int = 0

    def with_constant_bones(self) -> LiftedPeople:
        """Return the same with bones of constant length."""
        results = tuple(result.with_constant_bones() for result in self.results)
        return dataclasses.replace(self, results=results)

    def in_robot_frame(self, camera: CameraPose) -> LiftedPeople:
        """Return the same along a robot's axes; see ``Pose3DResult.to_robot_frame``."""
        results = tuple(result.to_robot_frame(camera) for result in self.results)
        return dataclasses.replace(self, results=results)


def lift_at_once(
    engine: Pose3DEngine,
    people: Sequence[Keypoints],
    *,
    progress: ProgressCallback | None = None,
    ground: float | None = None,
    scratch: Path | None = None,
) -> LiftedPeople:
    """Lift each person's whole clip, and find where those are whose keypoints say the intrinsics.

    Args:
        engine: The model.
        people: One clip each.
        progress: Called after each run of the engine with the windows lifted and their total.
        ground: Height of the camera above the floor, meters; needs to know where up is.
        scratch: See ``Pose3DEngine.lift``.

    Raises:
        UsageError: The folder ``scratch`` has no room.
        KeypointsError: A person is seen in no frame.
        EngineError: The engine failed.
    """
    results = engine.lift(people, progress=progress, scratch=scratch)
    if results[0].unit == METERS:
        score = engine.policies.min_score
        results = tuple(
            result
            if person.camera is None
            else result.placed(person, ground=ground, min_score=score)
            for person, result in zip(people, results, strict=True)
        )
    first, frames = _extent(people)
    report = results[0].latency
    assert report is not None
    assert report.total is not None
    share = np.full(frames, report.total.mean / frames)
    return LiftedPeople(results, report, share, first)


def lift_stream(
    engine: Pose3DEngine,
    people: Sequence[Keypoints],
    *,
    lookahead: int,
    hop: int,
    progress: ProgressCallback | None = None,
    ground: float | None = None,
) -> LiftedPeople:
    """Lift frame by frame, as a robot would: each pose sees nothing later than ``lookahead``.

    A frame without any keypoint of a person has no pose: NaN, not valid.

    Args:
        engine: The model.
        people: One clip each, of the same video or file; they may begin and end at other frames.
        lookahead: Frames that a pose waits for.
        hop: Frames between runs of the engine.
        progress: Called after each frame with the frames pushed and their total.
        ground: See ``lift_at_once``.

    Raises:
        KeypointsError: The keypoints have no frame rate.
        UsageError: The window does not reach so far.
        EngineError: The engine failed.
    """
    fps = people[0].effective_fps
    if fps is None:
        raise KeypointsError(
            "A stream needs a frame rate, and the file states none.",
            hint="Give fps=, or --fps on a command line.",
        )
    first, times = _times_of(people, fps)
    poses: list[StreamPose] = []
    latency_ms = np.zeros(len(times))
    known = people[0].knowledge
    with engine.stream(
        "video",
        lookahead=lookahead,
        hop=hop,
        fps=fps,
        max_people=len(people),
        intrinsics=known.camera,
        up=None if known.up is None or known.up.ndim == 2 else known.up,
        ground=ground,
    ) as stream:
        for frame, timestamp in enumerate(times.tolist()):
            start = time.perf_counter()
            seen = [one for person in people if (one := _frame(person, first + frame)) is not None]
            poses += stream.push_people(seen, timestamp)
            latency_ms[frame] = 1e3 * (time.perf_counter() - start)
            if progress is not None:
                progress(frame + 1, len(times))
        poses += stream.flush()
        report = stream.report()
    results = tuple(_result(engine, person, fps, poses, report) for person in people)
    return LiftedPeople(results, report, latency_ms, first)


def _extent(people: Sequence[Keypoints]) -> tuple[int, int]:
    """Return the number of the first frame that a clip contains, and how many frames follow."""
    first = min(person.first_frame for person in people)
    return first, max(person.first_frame + len(person) for person in people) - first


def _times_of(people: Sequence[Keypoints], fps: float) -> tuple[int, NDArray[np.float64]]:
    """Return the number of the first frame that a clip contains, and the seconds from it on."""
    first, frames = _extent(people)
    times = np.full(frames, np.nan)
    for person in people:
        start = person.first_frame - first
        times[start : start + len(person)] = person.times(fps)
    # Frames between the people, which no clip contains, have their times from the neighbors.
    known = np.flatnonzero(np.isfinite(times))
    return first, np.interp(np.arange(frames), known, times[known])


def _frame(person: Keypoints, number: int) -> Keypoints | None:
    frame = number - person.first_frame
    if not 0 <= frame < len(person):
        return None
    points = person.points[frame : frame + 1]
    if np.isnan(points).all():
        return None
    scores = None if person.scores is None else person.scores[frame : frame + 1]
    up = person.knowledge.up_of(slice(frame, frame + 1))
    return dataclasses.replace(person, points=points, scores=scores, timestamps=None, up=up)


def _result(
    engine: Pose3DEngine,
    person: Keypoints,
    fps: float,
    poses: Sequence[StreamPose],
    report: StreamReport,
) -> Pose3DResult:
    times = person.times(fps)
    place = {timestamp: frame for frame, timestamp in enumerate(times.tolist())}
    # A stream also has poses of the frames after the last one that shows a person.
    mine = [pose for pose in poses if pose.track_id == person.track_id and pose.timestamp in place]
    at = [place[pose.timestamp] for pose in mine]
    spread = engine.manifest.spread

    def gathered(name: str, *shape: int) -> NDArray[np.float32]:
        whole = np.full((len(times), *shape), np.nan, dtype=np.float32)
        if mine:
            whole[at] = np.stack([getattr(pose, name) for pose in mine])
        return whole

    joints = len(H36M17.joints)
    valid = np.zeros((len(times), joints), dtype=np.bool_)
    if mine:
        valid[at] = np.stack([pose.valid for pose in mine])
    placed: dict[str, Any] = {"root": None, "root_error": None}
    if person.camera is not None and engine.manifest.unit == METERS:
        from hot_sdk.root.placement import CAMERA_FRAME

        placed = {
            "root": gathered("root", 3),
            "root_error": gathered("root_error"),
            "velocity": gathered("velocity", joints, 3),
            "joints_covariance": gathered("joints_covariance", joints, 3, 3),
            "velocity_covariance": gathered("velocity_covariance", joints, 3, 3),
            "covariance": gathered("covariance", joints, 3, 3) if spread else None,
            "frame_id": CAMERA_FRAME,
        }
        if mine:
            placed |= {"scale": mine[-1].scale, "scale_spread": mine[-1].scale_spread}
    detail = f"lookahead of {report.lookahead} frames, a run every {report.hop}"
    told = person.knowledge.usable_with(engine.manifest.conditions)
    untold = unused_warning(person.knowledge, told)
    untold += doubtful_up(told.up, person.h36m17_arrays()[0])
    streamed = AppliedPolicy("streamed", detail, len(mine), len(times), "frames")
    return Pose3DResult(
        poses=gathered("pose", joints, 3),
        valid=valid,
        unit=engine.manifest.unit,
        axes=CAMERA_AXES,
        timestamps=np.array(times, dtype=np.float64),
        track_id=person.track_id,
        policies=(streamed,),
        seams=None,
        latency=report.latency,
        model=engine.model_name,
        warnings=(*engine.warnings, *person.warnings, *untold),
        first_frame=person.first_frame,
        spread=gathered("spread", joints, 3) if spread else None,
        **placed,
    )
