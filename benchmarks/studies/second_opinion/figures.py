"""The figures of a second opinion: a model's poses beside those that BlazePose found in a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk import Keypoints
from hot_sdk._base.safe_npz import ArchiveError, open_archive
from hot_sdk.benchmarks.evaluation import measure_clip
from hot_sdk.benchmarks.evaluation.clip_errors import Floats
from hot_sdk.benchmarks.studies.second_opinion import body_checks
from hot_sdk.errors import KeypointsError, ResultError
from hot_sdk.skeletons import H36M17, skeleton_format

_LARGEST_UNPACKED = 256 << 20
_MM = 1000.0


@dataclass(frozen=True, eq=False)
class Opinion:
    """What BlazePose found in a clip.

    Attributes:
        name: Of the clip: its file's, without the suffix.
        keypoints: What the model is given.
        points: (frames, 17, 2), the same in the joints of the poses, pixels.
        poses_mm: (frames, 17, 3), BlazePose's, millimetres along the camera's axes, relative to the
            pelvis; NaN in frames with nobody.
        person: (frames,), True where both show somebody.
        standing: (frames,), True where, in the image, that person's head is above the pelvis and
            the pelvis above both ankles.
    """

    name: str
    keypoints: Keypoints
    points: Floats
    poses_mm: Floats
    person: NDArray[np.bool_]
    standing: NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """How near a model's poses are to the second opinion; means and medians over frames.

    Attributes:
        scale: What brings the model's poses to millimetres of BlazePose's body: the median, over
            the bones of arms and legs, of BlazePose's median length by the model's.
        mpjpe_mm: Mean distance of the joints about the pelvis, with that one scale.
        n_mpjpe_mm: The same after a scale for each frame.
        p_mpjpe_mm: The same after rotation, scale and shift of each frame.
        per_joint_mm: Of each joint, its share in ``n_mpjpe_mm`` and in ``p_mpjpe_mm``.
        limb_degrees: Of each of ``body_checks.LIMBS``, the median angle between the two directions.
        turned_degrees: Median angle between the two lines through the shoulders.
        left_is_left_percent: Share of frames in which both agree which side is left.
    """

    scale: float
    mpjpe_mm: float
    n_mpjpe_mm: float
    p_mpjpe_mm: float
    per_joint_mm: dict[str, tuple[float, float]]
    limb_degrees: dict[str, float]
    turned_degrees: float
    left_is_left_percent: float


@dataclass(frozen=True)
class Sanity:
    """What can be said of poses and keypoints alone; NaN where there was nothing to count.

    Attributes:
        stands_percent: Share that stands of the frames in which the person in the image does.
        knees: Bent knees, over all frames.
        knees_percent: Of these, the share bent as a knee bends.
        elbows: Bent elbows, over all frames.
        elbows_percent: Of these, the share bent as a shoulder allows.
        knee_degrees: How far knees are bent, the median.
        off_in_image_degrees: How far limb bones, projected, are from the keypoints' directions.
        length_variation_percent: Standard deviation by mean of the lengths of limb bones.
        length_asymmetry_percent: Difference of left and right limb bones' lengths.
    """

    stands_percent: float
    knees: int
    knees_percent: float
    elbows: int
    elbows_percent: float
    knee_degrees: float
    off_in_image_degrees: float
    length_variation_percent: float
    length_asymmetry_percent: float


@dataclass(frozen=True)
class Comparison:
    """All figures of one clip.

    Attributes:
        clip: Its name.
        frames: Of the clip.
        with_person: Frames that everything is measured on.
        standing: Of these, frames in which the person in the image stands.
        valid_percent: Joints that the model did not have to guess, of frames with a person.
        agreement: With the second opinion.
        model: The model's poses, without the second opinion.
        blazepose: The second opinion itself, by the same checks.
    """

    clip: str
    frames: int
    with_person: int
    standing: int
    valid_percent: float
    agreement: Agreement
    model: Sanity
    blazepose: Sanity


def read_opinion(path: Path) -> Opinion:
    """Read a clip and BlazePose's 3D landmarks of it.

    Raises:
        KeypointsError: The file is broken, is not of this layout, or shows nobody in any frame.
    """
    keypoints = Keypoints.from_npz(path)
    try:
        with path.open("rb") as file, open_archive(file, largest=_LARGEST_UNPACKED) as arrays:
            held = ", ".join(sorted(arrays))
            world = arrays.get("world")
    except ArchiveError as error:
        raise KeypointsError(
            f"'{path}' cannot be read: {error}.", hint="Save it anew with numpy.savez."
        ) from error
    shape = (len(keypoints), len(skeleton_format("mediapipe33").joints), 3)
    if world is None:
        raise KeypointsError(
            f"'{path}' has no array world; it holds {held}.",
            hint="The second opinion is MediaPipe's world landmarks of the same frames: save them"
            f" as world, metres, of shape {shape}.",
        )
    if world.shape != shape or world.dtype.kind != "f":
        raise KeypointsError(
            f"world in '{path}' is {world.dtype} of shape {world.shape}.",
            hint=f"Give floating-point numbers of shape {shape}, metres, of the same frames.",
        )
    poses = _in_17_joints(world.astype(np.float32))
    points = keypoints.h36m17_arrays()[0].astype(np.float64)
    person: NDArray[np.bool_] = np.isfinite(np.concatenate([poses, points], axis=-1)).all(
        axis=(1, 2)
    )
    if not person.any():
        raise KeypointsError(
            f"No frame of '{path}' has both keypoints and world landmarks.",
            hint="Give a clip that shows somebody.",
        )
    standing: NDArray[np.bool_] = person & body_checks.stands(points[..., 1])
    return Opinion(path.stem, keypoints, points, poses * _MM, person, standing)


def _in_17_joints(world: NDArray[np.float32]) -> Floats:
    """BlazePose's world landmarks (frames, 33, 3) as (frames, 17, 3) about the pelvis."""
    recipes = skeleton_format("mediapipe33")
    # Mixtures of joints are the same along every axis, and are made of two axes at a time.
    across, _ = recipes.to_h36m17(world[..., :2], None)
    away, _ = recipes.to_h36m17(world[..., 1:], None)
    poses = np.concatenate([across, away[..., 1:]], axis=-1).astype(np.float64)
    return poses - poses[:, :1]


