"""Read the sizes of a network off the shapes of a checkpoint's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hot_sdk.errors import CheckpointError
from hot_sdk.export.enums import Variant


@dataclass(frozen=True)
class CheckpointShape:
    """Sizes of a network, as far as the shapes of its weights determine them.

    They do not determine the number of attention heads, except of a live network, nor the block
    before which frames are pruned; those come from the registry or from the user. The weights of a
    TPC variant are those of the plain network.

    Attributes:
        frames: Frames of a window.
        joints: Joints of the skeleton.
        config: The fields of ``NetworkSize`` that shapes determine.
        variant: ``HOT`` if there are weights of the Hourglass Tokenizer, ``LIVE`` if there are
            weights of ages, else ``PLAIN``.
        tokens: Frames that the Hourglass Tokenizer keeps; None for the plain network, and if the
            tokenizer is elastic.
        elastic: The Hourglass Tokenizer is trained for any number of kept frames.
        time_embedding: Key of a table of times with one row for each frame, whose first rows serve
            shorter windows; None if the network accepts only windows of ``frames``.
    """

    frames: int
    joints: int
    config: Mapping[str, int]
    variant: Variant = Variant.PLAIN
    tokens: int | None = None
    elastic: bool = False
    time_embedding: str | None = None


@dataclass(frozen=True)
class WeightShapes:
    """The shapes of a state-dict, and the family that it is expected to belong to.

    Attributes:
        title: Name of the family in the literature.
        shapes: Shape of each tensor by its key, without ``module.``.
    """

    title: str
    shapes: Mapping[str, tuple[int, ...]]

    def has(self, prefix: str) -> bool:
        """Return True if a key starts with a prefix."""
        return any(key.startswith(prefix) for key in self.shapes)

    def require(self, holds: bool, problem: str) -> None:
        """Raise a ``CheckpointError`` that names the problem, unless a condition holds."""
        if not holds:
            raise CheckpointError(
                f"The checkpoint is not one of {self.title}: {problem}.",
                hint="hot-export --list names the families.",
            )

    def dimensions(self, key: str, pattern: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the sizes of one tensor at the positions at which the pattern has None.

        Raises:
            CheckpointError: There is no such key, or its shape differs from the pattern.
        """
        self.require(key in self.shapes, f"it has no {key!r}")
        shape = tuple(self.shapes[key])
        matches = len(shape) == len(pattern) and all(
            size >= 1 and expected in (None, size)
            for size, expected in zip(shape, pattern, strict=True)
        )
        wanted = ", ".join("any" if size is None else str(size) for size in pattern)
        self.require(matches, f"{key!r} is {shape}, not ({wanted})")
        return tuple(
            size for size, expected in zip(shape, pattern, strict=True) if expected is None
        )

    def depth(self, prefix: str) -> int:
        """Count the numbered modules after a prefix, a regular expression; at least 1."""
        numbered = re.compile(rf"(?:{prefix})\.(\d{{1,4}})\.")
        found = (numbered.match(key) for key in self.shapes)
        return 1 + max((int(match[1]) for match in found if match), default=0)

    def with_hourglass(
        self, frames: int, joints: int, config: Mapping[str, int], *, bias: bool = True
    ) -> CheckpointShape:
        """Complete the sizes with those of the Hourglass Tokenizer, if its weights are there.

        Args:
            frames: Frames of a window.
            joints: Joints of the skeleton.
            config: Fields of ``NetworkSize``, ``width`` among them.
            bias: The layers that make queries, keys and values have a bias.

        Raises:
            CheckpointError: Only some of its weights are there, or they have other sizes.
        """
        parts = [f"linear_{layer}.weight" for layer in "qkv"]
        parts += [f"linear_{layer}.bias" for layer in "qkv" if bias]
        parts += ["proj.weight", "proj.bias"]
        keys = ["pos_embed_token", "x_token", *(f"cross_attention.{part}" for part in parts)]
        if not any(key in self.shapes for key in keys):
            return CheckpointShape(frames, joints, config)
        for key in keys:
            self.require(key in self.shapes, f"it has no {key!r}")
        (embedded,) = self.dimensions("pos_embed_token", (1, None, config["width"]))
        self.dimensions("x_token", (1, frames, config["width"]))
        # An embedding for each frame of the window is one of time; of ranks there are fewer.
        elastic = embedded == frames
        tokens = None if elastic else embedded
        return CheckpointShape(frames, joints, config, Variant.HOT, tokens, elastic)
