"""Anatomical angles of joints, from the 17 joints of Human3.6M.

Axes of a body are those of the International Society of Biomechanics (ISB): X forward, Y up along
the trunk, Z to the person's right. Signs follow Wu et al., J. Biomech. 35 (2002) 543-548 for the
hip, Wu et al., J. Biomech. 38 (2005) 981-992 for shoulder and elbow, and Grood and Suntay,
J. Biomech. Eng. 105 (1983) 136-144 for the knee. These define segments by bony landmarks, which the
17 joints are not, so that:

- The trunk's axis, from pelvis to thorax, stands for both the pelvis's and the thorax's Y axis; the
  tilt of the pelvis against the spine is not known, and flexion of the hip is against the trunk.
- The line through both hips, and that through both shoulders, made perpendicular to the trunk's
  axis, stand for the Z axes of pelvis and thorax. Shoulders move against the thorax.
- The rotation of a limb about its own axis (of thigh, shin, upper arm; pronation of the forearm) is
  not known, nor are ankles, wrists, hands and feet.
- Without it, knees and elbows have no axis of their own: their flexion is the angle between two
  bones. It is never negative, so that overextension looks like flexion, and noise bends a straight
  joint.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.validation import closest
from hot_sdk.camera_knowledge import Up, checked_up
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.result import ROBOT_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17

Floats = NDArray[np.float64]

Bone = tuple[int, int]
"""From one joint to another."""

PELVIS, THORAX = H36M17.joints.index("pelvis"), H36M17.joints.index("thorax")

_TRUNK_DOWN = (THORAX, PELVIS)
BENDS: Mapping[str, tuple[tuple[Bone, Bone], tuple[Bone, Bone]]] = {
    "knee": (((1, 2), (2, 3)), ((4, 5), (5, 6))),
    "elbow": (((14, 15), (15, 16)), ((11, 12), (12, 13))),
    "hip": ((_TRUNK_DOWN, (1, 2)), (_TRUNK_DOWN, (4, 5))),
    "shoulder": ((_TRUNK_DOWN, (14, 15)), (_TRUNK_DOWN, (11, 12))),
}
"""The two bones, right and left, whose angle is 0 if they continue each other; see ``bends``."""

_HIPS, _SHOULDERS = (4, 1), (11, 14)  # From left to right.
_THIGHS, _UPPER_ARMS = ((1, 2), (4, 5)), ((14, 15), (11, 12))

_SIDES = ("right", "left")
_OF_A_SIDE = (
    "hip_flexion",
    "hip_adduction",
    "knee_flexion",
    "shoulder_elevation",
    "shoulder_elevation_plane",
    "elbow_flexion",
)
_OF_THE_TRUNK = ("trunk_rotation", "trunk_lean", "trunk_lean_forward", "trunk_lean_right")
ANGLE_NAMES = (*(f"{side}_{name}" for name in _OF_A_SIDE for side in _SIDES), *_OF_THE_TRUNK)
"""The names of all angles, in the order of ``JointAngles.degrees``."""

NO_PLANE_DEGREES = 10.0
"""Closer than this to the trunk's axis, an arm hangs or points up in no particular plane."""


