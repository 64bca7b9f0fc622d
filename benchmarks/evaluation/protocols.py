"""Which frames of a clip count, and how often: published evaluations differ in this.

- ``frames``: every frame once, with any windows.
- ``hot``: windows side by side about the clip's middle, its first and last frame repeated; the
  repetitions count as frames with their own truth. So do HoT and all that share its generator
  (NationalGAILab/HoT, common/generator_stride.py).
- ``mixste``: windows side by side, the last one moved back to end with the clip, so that some
  frames count twice; a clip shorter than a window ends in repetitions, which count. So does MixSTE
  (JinluZhang1126/MixSTE, run.py), whose MPJVE counts the step back into the last window as if the
  person had jumped. It leaves the predicted pelvis where it is; here it is at 0, as everywhere
  else.
- ``motionbert``: windows side by side from the clip's first frame; the frames after the last whole
  window are left out. So do MotionBERT (Walter0807/MotionBERT, train.py) and MotionAGFormer
  (TaatiTeam/MotionAGFormer, train.py). They stretch a clip shorter than a window by repeating
  frames at random, and the last repetition counts; here frames are repeated evenly.
- ``center``: every frame that has a truth once, from the middle of a window about it, the clip's
  first and last frame repeated. So do P-STMO (paTRICK-swk/P-STMO, run_3dhp.py), MotionAGFormer
  (train_3dhp.py) and all that share their generator, on MPI-INF-3DHP.

A clip is divided into pieces, which a lifter sees as clips. Each piece of all protocols but the
first is a whole number of windows long, so that the window scheme adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.windows import AGFORMER_RESAMPLE, HOT_CENTERED_EDGE, MIXSTE_LAST_OVERLAP

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a clip that is lifted by itself.

    Attributes:
        frames: (positions,), the clip frame at each position.
        counted: Positions whose poses count, ascending; None if all do.
    """

    frames: Index
    counted: Index | None = None

    @property
    def counted_frames(self) -> Index:
        """The clip frame of each pose that counts."""
        return self.frames if self.counted is None else self.frames[self.counted]


@dataclass(frozen=True)
class Protocol:
    """How the frames of a clip are counted.

    Attributes:
        name: Its key in ``PROTOCOLS``.
        about: A description, for help and reports.
        windows: The window scheme in which its pieces are lifted; None if any is allowed.
        pieces: Maps the frame counts of a clip and of a window, and (frames,), True for frames that
            have a truth, to the pieces.
        jumps: Velocity counts the step from each counted pose to the next, whichever frames they
            are of; if not, only from a frame to the one that follows it.
    """

    name: str
    about: str
    windows: str | None
    pieces: Callable[[int, int, Mask], list[Piece]]
    jumps: bool = False


def _whole(frames: int, _: int, __: Mask) -> list[Piece]:
    return [Piece(np.arange(frames))]


def _centered(frames: int, length: int, _: Mask) -> list[Piece]:
    count = -(-frames // length)
    before = (count * length - frames) // 2
    return [Piece(np.clip(np.arange(count * length) - before, 0, frames - 1))]


def _last_moved_back(frames: int, length: int, _: Mask) -> list[Piece]:
    if frames < length:
        return [Piece(np.minimum(np.arange(length), frames - 1))]
    side_by_side = Piece(np.arange(frames // length * length))
    if frames % length == 0:
        return [side_by_side]
    return [side_by_side, Piece(np.arange(frames - length, frames))]


def _whole_windows(frames: int, length: int, _: Mask) -> list[Piece]:
    if frames >= length:
        return [Piece(np.arange(frames // length * length))]
    stretched = np.arange(length) * frames // length
    # One before the first position of the next frame.
    last = np.searchsorted(stretched, np.arange(frames), side="right") - 1
    return [Piece(stretched, last)]


def _about_each(frames: int, length: int, valid: Mask) -> list[Piece]:
    middle = np.array([length // 2])
    around = np.arange(length) - length // 2
    return [
        Piece(np.clip(frame + around, 0, frames - 1), middle) for frame in np.flatnonzero(valid)
    ]


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("frames", "every frame once", None, _whole),
        Protocol(
            "hot",
            "whole windows about the clip's middle, padding counted (HoT)",
            HOT_CENTERED_EDGE,
            _centered,
            jumps=True,
        ),
        Protocol(
            "mixste",
            "whole windows, the last one moved back, frames of both counted twice (MixSTE)",
            MIXSTE_LAST_OVERLAP,
            _last_moved_back,
            jumps=True,
        ),
        Protocol(
            "motionbert",
            "whole windows from the first frame, the rest left out (MotionBERT, MotionAGFormer)",
            AGFORMER_RESAMPLE,
            _whole_windows,
        ),
        Protocol(
            "center",
            "frames with a truth, each the middle of its window (MPI-INF-3DHP, P-STMO's code)",
            HOT_CENTERED_EDGE,
            _about_each,
        ),
    )
}


def protocol(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        UsageError: There is no such protocol.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"Unknown protocol {name!r}.", hint=closest(name, tuple(PROTOCOLS)))
    return PROTOCOLS[name]
