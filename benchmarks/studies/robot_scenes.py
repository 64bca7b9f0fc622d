"""Measure what a robot gets of a stream: where joints are in its frame, how fast, and how sure.

    python benchmarks/studies/robot_scenes.py [--seeds 2] [--output FILE]

The starter model lifts starter-val's motion, which its training never saw, in the scenes of
``root_scenes``: a camera 1.1 m above the floor, people about 3 m away, 2 pixels of noise in x and y
of each keypoint, 30 frames per second. Truth is exact, in the robot's frame.

Before: a pose of the stream, the root of each frame alone, and differences of successive frames.
After: what the stream itself says, at once and five frames later, and a whole clip; with smoothing,
velocities are the same.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from root_scenes import CAMERA, FPS, WALKS, Scene, scene
from scene_study import Measured, run_scene_study

from hot_sdk import Keypoints, Pose3DEngine, solve_root
from hot_sdk._base.tables import Table
from hot_sdk.bones import standing_height
from hot_sdk.root.joint_motion import JointState, smooth_joints, step_joints
from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose

Doubles = NDArray[np.float64]

_SIZE = (1280, 720)
_FRAMES = 100
_WARM_UP, _END = 15, 6
_LAG = 5
_WRISTS = [H36M17.joints.index(f"{side}_wrist") for side in ("right", "left")]
_LOWER = [0, 1, 2, 3, 4, 5, 6, 7]
_TABLE = "behind a table"
_OTHERS = ("14_31", "14_19", "14_33")
"""Sequences that no setting of the filter was chosen on."""

_BEFORE, _AT_ONCE, _CLIP = "before", "at once", "whole clip"
_SHARES = (50, 68, 95)
_ONE_AXIS = (0.6745, 1.0, 1.96)
_THREE_AXES = (2.3660, 3.5059, 7.8147)
"""Squares of the distance, in standard deviations, that hold these shares of three errors."""


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


@dataclass(frozen=True)
class Row:
    """The errors in one kind of scene, by one method: root mean squares over frames and scenes.

    Attributes:
        scene: What is seen.
        method: How people are placed.
        root_mm: Of the root.
        wrist_mm: Of both wrists in the robot's frame.
        root_m_s: Of the root's velocity.
        wrist_m_s: Of the wrists' velocities.
        jitter_mm: Of the step from one frame to the next of the wrists, beyond the true step.
        lag_ms: Time before, at which the wrists truly were where they are said to be.
        known: Percent of frames that say where a wrist is that is seen.
    """

    scene: str
    method: str
    root_mm: float
    wrist_mm: float
    root_m_s: float
    wrist_m_s: float
    jitter_mm: float
    lag_ms: float
    known: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_scene_study("robot_scenes", __doc__, arguments, _measured)


def _measured(seeds: int) -> Measured:
    rows: list[Row] = []
    sure: dict[str, list[Track]] = {}
    with Pose3DEngine("starter") as engine:
        for kind, cases in _cases(seeds).items():
            tracks: dict[str, list[Track]] = {}
            for case in cases:
                for method, found in _tracks(engine, case).items():
                    tracks.setdefault(method, []).extend(found)
            rows += [_row(kind, method, found) for method, found in tracks.items()]
            for method, found in tracks.items():
                if method in (_AT_ONCE, f"{_LAG} frames later", _CLIP):
                    where = f"{method}, {kind}" if kind == _TABLE else method
                    sure.setdefault(where, []).extend(found)
    coverage = {method: _coverage(found) for method, found in sure.items()}
    figures = {"errors": [vars(row) for row in rows], "coverage": coverage}
    return [error_table(rows), coverage_table(coverage)], figures


def _cases(seeds: int) -> dict[str, list[Case]]:
    walks = [(WALKS[seed % len(WALKS)], 200 + seed) for seed in range(seeds)]
    others = [(_OTHERS[seed % len(_OTHERS)], 300 + seed) for seed in range(seeds)]
    lost = tuple(slice(at, at + 5) for at in range(30, _FRAMES, 25))

    def cases(kind: str, size: float = 1.0, *, people: int = 1, **told: Any) -> list[Case]:  # noqa: ANN401
        hidden = told.pop("hidden", None)
        unseen = told.pop("unseen", ())
        found = []
        for name, seed in told.pop("of", walks):
            group = [
                scene(name, seed + 50 * one, size=size, frames=_FRAMES, unseen=unseen)
                for one in range(people)
            ]
            for one in group:
                if hidden is not None:
                    one.points[:, _LOWER] = np.nan
            found.append(Case(kind, tuple(group), **told))
        return found

    return {
        "walks": cases("walks"),
        "walks, height stated": cases("walks", height=True),
        "0.85 of the size, height stated": cases("small", 0.85, height=True),
        "1.15 of the size, ground stated": cases("large", 1.15, ground=True),
        "5 of 25 frames lost": cases("lost", height=True, unseen=lost),
        "leaves for 1.3 s, returns": cases("away", height=True, unseen=(slice(35, 75),)),
        "two people": cases("two", people=2, height=True),
        "other motion": cases("other", height=True, of=others),
        _TABLE: cases("table", height=True, root="auto", hidden=True),
    }


def _tracks(engine: Pose3DEngine, case: Case) -> dict[str, list[Track]]:
    found: dict[str, list[Track]] = {}
    for lookahead in (0, _LAG):
        poses = _streamed(engine, case, lookahead)
        if lookahead == 0:
            found[_BEFORE] = [_before(one, poses[at], case) for at, one in enumerate(case.people)]
        name = f"{lookahead} frames later" if lookahead else _AT_ONCE
        found[name] = [_after(one, poses[at]) for at, one in enumerate(case.people)]
    found[_CLIP] = [_clip(engine, case, one) for one in case.people]
    for name, causal in ((_AT_ONCE, True), (_CLIP, False)):
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


def _inside(track: Track) -> slice:
    """Return the frames that count: nobody knows the velocity of someone who has just come."""
    return slice(_WARM_UP, len(track.truth) - _END)


def _row(kind: str, method: str, tracks: Sequence[Track]) -> Row:
    root, wrist, root_speed, wrist_speed, steps, lags, known = ([] for _ in range(7))
    for track in tracks:
        inside = _inside(track)
        root.append((track.root - track.true_root)[inside])
        apart = track.joints - track.truth
        wrist.append(apart[inside][:, _WRISTS])
        root_speed.append((track.root_velocity - track.true_root_velocity)[inside])
        true = np.gradient(track.truth, 1.0 / FPS, axis=0)
        wrist_speed.append((track.velocity - true)[inside][:, _WRISTS])
        steps.append(np.diff(apart[inside][:, _WRISTS], axis=0))
        lags.append(_lag_s(track, inside))
        known.append(np.isfinite(track.joints[inside][:, _WRISTS, 0]))
    return Row(
        scene=kind,
        method=method,
        root_mm=1000.0 * _rms(root),
        wrist_mm=1000.0 * _rms(wrist),
        root_m_s=_rms(root_speed),
        wrist_m_s=_rms(wrist_speed),
        jitter_mm=1000.0 * _rms(steps),
        lag_ms=1000.0 * float(np.nanmean(lags)) if np.isfinite(lags).any() else float("nan"),
        known=100.0 * float(np.concatenate(known).mean()),
    )


def _lag_s(track: Track, inside: slice) -> float:
    """Return the time before, at which the true wrists are nearest to those that are said."""
    delays = np.arange(-4, 9)
    found = track.joints[:, _WRISTS]
    centered = found - np.nanmean(found - track.truth[:, _WRISTS], axis=0)
    apart = [
        float(np.nanmean((centered - np.roll(track.truth, delay, axis=0)[:, _WRISTS])[inside] ** 2))
        for delay in delays
    ]
    if not np.isfinite(apart).all():
        return float("nan")
    at = int(np.clip(np.argmin(apart), 1, len(delays) - 2))
    before, middle, after = apart[at - 1 : at + 2]
    return float(delays[at] + 0.5 * (before - after) / (before - 2.0 * middle + after)) / FPS


def _rms(parts: Sequence[Doubles]) -> float:
    squares = (np.concatenate([part.reshape(-1, 3) for part in parts]) ** 2).sum(axis=-1)
    known = squares[np.isfinite(squares)]
    return float(np.sqrt(known.mean())) if len(known) else float("nan")


def _coverage(tracks: Sequence[Track]) -> dict[str, list[float]]:
    """Return the percent of errors inside the stated 50, 68 and 95 %, by what they are of."""
    held: dict[str, list[list[NDArray[np.bool_]]]] = {}
    for track in tracks:
        inside = _inside(track)
        true = np.gradient(track.truth, 1.0 / FPS, axis=0)
        own = np.sqrt(np.diagonal(track.covariance, axis1=-2, axis2=-1))[inside]
        ratio = np.abs(track.relative[inside]) / np.where(own > 0.0, own, np.nan)
        inner = [ratio[np.isfinite(ratio)] < limit for limit in _ONE_AXIS]
        held.setdefault("pose, each axis", []).append(inner)
        here = np.arange(len(track.truth))[:, None]
        roots = track.origins[:, None]
        for name, which, errors, covariance in (
            ("root in the frame", roots, track.joints - track.truth, track.joints_covariance),
            ("root's velocity", roots, track.velocity - true, track.velocity_covariance),
            ("wrists in the frame", _WRISTS, track.joints - track.truth, track.joints_covariance),
            ("wrists' velocity", _WRISTS, track.velocity - true, track.velocity_covariance),
        ):
            squares = _distance(errors[here, which][inside], covariance[here, which][inside])
            held.setdefault(name, []).append([squares < limit for limit in _THREE_AXES])
    return {
        name: [100.0 * float(np.concatenate(one).mean()) for one in zip(*parts, strict=True)]
        for name, parts in held.items()
    }


def _distance(errors: Doubles, covariance: Doubles) -> Doubles:
    known = np.isfinite(errors).all(axis=-1) & np.isfinite(covariance).all(axis=(-1, -2))
    errors, covariance = errors[known], covariance[known]
    solved = np.linalg.solve(covariance, errors[..., None])[..., 0]
    squares: Doubles = (errors * solved).sum(axis=-1)
    return squares


def error_table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    titles = ("scene", "method", "root mm", "wrist mm", "root m/s", "wrist m/s", "jitter mm")
    return Table(
        "What a robot gets, in its frame (rms over frames)",
        (*titles, "lag ms", "known %"),
        tuple(
            (
                row.scene,
                row.method,
                f"{row.root_mm:.0f}",
                f"{row.wrist_mm:.0f}",
                f"{row.root_m_s:.2f}",
                f"{row.wrist_m_s:.2f}",
                f"{row.jitter_mm:.1f}",
                f"{row.lag_ms:.0f}",
                f"{row.known:.0f}",
            )
            for row in rows
        ),
        note="Lag: of the wrists against the time that the pose is of; waiting for later frames"
        " comes on top. Known: of frames, whether the person is seen or not.",
        text_columns=2,
    )


def coverage_table(coverage: dict[str, dict[str, list[float]]]) -> Table:
    """Return how many errors are inside what is stated."""
    return Table(
        "Errors inside the stated shares, percent",
        ("method", "of", *(f"{share} %" for share in _SHARES)),
        tuple(
            (method, name, *(f"{share:.0f}" for share in shares))
            for method, found in coverage.items()
            for name, shares in found.items()
        ),
        text_columns=2,
    )


if __name__ == "__main__":
    sys.exit(main())
