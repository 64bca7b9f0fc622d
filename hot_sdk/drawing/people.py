"""What is drawn of one person, in one frame and over a clip."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.bones import bone_lengths
from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.results.result import METERS, MILLIMETERS, ROBOT_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17

_ROBOT_TO_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Hip to ankle along the leg of an adult, meters, the size at which a model without a metric unit
# is drawn (thigh and shin of the median man in Winter, Biomechanics of Human Movement, at 1.75 m).
_LEG_M = 0.86


@dataclass(frozen=True, eq=False)
class PersonFrame:
    """One person in one frame.

    Attributes:
        track_id: Shown next to the person; None shows nothing.
        keypoints_2d: (joints, 2), pixels of the video's image; not finite if missing. None draws
            none.
        scores: (joints,), 0 to 1, 0 if a joint is missing; None if there are none.
        links: Pairs of indices of ``keypoints_2d``.
        left: Indices of the left joints of ``keypoints_2d``.
        right: Indices of the right ones.
        pose: (17, 3), the joints of ``H36M17`` relative to the pelvis, meters along the camera's
            axes (x right, y down, z forward). None if there is no pose.
        valid: (17,), False if a joint is only the network's guess.
        root: (3,), the pelvis's position in meters along the same axes, if known.

    Raises:
        UsageError: An array has the wrong shape, or an index is out of range.
    """

    track_id: int | str | None = None
    keypoints_2d: NDArray[np.floating] | None = None
    scores: NDArray[np.floating] | None = None
    links: tuple[tuple[int, int], ...] = ()
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    pose: NDArray[np.floating] | None = None
    valid: NDArray[np.bool_] = field(default_factory=lambda: np.ones(17, dtype=np.bool_))
    root: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        points = self.keypoints_2d
        joints = 0 if points is None or points.ndim < 1 else len(points)
        shapes = {
            "keypoints_2d": (joints, 2),
            "scores": (joints,),
            "pose": (17, 3),
            "valid": (17,),
            "root": (3,),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise UsageError(
                    f"{name} has shape {values.shape}; expected {shape}.", hint="Give one frame."
                )
        ends = [end for link in self.links for end in link]
        if points is not None and ends and not 0 <= min(ends) <= max(ends) < joints:
            raise UsageError(
                f"A link goes from {min(ends)} to {max(ends)}, and there are {joints} joints.",
                hint="Use the links of the keypoints' own skeleton.",
            )


@dataclass(frozen=True, eq=False)
class PersonClip:
    """One person over a clip, drawn frame by frame.

    Attributes:
        keypoints: The lifted keypoints, on the video's own frames.
        result: The poses of the same frames; None to draw the keypoints alone.
        first_frame: The video's frame at which these begin; None for the keypoints' own.

    Raises:
        UsageError: Keypoints and poses differ in their number of frames.
    """

    keypoints: Keypoints
    result: Pose3DResult | None = None
    first_frame: int | None = None

    def __post_init__(self) -> None:
        if self.result is not None and len(self.result) != len(self.keypoints):
            raise UsageError(
                f"There are {len(self.keypoints)} frames of keypoints and {len(self.result)}"
                " poses.",
                hint="Give the keypoints that the poses were lifted from.",
            )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.keypoints)

    @property
    def start(self) -> int:
        """The video's frame at which the clip begins."""
        return self.keypoints.first_frame if self.first_frame is None else self.first_frame

    @property
    def track_id(self) -> int | str | None:
        """The person's id."""
        if self.keypoints.track_id is None and self.result is not None:
            return self.result.track_id
        return self.keypoints.track_id

    @functools.cached_property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Indices of the left and of the right keypoints."""
        skeleton = self.keypoints.skeleton_format
        left, right = (
            tuple(skeleton.joints.index(name) for name in names)
            for names in (skeleton.left, skeleton.right)
        )
        return left, right

    @functools.cached_property
    def poses_m(self) -> NDArray[np.float64] | None:
        """(frames, 17, 3), relative to the pelvis, along the camera's axes, apparent meters."""
        return None if self.result is None else _in_camera_m(self.result, self.result.poses)

    @functools.cached_property
    def roots_m(self) -> NDArray[np.float64] | None:
        """(frames, 3), the pelvis's positions along the camera's axes, meters, if known."""
        if self.result is None or self.result.root is None:
            return None
        return _in_camera_m(self.result, self.result.root)

    def frame(self, number: int) -> PersonFrame | None:
        """Return what is drawn in a frame of the video; None if it is outside of this clip.

        A pose without a single valid joint is not drawn, because no person was seen.
        """
        at = number - self.start
        if not 0 <= at < len(self):
            return None
        scores, poses, roots = self.keypoints.scores, self.poses_m, self.roots_m
        valid = np.ones(17, dtype=np.bool_) if self.result is None else self.result.valid[at]
        return PersonFrame(
            track_id=self.track_id,
            keypoints_2d=self.keypoints.points[at],
            scores=None if scores is None else scores[at],
            links=self.keypoints.skeleton_format.link_indices,
            left=self.sides[0],
            right=self.sides[1],
            pose=poses[at] if poses is not None and valid.any() else None,
            valid=valid,
            root=roots[at] if roots is not None and np.isfinite(roots[at]).all() else None,
        )


def _in_camera_m(result: Pose3DResult, points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return points in meters along the camera's axes."""
    values = points.astype(np.float64) * _meters_per_unit(result)
    return values @ _ROBOT_TO_CAMERA if result.axes == ROBOT_AXES else values


def _meters_per_unit(result: Pose3DResult) -> float:
    """Return the factor that turns poses into meters.

    Poses without a metric unit are drawn as if their median leg were an adult's, which affects only
    the size in the picture.
    """
    if result.unit in (METERS, MILLIMETERS):
        return 1.0 if result.unit == METERS else 1e-3
    lengths = bone_lengths(result.poses)
    thigh, shin = (
        lengths[:, [H36M17.joints.index(f"{side}_{joint}") for side in ("left", "right")]]
        for joint in ("knee", "ankle")
    )
    leg = float(np.median(thigh + shin)) if len(result) else 0.0
    return _LEG_M / leg if math.isfinite(leg) and leg > 0.0 else 1.0
