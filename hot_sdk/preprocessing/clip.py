"""Prepare a whole clip as a network's input, and record every policy that was applied to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import parts
from hot_sdk.camera_knowledge import CameraKnowledge, doubtful_up, unused_warning
from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import MAX_FRAMES, Keypoints
from hot_sdk.plausibility import MOST_FRAMES, implausible
from hot_sdk.preprocessing import resampling
from hot_sdk.preprocessing.cleaning import relative_validity
from hot_sdk.preprocessing.normalization import (
    IMAGE_WIDTH,
    InputSpec,
    Square,
    pads_to_square,
)
from hot_sdk.preprocessing.policies import AppliedPolicy, InputPolicies
from hot_sdk.preprocessing.spans import LongInputs, SpannedClip, spanned, survey
from hot_sdk.preprocessing.virtual_view import ViewTrack, conditions, size_factor
from hot_sdk.skeletons import H36M17
from hot_sdk.timestamps import A_SECOND_APART

_WIDE = 2.0
_FEWEST_FRAMES = 10


@dataclass(frozen=True)
class PreparedClip:
    """A clip, ready to be cut into windows.

    Attributes:
        inputs: (samples, 17, channels), float32: the clip's frames, or samples of it at the
            model's rate. Of a long clip they are computed as they are read, by an array of places.
        sample_times: (samples,), seconds; None if the samples are the frames.
        timestamps: (frames,), seconds, of the clip.
        valid: (frames, 17), relative to the pelvis.
        seen: (frames, 17), joints that were seen, or not long ago.
        applied: What was done.
        warnings: What had to be assumed, and what is unlikely about the keypoints.
        conditions: Names of what the network is told; empty if it cannot be told anything.
        views: The virtual cameras of the samples; None if the keypoints are no rays.
        height_m: The person's height, if the network is told.
    """

    inputs: NDArray[np.float32] | LongInputs
    sample_times: NDArray[np.float64] | None
    timestamps: NDArray[np.float64]
    valid: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    applied: tuple[AppliedPolicy, ...]
    warnings: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    views: ViewTrack | None = None
    height_m: float | None = None

    def conditions_at(self, places: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return what the network is told about some samples, (places, conditions), if anything."""
        if not self.conditions:
            return None
        views = None if self.views is None else self.views.at(places)
        return conditions(self.conditions, len(places), views, self.height_m)

    def turn_back(self, poses: NDArray[np.float32], spread: NDArray[np.float32] | None) -> None:
        """Turn the samples' poses, and their spread, to the camera's axes, in place.

        They also become as large as the person is; see ``size_factor``.
        """
        if self.views is not None:
            self.views.turn_back(poses, spread)
        if (factor := size_factor(self.height_m)) != 1.0:
            for part in parts(poses, spread):
                poses[part] *= factor
                if spread is not None:
                    spread[part] *= factor

    def resample_to_frames(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample poses of the samples (samples, 17, 3) to those of the frames (frames, 17, 3)."""
        if self.sample_times is None:
            return poses
        return resampling.sample(poses, self.sample_times, self.timestamps)


def prepare_clip(
    keypoints: Keypoints,
    spec: InputSpec,
    policies: InputPolicies,
    *,
    frames: int,
    training_fps: float,
    conditions: Sequence[str] = (),
) -> PreparedClip:
    """Apply every policy to a clip.

    Args:
        keypoints: One person's keypoints, in any skeleton.
        spec: The network's input.
        policies: The settings.
        frames: The network's window. If it is one frame, time plays no part.
        training_fps: Frames per second that the network was trained at.
        conditions: Names of what the network can be told; see ``Manifest``.

    Raises:
        KeypointsError: No frame shows a joint, or the resampled clip is too long.
    """
    fps, warnings = rate_of(keypoints, training_fps, timed=frames > 1)
    times = keypoints.times(fps)
    knowledge = keypoints.knowledge.usable_with(conditions)
    clip = spanned(keypoints, times, policies, fps=fps, camera=knowledge.camera)
    if clip is None:
        raise no_joint(keypoints, policies)
    sample_times = None
    if frames > 1 and policies.rate_tolerance is not None:
        sample_times = _sample_times(times, fps, training_fps, policies.rate_tolerance)
    found = survey(clip, spec)
    seen, square, whole = found.valid, found.square, found.whole
    views = None
    if found.centers is not None:
        views = ViewTrack(found.centers, knowledge.up, times, sample_times)
    inputs: NDArray[np.float32] | LongInputs
    if whole is None:
        inputs = LongInputs(clip, spec, square, sample_times, views)
    else:
        if sample_times is not None:
            whole = resampling.sample(whole, times, sample_times)
        inputs = whole if views is None else views.at(slice(None)).turned(whole)
    clip_policies = []
    if sample_times is not None:
        detail = f"from {fps:g} to {training_fps:g} frames per second and the poses back"
        samples = len(inputs)
        clip_policies.append(AppliedPolicy("resampled", detail, samples, samples, "frames"))
    if len(inputs) < frames:
        shown = "one frame" if len(inputs) == 1 else f"{len(inputs)} frames"
        detail = f"{shown}, but the model needs {frames}: padded as the window scheme defines"
        clip_policies.append(AppliedPolicy("short_clip", detail, 1, 1, "clips"))
    clip_policies += skeleton_policy(keypoints)
    valid = relative_validity(seen)
    applied = (
        *_joint_policies(clip, valid, policies),
        *clip_policies,
        *(
            image_policies(keypoints.image_size, spec, square, policies)
            if views is None
            else view_policies(len(views), views.upright(), knowledge)
        ),
        *height_policy(knowledge),
    )
    warnings += warnings_about(keypoints, knowledge, seen, timed=frames > 1)
    return PreparedClip(
        inputs,
        sample_times,
        times,
        valid,
        seen,
        applied,
        warnings,
        conditions=tuple(conditions),
        views=views,
        height_m=knowledge.height_m,
    )


def rate_of(
    keypoints: Keypoints, training_fps: float, *, timed: bool
) -> tuple[float, tuple[str, ...]]:
    """Return the frames per second of a clip, the network's own if unknown, and warnings.

    Args:
        keypoints: The clip.
        training_fps: Frames per second that the network was trained at.
        timed: Time plays a part.
    """
    fps, warnings = keypoints.effective_fps, keypoints.warnings
    if fps is not None:
        return fps, warnings
    if timed and len(keypoints) > 1:
        warnings += (
            f"The keypoints' frame rate is unknown; {training_fps:g} frames per second, the"
            " model's, was assumed.",
        )
    return training_fps, warnings


def no_joint(keypoints: Keypoints, policies: InputPolicies) -> KeypointsError:
    """Return the error for a clip that shows no joint."""
    return KeypointsError(
        f"None of the {len(keypoints)} frames shows a joint with a score of at least"
        f" {policies.min_score:g}.",
        hint="Check the detector's scores, or lower InputPolicies(min_score=...).",
    )


def warnings_about(
    keypoints: Keypoints, knowledge: CameraKnowledge, seen: NDArray[np.bool_], *, timed: bool
) -> tuple[str, ...]:
    """Return what the network is not told about a clip, and what is unlikely about the clip.

    Args:
        keypoints: The clip.
        knowledge: What the network is told.
        seen: (frames, 17), joints that were seen, or not long ago.
        timed: Time plays a part.
    """
    part = slice(None, None, -(-len(keypoints) // MOST_FRAMES))
    some = keypoints.h36m17_arrays(part)
    warnings = unused_warning(keypoints.knowledge, knowledge)
    warnings += implausible(*some, keypoints.image_size, keypoints.skeleton)
    warnings += (*_pelvis_warning(seen), *_unseen_warning(seen))
    stamps = keypoints.timestamps
    if stamps is not None and timed and len(stamps) > 2 and (np.diff(stamps) == 1.0).all():
        warnings += (A_SECOND_APART,)
    if knowledge.camera is not None:
        warnings += knowledge.camera.check_image(keypoints.image_size)
    return warnings + doubtful_up(knowledge.up_of(part), some[0])


def _pelvis_warning(valid: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return what to say about frames that show someone, but not the hips."""
    frames = int(np.count_nonzero(~valid[:, 0] & valid.any(axis=1)))
    if not frames:
        return ()
    return (
        f"The hips were not seen in {frames} of {len(valid)} frames; no joint is valid there,"
        " because poses are relative to the pelvis.",
    )


def _unseen_warning(valid: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return what to say about joints that no frame of a clip shows, such as those of a face."""
    seen: NDArray[np.bool_] = np.asarray(valid.any(axis=0))
    if len(valid) < _FEWEST_FRAMES or seen.all() or not seen[0]:
        return ()
    names = ", ".join(H36M17.joints[joint] for joint in np.flatnonzero(~seen))
    return (
        f"These joints were seen in no frame: {names}. They are the network's guess, and the others"
        " are less accurate for it.",
    )


def _sample_times(
    times: NDArray[np.float64], fps: float, training_fps: float, tolerance: float
) -> NDArray[np.float64] | None:
    if len(times) < 2:
        return None
    resample = resampling.differs(fps, training_fps, tolerance)
    if not resample and not resampling.uneven(times, fps):
        return None
    rate = training_fps if resample else fps
    seconds = float(times[-1] - times[0])
    if seconds * rate > MAX_FRAMES:
        raise KeypointsError(
            f"The clip spans {seconds:.0f} s, which at {rate:g} frames per second is over"
            f" {MAX_FRAMES} frames.",
            hint="Check that the timestamps are seconds, or cut the clip at its gaps.",
        )
    return resampling.even_times(times, rate)


def _joint_policies(
    clip: SpannedClip, valid: NDArray[np.bool_], policies: InputPolicies
) -> Iterator[AppliedPolicy]:
    joints = valid.size
    threshold = policies.outlier_threshold
    limit = "off" if threshold is None else f"{threshold:g} spreads"
    counts = {
        "missing_joints": (
            f"no keypoint, or a score below {policies.min_score:g}: interpolated over gaps of up to"
            f" {policies.interpolate_frames} frames, else held",
            clip.missing,
        ),
        "outlier_joints": (
            f"jumped away and back, treated as missing (limit: {limit})",
            clip.outliers,
        ),
        "invalid_joints": (
            f"missing for more than {policies.hold_frames} frames in a longer gap, or before they"
            " were first seen, or relative to such a pelvis: passed to the network, marked invalid",
            joints - int(np.count_nonzero(valid)),
        ),
    }
    for name, (detail, count) in counts.items():
        yield AppliedPolicy(name, detail, count, joints, "joints")
    detail, frames = "interpolated or held as their joints are", len(clip)
    yield AppliedPolicy("empty_frames", detail, int(clip.empty.sum()), frames, "frames")
    detail = "filled with the first person seen, marked invalid"
    yield AppliedPolicy("first_empty_frames", detail, int(np.argmin(clip.empty)), frames, "frames")


def skeleton_policy(keypoints: Keypoints) -> Iterator[AppliedPolicy]:
    """Say that the joints were converted, if they were."""
    if keypoints.skeleton != "h36m17":
        detail = f"{keypoints.skeleton} converted to the 17 joints of Human3.6M"
        count = len(keypoints)
        yield AppliedPolicy("skeleton", detail, count, count, "frames")


def view_policies(
    samples: int, upright: int, knowledge: CameraKnowledge
) -> Iterator[AppliedPolicy]:
    """Say how the intrinsics, and gravity in ``upright`` of the samples, were used."""
    camera = knowledge.camera
    assert camera is not None
    detail = f"by the camera's intrinsics, as slopes of rays: 1 is {camera.fx:.6g} pixels"
    yield AppliedPolicy("normalized", detail, 1, 1, "clips")
    detail = "turned to a virtual camera that looks at the person, and the poses back"
    yield AppliedPolicy("virtual_camera", detail, samples, samples, "frames")
    if knowledge.up is not None:
        detail = "rolled upright by the direction of gravity, unless it is unknown or the camera"
        detail += " looks almost straight up or down"
        yield AppliedPolicy("upright", detail, upright, samples, "frames")


def height_policy(knowledge: CameraKnowledge) -> Iterator[AppliedPolicy]:
    """Say that the network was told the person's height, if it was."""
    if knowledge.height_m is not None:
        detail = f"the network was told that the person is {knowledge.height_m:g} m tall"
        yield AppliedPolicy("height", detail, 1, 1, "clips")


def image_policies(
    image_size: tuple[int, int], spec: InputSpec, square: Square | None, policies: InputPolicies
) -> Iterator[AppliedPolicy]:
    """Say how pixels became the network's input."""
    width, height = image_size
    unit = spec.unit_px(image_size, policies.aspect, square)
    detail = f"by {spec.normalization}: 1 is {unit:.6g} pixels"
    yield AppliedPolicy("normalized", detail, 1, 1, "clips")
    if spec.normalization != IMAGE_WIDTH:
        return
    if pads_to_square(image_size, policies.aspect):
        detail = f"{width}x{height} treated as the middle of a square image of {height} pixels"
        yield AppliedPolicy("portrait", detail, 1, 1, "clips")
    elif width > _WIDE * height:
        detail = f"{width}x{height} is wider than what models are trained on; left as it is"
        yield AppliedPolicy("wide", detail, 0, 1, "clips")
