"""Clean and normalize a clip span by span, so that memory grows by little more than the result.

Every value is that of the clip cleaned at once: a span is filled together with the frames, however
far away, that its missing joints are taken from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics
from hot_sdk.keypoints import Keypoints
from hot_sdk.preprocessing import resampling
from hot_sdk.preprocessing.cleaning import (
    OUTLIER_REACH,
    Cleaned,
    Floats,
    Mask,
    fill,
    find_present,
)
from hot_sdk.preprocessing.normalization import (
    BOUNDING_BOX,
    InputSpec,
    Square,
    square_about,
)
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.preprocessing.virtual_view import Doubles, ViewTrack, ray_slopes, without_ray
from hot_sdk.skeletons import H36M17

SPAN = 2048
"""Frames of a span. Intermediate arrays take about 1 KB for each."""

BLOCK = 4 * SPAN
"""Frames that are prepared at once; shorter clips are prepared as a whole."""

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SpannedClip:
    """A clip that is cleaned a part at a time.

    Attributes:
        keypoints: The clip.
        times: (frames,), seconds.
        policies: The settings.
        present: (frames, 17), joints that can be used.
        empty: (frames,), True if no joint was detected.
        missing: The number of joints that were missing or had too low a score.
        outliers: The number of joints that were present but had jumped.
        anchors: (spans, 17), the last frame before a span that shows the joint, or the first of
            all if none does; -1 if no frame does.
        camera: Turns keypoints into rays; None if they are normalized by the image instead.
    """

    keypoints: Keypoints
    times: NDArray[np.float64]
    policies: InputPolicies
    present: Mask
    empty: Mask
    missing: int
    outliers: int
    anchors: Index
    camera: Intrinsics | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.present)

    def cleaned(self, first: int, end: int) -> Cleaned:
        """Return the frames from ``first`` to before ``end``, cleaned."""
        begin = first - first % SPAN
        # What comes later is too far to be interpolated to.
        stop = min(end + self.policies.interpolate_frames + 1, len(self))
        anchors = {int(one) for one in self.anchors[first // SPAN] if one >= 0}
        # Not numpy.union1d, which imports numpy.ma: that takes as long as to lift a short clip.
        frames = np.array(sorted(anchors.union(range(begin, stop))))
        points, scores = self.keypoints.h36m17_arrays(frames)
        present, times = self.present[frames], self.times[frames]
        whole = fill(points, scores, present, times, self.policies, frames)
        own = slice(*np.searchsorted(frames, (first, end)).tolist())
        return Cleaned(whole.points[own], whole.scores[own], whole.valid[own])


def spanned(
    keypoints: Keypoints,
    times: NDArray[np.float64],
    policies: InputPolicies,
    *,
    fps: float,
    camera: Intrinsics | None = None,
) -> SpannedClip | None:
    """Find which joints of a clip can be used; None if no frame shows any.

    Args:
        keypoints: The clip, in any skeleton.
        times: (frames,), seconds.
        policies: The settings.
        fps: Frames per second.
        camera: Turns keypoints into rays; those without a ray count as missing.
    """
    frames, joints = len(keypoints), len(H36M17.joints)
    present = np.zeros((frames, joints), dtype=np.bool_)
    empty = np.zeros(frames, dtype=np.bool_)
    starts = range(0, frames, SPAN)
    anchors = np.full((len(starts), joints), -1)
    first_seen, last_seen = np.full(joints, -1), np.full(joints, -1)
    missing = outliers = 0
    for number, start in enumerate(starts):
        end = min(start + SPAN, frames)
        begin = max(start - OUTLIER_REACH, 0)
        points, scores = keypoints.h36m17_arrays(slice(begin, min(end + OUTLIER_REACH, frames)))
        points, _ = without_ray(points, camera)
        own = slice(start - begin, end - begin)
        usable, absent, jumped = (
            mask[own] for mask in find_present(points, scores, policies, fps=fps)
        )
        present[start:end] = usable
        empty[start:end] = np.isnan(points[own, :, 0]).all(axis=1)
        missing += int(np.count_nonzero(absent))
        outliers += int(np.count_nonzero(jumped))
        anchors[number] = last_seen
        seen = usable.any(axis=0)
        first = np.where(seen, start + usable.argmax(axis=0), -1)
        first_seen = np.where(first_seen < 0, first, first_seen)
        last_seen = np.where(seen, end - 1 - usable[::-1].argmax(axis=0), last_seen)
    if (first_seen < 0).all():
        return None
    anchors = np.where(anchors < 0, first_seen, anchors)
    return SpannedClip(
        keypoints, times, policies, present, empty, missing, outliers, anchors, camera
    )


class LongInputs:
    """The inputs of a network for a long clip, computed as its windows are read.

    Windows are best read in order: what was computed last is kept.

    Args:
        clip: The clip.
        spec: The network's input.
        square: The square about the whole clip, for ``bounding_box``.
        sample_times: (samples,), seconds, if the inputs are samples of the clip.
        views: The virtual cameras of the samples, if keypoints are turned into rays.
    """

    def __init__(
        self,
        clip: SpannedClip,
        spec: InputSpec,
        square: Square | None,
        sample_times: NDArray[np.float64] | None,
        views: ViewTrack | None = None,
    ) -> None:
        self._clip = clip
        self._spec = spec
        self._square = square
        self._sample_times = sample_times
        self._views = views
        self._first = 0
        self._block = self._normalized(0, 1)

    def __len__(self) -> int:
        """Return the number of frames, or of samples."""
        return len(self._clip if self._sample_times is None else self._sample_times)

    def __getitem__(self, places: Index) -> Floats:
        """Return the inputs (places, 17, channels) of some frames, or samples."""
        values = self._values(places)
        # Rays are float64 until they are turned; what is not turned is float32.
        return values if self._views is None else self._views.at(places).turned(values)

    def _values(self, places: Index) -> NDArray[Any]:
        if self._sample_times is None:
            low, high = int(places.min()), int(places.max())
            self._compute(low, high)
            return self._block[places - self._first]
        at, times = self._sample_times[places], self._clip.times
        low, high = np.searchsorted(times, (at.min(), at.max())).tolist()
        low, high = max(low - 1, 0), min(high, len(times) - 1)
        self._compute(low, high)
        values = self._block[low - self._first : high + 1 - self._first]
        return resampling.sample(values, times[low : high + 1], at)

    def _compute(self, low: int, high: int) -> None:
        """Have the frames from ``low`` to ``high`` in the block."""
        if self._first <= low and high < self._first + len(self._block):
            return
        end = min(max(low + BLOCK, high + 1), len(self._clip))
        self._block = self._normalized(low, end)
        self._first = low

    def _normalized(self, first: int, end: int) -> NDArray[Any]:
        return normalized(self._clip.cleaned(first, end), self._clip, self._spec, self._square)


def normalized(
    cleaned: Cleaned, clip: SpannedClip, spec: InputSpec, square: Square | None
) -> NDArray[Any]:
    """Return a part of a clip as a network's input, float32, or as rays to be turned, float64."""
    if clip.camera is not None:
        return rays(cleaned, spec, clip.camera)
    size, aspect = clip.keypoints.image_size, clip.policies.aspect
    return spec.normalize(cleaned.points, cleaned.scores, cleaned.valid, size, aspect, square)


