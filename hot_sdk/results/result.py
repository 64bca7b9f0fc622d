"""3D poses of one person, with everything needed to use them correctly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk._base.validation import closest
from hot_sdk.bones import constant_bones, upright_height
from hot_sdk.camera_knowledge import checked_height, contrary_up
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.latency import LatencyReport
from hot_sdk.manifest import NORMALIZED_BOX, NORMALIZED_PIXELS, NORMALIZED_SHORT_SIDE
from hot_sdk.preprocessing.policies import AppliedPolicy, InputPolicies
from hot_sdk.results.checks import ARRAYS, check_array, intrinsics_of, require_same
from hot_sdk.results.fields import scaled_fields, scaled_seams, turned_fields
from hot_sdk.results.files import read_fields, write_fields
from hot_sdk.results.told import ClipCamera, cameras_of, first_camera
from hot_sdk.skeletons import H36M17
from hot_sdk.windows import SeamReport

# What places people, root and feet, is imported where it is used: it takes longer to import than a
# first pose to lift.
if TYPE_CHECKING:
    from hot_sdk.root.scale import Floor

CAMERA_AXES = "camera: x right, y down, z forward"
ROBOT_AXES = "robot: x forward, y left, z up"
AXES = (CAMERA_AXES, ROBOT_AXES)

METERS = "m"
MILLIMETERS = "mm"
UNITS = (METERS, MILLIMETERS, NORMALIZED_PIXELS, NORMALIZED_BOX, NORMALIZED_SHORT_SIDE)

_UNITS_PER_METER = {METERS: 1.0, MILLIMETERS: 1000.0}


@dataclass(frozen=True, eq=False)
class Pose3DResult:
    """3D poses of one person.

    Attributes:
        poses: (frames, 17, 3), the joints of ``H36M17`` in ``unit`` along ``axes``, relative to
            ``root_joint``.
        valid: (frames, 17), False if the joint is only the network's guess because its keypoint
            was missing too long; all are False if that is so for ``root_joint``.
        unit: ``m``, ``mm``, or one without a metric scale: half the image's width
            (``normalized_px``), half its shorter side (``normalized_short_side``), or half the
            longer side of the box about the clip's joints (``normalized_box``). The policy
            ``normalized`` states how many pixels that is.
        axes: ``CAMERA_AXES`` or ``ROBOT_AXES``.
        root: (frames, 3), the position of ``root_joint`` in ``unit`` along ``axes``, NaN where it
            could not be found; None before a conversion has found it. ``poses`` stays relative to
            it.
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
            0 at ``root_joint``. None if the network does not, or after a conversion for which it
            would be wrong.
        root_joint: ``pelvis`` or ``thorax``: the joint that ``poses`` are relative to and ``root``
            is the place of.
        frame_id: Name of the frame that ``root`` is in; None while it has none.
        velocity: (frames, 17, 3), of the joints in that frame, ``unit`` per second; of the root
            alone while the others' is not known. None before a conversion has found it, as are the
            next four.
        joints_covariance: (frames, 17, 3, 3), of the joints in the frame; NaN without a spread.
        velocity_covariance: (frames, 17, 3, 3), likewise.
        scale: Size of the person over that of the network's poses, which ``poses`` were multiplied
            by.
        scale_spread: Standard deviation of its logarithm.
        covariance: (frames, 17, 3, 3), of ``poses``; None without a spread.
        contacts: (frames, 2), how likely the right and the left foot stands; None if that was not
            asked for.

    Arrays are read-only; floating ones but ``timestamps`` are NaN where there is no value.

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
    root_joint: str = H36M17.joints[0]
    frame_id: str | None = None
    velocity: NDArray[np.float32] | None = None
    joints_covariance: NDArray[np.float32] | None = None
    velocity_covariance: NDArray[np.float32] | None = None
    scale: float | None = None
    scale_spread: float | None = None
    covariance: NDArray[np.float32] | None = None
    contacts: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        frames = self.poses.shape[0] if self.poses.ndim else 0
        for name, (shape, dtype) in ARRAYS.items():
            values = getattr(self, name)
            if values is not None:
                check_array(name, values, (frames, *shape), dtype)
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
        if self.root_joint not in H36M17.joints:
            raise ResultError(
                f"The root joint {self.root_joint!r:.80} is unknown.",
                hint=closest(str(self.root_joint), H36M17.joints),
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
            f" relative to the {self.root_joint}), {share:.1%} of the joints valid"
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

    @property
    def joints(self) -> NDArray[np.float32]:
        """(frames, 17, 3), where the joints are in the frame; NaN where that is not known.

        Raises:
            ResultError: The root was not looked for.
        """
        if self.root is None:
            raise ResultError(
                "Where the person is was not looked for.",
                hint="Lift with engine(keypoints, intrinsics=...), or call placed(...).",
            )
        joints = self.root[:, None] + self.poses
        joints[~self.valid] = np.nan
        return joints

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
        root, frame_id = self.root, None
        if root is not None:
            from hot_sdk.root.placement import ROBOT_FRAME

            frame_id = ROBOT_FRAME
            offset = camera.translation * self._units_per_meter("A root in the robot's frame")
            root = (root @ rotation.T + offset).astype(np.float32)
        detail = f"rotation {np.round(camera.rotation, 4).tolist()}, translation"
        detail += f" {np.round(camera.translation, 4).tolist()} m"
        turned = turned_fields(vars(self), camera.rotation) | {
            "root": root,
            "axes": ROBOT_AXES,
            "frame_id": frame_id,
            "warnings": tuple(dict.fromkeys((*self.warnings, *self._doubts_of(camera)))),
        }
        return self._changed("to_robot_frame", detail, **turned)

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
        changes: dict[str, Any] = {"poses": poses, "spread": None, "covariance": None}
        if self.joints_covariance is not None:
            # What is left is what is known of the root.
            at = H36M17.joints.index(self.root_joint)
            alone = np.full_like(self.joints_covariance, np.nan)
            alone[:, at] = self.joints_covariance[:, at]
            changes["joints_covariance"] = alone
        return self._changed("constant_bones", detail, **changes)

    def placed(
        self,
        keypoints: Keypoints,
        intrinsics: Intrinsics | None = None,
        *,
        camera: ClipCamera | None = None,
        height_m: float | None = None,
        ground: float | Floor | None = None,
        depth: ArrayLike | None = None,
        root: str = H36M17.joints[0],
        bones: Mapping[str, float] | None = None,
        frame_id: str | None = None,
        smoothing: bool = False,
        contacts: bool = False,
        seen: NDArray[np.bool_] | None = None,
        min_score: float = InputPolicies.min_score,
    ) -> Pose3DResult:
        """Return the poses at the person's size, and where they are: of all frames together.

        The Kalman smoother of ``hot_sdk.root`` over the reprojection in each frame. No keypoint
        shows how large a person is: without ``height_m``, ``ground``, ``bones`` or ``depth``, the
        size stays that of the network's poses, and the covariance along the ray holds how much
        adults differ.

        Args:
            keypoints: The keypoints that the poses were lifted from.
            intrinsics: The camera's; None for those of the keypoints.
            camera: Where the camera is, at rest, in each frame, or at a time in seconds, in a frame
                whose z axis points up; None to stay along the camera's axes.
            height_m: The person's standing height without shoes, meters; None for that of the
                keypoints, if they say it.
            ground: Height of the camera above the floor, meters; or a ``hot_sdk.root.Floor``.
            depth: (frames,), a depth camera's meters at the pelvis, NaN without; or its images,
                (frames, height, width).
            root: The joint that poses become relative to: ``pelvis``, ``thorax``; or ``auto``, the
                thorax if any frame shows it without the hips.
            bones: Known lengths of bones, meters, by the joint where each ends.
            frame_id: Name of the frame; None for ``base_link`` with a camera's place, and
                ``camera_optical_frame`` without.
            smoothing: Smooth the joints, too.
            contacts: Judge which feet stand, and keep these in place; see ``with_standing_feet``.
            seen: (frames, 17), joints that were seen, whether the pelvis was or not; None for
                ``valid``, which says nothing of frames without hips.
            min_score: A joint with a lower score counted as missing when the poses were lifted; see
                ``InputPolicies``.

        Raises:
            UsageError: There are no intrinsics, they do not fit the size of the keypoints' image,
                or a value cannot be what it should be.
            ResultError: The keypoints have other frames or another track id; or the poses are not
                metric, not along the camera's axes, or not relative to the pelvis.
        """
        from hot_sdk.results.placed import fields_of, place_poses
        from hot_sdk.root.placement import Placement

        intrinsics = intrinsics_of(keypoints, intrinsics)
        self._require_camera_axes()
        require_same(keypoints, len(self), self.first_frame, self.track_id, self.root_joint)
        unit = self._units_per_meter("The root's position")
        height_m = checked_height(keypoints.height_m if height_m is None else height_m)
        told = keypoints.height_m is not None and self.policy("height") is not None
        # The network was told the keypoints' height, and not one that is given here.
        told = told and height_m == keypoints.height_m
        warnings = [*self.warnings, *intrinsics.check_image(keypoints.image_size)]
        if camera is not None:
            warnings += self._doubts_of(cameras_of(camera, self.timestamps))
        placement = Placement(
            ground=ground, root=root, bones=bones or {}, frame_id=frame_id, smoothing=smoothing
        )
        found = place_poses(
            self.poses / np.float32(unit),
            self.valid if seen is None else seen,
            None if self.spread is None else self.spread / np.float32(unit),
            self.timestamps,
            keypoints,
            intrinsics=intrinsics,
            camera=camera,
            placement=placement,
            height_m=height_m,
            height_told=told,
            depth=depth,
            min_score=min_score,
        )
        fields = fields_of(found, unit)
        known = int(np.isfinite(found.root[:, 0]).sum())
        error = float(np.nanmean(found.root_error)) if known else float("nan")
        scale = fields["scale"] or 1.0
        detail = f"reprojection error {error:.3g} px, size {scale:.4g} of the network's"
        result = self._changed(
            "placed",
            detail,
            count=known,
            **fields,
            seams=scaled_seams(self.seams, scale, self.unit),
            axes=CAMERA_AXES if camera is None else ROBOT_AXES,
            frame_id=placement.frame_name(in_robot_frame=camera is not None),
            warnings=tuple(dict.fromkeys(warnings)),
        )
        if not contacts:
            return result
        up = keypoints.knowledge.up
        up = None if up is None or up.ndim == 2 else up
        first = None if camera is None else first_camera(camera, self.timestamps)
        floor = placement.floor(first, up)
        if floor is not None:
            return result.with_standing_feet(up=floor.up, floor_m=floor.height_m)
        return result.with_standing_feet(up=up if camera is None else None)

    def with_standing_feet(
        self, *, up: ArrayLike | None = None, floor_m: float | None = None
    ) -> Pose3DResult:
        """Return the same person with standing feet that neither slide, nor sink or float.

        See ``hot_sdk.contacts``: ankles are moved, and knees follow; ``contacts`` says how likely
        each foot stands. The velocity of an ankle that is kept in place becomes that of one that
        stands; those of knees, and the covariances of places, stay as they were.

        Args:
            up: (3,), the direction away from the floor along the camera's axes; None along a
                robot's, whose z axis it is. The camera does not move.
            floor_m: Where the floor is along it, meters; None to find it.

        Raises:
            ResultError: It is not known where the person is.
            UsageError: Nothing says where up is.
        """
        from hot_sdk.results.placed import standing_feet
        from hot_sdk.root.standing import standing_velocity

        if up is None and self.axes == CAMERA_AXES:
            raise UsageError(
                "Nothing says where up is.",
                hint="Give up= along the camera's axes, or camera=, where the camera is.",
            )
        unit = np.float32(self._units_per_meter("A floor"))
        joints = self.joints / unit
        upward = (0.0, 0.0, 1.0) if up is None else up
        moved, likely = standing_feet(joints, self.timestamps, upward, floor_m)
        far = float(np.linalg.norm(moved, axis=-1).max()) if len(moved) else 0.0
        changes: dict[str, Any] = {"poses": self.poses + moved * unit, "contacts": likely}
        if self.velocity is not None and self.velocity_covariance is not None:
            found = standing_velocity(self.velocity, self.velocity_covariance, likely, float(unit))
            changes["velocity"], changes["velocity_covariance"] = map(np.float32, found)
        return self._changed(
            "standing_feet",
            f"ankles moved by {far:.3g} m at most",
            **changes,
        )

    def with_root_from_reprojection(
        self, keypoints: Keypoints, intrinsics: Intrinsics | None = None
    ) -> Pose3DResult:
        """Find where the pelvis is, at the size of the network's poses; see ``placed``.

        If the person is of another size, the distance is wrong by the same share.
        """
        one_size = dataclasses.replace(keypoints, height_m=None)
        return self.placed(one_size, intrinsics_of(keypoints, intrinsics))

    def with_root_from_height(
        self,
        keypoints: Keypoints,
        intrinsics: Intrinsics | None = None,
        height_m: float | None = None,
    ) -> Pose3DResult:
        """Scale the poses to a person's height, and find where the pelvis is; see ``placed``.

        Args:
            keypoints: The keypoints that the poses were lifted from.
            intrinsics: The camera's; None for those of the keypoints.
            height_m: Height of the standing person without shoes, meters; None for that of the
                keypoints.

        Raises:
            ResultError: See ``placed``; or the poses have no size.
            UsageError: There are no intrinsics, or no height, or it is out of range.
        """
        height_m = keypoints.height_m if height_m is None else height_m
        if height_m is None:
            raise UsageError(
                "The person's height is not known.", hint="Give height_m=, or keypoints with it."
            )
        placed = self.placed(keypoints, intrinsics, height_m=height_m)
        # Also if no frame has a pose.
        if not upright_height(self.poses, self.valid) > 0.0:
            raise ResultError("The poses have no size.", hint="Check the model's weights.")
        return placed

    def save(self, path: str | Path, *, format: str | None = None) -> Path:  # noqa: A002
        """Write a file: npz and json hold everything, csv all but ``seams`` and ``latency``.

        Args:
            path: The file; an existing one is replaced when the new one is complete.
            format: ``npz``, ``json`` or ``csv``; None for the path's suffix.

        Returns:
            The path.

        Raises:
            UsageError: The format is unknown, or the file cannot be written.
            ResultError: The clip is too long for json or csv.
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

    def policy(self, name: str) -> AppliedPolicy | None:
        """Return what was done last under a name; None if nothing was."""
        return next((one for one in reversed(self.policies) if one.name == name), None)

    def _scaled(self, factor: float, unit: str, name: str, detail: str) -> Pose3DResult:
        """Return a result with every distance in it multiplied."""
        changes = scaled_fields(vars(self), factor)
        seams = scaled_seams(self.seams, factor, unit)
        return self._changed(name, detail, unit=unit, seams=seams, **changes)

    def _units_per_meter(self, what: str) -> float:
        """Return the scale; raise ResultError if there is none for ``what``."""
        if self.unit not in _UNITS_PER_METER:
            raise ResultError(
                f"{what} needs metric poses, and the model returns '{self.unit}', whose scale is"
                " unknown.",
                hint="Use a model that returns meters, such as the mixste family.",
            )
        return _UNITS_PER_METER[self.unit]

    def _doubts_of(self, cameras: CameraPose | Sequence[CameraPose]) -> tuple[str, ...]:
        """Return a warning if the people of poses along the camera's axes hang, or lie, there."""
        if isinstance(cameras, CameraPose):
            up = cameras.rotation[2]
        else:
            up = np.array([one.rotation[2] for one in cameras]).reshape(-1, 3)
        return contrary_up(up, self.poses[..., :2])

    def _require_camera_axes(self) -> None:
        if self.axes != CAMERA_AXES:
            raise ResultError(
                f"The poses are along other axes ({self.axes}).",
                hint="Convert the result as the engine returned it, and rotate it last.",
            )
