"""Questions to the shapes of a checkpoint's weights that every family asks.

What the shapes of a checkpoint's weights tell of the network that they were trained in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hot_sdk.errors import CheckpointError
from hot_sdk.export.enums import Variant

_HINT = "Name the model that the checkpoint was trained as."


@dataclass(frozen=True)
class FoundHourglass:
    """What shapes tell of the Hourglass Tokenizer; the names are those of ``CheckpointShape``."""

    variant: Variant
    tokens: int | None
    elastic: bool


@dataclass(frozen=True)
class ShapeRules:
    """Shapes by state-dict key, without ``module.``, and whose they are said to be.

    Attributes:
        title: Name of the family in the literature.
        shapes: Shape of each tensor.
    """

    title: str
    shapes: Mapping[str, tuple[int, ...]]

    def has(self, prefix: str) -> bool:
        """Whether a key starts so."""
        return any(key.startswith(prefix) for key in self.shapes)

    def shape(self, key: str) -> tuple[int, ...]:
        """One tensor's shape.

        Raises:
            CheckpointError: There is no such key.
        """
        if key not in self.shapes:
            raise CheckpointError(
                f"The checkpoint is not one of {self.title}: it has no {key!r}.", hint=_HINT
            )
        return tuple(self.shapes[key])

    def dimensions(self, key: str, pattern: tuple[int | None, ...]) -> tuple[int, ...]:
        """The sizes of one tensor where the pattern has None; it must match elsewhere.

        Raises:
            CheckpointError: There is no such key, or it does not match.
        """
        shape = self.shape(key)
        if len(shape) != len(pattern) or any(
            size < 1 or expected not in (None, size)
            for size, expected in zip(shape, pattern, strict=True)
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in pattern)
            raise CheckpointError(
                f"The checkpoint is not one of {self.title}: {key!r} is {shape}, not ({wanted}).",
                hint=_HINT,
            )
        return tuple(
            size for size, expected in zip(shape, pattern, strict=True) if expected is None
        )

    def depth(self, prefix: str) -> int:
        """How many numbered modules follow a prefix, given as a regular expression; at least 1."""
        numbered = re.compile(rf"(?:{prefix})\.(\d{{1,4}})\.")
        found = (numbered.match(key) for key in self.shapes)
        return 1 + max((int(match[1]) for match in found if match), default=0)

    def hourglass(self, frames: int, width: int, *, bias: bool = True) -> FoundHourglass:
        """What there is of the Hourglass Tokenizer.

        Args:
            frames: Of a window.
            width: Channels of a token.
            bias: Whether the layers that make queries, keys and values have one.

        Raises:
            CheckpointError: There is only a part of it, or it is of another size.
        """
        keys = [
            "pos_embed_token",
            "x_token",
            *(f"cross_attention.linear_{layer}.weight" for layer in "qkv"),
            *(f"cross_attention.linear_{layer}.bias" for layer in "qkv" if bias),
            "cross_attention.proj.weight",
            "cross_attention.proj.bias",
        ]
        if not any(key in self.shapes for key in keys):
            return FoundHourglass(Variant.PLAIN, None, elastic=False)
        for key in keys:
            self.shape(key)
        (embedded,) = self.dimensions("pos_embed_token", (1, None, width))
        self.dimensions("x_token", (1, frames, width))
        # An embedding for each frame of the window is one of time; of ranks there are fewer.
        elastic = embedded == frames
        return FoundHourglass(Variant.HOT, None if elastic else embedded, elastic)


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
