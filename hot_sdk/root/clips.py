"""Place the person of a whole clip, with what all its frames tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.root.frames import LiftedFrames, PlacedFrames, PlaceOptions
from hot_sdk.root.origin import PELVIS, THORAX
from hot_sdk.root.placing import PersonPlacer
from hot_sdk.skeletons import H36M17

_BLOCK, _LATER = 4096, 128
"""Frames that are placed together, for memory, and those after them that tell more of these."""


def place_clip(
    frames: LiftedFrames,
    intrinsics: Intrinsics | None,
    options: PlaceOptions,
    *,
    height_m: float | None = None,
    height_told: bool = False,
) -> PlacedFrames:
    """Place a clip with the smoother; see ``PersonPlacer.place``.

    Poses of all frames are relative to one joint: of ``auto``, the thorax if any frame shows it
    without the hips. Blocks of four thousand frames have one scale each.

    Args:
        frames: The clip; at least one frame.
        intrinsics: The camera's; None if they are not known.
        options: What is known and asked for.
        height_m: The person's standing height; None if it is not known.
        height_told: The network was told the height.
    """
    if options.root == "auto":
        hidden = bool((frames.valid[:, THORAX] & ~frames.valid[:, PELVIS]).any())
        options = dataclasses.replace(options, root=H36M17.joints[THORAX if hidden else PELVIS])
    known = height_m is not None
    placer = PersonPlacer(options, height_told=height_told and known, height_known=known)
    parts = _placed_parts(placer, frames, intrinsics, height_m)
    if placer.is_child and not known:
        # What came later says that nothing was known of the size before.
        placer = PersonPlacer(options, height_known=True)
        parts = _placed_parts(placer, frames, intrinsics, height_m)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _placed_parts(
    placer: PersonPlacer,
    frames: LiftedFrames,
    intrinsics: Intrinsics | None,
    height_m: float | None,
) -> list[PlacedFrames]:
    parts = []
    for first in range(0, len(frames.times), _BLOCK):
        part = _part(frames, slice(first, first + _BLOCK + _LATER))
        final = min(_BLOCK, len(frames.times) - first)
        parts.append(placer.place(part, final, intrinsics, height_m))
    return parts


def _part(frames: LiftedFrames, span: slice) -> LiftedFrames:
    if span.start == 0 and span.stop >= len(frames.times):
        return frames
    cameras: CameraPose | Sequence[CameraPose] = frames.cameras
    if not isinstance(cameras, CameraPose):
        cameras = cameras[span]
    arrays: dict[str, Any] = {
        name: None if value is None else value[span]
        for name, value in vars(frames).items()
        if name != "cameras"
    }
    return LiftedFrames(**arrays, cameras=cameras)


def _joined(parts: Sequence[PlacedFrames]) -> PlacedFrames:
    arrays: dict[str, Any] = {
        name: None if first is None else np.concatenate([getattr(one, name) for one in parts])
        for name, first in vars(parts[0]).items()
    }
    return PlacedFrames(**arrays)
