"""Which frames of a clip count, and how often: published evaluations differ in this.

- ``frames``: every frame once, with any windows.
- ``hot``: windows side by side about the clip's middle, its first and last frame repeated; the
  repetitions count as frames with their own truth. So do HoT and all that share its generator
  (NationalGAILab/HoT, common/generator_stride.py).
- ``mixste``: windows side by side, the last one moved back to end with the clip, so that some
  frames count twice; a clip shorter than a window ends in repetitions, which count. So does MixSTE
  (JinluZhang1126/MixSTE, run.py), which also leaves the predicted pelvis where it is; here it is
  at 0, as everywhere else.

A clip is divided into pieces, which a lifter sees as clips. Each piece of the last two protocols
is a whole number of windows long, so that the protocol's window scheme adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.windows import HOT_CENTERED_EDGE, MIXSTE_LAST_OVERLAP

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """How the frames of a clip are counted.

    Attributes:
        name: Its key in ``PROTOCOLS``.
        about: A description, for help and reports.
        windows: The window scheme that belongs to it; None if any does.
        pieces: Maps the frame counts of a clip and of a window to the clip frame that each frame
            of each piece is.
    """

    name: str
    about: str
    windows: str | None
    pieces: Callable[[int, int], list[Index]]


def _whole(frames: int, _: int) -> list[Index]:
    return [np.arange(frames)]


def _centered(frames: int, length: int) -> list[Index]:
    count = -(-frames // length)
    before = (count * length - frames) // 2
    return [np.clip(np.arange(count * length) - before, 0, frames - 1)]


def _last_moved_back(frames: int, length: int) -> list[Index]:
    if frames < length:
        return [np.minimum(np.arange(length), frames - 1)]
    side_by_side = np.arange(frames // length * length)
    if len(side_by_side) == frames:
        return [side_by_side]
    return [side_by_side, np.arange(frames - length, frames)]


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("frames", "every frame once", None, _whole),
        Protocol(
            "hot",
            "whole windows about the clip's middle, padding counted (HoT)",
            HOT_CENTERED_EDGE,
            _centered,
        ),
        Protocol(
            "mixste",
            "whole windows, the last one moved back, frames of both counted twice (MixSTE)",
            MIXSTE_LAST_OVERLAP,
            _last_moved_back,
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
