"""3D poses of one person, with everything needed to use them rightly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.latency import LatencyReport
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

if TYPE_CHECKING:
    from hot_sdk.cameras import CameraPose, Intrinsics
    from hot_sdk.keypoints import Keypoints

CAMERA_AXES = "camera: x right, y down, z forward"
ROBOT_AXES = "robot: x forward, y left, z up"
AXES = (CAMERA_AXES, ROBOT_AXES)

METERS = "m"
MILLIMETERS = "mm"
NORMALIZED_PIXELS = "normalized_px"
UNITS = (METERS, MILLIMETERS, NORMALIZED_PIXELS)

_JOINTS = len(H36M17.joints)


@dataclass(frozen=True, eq=False)
class Pose3DResult:
    """3D poses of one person.

    Attributes:
        poses: (frames, 17, 3), the joints of ``H36M17`` in ``unit`` along ``axes``, relative to
            the pelvis.
        valid: (frames, 17), False where the keypoint was missing for so long that the joint is no
            more than the network's guess.
        unit: ``m``, ``mm`` or ``normalized_px`` (half the image's width; no metric scale).
        axes: ``CAMERA_AXES`` or ``ROBOT_AXES``.
        root: (frames, 3), the pelvis's position in ``unit`` along ``axes``, where a conversion
            found it, NaN where it could not; None otherwise. ``poses`` stays relative to it.
        root_error: (frames,), root mean square distance in pixels between the keypoints and the
            projected joints as they were when ``root`` was found; None where ``root`` is.
        timestamps: (frames,), seconds.
        track_id: The person's, as the keypoints had it.
        policies: What was done, in order: to the input, and by conversions.
        seams: How even the poses are where windows meet; None where there was one window, where
            each was one frame, and in a result from csv.
        latency: How long it took; None in a result from csv.
        model: Name of the model file.
        warnings: What the reader of these poses has to know, such as that the weights are random.

    Arrays are read-only; ``poses``, ``root`` and ``root_error`` are NaN where there is no value.

    Raises:
        ResultError: An array has another shape or type than stands here, or holds infinity; or the
            unit or the axes are unknown.
    """

    poses: NDArray[np.float32]
    valid: NDArray[np.bool_]
    unit: str
    axes: str
    root: NDArray[np.float32] | None
    root_error: NDArray[np.float32] | None
    timestamps: NDArray[np.float64]
    track_id: int | str | None
    policies: tuple[AppliedPolicy, ...]
    seams: SeamReport | None
    latency: LatencyReport | None
    model: str
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        frames = self.poses.shape[0] if self.poses.ndim else 0
        expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "poses": ((frames, _JOINTS, 3), np.float32),
            "valid": ((frames, _JOINTS), np.bool_),
            "timestamps": ((frames,), np.float64),
            "root": ((frames, 3), np.float32),
            "root_error": ((frames,), np.float32),
        }
        for name, (shape, dtype) in expected.items():
            values = getattr(self, name)
            if values is not None:
                _check(name, values, shape, dtype)
                # A view, so that an array of the caller's stays as writable as it was.
                view = values.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)
        if np.isnan(self.timestamps).any():
            raise ResultError("timestamps holds NaN.", hint="Give the seconds of each frame.")
        if (self.root is None) != (self.root_error is None):
            raise ResultError(
                "Of root and root_error, only one is given.",
                hint="Give both, NaN in root_error where the error is unknown, or neither.",
            )
        if self.unit not in UNITS or self.axes not in AXES:
            raise ResultError(
                f"The unit '{self.unit}' or the axes '{self.axes}' are unknown.",
                hint=f"Units are {', '.join(UNITS)}; axes are {'; '.join(AXES)}.",
            )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.poses)

    def __str__(self) -> str:
        who = "" if self.track_id is None else f" of {self.track_id!r}"
        seconds = float(self.timestamps[-1] - self.timestamps[0]) if len(self) else 0.0
        lines = [
            f"{len(self)} poses{who} over {seconds:.2f} s, in {self.unit} ({self.axes}, relative to"
            f" the pelvis), {self.valid.mean() if len(self) else 1.0:.1%} of the joints valid"
        ]
        if self.seams is not None:
            lines.append(str(self.seams))
        lines += [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def joint(self, name: str) -> NDArray[np.float32]:
        """One joint over time, (frames, 3).

        Raises:
            UsageError: There is no joint of this name.
        """
        if name not in H36M17.joints:
            raise UsageError(f"Unknown joint {name!r}.", hint=closest(str(name), H36M17.joints))
        view: NDArray[np.float32] = self.poses[:, H36M17.joints.index(name)]
        return view

    def to_millimeters(self) -> Pose3DResult:
        """The same poses in millimetres.

        Raises:
            ResultError: The model gives no metric unit.
        """
        from hot_sdk.results.geometry import to_millimeters

        return to_millimeters(self)

    def to_robot_frame(self, camera: CameraPose) -> Pose3DResult:
        """The same poses along a robot's axes: x forward, y left, z up (ROS REP-103).

        Args:
            camera: Where the camera is on the robot. ``poses``, which are relative to the pelvis,
                are turned; ``root``, where it is known, is turned and moved.

        Raises:
            ResultError: They are along a robot's axes already, or ``root`` has no metric unit.
        """
        from hot_sdk.results.geometry import to_robot_frame

        return to_robot_frame(self, camera)

    def with_constant_bones(self) -> Pose3DResult:
        """The same poses with every bone as long in each frame: its median, left as right.

        Directions are kept and the pelvis stays where it is, so that joints move, those at the
        ends of limbs most.
        """
        from hot_sdk.results.geometry import with_constant_bones

        return with_constant_bones(self)

    def with_root_by_reprojection(
        self, keypoints: Keypoints, intrinsics: Intrinsics
    ) -> Pose3DResult:
        """Find where the pelvis is, so that the projected joints lie on the keypoints.

        The scale is the model's own; where the person is of another size than those it was trained
        on, the distance is wrong by the same share. See ``hot_sdk.results.geometry``.

        Args:
            keypoints: What the poses were lifted from.
            intrinsics: Of the camera.

        Raises:
            ResultError: The keypoints are of other frames or of somebody else, or the poses not
                metric or not along the camera's axes.
        """
        from hot_sdk.results.geometry import root_by_reprojection

        return root_by_reprojection(self, keypoints, intrinsics)

    def with_root_by_height(
        self, keypoints: Keypoints, intrinsics: Intrinsics, height_m: float
    ) -> Pose3DResult:
        """Scale the poses to a person's height, and find where the pelvis is.

        Args:
            keypoints: What the poses were lifted from.
            intrinsics: Of the camera.
            height_m: Of the standing person without shoes, metres.

        Raises:
            ResultError: See ``with_root_by_reprojection``.
            UsageError: Nobody is of this height.
        """
        from hot_sdk.results.geometry import root_by_height

        return root_by_height(self, keypoints, intrinsics, height_m)

    def save(self, path: str | Path, *, format: str | None = None) -> Path:  # noqa: A002
        """Write it to a file: npz and json hold everything, csv what a table can.

        Args:
            path: The file; one that is there is replaced when the new one is whole.
            format: ``npz``, ``json`` or ``csv``; None takes the path's suffix for it.

        Returns:
            The path.

        Raises:
            UsageError: The format is another, or the file cannot be written.
            ResultError: The clip is too long for json.
        """
        from hot_sdk.results.files import save_result

        return save_result(self, Path(path), format)

    @classmethod
    def load(cls, path: str | Path) -> Pose3DResult:
        """Read what ``save`` wrote, in any of its formats: the content says which.

        Raises:
            ResultError: There is no such file, or it is broken, too large or something else.
        """
        from hot_sdk.results.files import load_result

        return load_result(Path(path))


def _check(
    name: str, values: NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    if values.shape != shape:
        raise ResultError(
            f"{name} has shape {values.shape}; expected {shape}.",
            hint="A result holds the same frames in all its parts.",
        )
    if values.dtype != dtype:
        raise ResultError(
            f"{name} holds {values.dtype} values; expected {np.dtype(dtype)}.",
            hint=f"Convert it: {name}.astype('{np.dtype(dtype)}').",
        )
    if np.isinf(values).any():
        raise ResultError(
            f"{name} holds infinity.",
            hint="Check the model's weights and precision; NaN marks what is not known.",
        )