def compare(opinion: Opinion, poses: NDArray[np.floating], valid: NDArray[np.bool_]) -> Comparison:
    """Measure a model's poses of a clip.

    Args:
        opinion: Of the same clip.
        poses: (frames, 17, 3), in any unit, along the camera's axes.
        valid: (frames, 17), False where a joint is only the network's guess.

    Raises:
        ResultError: The poses are of other frames, or not finite where there is somebody.
    """
    ours = poses.astype(np.float64)
    if len(ours) != len(opinion.person) or not np.isfinite(ours[opinion.person]).all():
        raise ResultError(
            f"'{opinion.name}' has {len(opinion.person)} frames; there are {len(ours)} poses, or"
            " some are not finite.",
            hint="Give a pose for every frame of the clip.",
        )
    scale = _scale_between(ours[opinion.person], opinion.poses_mm[opinion.person])
    errors = measure_clip(scale * ours, opinion.poses_mm, valid=opinion.person)
    seen, theirs = ours[opinion.person], opinion.poses_mm[opinion.person]
    shoulders = (body_checks.to_the_left(each, "shoulder") for each in (seen, theirs))
    agreement = Agreement(
        scale=scale,
        mpjpe_mm=float(errors.position.mean()),
        n_mpjpe_mm=float(errors.scaled.mean()),
        p_mpjpe_mm=float(errors.aligned.mean()),
        per_joint_mm={
            name: (float(errors.scaled[:, at].mean()), float(errors.aligned[:, at].mean()))
            for at, name in enumerate(H36M17.joints)
        },
        limb_degrees={name: _median_degrees(seen, theirs, name) for name in body_checks.LIMBS},
        turned_degrees=float(np.median(body_checks.angles_degrees(*shoulders))),
        left_is_left_percent=body_checks.percent(body_checks.left_is_left(seen, theirs)),
    )
    standing, points = opinion.standing[opinion.person], opinion.points[opinion.person]
    return Comparison(
        clip=opinion.name,
        frames=len(ours),
        with_person=int(opinion.person.sum()),
        standing=int(standing.sum()),
        valid_percent=body_checks.percent(valid[opinion.person]),
        agreement=agreement,
        model=check(seen, points, standing),
        blazepose=check(theirs, points, standing),
    )


def _scale_between(ours: Floats, theirs: Floats) -> float:
    lengths, wanted = (
        np.median(body_checks.limb_lengths(poses), axis=0) for poses in (ours, theirs)
    )
    whole = lengths > 0.0
    return float(np.median(wanted[whole] / lengths[whole])) if whole.any() else 1.0


def check(poses: Floats, points: Floats, standing: NDArray[np.bool_]) -> Sanity:
    """Check poses by themselves.

    Args:
        poses: (frames, 17, 3), along the camera's axes, in any unit.
        points: (frames, 17, 2), keypoints of the same frames, pixels.
        standing: (frames,), where the person in the image stands.
    """
    knees, elbows = body_checks.knee_bends(poses), body_checks.elbow_bends(poses)
    return Sanity(
        stands_percent=body_checks.percent(body_checks.stands(poses[standing, :, 1])),
        knees=knees.count,
        knees_percent=knees.percent,
        elbows=elbows.count,
        elbows_percent=elbows.percent,
        knee_degrees=float(np.median(knees.degrees)),
        off_in_image_degrees=float(body_checks.off_in_image_degrees(poses, points).mean()),
        length_variation_percent=body_checks.length_variation_percent(poses),
        length_asymmetry_percent=body_checks.length_asymmetry_percent(poses),
    )


def _median_degrees(ours: Floats, theirs: Floats, name: str) -> float:
    pair = (body_checks.limb(poses, name) for poses in (ours, theirs))
    return float(np.median(body_checks.angles_degrees(*pair)))