def rays(
    cleaned: Cleaned,
    spec: InputSpec,
    camera: Intrinsics,
    known: tuple[Floats, Doubles] | None = None,
) -> Doubles:
    """Return the slopes of rays, and the scores if the network takes them; see ``ray_slopes``."""
    slopes = ray_slopes(cleaned.points, camera, known)
    if spec.channels == 2:
        return slopes
    return np.concatenate([slopes, cleaned.scores[..., None]], axis=-1)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over a clip finds.

    Attributes:
        valid: (frames, 17), which joints are.
        square: The square about those that are known, if the network needs it.
        whole: (frames, 17, channels), what ``normalized`` returns for the clip, if it is no longer
            than ``BLOCK``.
        centers: (frames, 2), the mean slopes of each frame's rays; None if there are none.
    """

    valid: Mask
    square: Square | None
    whole: NDArray[Any] | None
    centers: Doubles | None


def survey(clip: SpannedClip, spec: InputSpec) -> Survey:
    """Go through a clip once."""
    boxed = spec.normalization == BOUNDING_BOX and clip.camera is None
    valid = np.empty(clip.present.shape, dtype=np.bool_)
    centers = None if clip.camera is None else np.empty((len(clip), 2))
    known: list[Floats] = []
    every: list[Floats] = []
    for first in range(0, len(clip), BLOCK):
        end = min(first + BLOCK, len(clip))
        part = clip.cleaned(first, end)
        valid[first:end] = part.valid
        if boxed:
            chosen = part.points[part.valid & (part.scores > 0.0)]
            known += [_extremes(chosen)] if len(chosen) else []
            every.append(_extremes(part.points.reshape(-1, 2)))
        if centers is not None:
            values = normalized(part, clip, spec, None)
            centers[first:end] = values[..., :2].mean(axis=1)
    square = square_about(np.concatenate(known or every)) if boxed else None
    whole = None if len(clip) > BLOCK else normalized(part, clip, spec, square)
    return Survey(valid, square, whole, centers)


def _extremes(points: Floats) -> Floats:
    corners: Floats = np.stack([points.min(axis=0), points.max(axis=0)])
    return corners
