"""How a clip is cut into windows of a network's length.

Besides the default there are five schemes that published code uses, so that published numbers can
be made again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.suggest import closest

OVERLAP = "overlap"
HOT_CENTERED_EDGE = "hot_centered_edge"
MIXSTE_LAST_OVERLAP = "mixste_last_overlap"
MHFORMER_CENTER = "mhformer_center"
MOTIONBERT_TAIL_SHORT = "motionbert_tail_short"
AGFORMER_RESAMPLE = "agformer_resample"
MODES = (
    OVERLAP,
    HOT_CENTERED_EDGE,
    MIXSTE_LAST_OVERLAP,
    MHFORMER_CENTER,
    MOTIONBERT_TAIL_SHORT,
    AGFORMER_RESAMPLE,
)

_SHARE = 6
"""A sixth of each window is shared with the next: 40 of 243 frames, for a fifth more work. A
network sees only one side of a frame at a window's end, and is least certain there."""

_WHOLE = (int, np.integer)

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Window:
    """One window.

    Attributes:
        start: Clip frame under its first position; negative where it begins before the clip.
        length: Its positions.
        gives: Clip frames that it gives poses for, from the first to before the second.
        positions: Where in the window these are, one for each; None where frame ``t`` is at
            ``t - start``.
        source: Clip frame that each position reads; None where it is ``start`` and on, with the
            clip's first and last frame repeated beyond its ends.
    """

    start: int
    length: int
    gives: tuple[int, int]
    positions: Index | None = None
    source: Index | None = None

    def reads(self, frames: int) -> Index:
        """Clip frame that each position reads, (length,), for a clip of so many frames."""
        if self.source is not None:
            return self.source
        return np.clip(np.arange(self.start, self.start + self.length), 0, frames - 1)

    def at(self) -> Index:
        """Position of each frame that the window gives."""
        if self.positions is not None:
            return self.positions
        return np.arange(self.gives[0] - self.start, self.gives[1] - self.start)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a clip is cut.

    Attributes:
        mode: One of ``MODES``.
        frames: Frames of the clip.
        length: Frames of a window.
        overlap: Frames over which a window's weight rises and falls; 0 where nothing is blended.
        windows: In the order of the clip.
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

    - ``overlap``: neighbours share ``overlap`` frames, over which they are blended; the last
      window is moved back to end with the clip. A shorter clip lies in the middle of one window,
      its ends repeated.
    - ``hot_centered_edge``: windows side by side about the clip's middle, its ends repeated; the
      evaluation of HoT (Li et al., CVPR 2024). Its demo takes one window more where the clip is an
      exact multiple.
    - ``mixste_last_overlap``: windows side by side, the last one moved back to end with the clip,
      giving only the frames that no other gave; a shorter clip's last frame is repeated. MixSTE
      (Zhang et al., CVPR 2022), whose metric counts the frames that two windows give twice.
    - ``mhformer_center``: a window about every frame, which gives that frame only; MHFormer
      (Li et al., CVPR 2022) and all that lift a centre frame. Position ``length // 2``.
    - ``motionbert_tail_short``: windows side by side, the last one as short as what is left;
      MotionBERT (Zhu et al., ICCV 2023). A file of fixed length can run it only where nothing is
      left.
    - ``agformer_resample``: windows side by side; what is left, or a shorter clip, is stretched to
      a window by repeating frames, and each frame's first repetition counts; MotionAGFormer
      (Mehraban et al., WACV 2024), whose demo fails on an exact multiple.

    Args:
        frames: Frames of the clip.
        length: Frames of a window.
        mode: One of ``MODES``.
        overlap: For the mode ``overlap``: frames that neighbours share, below ``length``; None for
            a sixth of it.

    Raises:
        UsageError: The mode is unknown, a number is out of range, or an overlap is given to a mode
            that has none.
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
            f"The windows '{mode}' have an overlap of their own.", hint="Leave overlap out."
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
        HOT_CENTERED_EDGE: _centred,
        MIXSTE_LAST_OVERLAP: _last_moved_back,
        MHFORMER_CENTER: _one_for_each_frame,
        MOTIONBERT_TAIL_SHORT: _last_short,
        AGFORMER_RESAMPLE: _last_stretched,
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
        last = Window(starts[-1], length, (starts[-2] + length, frames))
        windows[-1] = last
    return tuple(windows)


def _centred(frames: int, length: int) -> tuple[Window, ...]:
    count = -(-frames // length)
    before = (count * length - frames) // 2
    starts = [number * length - before for number in range(count)]
    return tuple(
        Window(start, length, (max(start, 0), min(start + length, frames))) for start in starts
    )


def _last_moved_back(frames: int, length: int) -> tuple[Window, ...]:
    if frames < length:
        return (Window(0, length, (0, frames)),)
    whole = frames // length
    windows = [Window(n * length, length, (n * length, (n + 1) * length)) for n in range(whole)]
    if frames % length:
        windows.append(Window(frames - length, length, (whole * length, frames)))
    return tuple(windows)


def _one_for_each_frame(frames: int, length: int) -> tuple[Window, ...]:
    return tuple(Window(frame - length // 2, length, (frame, frame + 1)) for frame in range(frames))


def _last_short(frames: int, length: int) -> tuple[Window, ...]:
    return tuple(
        Window(start, min(length, frames - start), (start, min(start + length, frames)))
        for start in range(0, frames, length)
    )


def _last_stretched(frames: int, length: int) -> tuple[Window, ...]:
    windows = list(_last_short(frames, length))
    last = windows[-1]
    if last.length < length:
        repeated = np.arange(length, dtype=np.int64) * last.length // length
        first = np.unique(repeated, return_index=True)[1].astype(np.int64)
        windows[-1] = Window(
            last.start, length, last.gives, positions=first, source=last.start + repeated
        )
    return tuple(windows)
