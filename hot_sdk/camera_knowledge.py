"""Check what is known of the camera that took keypoints, and of the person's height.

A camera's intrinsics turn keypoints into rays, and the direction away from the ground tells how the
camera leans, both of which a network otherwise has to guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import UsageError
from hot_sdk.skeletons import H36M17

MIN_HEIGHT_M, MAX_HEIGHT_M = 0.5, 2.5

_LENGTH_UNITS = {"centimeters": 0.01, "millimeters": 0.001, "inches": 0.0254, "feet": 0.3048}
"""Meters of what heights are given in by mistake."""

_NO_LENGTH = 1e-6
_FARTHEST = 1e6
_CONTRARY, _ACROSS = -0.5, 0.5
"""Cosines between a trunk and the up direction in the image from which down they are opposite, and
one is at least across the other."""

_UPRIGHT = 0.85
"""Cosine in the image between a trunk and the upward axis, and between up and the x axis."""

MOST_VERTICAL = 0.97
"""Part of the up direction along the viewing direction from which gravity tells nothing."""

_PELVIS, _THORAX = (H36M17.joints.index(name) for name in ("pelvis", "thorax"))

_UP = (
    "Give the direction away from the ground along the camera's axes (x right, y down, z forward):"
    " (0, -1, 0) for a level camera, what an accelerometer at rest measures, or a CameraPose."
)

Doubles = NDArray[np.float64]
Up = ArrayLike | CameraPose


@dataclass(frozen=True, eq=False)
class CameraKnowledge:
    """What is known of a camera and a person, checked.

    Attributes:
        camera: The camera's intrinsics; None if they are unknown.
        up: The direction away from the ground along the camera's axes, of length 1: (3,), or
            (frames, 3) with NaN where it is unknown; None if it always is.
        height_m: The person's standing height, meters; None if it is unknown.
    """

    camera: Intrinsics | None = None
    up: Doubles | None = None
    height_m: float | None = None

    def up_of(self, frames: slice | NDArray[np.int64]) -> Doubles | None:
        """Return the directions of some frames, (frames, 3), or the one of all of them, (3,)."""
        return self.up if self.up is None or self.up.ndim == 1 else self.up[frames]

    def usable_with(self, conditions: Sequence[str]) -> CameraKnowledge:
        """Return what of it a network can be told.

        Args:
            conditions: Names of what the network can be told; see ``Manifest``.
        """
        camera = self.camera if "intrinsics_known" in conditions else None
        return CameraKnowledge(
            camera,
            self.up if camera is not None and "gravity_known" in conditions else None,
            self.height_m if "height_known" in conditions else None,
        )

    def stated(self) -> tuple[str, ...]:
        """Name what is known, for messages."""
        values = {
            "the camera's intrinsics": self.camera,
            "the direction of gravity": self.up,
            "the person's height": self.height_m,
        }
        return tuple(name for name, value in values.items() if value is not None)


def checked_knowledge(
    camera: object, up: Up | None, height_m: object, *, frames: int | None
) -> CameraKnowledge:
    """Return what is known, checked and converted.

    Args:
        camera: ``Intrinsics`` or None.
        up: See ``Keypoints.up``.
        height_m: Meters or None.
        frames: Frames of the clip; None if one direction for all frames is expected.

    Raises:
        UsageError: A value has another type or shape, cannot be what it should be, or ``up`` is
            given without the intrinsics.
    """
    if camera is not None and not isinstance(camera, Intrinsics):
        raise UsageError(
            f"camera is a {type(camera).__name__}; expected Intrinsics.",
            hint="Give Intrinsics(fx, fy, cx, cy), in pixels of the keypoints' image.",
        )
    directions = None if up is None else checked_up(up, frames)
    if directions is not None and camera is None:
        raise UsageError(
            "up is given without the camera's intrinsics, which turn keypoints into rays.",
            hint="Give camera=Intrinsics(...), too; from_field_of_view makes a rough one.",
        )
    return CameraKnowledge(camera, directions, checked_height(height_m))


def checked_up(up: Up, frames: int | None) -> Doubles:
    """Return the direction away from the ground with length 1, (3,) or (frames, 3); read-only.

    Args:
        up: (3,); (frames, 3), NaN in frames where it is unknown; or the camera's pose on a robot
            that stands level.
        frames: Frames of the clip; None if only (3,) is expected.

    Raises:
        UsageError: The shape is another, or a direction has no length or is infinite.
    """
    if isinstance(up, CameraPose):
        # The robot's z axis along the camera's axes.
        up = up.rotation[2]
    try:
        directions = np.array(up, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"up is no array of numbers: {up!r:.80}.", hint=_UP) from error
    if directions.shape != (3,) and (frames is None or directions.shape != (frames, 3)):
        each = "" if frames is None else f", or ({frames}, 3) with one for each frame"
        raise UsageError(
            f"up has shape {directions.shape}; expected (3,) for all frames{each}.", hint=_UP
        )
    unknown = np.isnan(directions).any(axis=-1)
    if directions.ndim == 1 and unknown:
        raise UsageError("up holds NaN.", hint="Leave it out if it is unknown.")
    with np.errstate(over="ignore"):
        length = np.linalg.norm(directions, axis=-1)
    wrong = ~unknown & ~((length > _NO_LENGTH) & np.isfinite(length))
    if wrong.any():
        where = "" if directions.ndim == 1 else f" of frame {int(np.flatnonzero(wrong)[0])}"
        raise UsageError(f"up{where} has no direction: it is 0 or infinite.", hint=_UP)
    directions /= length[..., None]
    directions[unknown] = np.nan
    directions.setflags(write=False)
    return directions


def checked_height(height_m: object) -> float | None:
    """Return a person's height, meters.

    Raises:
        UsageError: It is no number from 0.5 to 2.5.
    """
    if height_m is None:
        return None
    # Archives of NumPy give arrays without dimensions.
    if isinstance(height_m, np.ndarray) and height_m.size == 1:
        height_m = height_m.item()
    value = math.nan
    if isinstance(height_m, (int, float, np.integer, np.floating)) and height_m is not True:
        # A number in a file may have thousands of digits.
        value = float(height_m) if abs(height_m) < _FARTHEST else math.nan
    if not MIN_HEIGHT_M <= value <= MAX_HEIGHT_M:
        units = {
            name: value * meters
            for name, meters in _LENGTH_UNITS.items()
            if MIN_HEIGHT_M <= value * meters <= MAX_HEIGHT_M
        }
        hint = "Give the person's height, standing and without shoes, or leave it out."
        if units:
            hint = " ".join(
                f"If it is in {name}, give {meters:.4g}." for name, meters in units.items()
            )
        raise UsageError(
            f"height_m is {height_m!r:.80}; expected {MIN_HEIGHT_M} to {MAX_HEIGHT_M} meters.",
            hint=hint,
        )
    return value


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def unused_warning(known: CameraKnowledge, told: CameraKnowledge) -> tuple[str, ...]:
    """Return a warning that names what is known and the network is not told, if anything."""
    unused = [name for name in known.stated() if name not in told.stated()]
    if not unused:
        return ()
    return (
        f"The model makes no use of {listed(unused)} when it lifts; the poses are the same"
        " without.",
    )


def doubtful_up(up: Doubles | None, points: NDArray[np.floating]) -> tuple[str, ...]:
    """Return a warning if, in most frames, up is the viewing direction or contradicts the people.

    Args:
        up: Directions of length 1, (3,) or (frames, 3) with NaN where it is unknown; None if it
            always is.
        points: The keypoints of these frames, (frames, 17, 2) in the order of ``H36M17``, pixels.
    """
    if up is None:
        return ()
    up = np.broadcast_to(up, (len(points), 3))
    known = int(np.count_nonzero(~np.isnan(up[:, 2])))
    if np.count_nonzero(np.abs(up[:, 2]) > MOST_VERTICAL) * 2 > known:
        return (
            "up is the camera's viewing direction, as if the camera looked straight up or down;"
            " then gravity says nothing, and the network is not told it. If it looks ahead, up is"
            " along other axes: the camera's are x right, y down, z forward.",
        )
    return contrary_up(up, points)


def contrary_up(up: Doubles, points: NDArray[np.floating]) -> tuple[str, ...]:
    """Return a warning if, in most frames, people hang head down, or lie where they look upright.

    The second is so if the camera lies on its side, too. Both are seen if a camera's pose is
    inverted, unless the camera looks to the robot's right.

    Args:
        up: See ``doubtful_up``.
        points: See ``doubtful_up``; or poses along the camera's axes, x and y.
    """
    up = np.broadcast_to(up, (len(points), 3))
    flat = np.where(np.abs(up[:, 2:]) > MOST_VERTICAL, np.nan, up[:, :2])
    trunk = points[:, _THORAX].astype(np.float64) - points[:, _PELVIS]
    with np.errstate(invalid="ignore", divide="ignore"):
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        trunk /= np.linalg.norm(trunk, axis=1, keepdims=True)
    along = np.sum(trunk * flat, axis=1)
    known = np.count_nonzero(np.isfinite(along))
    if np.count_nonzero(along < _CONTRARY) * 2 > known:
        return (
            "up points from heads to feet, as if people hung upside down. If they do not, the"
            " camera's pose is inverted (CameraPose maps the camera's axes to the robot's), or the"
            " direction of gravity was given, which is -up (an accelerometer at rest measures up),"
            " or a direction along other axes than the camera's: x right, y down, z forward.",
        )
    across = (along < _ACROSS) & (trunk[:, 1] < -_UPRIGHT) & (np.abs(flat[:, 0]) > _UPRIGHT)
    if np.count_nonzero(across) * 2 > known:
        return (
            "up lies across people who are upright in the image, as if the camera and they lay on"
            " their side. If not, up is along other axes than the image's (x right, y down, z"
            " forward), or the camera's pose is inverted: CameraPose maps the camera's axes to the"
            " robot's, as tf's lookup_transform(robot_frame, camera_optical_frame) does.",
        )
    return ()
