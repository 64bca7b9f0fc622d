"""What the shapes of a checkpoint's weights tell of the network that they were trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hot_sdk.export.options import Variant


@dataclass(frozen=True)
class CheckpointShape:
    """A network's sizes, as far as its weights' shapes tell them.

    They do not tell the number of attention heads, nor before which block frames are pruned; those
    come from the registry or from the user. The weights of a TPC variant are those of the plain
    network.

    Attributes:
        frames: Frames of a window.
        joints: Joints of the skeleton.
        config: The fields of ``NetworkSize`` that shapes tell.
        variant: ``HOT`` where weights of the Hourglass Tokenizer are there, else ``PLAIN``.
        tokens: Frames that the Hourglass Tokenizer keeps; None for the plain network, and where it
            is elastic.
        elastic: The Hourglass Tokenizer is trained for any number of kept frames.
        time_embedding: Key of a table of times, one row for each frame, whose first rows serve
            shorter windows; None where the network takes windows of ``frames`` alone.
    """

    frames: int
    joints: int
    config: Mapping[str, int]
    variant: Variant
    tokens: int | None
    elastic: bool = False
    time_embedding: str | None = None
