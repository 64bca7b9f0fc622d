"""What is said of the people of ``robot_scenes``, and the truth: by streams, clips and frames."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from root_scenes import CAMERA, FPS, Scene

from hot_sdk import Keypoints, Pose3DEngine, solve_root
from hot_sdk.bones import standing_height
from hot_sdk.root.joint_motion import JointState, smooth_joints, step_joints
from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose

Doubles = NDArray[np.float64]

_SIZE = (1280, 720)
_LAG = 5

BEFORE, AT_ONCE, LATER, CLIP = "before", "at once", f"{_LAG} frames later", "whole clip"
"""Names of the methods."""


@dataclass(frozen=True, eq=False)
class Case:
    """A scene, and what the stream is told of it.

    Attributes:
        kind: What is seen.
        people: One scene each, of the same camera.
        height: The people's heights are stated.
        ground: So is the height of the camera above the floor.
        root: The joint that poses are relative to.
    """

    kind: str
    people: tuple[Scene, ...]
    height: bool = False
    ground: bool = False
    root: str = "pelvis"


@dataclass(frozen=True, eq=False)
class Track:
    """What was said of one person, frame by frame; NaN where nothing was.

    Attributes:
        truth: (frames, 17, 3), of the joints.
        joints: (frames, 17, 3).
        origins: (frames,), the joint that poses are relative to.
        root: (frames, 3), of the joint that poses are relative to, and its truth.
        true_root: (frames, 3).
        velocity: (frames, 17, 3).
        root_velocity: (frames, 3).
        true_root_velocity: (frames, 3).
        joints_covariance: (frames, 17, 3, 3).
        velocity_covariance: (frames, 17, 3, 3).
        covariance: (frames, 17, 3, 3).
        relative: (frames, 17, 3), errors of poses.
    """

    truth: Doubles
    joints: Doubles
    origins: NDArray[np.int64]
    root: Doubles
    true_root: Doubles
    velocity: Doubles
    root_velocity: Doubles
    true_root_velocity: Doubles
    joints_covariance: Doubles
    velocity_covariance: Doubles
    covariance: Doubles
    relative: Doubles


def tracks_of(engine: Pose3DEngine, case: Case) -> dict[str, list[Track]]:
    """Return what each method says of the people of a scene, by its name."""
    found: dict[str, list[Track]] = {}
    for lookahead in (0, _LAG):
        poses = _streamed(engine, case, lookahead)
        if lookahead == 0:
            found[BEFORE] = [_before(one, poses[at], case) for at, one in enumerate(case.people)]
        name = LATER if lookahead else AT_ONCE
        found[name] = [_after(one, poses[at]) for at, one in enumerate(case.people)]
    found[CLIP] = [_clip(engine, case, one) for one in case.people]
    for name, causal in ((AT_ONCE, True), (CLIP, False)):
        found[f"{name}, smoothed"] = [_smoothed(track, causal=causal) for track in found[name]]
    return found


def _smoothed(track: Track, *, causal: bool) -> Track:
    """Return a track with joints as ``smoothing=True`` has them."""
    pose = track.joints - track.root[:, None]
    steps, nothing = [], np.zeros(len(H36M17.joints), dtype=np.bool_)
    state: JointState | None = None
    for at, one in enumerate(pose):
        steps.append(step_joints(state, at / FPS, one, nothing))
        state = steps[-1].after
    states = [step.after for step in steps] if causal else smooth_joints(steps)
    place = np.stack([one.place for one in states])
    place[np.isnan(pose)] = np.nan
    return dataclasses.replace(track, joints=track.root[:, None] + place)


def _keypoints(one: Scene, case: Case, at: slice, name: int) -> Keypoints:
    height = _height(one) if case.height else None
    return Keypoints(
        one.points[at].astype(np.float32),
        skeleton="h36m17",
        image_size=_SIZE,
        fps=None if at.stop else FPS,
        track_id=name,
        camera=CAMERA,
        height_m=height,
    )


def _height(one: Scene) -> float:
    every = np.ones(len(H36M17.joints), dtype=np.bool_)
    return float(np.median([standing_height(pose, every) for pose in one.joints]))


def _streamed(engine: Pose3DEngine, case: Case, lookahead: int) -> list[list[StreamPose]]:
    people = case.people
    poses: list[list[StreamPose]] = [[] for _ in people]
    with engine.stream(
        "video",
        lookahead=lookahead,
        fps=FPS,
        intrinsics=CAMERA,
        camera=people[0].cameras[0],
        ground=float(people[0].cameras[0].translation[2]) if case.ground else None,
        root=case.root,
    ) as stream:
        for at in range(len(people[0].points)):
            frame = [
                _keypoints(one, case, slice(at, at + 1), name) for name, one in enumerate(people)
            ]
            for pose in stream.push_people(frame, at / FPS):
                poses[int(pose.track_id or 0)].append(pose)
        for pose in stream.flush():
            poses[int(pose.track_id or 0)].append(pose)
    return poses


def _after(one: Scene, poses: list[StreamPose]) -> Track:
    frames = len(one.points)
    origins = np.zeros(frames, dtype=np.int64)
    whole = {
        name: np.full((frames, *shape), np.nan)
        for name, shape in (
            ("joints", (17, 3)),
            ("root", (3,)),
            ("velocity", (17, 3)),
            ("joints_covariance", (17, 3, 3)),
            ("velocity_covariance", (17, 3, 3)),
            ("covariance", (17, 3, 3)),
            ("pose", (17, 3)),
        )
    }
    for pose in poses:
        at = round(pose.timestamp * FPS)
        origins[at] = pose.root_index
        for name, values in whole.items():
            values[at] = getattr(pose, name)
        whole["covariance"][at, ~pose.valid] = np.nan
    return _track(one, origins, whole)


def _clip(engine: Pose3DEngine, case: Case, one: Scene) -> Track:
    ground = float(one.cameras[0].translation[2]) if case.ground else None
    keypoints = _keypoints(one, case, slice(None), 0)
    result = engine(keypoints, camera=one.cameras[0], ground=ground, root=case.root)
    names = ("root", "velocity", "joints_covariance", "velocity_covariance", "covariance")
    whole = {name: np.array(getattr(result, name), dtype=np.float64) for name in names}
    whole["joints"] = np.array(result.joints, dtype=np.float64)
    whole["pose"] = np.array(result.poses, dtype=np.float64)
    whole["covariance"][~result.valid] = np.nan
    origin = H36M17.joints.index(result.root_joint)
    return _track(one, np.full(len(one.points), origin), whole)


def _before(one: Scene, poses: list[StreamPose], case: Case) -> Track:
    """Place what was lifted as the docs had it: the root of each frame alone."""
    frames = len(one.points)
    camera = one.cameras[0]
    whole = {
        "joints": np.full((frames, 17, 3), np.nan),
        "pose": np.full((frames, 17, 3), np.nan),
        "root": np.full((frames, 3), np.nan),
    }
    for pose in poses:
        at = round(pose.timestamp * FPS)
        if pose.root_joint != H36M17.joints[0]:
            continue
        lifted = (pose.pose / np.float32(pose.scale)) @ camera.rotation.astype(np.float32)
        root, _ = solve_root(
            lifted[None], pose.valid[None], one.points[at : at + 1].astype(np.float32), None, CAMERA
        )
        whole["root"][at] = camera.rotation @ root[0] + camera.translation
        whole["pose"][at] = lifted @ camera.rotation.T
        whole["joints"][at] = whole["root"][at] + whole["pose"][at]
        whole["joints"][at, ~pose.valid] = np.nan
    velocity = np.full((frames, 17, 3), np.nan)
    velocity[1:] = np.diff(whole["joints"], axis=0) * FPS
    unknown = np.full((frames, 17, 3, 3), np.nan)
    names = ("joints_covariance", "velocity_covariance", "covariance")
    whole |= {"velocity": velocity, **dict.fromkeys(names, unknown)}
    return _track(one, np.zeros(frames, dtype=np.int64), whole)


def _track(one: Scene, origins: NDArray[np.int64], whole: dict[str, Doubles]) -> Track:
    here = np.arange(len(origins))
    true = np.gradient(one.joints, 1.0 / FPS, axis=0)
    relative = one.joints - one.joints[here, origins][:, None]
    return Track(
        truth=one.joints,
        joints=whole["joints"],
        origins=origins,
        root=whole["root"],
        true_root=one.joints[here, origins],
        velocity=whole["velocity"],
        root_velocity=whole["velocity"][here, origins],
        true_root_velocity=true[here, origins],
        joints_covariance=whole["joints_covariance"],
        velocity_covariance=whole["velocity_covariance"],
        covariance=whole["covariance"],
        relative=whole["pose"] - relative,
    )
