"""Cut a clip into windows of a network's length, and stitch the windows' poses together again.

Besides the default mode there are six schemes of published code, to reproduce published numbers.
Nothing here depends on an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import PART, Scratch, parts, release, zeros
from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError

OVERLAP = "overlap"
HOT_CENTERED_EDGE = "hot_centered_edge"
MIXSTE_LAST_OVERLAP = "mixste_last_overlap"
MHFORMER_CENTER = "mhformer_center"
MOTIONBERT_TAIL_SHORT = "motionbert_tail_short"
AGFORMER_RESAMPLE = "agformer_resample"
HOT_DEMO = "hot_demo"
MODES = (
    OVERLAP,
    HOT_CENTERED_EDGE,
    MIXSTE_LAST_OVERLAP,
    MHFORMER_CENTER,
    MOTIONBERT_TAIL_SHORT,
    AGFORMER_RESAMPLE,
    HOT_DEMO,
)

_SHARE = 6
"""A sixth of each window is shared with the next: 40 of 243 frames, for a fifth more work. A
network sees only one side of a frame at a window's end, and is least certain there."""

_WHOLE = (int, np.integer)

Index = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """One window of a clip.

    Attributes:
        start: Clip frame under its first position; negative if it begins before the clip.
        length: Number of positions.
        output_frames: Half-open range of clip frames that this window outputs.
        source: Clip frame read at each position, ascending; None for ``start`` and on, with the
            clip's first and last frame repeated beyond its ends.
    """

    start: int
    length: int
    output_frames: tuple[int, int]
    source: Index | None = None

    def source_frames(self, frames: int) -> Index:
        """Return the clip frame read at each position, (length,), of a clip of ``frames``."""
        if self.source is not None:
            return self.source
        return np.clip(np.arange(self.start, self.start + self.length), 0, frames - 1)

    def output_positions(self) -> Index:
        """Return the position of each output frame, the first one if it is repeated."""
        frames = np.arange(*self.output_frames)
        return frames - self.start if self.source is None else np.searchsorted(self.source, frames)


@dataclass(frozen=True, eq=False)
class Plan:
    """The windows of a clip.

    Attributes:
        mode: One of ``MODES``.
        frames: Frames of the clip.
        length: Frames of a window.
        overlap: Frames over which a window's weight rises and falls; 0 if nothing is blended.
        windows: The windows, in the order of the clip.
    """

    mode: str
    frames: int
    length: int
    overlap: int
    windows: tuple[Window, ...]


def check_mode(mode: str) -> None:
    """Raise UsageError unless there is such a mode."""
    if mode not in MODES:
        raise UsageError(f"Unknown mode of windows {mode!r}.", hint=closest(str(mode), MODES))


def plan(frames: int, length: int, mode: str = OVERLAP, *, overlap: int | None = None) -> Plan:
    """Cut a clip into windows.

    - ``overlap``: neighbors share ``overlap`` frames, over which they are blended; the last window
      is moved back to end with the clip. A shorter clip lies in the middle of one window, its ends
      repeated.
    - ``hot_centered_edge``: adjacent windows about the clip's middle, its ends repeated; the
      evaluation of HoT (Li et al., CVPR 2024).
    - ``hot_demo``: the same with one window more if the clip is an exact multiple; HoT's demo.
    - ``mixste_last_overlap``: adjacent windows, the last one moved back to end with the clip, where
      it outputs only the frames that no other does; a shorter clip's last frame is repeated. MixSTE
      (Zhang et al., CVPR 2022), whose metric counts the frames that two windows output twice.
    - ``mhformer_center``: a window about every frame, which outputs that frame only; MHFormer
      (Li et al., CVPR 2022) and all that lift a center frame. Position ``length // 2``.
    - ``motionbert_tail_short``: adjacent windows, the last one shortened to the remaining frames;
      MotionBERT (Zhu et al., ICCV 2023). A file of fixed length can run it only if none remain.
    - ``agformer_resample``: adjacent windows; the remaining frames, or a shorter clip, are
      stretched to a window by repeating frames, and each frame's first repetition counts;
      MotionAGFormer (Mehraban et al., WACV 2024), whose demo fails on an exact multiple.

    Args:
        frames: Frames of the clip.
        length: Frames of a window.
        mode: One of ``MODES``.
        overlap: Only for the mode ``overlap``: frames that neighbors share, below ``length``; None
            for a sixth of it.

    Raises:
        UsageError: The mode is unknown, a number is out of range, or the mode accepts no overlap.
    """
    check_mode(mode)
    for name, value in (("frames", frames), ("length", length), ("overlap", overlap)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, _WHOLE)):
            raise UsageError(f"{name} is {value!r}.", hint="Give a whole number of frames.")
    if frames < 1 or length < 1:
        raise UsageError(
            f"A clip of {frames} frames cannot be cut into windows of {length}.",
            hint="Both are at least 1.",
        )
    if overlap is not None and mode != OVERLAP:
        raise UsageError(
            f"The windows '{mode}' have a fixed overlap.", hint="Leave out the overlap."
        )
    if overlap is not None and not 0 <= overlap < length:
        raise UsageError(
            f"overlap is {overlap}; expected 0 to {length - 1} for windows of {length} frames.",
            hint=f"Leave it out for {length // _SHARE}.",
        )
    if mode == OVERLAP:
        shared = length // _SHARE if overlap is None else overlap
        return Plan(mode, frames, length, shared, _overlapping(frames, length, shared))
    make = {
        HOT_CENTERED_EDGE: _centered,
        MIXSTE_LAST_OVERLAP: _last_moved_back,
        MHFORMER_CENTER: _one_per_frame,
        MOTIONBERT_TAIL_SHORT: _last_short,
        AGFORMER_RESAMPLE: _last_stretched,
        HOT_DEMO: _centered_in_one_more,
    }[mode]
    return Plan(mode, frames, length, 0, make(frames, length))


