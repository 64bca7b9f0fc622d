"""A whole clip as a network's input, with a record of everything that was done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.keypoints import MAX_FRAMES, Keypoints
from hot_sdk.preprocessing import resampling as rates
from hot_sdk.preprocessing.cleaning import Cleaned, clean
from hot_sdk.preprocessing.normalization import IMAGE_WIDTH, NetworkInput, pads_to_square
from hot_sdk.preprocessing.policies import AppliedPolicy, InputPolicies

_WIDE = 2.0


@dataclass(frozen=True)
class PreparedClip:
    """A clip, ready to be cut into windows.

    Attributes:
        inputs: (samples, 17, channels), float32: the clip's frames, or samples of it at the
            model's rate.
        sample_times: (samples,), seconds; None where the samples are the frames.
        timestamps: (frames,), seconds, of the clip.
        valid: (frames, 17).
        applied: What was done.
        warnings: What had to be assumed.
    """

    inputs: NDArray[np.float32]
    sample_times: NDArray[np.float64] | None
    timestamps: NDArray[np.float64]
    valid: NDArray[np.bool_]
    applied: tuple[AppliedPolicy, ...]
    warnings: tuple[str, ...]

    def at_frames(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Poses of the samples, (samples, 17, 3), as poses of the frames, (frames, 17, 3)."""
        if self.sample_times is None:
            return poses
        return rates.sample(poses, self.sample_times, self.timestamps)


def prepare_clip(
    keypoints: Keypoints,
    network: NetworkInput,
    policies: InputPolicies,
    *,
    frames: int,
    training_fps: float,
) -> PreparedClip:
    """Apply every policy to a clip.

    Args:
        keypoints: Of one person, in any format.
        network: What the network wants.
        policies: The settings.
        frames: The network's window. Where it is one frame, time plays no part.
        training_fps: Frames a second that the network was trained at.

    Raises:
        KeypointsError: No frame shows anybody, or the clip is too long once it is resampled.
    """
    points, scores = keypoints.h36m17_arrays()
    fps = keypoints.rate
    warnings: tuple[str, ...] = ()
    if fps is None:
        if frames > 1 and len(keypoints) > 1:
            warnings = (
                f"The keypoints' frame rate is unknown; {training_fps:g} frames a second, the"
                " model's, was assumed.",
            )
        fps = training_fps
    times = keypoints.timestamps
    if times is None:
        times = np.arange(len(keypoints)) / fps
    cleaned = clean(points, scores, times, policies, fps=fps)
    if cleaned is None:
        raise KeypointsError(
            f"None of the {len(keypoints)} frames shows a joint with a score of at least"
            f" {policies.min_score:g}.",
            hint="Check the detector's scores, or lower InputPolicies(min_score=...).",
        )
    sample_times = None
    if frames > 1 and policies.rate_tolerance is not None:
        sample_times = _sample_times(times, fps, training_fps, policies.rate_tolerance)
    inputs = _inputs(cleaned, network, keypoints.image_size, policies.aspect, times, sample_times)
    applied = (
        *_joint_records(points, cleaned, policies),
        *_clip_records(keypoints, len(inputs), sample_times, fps, training_fps, frames),
        *_image_records(keypoints.image_size, network, policies),
    )
    return PreparedClip(inputs, sample_times, times, cleaned.valid, applied, warnings)


def _sample_times(
    times: NDArray[np.float64], fps: float, training_fps: float, tolerance: float
) -> NDArray[np.float64] | None:
    if len(times) < 2:
        return None
    resample = rates.differs(fps, training_fps, tolerance)
    if not resample and not rates.uneven(times, fps):
        return None
    rate = training_fps if resample else fps
    seconds = float(times[-1] - times[0])
    if seconds * rate > MAX_FRAMES:
        raise KeypointsError(
            f"The clip spans {seconds:.0f} s, which at {rate:g} frames a second is over"
            f" {MAX_FRAMES} frames.",
            hint="Check that the timestamps are seconds, or cut the clip at its gaps.",
        )
    return rates.even_times(times, rate)


def _inputs(
    cleaned: Cleaned,
    network: NetworkInput,
    image_size: tuple[int, int],
    aspect: str,
    times: NDArray[np.float64],
    sample_times: NDArray[np.float64] | None,
) -> NDArray[np.float32]:
    inputs = network.of(cleaned.points, cleaned.scores, cleaned.valid, image_size, aspect)
    return inputs if sample_times is None else rates.sample(inputs, times, sample_times)


def _joint_records(
    points: NDArray[np.float32], cleaned: Cleaned, policies: InputPolicies
) -> tuple[AppliedPolicy, ...]:
    joints, frames = cleaned.valid.size, len(points)
    empty = np.isnan(points[..., 0]).all(axis=1)
    nobody, first = int(empty.sum()), int(np.argmin(empty))
    invalid = joints - int(np.count_nonzero(cleaned.valid))
    limit = "off" if policies.outlier_size is None else f"{policies.outlier_size:g} spreads"
    return (
        AppliedPolicy(
            "missing_joints",
            f"no keypoint, or a score below {policies.min_score:g}: interpolated over gaps of up to"
            f" {policies.interpolate_frames} frames, else held",
            cleaned.missing,
            joints,
            "joints",
        ),
        AppliedPolicy(
            "outlier_joints",
            f"jumped away and back, treated as missing (limit: {limit})",
            cleaned.outliers,
            joints,
            "joints",
        ),
        AppliedPolicy(
            "invalid_joints",
            f"missing for more than {policies.hold_frames} frames in a longer gap, or before they"
            " were first seen: given to the network, marked invalid",
            invalid,
            joints,
            "joints",
        ),
        AppliedPolicy(
            "frames_with_nobody", "bridged or held as their joints are", nobody, frames, "frames"
        ),
        AppliedPolicy(
            "first_frames_with_nobody",
            "take the place of the first person seen, marked invalid",
            first,
            frames,
            "frames",
        ),
    )


def _clip_records(
    keypoints: Keypoints,
    samples: int,
    sample_times: NDArray[np.float64] | None,
    fps: float,
    training_fps: float,
    frames: int,
) -> tuple[AppliedPolicy, ...]:
    records = []
    if sample_times is not None:
        detail = f"from {fps:g} to {training_fps:g} frames a second and the poses back"
        records.append(AppliedPolicy("resampled", detail, samples, samples, "frames"))
    if samples < frames:
        what = "one frame" if samples == 1 else f"{samples} frames"
        detail = f"{what} where the model takes {frames}: as the mode of the windows says"
        records.append(AppliedPolicy("short_clip", detail, 1, 1, "clips"))
    if keypoints.skeleton != "h36m17":
        detail = f"{keypoints.skeleton} brought to the 17 joints of Human3.6M"
        records.append(AppliedPolicy("skeleton", detail, len(keypoints), len(keypoints), "frames"))
    return tuple(records)


def _image_records(
    image_size: tuple[int, int], network: NetworkInput, policies: InputPolicies
) -> tuple[AppliedPolicy, ...]:
    width, height = image_size
    normalized = AppliedPolicy("normalized", f"by {network.normalization}", 1, 1, "clips")
    if network.normalization != IMAGE_WIDTH:
        return (normalized,)
    if pads_to_square(image_size, policies.aspect):
        detail = f"{width}x{height} taken as the middle of a square image of {height} pixels"
        return (normalized, AppliedPolicy("portrait", detail, 1, 1, "clips"))
    if width > _WIDE * height:
        detail = f"{width}x{height} is wider than what models are trained on; left as it is"
        return (normalized, AppliedPolicy("wide", detail, 0, 1, "clips"))
    return (normalized,)