@dataclass(frozen=True, eq=False)
class JointAngles:
    """Anatomical angles over time, degrees; of both sides, ``right_...`` and ``left_...``.

    - ``hip_flexion``: of the thigh against the trunk, about the line through the hips; positive
      forward, 0 if one stands, about 90 if one sits.
    - ``hip_adduction``: of the thigh out of the plane of flexion; positive to the other leg's side,
      negative in abduction.
    - ``knee_flexion``, ``elbow_flexion``: 0 if the limb is straight, never negative.
    - ``shoulder_elevation``: of the upper arm against the trunk; 0 if the arm hangs, 180 if it is
      raised. ISB counts it negative.
    - ``shoulder_elevation_plane``: where to, about the trunk's axis, against the line through the
      shoulders: 0 aside (abduction), 90 forward (flexion), -90 backward (extension). NaN within
      ``NO_PLANE_DEGREES`` of hanging or raised straight up, where it is not defined.
    - ``trunk_rotation``: of the shoulders against the hips about the trunk's axis; positive if the
      shoulders are turned to the left.
    - ``trunk_lean``: of the trunk's axis against the direction away from the ground, 0 to 180; with
      its parts ``trunk_lean_forward`` (positive forward, about the horizontal line that is closest
      to that through the hips) and ``trunk_lean_right`` (positive to the person's right, out of
      that plane). NaN if up is not known.

    The convention and its sources are stated in ``hot_sdk.results.angles``.

    Attributes:
        degrees: (frames, angles), in the order of ``names``; NaN where a joint that it needs is not
            valid or has no value. Read-only.
        names: Names of the angles.
        timestamps: (frames,), seconds, those of the result; None if poses were given as an array.
        first_frame: Number of the first frame, as in the result.
    """

    degrees: Floats
    names: tuple[str, ...] = ANGLE_NAMES
    timestamps: Floats | None = None
    first_frame: int = 0

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.degrees)

    @property
    def radians(self) -> Floats:
        """The same angles in radians, (frames, angles)."""
        return np.radians(self.degrees)

    def angle(self, name: str) -> Floats:
        """Return one angle over time, (frames,), degrees.

        Raises:
            UsageError: There is no angle of this name.
        """
        if name not in self.names:
            raise UsageError(f"Unknown angle {name!r}.", hint=closest(str(name), self.names))
        view: Floats = self.degrees[:, self.names.index(name)]
        return view

    def to_dict(self) -> dict[str, Any]:
        """Return the angles as a dictionary that JSON can hold; None stands for NaN."""
        return {
            "unit": "degrees",
            "first_frame": self.first_frame,
            "timestamps": None if self.timestamps is None else self.timestamps.tolist(),
            "angles": {
                name: [None if np.isnan(value) else value for value in column.tolist()]
                for name, column in zip(self.names, self.degrees.T, strict=True)
            },
        }

    def save(self, path: str | Path) -> Path:
        """Write a csv file: one row for each frame, after a line that begins with ``#``.

        ``pandas.read_csv(path, comment="#")`` reads it; NaN is an empty cell.

        Args:
            path: The file; an existing one is replaced when the new one is complete.

        Returns:
            The path.

        Raises:
            UsageError: The name does not end in .csv, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".csv":
            raise UsageError(f"'{path.name}' does not end in .csv.", hint="Name it so.")
        require_writable_target(path)
        text = io.StringIO(newline="")
        text.write(f"# {json.dumps({'unit': 'degrees'})}\n")
        writer = csv.writer(text, lineterminator="\n")
        timed = self.timestamps is not None
        writer.writerow(["frame", *(["timestamp"] if timed else []), *self.names])
        for frame, row in enumerate(self.degrees.tolist()):
            time = [] if self.timestamps is None else [repr(float(self.timestamps[frame]))]
            # A ten thousandth of a degree is less than any pose is known to.
            cells = ["" if np.isnan(value) else f"{value:.4f}" for value in row]
            writer.writerow([self.first_frame + frame, *time, *cells])
        with replaced_on_success(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        return path


def joint_angles(
    poses: Pose3DResult | ArrayLike, *, valid: ArrayLike | None = None, up: Up | None = None
) -> JointAngles:
    """Return the anatomical angles of each frame.

    Args:
        poses: A result; or (frames, 17, 3), joints of ``H36M17`` in any unit, relative to any
            point, along right-handed axes such as a camera's or a robot's.
        valid: (frames, 17), of an array of poses: angles that need a joint that is not are NaN. Of
            a result, ``result.valid`` is taken.
        up: The direction away from the ground along the axes of the poses: (3,), or (frames, 3)
            with NaN where it is unknown; or, of poses along a camera's axes, the camera's pose on a
            robot that stands level. None leaves the trunk's lean NaN, unless the result is along a
            robot's axes, whose z is up.

    Raises:
        ResultError: The poses or ``valid`` have another shape.
        UsageError: ``valid`` is given with a result, or ``up`` has another shape or no direction,
            or is a camera's pose for a result along a robot's axes.
    """
    timestamps, first_frame = None, 0
    if isinstance(poses, Pose3DResult):
        timestamps, first_frame = poses.timestamps, poses.first_frame
        up = _up_of(poses, up)
    joints = known_joints(poses, valid)
    direction = None if up is None else checked_up(up, len(joints))
    degrees = np.column_stack(list(_angles(joints, direction)))
    degrees.setflags(write=False)
    return JointAngles(degrees, ANGLE_NAMES, timestamps, first_frame)


def known_joints(poses: Pose3DResult | ArrayLike, valid: ArrayLike | None) -> Floats:
    """Return the joints of poses, (frames, 17, 3), NaN where they are not valid.

    Raises:
        ResultError: The poses or ``valid`` have another shape, or are no numbers.
        UsageError: ``valid`` is given with a result.
    """
    if isinstance(poses, Pose3DResult):
        if valid is not None:
            raise UsageError("valid is given with a result, which has its own.", hint="Omit it.")
        valid, poses = poses.valid, poses.poses
    try:
        joints = np.array(poses, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ResultError(
            f"The poses are no array of numbers: {poses!r:.80}.", hint="Give a result or an array."
        ) from error
    if joints.ndim != 3 or joints.shape[1:] != (len(H36M17.joints), 3):
        raise ResultError(
            f"The poses have shape {joints.shape}; expected (frames, 17, 3).",
            hint="Give all joints of H36M17; of one frame, pose[None].",
        )
    if valid is not None:
        mask = np.asarray(valid)
        if mask.shape != joints.shape[:2]:
            raise ResultError(
                f"valid has shape {mask.shape}; expected {joints.shape[:2]}.",
                hint="Give one value for each joint of each frame.",
            )
        joints[~mask.astype(np.bool_)] = np.nan
    return joints


def bends(poses: Floats) -> Floats:
    """Return the angles of ``BENDS``, (frames, 8), right and left of each, 0 to 180 degrees.

    Those of knee and elbow are their flexion, that of the shoulder is its elevation; that of the
    hip is how far the thigh is from the trunk's axis, whether forward or aside.

    Args:
        poses: (frames, 17, 3).
    """
    pairs = np.array([pair for sides in BENDS.values() for pair in sides])
    bones = poses[:, pairs[..., 1]] - poses[:, pairs[..., 0]]
    return degrees_between(bones[:, :, 0], bones[:, :, 1])


def trunk_lean(poses: Floats, up: Floats) -> Floats:
    """Return the angle between the trunk's axis and up, (frames,), 0 to 180 degrees.

    Args:
        poses: (frames, 17, 3).
        up: (3,) or (frames, 3), away from the ground, of any length.
    """
    trunk = poses[:, THORAX] - poses[:, PELVIS]
    return degrees_between(trunk, np.broadcast_to(up, trunk.shape))


def degrees_between(first: Floats, second: Floats) -> Floats:
    """Return the angle between vectors (..., 3), 0 to 180 degrees; NaN if one has no length."""
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    along = (first * second).sum(axis=-1)
    angle: Floats = np.degrees(np.arctan2(across, along))
    return np.where((across == 0.0) & (along == 0.0), np.nan, angle)


def _up_of(result: Pose3DResult, up: Up | None) -> Up | None:
    if result.axes != ROBOT_AXES:
        return up
    if isinstance(up, CameraPose):
        raise UsageError(
            "up is a camera's pose, and the result is along a robot's axes already.",
            hint="Leave it out: z is up.",
        )
    return (0.0, 0.0, 1.0) if up is None else up


def _angles(joints: Floats, up: Floats | None) -> tuple[Floats, ...]:
    """Return the angles in the order of ``ANGLE_NAMES``, each (frames,)."""
    bent = dict(zip(BENDS, np.split(bends(joints), len(BENDS), axis=1), strict=True))
    trunk = joints[:, THORAX] - joints[:, PELVIS]
    pelvis, thorax = (_axes(trunk, _bone(joints, across)) for across in (_HIPS, _SHOULDERS))
    flexions, adductions, planes = [], [], []
    for mirror, thigh, arm, elevation in zip(
        (1.0, -1.0), _THIGHS, _UPPER_ARMS, bent["shoulder"].T, strict=True
    ):
        flexion, aside = _swing(-_along(pelvis, _bone(joints, thigh)))
        flexions.append(-flexion)
        adductions.append(mirror * aside)
        ahead, _, right = np.moveaxis(_along(thorax, _bone(joints, arm)), -1, 0)
        plane = np.degrees(np.arctan2(ahead, mirror * right))
        undefined = np.minimum(elevation, 180.0 - elevation) < NO_PLANE_DEGREES
        planes.append(np.where(undefined, np.nan, plane))
    ahead, _, right = np.moveaxis(_along(pelvis, _bone(joints, _SHOULDERS)), -1, 0)
    lean, forward, sideways = (np.full(len(joints), np.nan) for _ in range(3))
    if up is not None:
        upright = _axes(np.broadcast_to(up, trunk.shape), _bone(joints, _HIPS))
        lean = trunk_lean(joints, up)
        forward, sideways = _swing(_along(upright, trunk))
    return (
        *flexions,
        *adductions,
        *bent["knee"].T,
        *bent["shoulder"].T,
        *planes,
        *bent["elbow"].T,
        np.degrees(np.arctan2(ahead, right)),
        lean,
        forward,
        sideways,
    )


def _swing(upwards: Floats) -> tuple[Floats, Floats]:
    """Return how far vectors lean from Y, forward about Z and then to the right, degrees.

    These are the first two angles of Grood and Suntay's sequence, flexion and adduction.
    """
    ahead, above, right = np.moveaxis(upwards, -1, 0)
    forward = np.degrees(np.arctan2(ahead, above))
    return forward, np.degrees(np.arctan2(right, np.hypot(ahead, above)))


def _axes(upwards: Floats, across: Floats) -> Floats:
    """Return axes X, Y and Z as rows, (frames, 3, 3): Y along the first, Z towards the second."""
    above = unit(upwards)
    right = unit(across - (across * above).sum(axis=-1, keepdims=True) * above)
    return np.stack([np.cross(above, right), above, right], axis=-2)


def _along(axes: Floats, vectors: Floats) -> Floats:
    """Return the parts of directions along axes, NaN if they have no length."""
    parts: Floats = np.einsum("fij,fj->fi", axes, unit(vectors))
    return parts


def _bone(joints: Floats, bone: Bone) -> Floats:
    return joints[:, bone[1]] - joints[:, bone[0]]


def unit(vectors: Floats) -> Floats:
    """Return vectors (..., 3) of length 1; NaN if they have no length."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Floats = np.full_like(vectors, np.nan)
    np.divide(vectors, length, out=found, where=length > 0.0)
    return found
