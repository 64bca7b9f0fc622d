"""The figures of a second opinion: a model's poses compared with BlazePose's of the same clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import body_checks
import numpy as np
from body_checks import angles_degrees, percent
from numpy.typing import NDArray

from hot_sdk import Keypoints
from hot_sdk._base.safe_npz import NpzError, open_npz
from hot_sdk.benchmarks.evaluation import measure_clip
from hot_sdk.benchmarks.evaluation.clip_errors import Floats
from hot_sdk.errors import KeypointsError, ResultError
from hot_sdk.skeletons import H36M17, skeleton_format


@dataclass(frozen=True, eq=False)
class Opinion:
    """BlazePose's poses of a clip.

    Attributes:
        name: Name of the clip: its file's, without the suffix.
        keypoints: The model's input.
        points: (frames, 17, 2), the same in the joints of the poses, pixels.
        poses_mm: (frames, 17, 3), BlazePose's, millimeters along the camera's axes, relative to the
            pelvis; NaN in frames with no detection.
        person: (frames,), True if both have a detection.
        standing: (frames,), True if, in the image, that person's head is above the pelvis and the
            pelvis above both ankles.
    """

    name: str
    keypoints: Keypoints
    points: Floats
    poses_mm: Floats
    person: NDArray[np.bool_]
    standing: NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Differences between a model's poses and BlazePose's; means and medians over frames.

    Attributes:
        scale: Factor from the model's poses to millimeters of BlazePose's body: the median, over
            the bones of arms and legs, of BlazePose's median length by the model's.
        mpjpe_mm: Mean distance of the joints about the pelvis, with that one scale.
        n_mpjpe_mm: The same after a scale for each frame.
        p_mpjpe_mm: The same after rotation, scale and shift of each frame.
        per_joint_mm: The share of each joint in ``n_mpjpe_mm`` and in ``p_mpjpe_mm``.
        limb_degrees: For each of ``body_checks.LIMBS``, the median angle between the two
            directions.
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
    """Checks that need only poses and keypoints; NaN if there was nothing to count.

    Attributes:
        stands_percent: Share of standing poses among frames in which the person in the image
            stands.
        knees: Number of bent knees, over all frames.
        knees_percent: Share of these that is bent as a knee bends.
        elbows: Number of bent elbows, over all frames.
        elbows_percent: Share of these that is bent as a shoulder allows.
        knee_degrees: Median bend of the knees.
        off_in_image_degrees: Mean angle of limb bones, projected, from the keypoints' directions.
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
        frames: Its number of frames.
        with_person: Number of frames that everything is measured on.
        standing: Number of these in which the person in the image stands.
        valid_percent: Joints that the model did not have to guess, in frames with a person.
        agreement: Agreement with the second opinion.
        model: Checks of the model's poses by themselves.
        blazepose: The same checks of the second opinion.
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
        KeypointsError: The file is broken, is not of this layout, or has a person in no frame.
    """
    keypoints = Keypoints.from_file(path)
    try:
        with path.open("rb") as file, open_npz(file) as arrays:
            held = ", ".join(sorted(arrays))
            world = arrays.get("world")
    except NpzError as error:
        raise KeypointsError(
            f"'{path}' cannot be read: {error}.", hint="Save it again with numpy.savez."
        ) from error
    recipes = skeleton_format("mediapipe33")
    shape = (len(keypoints), len(recipes.joints), 3)
    if world is None:
        raise KeypointsError(
            f"'{path}' has no array world; it holds {held}.",
            hint="The second opinion is MediaPipe's world landmarks of the same frames: save them"
            f" as world, meters, of shape {shape}.",
        )
    if world.shape != shape or world.dtype.kind != "f":
        raise KeypointsError(
            f"world in '{path}' is {world.dtype} of shape {world.shape}.",
            hint=f"Give floating-point numbers of shape {shape}, meters, of the same frames.",
        )
    # Mixtures of joints are the same along every axis, and are made of two axes at a time.
    across, _ = recipes.to_h36m17(world[..., :2].astype(np.float32), None)
    away, _ = recipes.to_h36m17(world[..., 1:].astype(np.float32), None)
    poses = np.concatenate([across, away[..., 1:]], axis=-1).astype(np.float64)
    poses_mm = 1000.0 * (poses - poses[:, :1])
    points = keypoints.h36m17_arrays()[0].astype(np.float64)
    person: NDArray[np.bool_] = np.isfinite(np.concatenate([poses_mm, points], axis=-1)).all(
        axis=(1, 2)
    )
    if not person.any():
        raise KeypointsError(
            f"No frame of '{path}' has both keypoints and world landmarks.",
            hint="Give a clip that shows a person.",
        )
    standing: NDArray[np.bool_] = person & body_checks.stands(points[..., 1])
    return Opinion(path.stem, keypoints, points, poses_mm, person, standing)


def compare(opinion: Opinion, poses: NDArray[np.floating], valid: NDArray[np.bool_]) -> Comparison:
    """Measure a model's poses (frames, 17, 3) of a clip, in any unit, along the camera's axes.

    ``valid``, (frames, 17), is False if a joint is only the network's guess.

    Raises:
        ResultError: The poses are of other frames, or not finite in a frame with a person.
    """
    person = opinion.person
    all_poses = poses.astype(np.float64)
    if len(all_poses) != len(person) or not np.isfinite(all_poses[person]).all():
        raise ResultError(
            f"'{opinion.name}' has {len(person)} frames; there are {len(all_poses)} poses, or"
            " some are not finite.",
            hint="Give a pose for every frame of the clip.",
        )
    ours, theirs = all_poses[person], opinion.poses_mm[person]
    scale = _scale_between(ours, theirs)
    errors = measure_clip(scale * ours, theirs)
    angles = np.median(angles_degrees(body_checks.limbs(ours), body_checks.limbs(theirs)), (0, 2))
    shoulders = (body_checks.to_the_left(each, "shoulder") for each in (ours, theirs))
    agreement = Agreement(
        scale=scale,
        mpjpe_mm=float(errors.position.mean()),
        n_mpjpe_mm=float(errors.scaled.mean()),
        p_mpjpe_mm=float(errors.aligned.mean()),
        per_joint_mm={
            name: (float(errors.scaled[:, at].mean()), float(errors.aligned[:, at].mean()))
            for at, name in enumerate(H36M17.joints)
        },
        limb_degrees=dict(zip(body_checks.LIMBS, angles.tolist(), strict=True)),
        turned_degrees=float(np.median(angles_degrees(*shoulders))),
        left_is_left_percent=percent(body_checks.left_is_left(ours, theirs)),
    )
    standing, points = opinion.standing[person], opinion.points[person]
    return Comparison(
        clip=opinion.name,
        frames=len(person),
        with_person=len(ours),
        standing=int(standing.sum()),
        valid_percent=percent(valid[person]),
        agreement=agreement,
        model=check(ours, points, standing),
        blazepose=check(theirs, points, standing),
    )


def check(poses: Floats, points: Floats, standing: NDArray[np.bool_]) -> Sanity:
    """Check poses (frames, 17, 3) against keypoints (frames, 17, 2) and standing frames."""
    knees, elbows = body_checks.knee_bends(poses), body_checks.elbow_bends(poses)
    return Sanity(
        stands_percent=percent(body_checks.stands(poses[standing, :, 1])),
        knees=knees.count,
        knees_percent=knees.percent,
        elbows=elbows.count,
        elbows_percent=elbows.percent,
        knee_degrees=float(np.median(knees.degrees)),
        off_in_image_degrees=float(body_checks.off_in_image_degrees(poses, points).mean()),
        length_variation_percent=body_checks.length_variation_percent(poses),
        length_asymmetry_percent=body_checks.length_asymmetry_percent(poses),
    )


def _scale_between(ours: Floats, theirs: Floats) -> float:
    lengths, target = (
        np.median(body_checks.limb_lengths(poses), axis=0) for poses in (ours, theirs)
    )
    whole = lengths > 0.0
    return float(np.median(target[whole] / lengths[whole])) if whole.any() else 1.0