def _overlapping(frames: int, length: int, overlap: int) -> tuple[Window, ...]:
    if frames <= length:
        return (Window(-((length - frames) // 2), length, (0, frames)),)
    hop = length - overlap
    count = -((length - frames) // hop) + 1
    starts = [min(number * hop, frames - length) for number in range(count)]
    windows = [Window(start, length, (start, start + length)) for start in starts]
    if overlap == 0:
        windows[-1] = Window(starts[-1], length, (starts[-2] + length, frames))
    return tuple(windows)


def _centered(frames: int, length: int) -> tuple[Window, ...]:
    return _side_by_side(frames, length, -(-frames // length))


def _centered_in_one_more(frames: int, length: int) -> tuple[Window, ...]:
    return _side_by_side(frames, length, frames // length + 1)


def _side_by_side(frames: int, length: int, count: int) -> tuple[Window, ...]:
    before = (count * length - frames) // 2
    starts = [number * length - before for number in range(count)]
    return tuple(
        Window(start, length, (max(start, 0), min(start + length, frames))) for start in starts
    )


def _last_moved_back(frames: int, length: int) -> tuple[Window, ...]:
    windows = _last_short(frames, length)
    last = windows[-1]
    return (*windows[:-1], Window(max(frames - length, 0), length, last.output_frames))


def _one_per_frame(frames: int, length: int) -> tuple[Window, ...]:
    return tuple(Window(frame - length // 2, length, (frame, frame + 1)) for frame in range(frames))


def _last_short(frames: int, length: int) -> tuple[Window, ...]:
    return tuple(
        Window(start, min(length, frames - start), (start, min(start + length, frames)))
        for start in range(0, frames, length)
    )


def _last_stretched(frames: int, length: int) -> tuple[Window, ...]:
    windows = _last_short(frames, length)
    last = windows[-1]
    if last.length == length:
        return windows
    source = last.start + np.arange(length, dtype=np.int64) * last.length // length
    return (*windows[:-1], Window(last.start, length, last.output_frames, source))


@dataclass(frozen=True)
class SeamReport:
    """Steps at seams compared with steps inside windows.

    A step is the mean distance that the joints move from one frame to the next. It is at a seam if
    the windows that output the two frames, or their shares in them, are not the same. Poses that
    jump at seams have larger steps there than inside.

    Attributes:
        seams: Number of places where the next window takes over.
        unit: Unit of all distances.
        mean_step: Mean step at a seam.
        max_step: Largest step at a seam.
        mean_step_inside: Mean step inside a window; None if every step is at a seam.
        max_step_inside: Largest such step.
        mean_disagreement: Mean distance between the joints that two windows output for one frame;
            None if no frame is output twice.
        max_disagreement: Largest mean over a frame's joints.
    """

    seams: int
    unit: str
    mean_step: float
    max_step: float
    mean_step_inside: float | None
    max_step_inside: float | None
    mean_disagreement: float | None
    max_disagreement: float | None

    def __str__(self) -> str:
        seams = "1 seam" if self.seams == 1 else f"{self.seams} seams"
        text = f"{seams}: step {self.mean_step:.4g} mean, {self.max_step:.4g} max"
        if self.mean_step_inside is not None:
            text += f"; inside {self.mean_step_inside:.4g} mean, {self.max_step_inside:.4g} max"
        if self.mean_disagreement is not None:
            text += f"; windows disagree by {self.mean_disagreement:.4g} mean"
        return f"{text} ({self.unit})"


class Stitcher:
    """Stitches the poses of windows together, one window after the other.

    If several windows output a frame, their poses are averaged with weights that rise from a
    window's ends over the overlap, so that no window begins or ends with a step; not at the clip's
    own ends. Memory is that of the clip, for any number of windows; with a ``Scratch``, a long clip
    is on disk instead.
    """

    def __init__(self, plan: Plan, scratch: Scratch | None = None) -> None:
        self.plan = plan
        self._scratch = scratch
        self._released = 0
        self._sum: Floats | None = None
        self._weight = np.zeros((plan.frames, 1, 1), dtype=np.float32)
        self._next = 0
        self._before: Floats | None = None
        self._disagreements: list[Floats] = []

    def add(self, poses: Floats) -> None:
        """Add the next window's poses, (length, joints, channels).

        Raises:
            UsageError: The plan has no more windows, or this one has another length or other
                joints than those before.
        """
        windows = self.plan.windows
        if self._next == len(windows):
            raise UsageError(
                f"More windows were given than the {len(windows)} of the plan.",
                hint="Give the poses of every window once, in order.",
            )
        window = windows[self._next]
        expected = (window.length, *(poses.shape[1:] if self._sum is None else self._sum.shape[1:]))
        if poses.ndim != 3 or poses.shape != expected:
            raise UsageError(
                f"Window {self._next} has shape {poses.shape}; expected {window.length} frames, in"
                " an array (frames, joints, channels) with the joints and channels of the others.",
                hint="Give the poses of every position of the window.",
            )
        if self._sum is None:
            self._sum = zeros(self._scratch, self.plan.frames, *poses.shape[1:])
        first, end = window.output_frames
        # A copy, for an engine may write its next run into the same buffer.
        output = poses[window.output_positions()]
        if self._before is not None:
            difference = output[: len(self._before)] - self._before
            self._disagreements.append(np.linalg.norm(difference, axis=-1).mean(axis=-1))
        self._next += 1
        following = windows[self._next].output_frames[0] if self._next < len(windows) else end
        self._before = output[following - first :] if following < end else None
        if end - self._released > PART:
            release(self._sum)
            self._released = end
        if self.plan.overlap == 0:
            self._sum[first:end] = output
            return
        weight = _weights(self.plan, window)[:, None, None]
        self._sum[first:end] += weight * output
        self._weight[first:end] += weight

    def result(self) -> Floats:
        """Return the clip's poses, (frames, joints, channels), float32.

        Raises:
            UsageError: Not all windows were added.
        """
        if self._sum is None or self._next < len(self.plan.windows):
            raise UsageError(
                f"{self._next} of the plan's {len(self.plan.windows)} windows were given.",
                hint="Give the poses of every window once, in order.",
            )
        if self.plan.overlap:
            # In place, as a long clip has no room for another array. Dividing twice does nothing.
            for part in parts(self._sum):
                self._sum[part] /= self._weight[part]
            self._weight[:] = 1.0
        return self._sum

    def seams(self, poses: Floats, unit: str) -> SeamReport | None:
        """Measure how even ``poses``, the result, are at seams; None if there is one window."""
        windows = self.plan.windows
        if len(windows) < 2:
            return None
        steps = np.empty(len(poses) - 1, dtype=np.float32)
        for first in range(0, len(steps), PART):
            part = np.diff(poses[first : first + PART + 1], axis=0)
            steps[first : first + PART] = np.linalg.norm(part, axis=-1).mean(axis=-1)
            release(poses)
        weights = [(window.output_frames[0], _weights(self.plan, window)) for window in windows]
        at_seam = steps_at_seams(self.plan.frames, weights)
        across, inside = steps[at_seam], steps[~at_seam]
        apart = np.concatenate(self._disagreements) if self._disagreements else None
        return SeamReport(
            seams=len(windows) - 1,
            unit=unit,
            mean_step=float(across.mean()),
            max_step=float(across.max()),
            mean_step_inside=float(inside.mean()) if len(inside) else None,
            max_step_inside=float(inside.max()) if len(inside) else None,
            mean_disagreement=None if apart is None else float(apart.mean()),
            max_disagreement=None if apart is None else float(apart.max()),
        )


def _weights(plan: Plan, window: Window) -> Floats:
    """Return the weight of each frame that a window outputs, not yet divided by the sum.

    Whole numbers, so that their sums are exact. The first window does not rise and the last does
    not fall: a window that begins or ends a frame away from the clip's end would otherwise get a
    third of the weight at once. As it is, all weights of a frame sum to more than the overlap, and
    those of two windows move by at most one part in ``overlap + 1`` from a frame to the next.
    """
    first, end = window.output_frames
    place = np.arange(1, end - first + 1)
    weight = np.full(end - first, plan.overlap + 1)
    if first > 0:
        weight = np.minimum(weight, place)
    if end < plan.frames:
        weight = np.minimum(weight, place[::-1])
    return weight.astype(np.float32)


def steps_at_seams(frames: int, weights: Sequence[tuple[int, Floats]]) -> NDArray[np.bool_]:
    """Return, for each step from a frame to the next, if it is at a seam, (frames - 1,).

    Args:
        frames: Frames of the clip.
        weights: For each window, the first frame that it outputs, and its weight in that frame and
            those that follow. Every frame has a weight from some window.
    """
    total = np.zeros(frames, dtype=np.float32)
    for first, weight in weights:
        total[first : first + len(weight)] += weight
    at_seam = np.zeros(frames - 1, dtype=np.bool_)
    for first, weight in weights:
        end = first + len(weight)
        share = np.zeros(len(weight) + 2, dtype=np.float32)
        share[1:-1] = weight / total[first:end]
        # One step before the window and one after it, which the clip's own ends do not have.
        changes = np.diff(share) != 0.0
        before, after = int(first == 0), int(end == frames)
        at_seam[first - 1 + before : end - after] |= changes[before : len(changes) - after]
    return at_seam
