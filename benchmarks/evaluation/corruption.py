"""Degrade clips as a worse detector or another camera would, the same way in every run.

Each function keeps the truth and returns a new clip. The random numbers depend only on the seed and
on the clip's name, so a clip is treated alike whichever other clips are evaluated with it.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import check_settings
from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.errors import UsageError
from hot_sdk.preprocessing.resampling import sample

MEAN_GAP_FRAMES = 5.0
"""Mean number of frames that a joint is missing for."""


@dataclasses.dataclass(frozen=True)
class Corruption:
    """What is done to clips before they are lifted.

    Attributes:
        fps: Frames per second to resample to; None keeps the clip's rate.
        noise_px: Standard deviation of the noise of each coordinate, pixels of the clip's image.
        missing: Share of joints to remove, 0 to 0.8, for ``MEAN_GAP_FRAMES`` at a time.
        seed: Seed of the noise, the gaps and the tilts.
        up_degrees: Angle by which the direction of gravity that the keypoints state is wrong, the
            same way in all frames of a clip.

    Raises:
        UsageError: A value is out of range.
    """

    fps: float | None = None
    noise_px: float = 0.0
    missing: float = 0.0
    seed: int = 0
    up_degrees: float = 0.0

    def __post_init__(self) -> None:
        expected = {
            "fps": (self.fps is None or 1.0 <= self.fps <= 240.0, "1 to 240, or None"),
            "noise_px": (0.0 <= self.noise_px <= 1000.0, "0 to 1000"),
            "missing": (0.0 <= self.missing <= 0.8, "a share, 0 to 0.8"),
            "up_degrees": (0.0 <= self.up_degrees <= 90.0, "0 to 90"),
            "seed": (0 <= self.seed < 1 << 32, "0 to 4294967295"),
        }
        check_settings(self, expected)

    def apply(self, clip: EvaluationClip) -> EvaluationClip:
        """Return the clip resampled, then with noise, joints removed and gravity tilted."""
        if self.fps is not None:
            clip = with_frame_rate(clip, self.fps)
        if self.noise_px > 0.0:
            clip = with_noise(clip, self.noise_px, seed=self.seed)
        if self.missing > 0.0:
            clip = with_missing_joints(clip, self.missing, seed=self.seed)
        if self.up_degrees > 0.0:
            clip = with_tilted_up(clip, self.up_degrees, seed=self.seed)
        return clip


def with_noise(
    clip: EvaluationClip, sigma_px: float, *, seed: int = 0, correlation: float = 0.0
) -> EvaluationClip:
    """Add normal noise to every coordinate.

    Args:
        clip: The clip.
        sigma_px: Standard deviation, pixels.
        seed: Seed of the noise.
        correlation: Correlation of a joint's noise in a frame and in the next, 0 to below 1, as a
            detector's error is not new in every frame. It does not change the standard deviation.
    """
    points = clip.keypoints.points
    noise = _random(clip, "noise", seed).normal(0.0, sigma_px, points.shape)
    if correlation > 0.0:
        fresh = (1.0 - correlation**2) ** 0.5
        for frame in range(1, len(noise)):
            noise[frame] = correlation * noise[frame - 1] + fresh * noise[frame]
    return _with_points(clip, points + noise)


def with_missing_joints(
    clip: EvaluationClip,
    share: float,
    *,
    seed: int = 0,
    mean_gap_frames: float = MEAN_GAP_FRAMES,
) -> EvaluationClip:
    """Remove joints, each by itself and for some frames in a row, as an occlusion would.

    A joint goes and comes back as a Markov chain of two states, so that ``share`` of all joints is
    missing on average and gaps last geometrically distributed numbers of frames.

    Args:
        clip: The clip.
        share: Share of all joints of all frames, 0 to below 1.
        seed: Seed of the gaps.
        mean_gap_frames: Mean length of a gap, frames; at least ``1 / (1 - share)``, which is the
            mean length if every frame is drawn by itself.

    Raises:
        UsageError: Gaps that short cannot make up the share.
    """
    if mean_gap_frames * (1.0 - share) < 1.0 - 1e-9:
        raise UsageError(
            f"Gaps of {mean_gap_frames:g} frames cannot remove {share:.0%} of the joints.",
            hint=f"Give mean_gap_frames of {1.0 / (1.0 - share):.2f} or more.",
        )
    points = clip.keypoints.points
    drawn = _random(clip, "gaps", seed).random(points.shape[:2])
    stays, goes = 1.0 - 1.0 / mean_gap_frames, share / (1.0 - share) / mean_gap_frames
    gone = np.empty(drawn.shape, dtype=np.bool_)
    gone[0] = drawn[0] < share
    for frame in range(1, len(gone)):
        gone[frame] = drawn[frame] < np.where(gone[frame - 1], stays, goes)
    return _with_points(clip, np.where(gone[..., None], np.nan, points))


def with_tilted_up(clip: EvaluationClip, degrees: float, *, seed: int = 0) -> EvaluationClip:
    """Tilt the direction of gravity that the keypoints state, as a wrong calibration would.

    The clip's own ``up``, against which poses are measured, stays.

    Args:
        clip: The clip; unchanged if its keypoints state no direction.
        degrees: Angle between the direction and the tilted one.
        seed: Seed of the side to which it is tilted.
    """
    up = clip.keypoints.knowledge.up
    if up is None:
        return clip
    aside = np.cross(up, _random(clip, "tilt", seed).normal(size=3))
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True)
    angle = np.radians(degrees)
    keypoints = dataclasses.replace(clip.keypoints, up=np.cos(angle) * up + np.sin(angle) * aside)
    return dataclasses.replace(clip, keypoints=keypoints)


def with_frame_rate(clip: EvaluationClip, fps: float) -> EvaluationClip:
    """Resample a clip as a camera of another frame rate would have recorded it.

    Keypoints and truth are interpolated linearly between frames; from 30 per second to 15 or 10
    every frame is one of the clip's.

    Raises:
        UsageError: The clip's own rate is unknown.
    """
    rate = clip.keypoints.effective_fps
    if rate is None:
        raise UsageError(
            f"The frame rate of '{clip.name}' is unknown, so it cannot be changed.",
            hint="Use a data set that has one, such as starter-val.",
        )
    times = np.arange(len(clip)) / rate
    # No frame past the clip's end; the end itself may be missed by rounding only.
    at = np.arange(int(times[-1] * fps + 1e-6) + 1) / fps
    nearest = np.minimum((at * rate + 0.5).astype(np.int64), len(clip) - 1)
    scores = clip.keypoints.scores
    return dataclasses.replace(
        clip,
        keypoints=dataclasses.replace(
            clip.keypoints,
            points=sample(clip.keypoints.points, times, at),
            scores=None if scores is None else scores[nearest],
            fps=fps,
            timestamps=None,
            up=clip.keypoints.knowledge.up_of(nearest),
        ),
        truth=sample(clip.truth, times, at),
        valid=clip.valid[nearest],
        root=None if clip.root is None else sample(clip.root, times, at),
        up=clip.up if clip.up is None or clip.up.ndim == 1 else clip.up[nearest],
        mm_per_px=None if clip.mm_per_px is None else clip.mm_per_px[nearest],
    )


def _with_points(clip: EvaluationClip, points: NDArray[np.floating]) -> EvaluationClip:
    keypoints = dataclasses.replace(clip.keypoints, points=points.astype(np.float32))
    return dataclasses.replace(clip, keypoints=keypoints)


def _random(clip: EvaluationClip, what: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{what}/{clip.name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
