"""What is drawn of one person, in one frame and over a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.results.result import METERS, MILLIMETERS, ROBOT_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17

_ROBOT_TO_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Hip to ankle over the whole leg of an adult, metres: what a model without a metric unit is drawn
# at (thigh and shin of the median man in Winter, Biomechanics of Human Movement, at 1.75 m).
_LEG_M = 0.86


@dataclass(frozen=True, eq=False)
class PersonFrame:
    """One person in one frame.

    Attributes:
        track_id: Shown beside the person; None shows nothing.
        keypoints_2d: (joints, 2), pixels of the video's image; not finite where missing. None
            where there are none.
        scores: (joints,), 0 to 1, 0 where a joint is missing; None where there are none.
        links: Pairs of indices of ``keypoints_2d``.
        left: Indices of the left joints of ``keypoints_2d``.
        right: Indices of the right ones.
        pose: (17, 3), the joints of ``H36M17`` relative to the pelvis, metres along the camera's
            axes (x right, y down, z forward). None where there is no pose.
        valid: (17,), False where a joint is only the network's guess.
        root: (3,), the pelvis's position in metres along the same axes, where it is known.

    Raises:
        UsageError: A shape is another, or an index is out of range.
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
        shapes = (
            ("keypoints_2d", points, (joints, 2)),
            ("scores", self.scores, (joints,)),
            ("pose", self.pose, (17, 3)),
            ("valid", self.valid, (17,)),
            ("root", self.root, (3,)),
        )
        for name, values, shape in shapes:
            if values is not None and values.shape != shape:
                raise UsageError(
                    f"{name} has shape {values.shape}; expected {shape}.", hint="Give one frame."
                )
        ends = [end for link in self.links for end in link]
        if points is not None and ends and not 0 <= min(ends) <= max(ends) < joints:
            raise UsageError(
                f"A link goes from {min(ends)} to {max(ends)} where there are {joints} joints.",
                hint="Take the links of the keypoints' own skeleton.",
            )


@dataclass(frozen=True, eq=False)
class PersonClip:
    """One person over a clip, whose frames are asked for one by one.

    Attributes:
        keypoints: What was lifted, on the video's own frames.
        result: The poses of the same frames; None to draw the keypoints alone.
        first_frame: The video's frame that these begin with.

    Raises:
        UsageError: Keypoints and poses differ in their number of frames.
    """

    keypoints: Keypoints
    result: Pose3DResult | None = None
    first_frame: int = 0
    _sides: tuple[tuple[int, ...], tuple[int, ...]] = field(init=False, repr=False)
    _poses: NDArray[np.float64] | None = field(init=False, repr=False)
    _roots: NDArray[np.float64] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        result = self.result
        if result is not None and len(result) != len(self.keypoints):
            raise UsageError(
                f"There are {len(self.keypoints)} frames of keypoints and {len(result)} poses.",
                hint="Give the keypoints that the poses were lifted from.",
            )
        to_metres = 1.0 if result is None else metres_per_unit(result)
        poses = None if result is None else _camera_axes(result, result.poses) * to_metres
        has_root = result is not None and result.root is not None and math.isfinite(to_metres)
        roots = None
        if has_root and result is not None and result.root is not None:
            roots = _camera_axes(result, result.root) * to_metres
        skeleton = self.keypoints.format
        sides = tuple(
            tuple(skeleton.joints.index(name) for name in names)
            for names in (skeleton.left, skeleton.right)
        )
        object.__setattr__(self, "_sides", sides)
        object.__setattr__(self, "_poses", poses)
        object.__setattr__(self, "_roots", roots)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.keypoints)

    @property
    def track_id(self) -> int | str | None:
        """Whose clip it is."""
        if self.keypoints.track_id is None and self.result is not None:
            return self.result.track_id
        return self.keypoints.track_id

    @property
    def poses_m(self) -> NDArray[np.float64] | None:
        """(frames, 17, 3), relative to the pelvis, along the camera's axes, metres to the eye."""
        return self._poses

    @property
    def roots_m(self) -> NDArray[np.float64] | None:
        """(frames, 3), the pelvis's positions along the camera's axes, metres, where known."""
        return self._roots

    def frame(self, number: int) -> PersonFrame | None:
        """What is drawn in a frame of the video; None where this clip does not reach it.

        A pose without a single valid joint is not drawn: nobody was there.
        """
        at = number - self.first_frame
        if not 0 <= at < len(self):
            return None
        points, scores = self.keypoints.points, self.keypoints.scores
        pose = root = None
        valid = np.ones(len(H36M17.joints), dtype=np.bool_)
        if self._poses is not None and self.result is not None:
            valid = self.result.valid[at]
            pose = self._poses[at] if valid.any() else None
        if self._roots is not None and np.isfinite(self._roots[at]).all():
            root = self._roots[at]
        return PersonFrame(
            track_id=self.track_id,
            keypoints_2d=points[at],
            scores=None if scores is None else scores[at],
            links=self.keypoints.format.link_indices,
            left=self._sides[0],
            right=self._sides[1],
            pose=pose,
            valid=valid,
            root=root,
        )


def metres_per_unit(result: Pose3DResult) -> float:
    """What to multiply poses with to draw them in metres.

    Poses without a metric unit are drawn as if their median leg were an adult's, which changes
    nothing but the size on the screen.
    """
    if result.unit == METERS:
        return 1.0
    if result.unit == MILLIMETERS:
        return 1e-3
    hip, knee, ankle = (
        [H36M17.joints.index(f"{side}_{joint}") for side in ("left", "right")]
        for joint in ("hip", "knee", "ankle")
    )
    thigh = np.linalg.norm(result.poses[:, hip] - result.poses[:, knee], axis=-1)
    shin = np.linalg.norm(result.poses[:, knee] - result.poses[:, ankle], axis=-1)
    leg = float(np.median(thigh + shin)) if len(result) else 0.0
    return _LEG_M / leg if math.isfinite(leg) and leg > 0.0 else 1.0


def _camera_axes(result: Pose3DResult, points: NDArray[np.float32]) -> NDArray[np.float64]:
    values = points.astype(np.float64)
    return values @ _ROBOT_TO_CAMERA if result.axes == ROBOT_AXES else values
