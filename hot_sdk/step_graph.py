"""What the file of a live network states about itself, and the names and shapes of its tensors.

Such a file takes one frame of each person in a run, with what is remembered of earlier ones. All
tensors are float32, and the first axis of each is the batch: people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from hot_sdk.engines.caches import CacheSpec
from hot_sdk.step_memory import StepMemory, layer_lookaheads

AGES = "ages"
"""Seconds from each slot's frame, and (last) from the newest frame, to the frame that attends,
(batch, layers, slots + 1); ``EMPTY_AGE`` where there is none."""

KEYS = "keys_{}"
"""Keys of a layer, by its number from 0: (batch, joints · heads, head width, slots)."""

VALUES = "values_{}"
"""Values of a layer, (batch, joints · heads, slots, head width)."""

DELAYED_TOKENS = "delayed_tokens"
"""Of each layer that looks ahead, in order, what it returned in ``new_tokens`` as many frames ago:
(batch, those layers, joints, width). Only files that look ahead have it."""

DELAYED_GUESS = "delayed_guess"
"""What was returned in ``new_guess`` as many frames ago as the network looks ahead, (batch, joints,
3). Only files that look ahead and whose network has a stem have it."""

NEW_KEYS = "new_keys"
"""Keys of the newest frame, (batch, layers, joints · heads, head width)."""

NEW_VALUES = "new_values"
"""Values of the newest frame, (batch, layers, joints · heads, head width)."""

NEW_TOKENS = "new_tokens"
"""Tokens of the newest frames of the layers that look ahead, of the shape of ``delayed_tokens``."""

NEW_GUESS = "new_guess"
"""The stem's guess of the newest frame, of the shape of ``delayed_guess``."""

MOST_LOOKAHEAD = 64
MOST_SLOTS = 4096
_MOST = {"layers": 64, "heads": 64, "width": 4096}

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Shapes by the names of tensors, without the batch."""


@dataclass(frozen=True)
class StepGraph:
    """The state of a live network.

    Attributes:
        lookahead: Frames that a pose waits for.
        recent: Slots for frames that are no anchors; see :class:`StepMemory`.
        anchors: Slots for anchors.
        stride: Frames from one anchor to the next.
        layers: Layers that remember frames.
        heads: Attention heads of each.
        width: Channels of a token.
        guess: The network has a stem, whose guess waits as long as the pose.
    """

    lookahead: int
    recent: int
    anchors: int
    stride: int
    layers: int
    heads: int
    width: int
    guess: bool

    @property
    def memory(self) -> StepMemory:
        """Which frames are remembered, and where."""
        return StepMemory(self.recent, self.anchors, self.stride)

    @property
    def lookaheads(self) -> tuple[int, ...]:
        """Frames that each layer looks ahead."""
        return layer_lookaheads(self.lookahead, self.layers)

    @property
    def delayed(self) -> tuple[int, ...]:
        """Numbers of the layers that look ahead."""
        return tuple(number for number, ahead in enumerate(self.lookaheads) if ahead)

    def caches(self, joints: int) -> tuple[CacheSpec, CacheSpec]:
        """Return the keys and values of earlier frames, which stay with the engine.

        Args:
            joints: Joints of a frame.
        """
        rows, head_width, slots = joints * self.heads, self.width // self.heads, self.memory.slots
        layers = range(self.layers)
        keys = tuple(map(KEYS.format, layers)), NEW_KEYS, (rows, head_width, slots), 2
        values = tuple(map(VALUES.format, layers)), NEW_VALUES, (rows, slots, head_width), 1
        return CacheSpec(*keys), CacheSpec(*values)

    def states(self, joints: int) -> Shapes:
        """Return the inputs other than keypoints and conditions.

        Args:
            joints: Joints of a frame.
        """
        shapes: Shapes = {AGES: (self.layers, self.memory.slots + 1)}
        keys, values = self.caches(joints)
        for names in zip(keys.inputs, values.inputs, strict=True):
            shapes |= dict(zip(names, (keys.shape, values.shape), strict=True))
        return shapes | self._of_delayed(DELAYED_TOKENS, DELAYED_GUESS, joints)

    def updates(self, joints: int) -> Shapes:
        """Return the outputs other than poses and spread.

        Args:
            joints: Joints of a frame.
        """
        shape = (self.layers, joints * self.heads, self.width // self.heads)
        of_frame = {NEW_KEYS: shape, NEW_VALUES: shape}
        return of_frame | self._of_delayed(NEW_TOKENS, NEW_GUESS, joints)

    def _of_delayed(self, tokens: str, guess: str, joints: int) -> Shapes:
        if not self.lookahead:
            return {}
        shapes: Shapes = {tokens: (len(self.delayed), joints, self.width)}
        return {**shapes, guess: (joints, 3)} if self.guess else shapes

    def problem(self) -> str | None:
        """Return what cannot be true of these numbers, or None."""
        for name, most in _MOST.items():
            if not 1 <= (value := getattr(self, name)) <= most:
                return f"{name} is {value}, which is outside 1 to {most}"
        if not 0 <= self.lookahead <= MOST_LOOKAHEAD:
            return f"lookahead is {self.lookahead}, which is outside 0 to {MOST_LOOKAHEAD}"
        if self.width % self.heads:
            return f"width {self.width} cannot be divided among {self.heads} heads"
        if wrong := self.memory.problem():
            return f"it has {wrong}"
        if self.stride > MOST_SLOTS:
            return f"it has anchors at a stride of {self.stride}; at most {MOST_SLOTS} is read"
        if self.memory.slots > MOST_SLOTS:
            return f"it has {self.memory.slots} slots; at most {MOST_SLOTS} are read"
        return None


def step_bytes(graph: StepGraph, joints: int) -> int:
    """Return the bytes that a network is fed with of what it remembers of a person.

    Args:
        graph: The network's state.
        joints: Joints of a frame.
    """
    return 4 * sum(math.prod(shape) for shape in graph.states(joints).values())
