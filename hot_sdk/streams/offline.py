"""People's keypoints through an engine, at once or as if they came from a camera."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.progress import Progress
from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyReport
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose, StreamReport


@dataclass(frozen=True)
class Lifting:
    """What came of a file's people.

    Attributes:
        results: One for each person.
        report: How long it took.
        latency_ms: (frames,), what each frame cost: its push to the stream; or, as a clip is lifted
            at once, an equal share of the whole time.
    """

    results: tuple[Pose3DResult, ...]
    report: LatencyReport | StreamReport
    latency_ms: NDArray[np.float64]

    def with_constant_bones(self) -> Lifting:
        """The same with bones of constant length."""
        steady = tuple(result.with_constant_bones() for result in self.results)
        return dataclasses.replace(self, results=steady)


def lift_clips(engine: Pose3DEngine, people: Sequence[Keypoints]) -> Lifting:
    """Lift everybody's whole clip.

    Raises:
        KeypointsError: Somebody is seen in no frame.
        EngineError: The engine failed.
    """
    with Progress("lifting") as bar:
        results = engine.lift(people, progress=bar.update)
    report, frames = results[0].latency, len(people[0])
    assert report is not None
    assert report.total is not None
    return Lifting(results, report, np.full(frames, report.total.mean / frames))


def lift_stream(
    engine: Pose3DEngine, people: Sequence[Keypoints], *, lookahead: int, hop: int
) -> Lifting:
    """Lift frame by frame, as a robot would that sees it: nothing later than ``lookahead``.

    Frames in which nobody was seen have no pose: NaN, not valid.

    Args:
        engine: The model.
        people: One clip each, of the same frames.
        lookahead: Frames that a pose waits for.
        hop: Frames between runs of the engine.

    Raises:
        KeypointsError: The keypoints have no frame rate.
        UsageError: The window does not reach so far.
        EngineError: The engine failed.
    """
    rate = people[0].rate
    if rate is None:
        raise KeypointsError(
            "A stream has a frame rate, and the file does not say it.",
            hint="Give fps=, or --fps on a command line.",
        )
    times = people[0].timestamps
    if times is None:
        times = np.arange(len(people[0])) / rate
    poses: list[StreamPose] = []
    latency_ms = np.zeros(len(times))
    opened = engine.stream("video", lookahead=lookahead, hop=hop, fps=rate, max_people=len(people))
    with opened as stream, Progress("lifting") as bar:
        for frame, timestamp in enumerate(times.tolist()):
            start = time.perf_counter()
            seen = [_frame(person, frame) for person in people]
            poses += stream.push_people([one for one in seen if one is not None], timestamp)
            latency_ms[frame] = 1e3 * (time.perf_counter() - start)
            bar.update(frame + 1, len(times))
        poses += stream.flush()
        report = stream.report()
    results = tuple(_result(engine, person, times.tolist(), poses, report) for person in people)
    return Lifting(results, report, latency_ms)


def _frame(person: Keypoints, frame: int) -> Keypoints | None:
    points = person.points[frame : frame + 1]
    if np.isnan(points).all():
        return None
    scores = None if person.scores is None else person.scores[frame : frame + 1]
    return dataclasses.replace(person, points=points, scores=scores, timestamps=None)


def _result(
    engine: Pose3DEngine,
    person: Keypoints,
    times: list[float],
    poses: list[StreamPose],
    report: StreamReport,
) -> Pose3DResult:
    place = {timestamp: frame for frame, timestamp in enumerate(times)}
    joints = len(H36M17.joints)
    lifted = np.full((len(times), joints, 3), np.nan, dtype=np.float32)
    valid = np.zeros((len(times), joints), dtype=np.bool_)
    mine = [pose for pose in poses if pose.track_id == person.track_id]
    for pose in mine:
        lifted[place[pose.timestamp]] = pose.pose
        valid[place[pose.timestamp]] = pose.valid
    detail = f"lookahead of {report.lookahead} frames, a run every {report.hop}"
    streamed = AppliedPolicy("streamed", detail, len(mine), len(times), "frames")
    return Pose3DResult(
        poses=lifted,
        valid=valid,
        unit=engine.manifest.unit,
        axes=CAMERA_AXES,
        root=None,
        root_error=None,
        timestamps=np.array(times),
        track_id=person.track_id,
        policies=(streamed,),
        seams=None,
        latency=report.latency,
        model=engine.model_name,
        warnings=engine.warnings,
    )
