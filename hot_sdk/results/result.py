"""3D poses of one person, with everything needed to use them correctly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.bones import constant_bones, upright_height
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyReport
from hot_sdk.manifest import NORMALIZED_BOX, NORMALIZED_PIXELS, NORMALIZED_SHORT_SIDE
from hot_sdk.preprocessing.policies import AppliedPolicy
from hot_sdk.preprocessing.virtual_view import turned_spread
from hot_sdk.results.files import read_fields, write_fields
from hot_sdk.root import solve_root
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

CAMERA_AXES = "camera: x right, y down, z forward"
ROBOT_AXES = "robot: x forward, y left, z up"
AXES = (CAMERA_AXES, ROBOT_AXES)

METERS = "m"
MILLIMETERS = "mm"
UNITS = (METERS, MILLIMETERS, NORMALIZED_PIXELS, NORMALIZED_BOX, NORMALIZED_SHORT_SIDE)

_UNITS_PER_METER = {METERS: 1.0, MILLIMETERS: 1000.0}
_JOINTS = len(H36M17.joints)
_MIN_HEIGHT_M, _MAX_HEIGHT_M = 0.5, 2.8


@dataclass(frozen=True, eq=False)
class Pose3DResult:
    """3D poses of one person.

    Attributes:
        poses: (frames, 17, 3), the joints of ``H36M17`` in ``unit`` along ``axes``, relative to
            the pelvis.
        valid: (frames, 17), False if the joint is only the network's guess because its keypoint
            was missing too long; all are False if that is so for the pelvis.
        unit: ``m``, ``mm``, or one without a metric scale: half the image's width
            (``normalized_px``), half its shorter side (``normalized_short_side``), or half the
            longer side of the box about the clip's joints (``normalized_box``). The policy
            ``normalized`` states how many pixels that is.
        axes: ``CAMERA_AXES`` or ``ROBOT_AXES``.
        root: (frames, 3), the pelvis's position in ``unit`` along ``axes``, NaN where it could not
            be found; None before a conversion has found it. ``poses`` stays relative to it.
        root_error: (frames,), root mean square distance in pixels between the keypoints and the
            projected joints as they were when ``root`` was found; None if ``root`` is.
        timestamps: (frames,), seconds.
        track_id: The person's id, as in the keypoints.
        policies: What was done, in order: to the input, and by conversions.
        seams: How even the poses are where windows meet; None if there was one window, if each was
            one frame, and in a result from csv.
        latency: How long lifting took; None in a result from csv.
        model: Name of the model file.
        warnings: What a reader of these poses has to know, such as that the weights are random.
        first_frame: Number of the first frame in the video or file, as in the keypoints: a person
            who comes later begins later.
        spread: (frames, 17, 3), in ``unit`` along ``axes``: half the width of the interval about
            each coordinate of ``poses`` that holds 68 % of the errors, as the network judges it;
            0 at the pelvis. None if the network does not, or after a conversion for which it would
            be wrong.

    Arrays are read-only; ``poses``, ``root``, ``root_error`` and ``spread`` are NaN where there is
    no value.

    Raises:
        ResultError: An array has another shape or type than stated here, or holds infinity; or the
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
    first_frame: int = 0
    spread: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        frames = self.poses.shape[0] if self.poses.ndim else 0
        expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "poses": ((frames, _JOINTS, 3), np.float32),
            "valid": ((frames, _JOINTS), np.bool_),
            "timestamps": ((frames,), np.float64),
            "root": ((frames, 3), np.float32),
            "root_error": ((frames,), np.float32),
            "spread": ((frames, _JOINTS, 3), np.float32),
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
        if self.first_frame < 0:
            raise ResultError(
                f"first_frame is {self.first_frame}; expected a number from 0.",
                hint="Give that of the keypoints.",
            )
        if self.unit not in UNITS or self.axes not in AXES:
            raise ResultError(
                f"The unit '{self.unit}' or the axes '{self.axes}' are unknown.",
                hint=f"Units are {', '.join(UNITS)}; axes are {'; '.join(AXES)}.",
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.poses)

    def __str__(self) -> str:
        who = "" if self.track_id is None else f" of {self.track_id!r}"
        seconds = float(self.timestamps[-1] - self.timestamps[0]) if len(self) else 0.0
        since = f" from frame {self.first_frame} on" if self.first_frame else ""
        share = self.valid.mean() if len(self) else 1.0
        lines = [
            f"{len(self)} poses{who}{since} over {seconds:.2f} s, in {self.unit} ({self.axes},"
            f" relative to the pelvis), {share:.1%} of the joints valid"
        ]
        if self.seams is not None:
            lines.append(str(self.seams))
        lines += [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def joint(self, name: str) -> NDArray[np.float32]:
        """Return one joint over time, (frames, 3).

        Raises:
            UsageError: There is no joint of this name.
        """
        if name not in H36M17.joints:
            raise UsageError(f"Unknown joint {name!r}.", hint=closest(str(name), H36M17.joints))
        view: NDArray[np.float32] = self.poses[:, H36M17.joints.index(name)]
        return view

    def to_millimeters(self) -> Pose3DResult:
        """Return the same poses in millimeters.

        Raises:
            ResultError: The model returns no metric unit.
        """
        factor = 1000.0 / self._units_per_meter("A conversion to millimeters")
        return self._scaled(factor, MILLIMETERS, "to_millimeters", f"from {self.unit}")

    def to_robot_frame(self, camera: CameraPose) -> Pose3DResult:
        """Return the same poses along a robot's axes: x forward, y left, z up (ROS REP-103).

        Args:
            camera: Where the camera is on the robot. ``poses``, which are relative to the pelvis,
                are rotated; ``root``, if known, is rotated and translated. ``spread`` becomes that
                along the new axes, as if errors were independent along the camera's.

        Raises:
            ResultError: They are along a robot's axes already, or ``root`` has no metric unit.
        """
        self._require_camera_axes()
        rotation = camera.rotation.astype(np.float32)
        root = self.root
        if root is not None:
            offset = camera.translation * self._units_per_meter("A root in the robot's frame")
            root = (root @ rotation.T + offset).astype(np.float32)
        detail = f"rotation {np.round(camera.rotation, 4).tolist()}, translation"
        detail += f" {np.round(camera.translation, 4).tolist()} m"
        poses = self.poses @ rotation.T
        spread = self.spread
        if spread is not None:
            spread = turned_spread(spread, camera.rotation).astype(np.float32)
        return self._changed(
            "to_robot_frame", detail, poses=poses, root=root, spread=spread, axes=ROBOT_AXES
        )

    def with_constant_bones(self) -> Pose3DResult:
        """Return the same poses with bones of constant length: the clip's median, left as right.

        Directions are kept and the pelvis stays where it is, so that joints move, those at the
        ends of limbs most. ``spread``, which was that of the joints where they were, becomes None.
        """
        poses = constant_bones(self.poses, self.valid)
        # Frames without a pose, as streams leave them, stay so.
        moved = np.linalg.norm(poses - self.poses, axis=-1)
        moved = moved[np.isfinite(moved)] if np.isfinite(moved).any() else np.zeros(1)
        detail = f"joints moved by {moved.mean():.4g} {self.unit} on average, {moved.max():.4g} at"
        detail += " most" if self.spread is None else " most, where their spread is not known"
        return self._changed("constant_bones", detail, poses=poses, spread=None)

    def with_root_from_reprojection(
        self, keypoints: Keypoints, intrinsics: Intrinsics | None = None
    ) -> Pose3DResult:
        """Find where the pelvis is, so that the projected joints lie on the keypoints.

        The scale is the model's own; if the person is of another size than those it was trained
        on, the distance is wrong by the same share. See ``hot_sdk.root.measure_root``.

        Args:
            keypoints: The keypoints that the poses were lifted from.
            intrinsics: The camera's, with its lens's distortion if there is any; None for those of
                the keypoints.

        Raises:
            UsageError: There are no intrinsics, or they do not fit the size of the keypoints'
                image.
            ResultError: The keypoints have other frames or another track id, or the poses are not
                metric or not along the camera's axes.
        """
        intrinsics = _intrinsics_of(keypoints, intrinsics)
        self._require_camera_axes()
        self._units_per_meter("The root's position")
        if len(keypoints) != len(self):
            raise ResultError(
                f"The keypoints have {len(keypoints)} frames, the poses {len(self)}.",
                hint="Give the keypoints that these poses were lifted from.",
            )
        if keypoints.first_frame != self.first_frame:
            raise ResultError(
                f"The keypoints begin at frame {keypoints.first_frame}, the poses at"
                f" {self.first_frame}.",
                hint="Give the keypoints that these poses were lifted from.",
            )
        if None not in (keypoints.track_id, self.track_id) and keypoints.track_id != self.track_id:
            raise ResultError(
                f"The keypoints are of {keypoints.track_id!r}, the poses of {self.track_id!r}.",
                hint="Give the keypoints that these poses were lifted from.",
            )
        warnings = (*self.warnings, *intrinsics.check_image(keypoints.image_size))
        points, scores = keypoints.h36m17_arrays()
        root, error = solve_root(self.poses, self.valid, points, scores, intrinsics)
        found = int(np.isfinite(root[:, 0]).sum())
        detail = f"reprojection error {float(np.nanmean(error)) if found else float('nan'):.3g} px"
        return self._changed(
            "root_from_reprojection",
            detail,
            count=found,
            root=root,
            root_error=error,
            warnings=warnings,
        )

    def with_root_from_height(
        self,
        keypoints: Keypoints,
        intrinsics: Intrinsics | None = None,
        height_m: float | None = None,
    ) -> Pose3DResult:
        """Scale the poses to a person's height, and find where the pelvis is.

        ``spread``, of which a part was that the size was not known, becomes None.

        Args:
            keypoints: The keypoints that the poses were lifted from.
            intrinsics: The camera's; None for those of the keypoints.
            height_m: Height of the standing person without shoes, meters; compared with
                ``hot_sdk.bones.upright_height``. None for that of the keypoints.

        Raises:
            ResultError: See ``with_root_from_reprojection``; or the poses have no size.
            UsageError: There are no intrinsics, or no height, or it is out of range.
        """
        intrinsics = _intrinsics_of(keypoints, intrinsics)
        height_m = keypoints.height_m if height_m is None else height_m
        if height_m is None:
            raise UsageError(
                "The person's height is not known.", hint="Give height_m=, or keypoints with it."
            )
        if not _MIN_HEIGHT_M <= height_m <= _MAX_HEIGHT_M:
            raise UsageError(
                f"height_m is {height_m}; expected {_MIN_HEIGHT_M} to {_MAX_HEIGHT_M} m.",
                hint="Give meters.",
            )
        self._require_camera_axes()
        unit = self._units_per_meter("The root's position")
        standing = upright_height(self.poses, self.valid)
        if not standing > 0.0:  # Also if no frame has a pose.
            raise ResultError("The poses have no size.", hint="Check the model's weights.")
        factor = height_m * unit / standing
        detail = f"by {factor:.4g}, from {standing / unit:.3f} m to {height_m:g} m"
        detail += "" if self.spread is None else "; the spread is then not known"
        scaled = self._scaled(factor, self.unit, "scaled_to_height", detail)
        scaled = dataclasses.replace(scaled, spread=None)
        return scaled.with_root_from_reprojection(keypoints, intrinsics)

    def save(self, path: str | Path, *, format: str | None = None) -> Path:  # noqa: A002
        """Write a file: npz and json hold everything, csv what a table can.

        Args:
            path: The file; an existing one is replaced when the new one is complete.
            format: ``npz``, ``json`` or ``csv``; None for the path's suffix.

        Returns:
            The path.

        Raises:
            UsageError: The format is unknown, or the file cannot be written.
            ResultError: The clip is too long for json.
        """
        write_fields(Path(path), vars(self), format)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Pose3DResult:
        """Read a file that ``save`` wrote, in any of its formats, which its content states.

        Raises:
            ResultError: There is no such file, or it is broken, too large or something else.
        """
        return cls(**read_fields(Path(path)))

    def _changed(
        self,
        name: str,
        detail: str,
        *,
        count: int | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> Pose3DResult:
        frames = len(self)
        applied = AppliedPolicy(name, detail, frames if count is None else count, frames, "frames")
        return dataclasses.replace(self, policies=(*self.policies, applied), **changes)

    def _scaled(self, factor: float, unit: str, name: str, detail: str) -> Pose3DResult:
        """Return a result with every distance in it multiplied."""
        seams = self.seams
        if seams is not None:
            distances: dict[str, Any] = {
                key: value * factor
                for key, value in vars(seams).items()
                if isinstance(value, float)
            }
            seams = dataclasses.replace(seams, unit=unit, **distances)
        poses = self.poses * np.float32(factor)
        root = None if self.root is None else self.root * np.float32(factor)
        spread = None if self.spread is None else self.spread * np.float32(factor)
        return self._changed(
            name, detail, poses=poses, root=root, spread=spread, unit=unit, seams=seams
        )

    def _units_per_meter(self, what: str) -> float:
        """Return the scale; raise ResultError if there is none for ``what``."""
        if self.unit not in _UNITS_PER_METER:
            raise ResultError(
                f"{what} needs metric poses, and the model returns '{self.unit}', whose scale is"
                " unknown.",
                hint="Use a model that returns meters, such as the mixste family.",
            )
        return _UNITS_PER_METER[self.unit]

    def _require_camera_axes(self) -> None:
        if self.axes != CAMERA_AXES:
            raise ResultError(
                f"The poses are along other axes ({self.axes}).",
                hint="Convert the result as the engine returned it, and rotate it last.",
            )


def _intrinsics_of(keypoints: Keypoints, given: Intrinsics | None) -> Intrinsics:
    intrinsics = keypoints.camera if given is None else given
    if intrinsics is None:
        raise UsageError(
            "The camera's intrinsics are not known.",
            hint="Give Intrinsics(fx, fy, cx, cy), or keypoints with camera=.",
        )
    return intrinsics


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
    # Of NaN and a number, the number is taken; nothing as large as the array is allocated.
    ends = [extreme.reduce(values, axis=None) for extreme in (np.fmax, np.fmin) if values.size]
    if np.isinf(ends).any():
        raise ResultError(
            f"{name} holds infinity.",
            hint="Check the model's weights and precision; NaN marks unknown values.",
        )
