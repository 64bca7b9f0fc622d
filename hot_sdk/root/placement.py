"""Check what is known of where the camera is and what people stand on, and what is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.cameras import CameraPose
from hot_sdk.errors import UsageError
from hot_sdk.root.frames import PlaceOptions
from hot_sdk.root.origin import ROOTS
from hot_sdk.root.scale import Floor
from hot_sdk.skeletons import H36M17

CAMERA_FRAME = "camera_optical_frame"
ROBOT_FRAME = "base_link"
"""Names of the frames where the caller gives none, after ROS's REP-103 and REP-105."""

CameraSource = CameraPose | Callable[[float], CameraPose]

_HIGHEST_M = 100.0
_LONGEST_BONE_M = 1.0


@dataclass(frozen=True, eq=False)
class Placement:
    """Where people are placed, and how.

    Attributes:
        camera: Where the camera is: always, or at a time in seconds; None if that comes with the
            frames, or is not known.
        ground: Height of the camera above the floor, meters, when it first sees; or the floor.
        root: ``pelvis``, ``thorax`` or ``auto``: the joint that poses are relative to.
        bones: Known lengths of bones, meters, by the joint where each ends.
        frame_id: Name of the frame; None for the usual one.
        smoothing: Smooth the joints over time.
        contacts: Judge feet, and keep those in place that stand.

    Raises:
        UsageError: A value has another type or is out of range.
    """

    camera: CameraSource | None = None
    ground: float | Floor | None = None
    root: str = "pelvis"
    bones: Mapping[str, float] = field(default_factory=dict)
    frame_id: str | None = None
    smoothing: bool = False
    contacts: bool = False

    def __post_init__(self) -> None:
        if not (
            self.camera is None or isinstance(self.camera, CameraPose) or callable(self.camera)
        ):
            raise UsageError(
                f"camera is a {type(self.camera).__name__}; expected where the camera is: a"
                " CameraPose, or a function of the time that returns one.",
                hint="Give CameraPose.mounted(...), and the lens as intrinsics=Intrinsics(...).",
            )
        if self.root not in ROOTS:
            raise UsageError(
                f"Unknown root {self.root!r:.80}.", hint=closest(str(self.root), ROOTS)
            )
        if not (self.ground is None or isinstance(self.ground, Floor) or _is_height(self.ground)):
            raise UsageError(
                f"ground is {self.ground!r:.80}; expected the height of the camera above the floor,"
                f" meters above 0 and up to {_HIGHEST_M:g}.",
                hint="Give meters, or a hot_sdk.root.Floor.",
            )
        for joint, length in self.bones.items():
            known = joint in H36M17.joints[1:]
            if not (known and _is_height(length) and length <= _LONGEST_BONE_M):
                raise UsageError(
                    f"bones has {joint!r:.80}: {length!r:.80}; expected the joint where a bone ends"
                    f" and its length, meters up to {_LONGEST_BONE_M:g}.",
                    hint="Give such as {'right_ankle': 0.41} for a shin."
                    if known
                    else closest(str(joint), H36M17.joints[1:]),
                )
        if self.frame_id is not None and not (isinstance(self.frame_id, str) and self.frame_id):
            raise UsageError(
                f"frame_id is {self.frame_id!r:.80}; expected a name.",
                hint=f"Leave it out for {ROBOT_FRAME} or {CAMERA_FRAME}.",
            )

    def pose_at(self, time: float, given: object) -> CameraPose | None:
        """Return where the camera is at a time; None if it is not known.

        Args:
            time: Seconds.
            given: What came with the frame, or None.

        Raises:
            UsageError: It is no ``CameraPose``, or there are two of it.
        """
        if given is not None:
            if self.camera is not None:
                raise UsageError(
                    "camera came with a frame, and was given before, too.",
                    hint="Give it once: for all frames, as a function, or with each frame.",
                )
            return _checked_pose(given)
        if self.camera is None or isinstance(self.camera, CameraPose):
            return self.camera
        return _checked_pose(self.camera(time))

    def floor(self, camera: CameraPose | None, up: NDArray[np.float64] | None) -> Floor | None:
        """Return the floor in the frame that people are placed in; None if it is not known.

        Args:
            camera: Where the camera is; None if people are placed in its own frame.
            up: (3,), the direction away from the floor along the axes of a camera that does not
                turn; None if it is not known.

        Raises:
            UsageError: Nothing says where up is.
        """
        if self.ground is None or isinstance(self.ground, Floor):
            return self.ground
        if camera is not None:
            height = float(camera.translation[2]) - self.ground
            return Floor(np.array([0.0, 0.0, 1.0]), height)
        if up is None or not np.isfinite(up).all():
            raise UsageError(
                "ground is given, and nothing says where up is.",
                hint="Give camera=CameraPose..., or up= along the axes of a camera at rest.",
            )
        return Floor(up, -self.ground)

    def options(self, floor: Floor | None) -> PlaceOptions:
        """Return the options of a person."""
        return PlaceOptions(
            root=self.root,
            floor=floor,
            bones=self.bones,
            smoothing=self.smoothing,
            contacts=self.contacts,
        )

    def frame_name(self, *, in_robot_frame: bool) -> str:
        """Return the name of the frame."""
        return self.frame_id or (ROBOT_FRAME if in_robot_frame else CAMERA_FRAME)


def _is_height(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and value is not True
    return number and math.isfinite(value) and 0.0 < value <= _HIGHEST_M  # type: ignore[arg-type,operator]


def _checked_pose(value: object) -> CameraPose:
    if isinstance(value, CameraPose):
        return value
    raise UsageError(
        f"The camera is said to be at a {type(value).__name__}; expected a CameraPose.",
        hint="Give CameraPose.from_quaternion(...) of what tf returns; if it returns nothing, do"
        " not push the frame.",
    )
