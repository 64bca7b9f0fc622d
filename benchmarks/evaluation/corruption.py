"""Clips as a worse detector or another camera would give them, the same in every run.

Each function leaves the truth what it is and returns a new clip. The numbers depend on the seed and
on the clip's name only, so that a clip is treated alike whatever else is evaluated beside it.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.clip import EvaluationClip
from hot_sdk.errors import UsageError
from hot_sdk.preprocessing import resampling as rates

MEAN_GAP_FRAMES = 5.0
"""Frames that a joint is gone for, on average, when it goes."""


@dataclasses.dataclass(frozen=True)
class Corruption:
    """What is done to clips before they are lifted.

    Attributes:
        fps: Frames a second to resample to; None leaves them.
        noise_px: Standard deviation of the noise of each coordinate, pixels of the clip's image.
        missing: Share of joints, 0 to 0.8, that are taken away, ``MEAN_GAP_FRAMES`` at a time.
        seed: Of the noise and the gaps.

    Raises:
        UsageError: A value is out of range.
    """

    fps: float | None = None
    noise_px: float = 0.0
    missing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        expected = {
            "fps": (self.fps is None or 1.0 <= self.fps <= 240.0, "1 to 240, or None"),
            "noise_px": (0.0 <= self.noise_px <= 1000.0, "0 to 1000"),
            "missing": (0.0 <= self.missing <= 0.8, "a share, 0 to 0.8"),
            "seed": (0 <= self.seed < 1 << 32, "0 to 4294967295"),
        }
        for name, (holds, what) in expected.items():
            if not holds:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}; expected {what}.",
                    hint="Leave it out for the default.",
                )

    def of(self, clip: EvaluationClip) -> EvaluationClip:
        """A clip, resampled first, then with noise, then with joints taken away."""
        if self.fps is not None:
            clip = at_rate(clip, self.fps)
        if self.noise_px > 0.0:
            clip = with_noise(clip, self.noise_px, seed=self.seed)
        if self.missing > 0.0:
            clip = with_missing_joints(clip, self.missing, seed=self.seed)
        return clip


def with_noise(
    clip: EvaluationClip, sigma_px: float, *, seed: int = 0, correlation: float = 0.0
) -> EvaluationClip:
    """Add normal noise to every coordinate.

    Args:
        clip: The clip.
        sigma_px: Standard deviation, pixels.
        seed: Of the noise.
        correlation: Between a joint's noise in a frame and in the next, 0 to below 1; a detector's
            error is not new in every frame. The standard deviation stays what it is.
    """
    points = clip.keypoints.points
    noise = _random(clip, "noise", seed).normal(0.0, sigma_px, points.shape)
    if correlation > 0.0:
        fresh = (1.0 - correlation**2) ** 0.5
        for frame in range(1, len(noise)):
            noise[frame] = correlation * noise[frame - 1] + fresh * noise[frame]
    return _seen(clip, points + noise)


def with_missing_joints(
    clip: EvaluationClip,
    share: float,
    *,
    seed: int = 0,
    mean_gap_frames: float = MEAN_GAP_FRAMES,
) -> EvaluationClip:
    """Take joints away, each by itself and for some frames in a row, as a body part hides.

    A joint goes and comes back as a Markov chain of two states, so that a share of all joints is
    missing on average and gaps last geometrically distributed numbers of frames.

    Args:
        clip: The clip.
        share: Of all joints of all frames, 0 to below 1.
        seed: Of the gaps.
        mean_gap_frames: Mean length of a gap, frames; at least ``1 / (1 - share)``, as it would be
            if every frame were drawn by itself.

    Raises:
        UsageError: Gaps so short cannot make up the share.
    """
    if mean_gap_frames * (1.0 - share) < 1.0 - 1e-9:
        raise UsageError(
            f"Gaps of {mean_gap_frames:g} frames cannot take away {share:.0%} of the joints.",
            hint=f"Give mean_gap_frames of {1.0 / (1.0 - share):.2f} or more.",
        )
    points = clip.keypoints.points
    drawn = _random(clip, "gaps", seed).random(points.shape[:2])
    stays, goes = 1.0 - 1.0 / mean_gap_frames, share / (1.0 - share) / mean_gap_frames
    gone = np.empty(drawn.shape, dtype=np.bool_)
    gone[0] = drawn[0] < share
    for frame in range(1, len(gone)):
        gone[frame] = drawn[frame] < np.where(gone[frame - 1], stays, goes)
    return _seen(clip, np.where(gone[..., None], np.nan, points))


def at_rate(clip: EvaluationClip, fps: float) -> EvaluationClip:
    """The clip as a camera of another frame rate would have taken it.

    Keypoints and truth are put on straight lines between the frames; from 30 a second to 15 or 10
    no frame is made up.

    Args:
        clip: The clip.
        fps: Frames a second.

    Raises:
        UsageError: The clip's own rate is unknown.
    """
    rate = clip.keypoints.rate
    if rate is None:
        raise UsageError(
            f"The frame rate of '{clip.name}' is unknown, so it cannot be changed.",
            hint="Use a data set that says it, such as starter-val.",
        )
    times = np.arange(len(clip)) / rate
    # A frame past the clip's end would be made up; the end itself may miss by rounding only.
    at = np.arange(int(times[-1] * fps + 1e-6) + 1) / fps
    nearest = np.minimum((at * rate + 0.5).astype(np.int64), len(clip) - 1)
    points = rates.sample(clip.keypoints.points, times, at)
    scores = clip.keypoints.scores
    truth = rates.sample(clip.truth, times, at)
    return dataclasses.replace(
        clip,
        keypoints=dataclasses.replace(
            clip.keypoints,
            points=points,
            scores=None if scores is None else scores[nearest],
            fps=fps,
            timestamps=None,
        ),
        truth=truth,
        valid=clip.valid[nearest],
        root=None if clip.root is None else rates.sample(clip.root, times, at),
    )


def _seen(clip: EvaluationClip, points: NDArray[np.floating]) -> EvaluationClip:
    keypoints = dataclasses.replace(clip.keypoints, points=points.astype(np.float32))
    return dataclasses.replace(clip, keypoints=keypoints)


def _random(clip: EvaluationClip, what: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{what}/{clip.name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
