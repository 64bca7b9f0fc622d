"""Lift an input while it plays, for ROS and a viewer: ``hot-infer 0 --ros --viewer live``."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.progress import Progress
from hot_sdk.drawing.live import LiveViewer
from hot_sdk.infer.inputs import InputOptions, is_video, read_input
from hot_sdk.infer.live_options import LiveOptions
from hot_sdk.keypoints import Keypoints
from hot_sdk.people import USUAL_FPS
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.ros import PosePublisher, by_frame
from hot_sdk.ros.network import ros_domain
from hot_sdk.streams import Pose3DStream, StreamPose, StreamReport
from hot_sdk.video import Tracker, create_detector, open_video, parse_source

_HALF_A_FRAME_S = 0.5 / USUAL_FPS


@dataclass(frozen=True, eq=False)
class LiveSummary:
    """What was lifted while an input played.

    Attributes:
        frames: Frames that were read.
        poses: Poses that were returned.
        report: What the stream did.
        notes: What the user should know.
    """

    frames: int
    poses: int
    report: StreamReport
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "frames": self.frames,
            "poses": self.poses,
            "notes": list(self.notes),
            "report": self.report.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class _Frame:
    timestamp: float
    people: tuple[Keypoints, ...]
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class _Source:
    """An input that plays; ``fps`` is None of a camera."""

    frames: Iterator[_Frame]
    fps: float | None
    knows_camera: bool
    max_people: int


def lift_live(
    engine: Pose3DEngine, name: str, inputs: InputOptions, live: LiveOptions
) -> LiveSummary:
    """Lift an input frame by frame at its own pace, and publish and show the poses.

    A camera is lifted by a live stream, which drops frames if the engine is too slow; of a file no
    frame is dropped, and it plays no faster than its frame rate unless it is only recorded. Ctrl-C
    ends it.

    Raises:
        HotSDKError: The input, the engine, ROS or the viewer fails.
    """
    plays = live.ros or live.viewer is not None
    arrived: collections.deque[StreamPose] = collections.deque()
    ready = threading.Event()

    def arrive(pose: StreamPose) -> None:
        arrived.append(pose)
        ready.set()

    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_open(name, inputs))
        # From now on the camera runs, so that nothing else takes long.
        publisher = None
        if live.ros or live.ros_bag is not None:
            publisher = PosePublisher(
                is_relative=not source.knows_camera, bag=live.ros_bag, publishes=live.ros
            )
            stack.enter_context(publisher)
        viewer = None
        if live.viewer is not None:
            viewer = stack.enter_context(LiveViewer(live.viewer))
        stream = stack.enter_context(_stream(engine, inputs, live, arrive, source))
        outlet = _Outlet(publisher, viewer)
        with Progress(f"playing {name}") as bar, contextlib.suppress(KeyboardInterrupt):
            start = time.monotonic()
            for frame in source.frames:
                if inputs.duration is not None and frame.timestamp > inputs.duration:
                    break
                if plays and source.fps is not None:
                    time.sleep(max(0.0, start + frame.timestamp - time.monotonic()))
                begin = time.perf_counter()
                ready.clear()
                stream.push_people(frame.people, frame.timestamp)
                if source.fps is None and frame.people:
                    # Rather than with the next frame.
                    ready.wait(_HALF_A_FRAME_S)
                outlet.show(frame, _drained(arrived), 1e3 * (time.perf_counter() - begin))
                bar.update(outlet.frames)
        stream.flush()
        outlet.show(None, _drained(arrived), 0.0)
        report = stream.report()
    return LiveSummary(
        outlet.frames, outlet.poses, report, _notes(live, knows_camera=source.knows_camera)
    )


class _Outlet:
    """Where poses go, in the order of their frames."""

    def __init__(self, publisher: PosePublisher | None, viewer: LiveViewer | None) -> None:
        self.frames = self.poses = 0
        self._publisher = publisher
        self._viewer = viewer
        self._last = -np.inf

    def show(self, frame: _Frame | None, poses: Sequence[StreamPose], cost_ms: float) -> None:
        self.poses += len(poses)
        if self._publisher is not None:
            for timestamp, people in by_frame(poses):
                self._publish(people, timestamp)
            if frame is not None and not frame.people:
                self._publish((), frame.timestamp)
        if frame is not None:
            self.frames += 1
            if self._viewer is not None:
                self._viewer.show(
                    frame.timestamp,
                    image=frame.image,
                    people=frame.people,
                    poses=poses,
                    latency_ms=cost_ms,
                )

    def _publish(self, poses: Sequence[StreamPose], timestamp: float) -> None:
        assert self._publisher is not None
        # A pose that comes after it was said that nobody is there is too late to be of use.
        if timestamp > self._last:
            self._publisher.publish(poses, timestamp)
            self._last = timestamp


def _stream(
    engine: Pose3DEngine,
    inputs: InputOptions,
    live: LiveOptions,
    callback: Callable[[StreamPose], None],
    source: _Source,
) -> Pose3DStream:
    known, camera = inputs.knowledge(), inputs.camera_pose()
    return engine.stream(
        "live" if source.fps is None else "video",
        fps=source.fps,
        lookahead=inputs.lookahead,
        hop=inputs.hop,
        max_people=source.max_people,
        callback=callback,
        intrinsics=known.camera,
        up=known.up if camera is None else None,
        height_m=known.height_m,
        camera=camera,
        ground=inputs.ground,
        frame_id=live.ros_frame,
    )


def _drained(arrived: collections.deque[StreamPose]) -> list[StreamPose]:
    return [arrived.popleft() for _ in range(len(arrived))]


@contextlib.contextmanager
def _open(name: str, inputs: InputOptions) -> Iterator[_Source]:
    if is_video(name):
        with contextlib.ExitStack() as stack:
            detector = create_detector(inputs.detector, max_people=inputs.max_people)
            stack.callback(detector.close)
            video = stack.enter_context(open_video(parse_source(name), fps=inputs.fps))
            tracker = Tracker(fps=video.fps or USUAL_FPS)

            def frames() -> Iterator[_Frame]:
                for frame in video:
                    found = detector(frame.image, frame.timestamp_s)
                    people = tracker.update(found, frame.timestamp_s)
                    # Those that a second frame has not confirmed have no id yet.
                    known = tuple(one for one in people if _is_wanted(one, inputs))
                    yield _Frame(frame.timestamp_s, known, frame.image)

            fps = None if video.is_live else video.fps or USUAL_FPS
            yield _Source(frames(), fps, inputs.intrinsics is not None, inputs.max_people)
        return
    with read_input(name, inputs) as footage:

        def clips() -> Iterator[_Frame]:
            begin = float(footage.timestamps[0])
            for at, timestamp in enumerate(footage.timestamps.tolist()):
                number = footage.first_frame + at
                people = (_frame_of(person, number) for person in footage.people)
                yield _Frame(timestamp - begin, tuple(one for one in people if one is not None))

        known = all(person.knowledge.camera is not None for person in footage.people)
        fps = footage.people[0].effective_fps or USUAL_FPS
        yield _Source(clips(), fps, known, len(footage.people))


def _is_wanted(person: Keypoints, inputs: InputOptions) -> bool:
    if person.track_id is None:
        return False
    return inputs.track_id is None or person.track_id == inputs.track_id


def _frame_of(person: Keypoints, number: int) -> Keypoints | None:
    """Return one frame of a clip; None if it does not show the person."""
    at = number - person.first_frame
    if not 0 <= at < len(person) or np.isnan(person.points[at]).all():
        return None
    return dataclasses.replace(
        person,
        points=person.points[at : at + 1],
        scores=None if person.scores is None else person.scores[at : at + 1],
        timestamps=None,
        up=person.knowledge.up_of(slice(at, at + 1)),
    )


def _notes(live: LiveOptions, *, knows_camera: bool) -> tuple[str, ...]:
    notes = []
    if live.ros:
        notes.append(f"Published to ROS 2, domain {ros_domain()}.")
    if live.ros_bag is not None:
        notes.append(f"Made: {live.ros_bag}")
    if not knows_camera:
        notes.append(
            "Without --intrinsics nobody knows where people are: positions are relative to each"
            " person's pelvis."
        )
    return tuple(notes)
