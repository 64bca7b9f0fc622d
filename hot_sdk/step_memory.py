"""Say which frames a live network remembers, and where in its memory each of them is.

A live network takes one frame at a time. What it keeps of earlier frames are their keys and values
in every layer, in slots that it was exported with. It remembers the newest frames, and of those
before them every few, as the Hourglass Tokenizer (Li et al., CVPR 2024) keeps some frames of a
window: which frames these are follows from their number alone, so that nothing is ever moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EMPTY_AGE = 1e6
"""Seconds that stand for a slot that holds no frame."""


@dataclass(frozen=True)
class StepMemory:
    """Slots for frames.

    Frames are numbered in the order in which the network takes them. Every ``stride``-th is an
    anchor, if there are slots for anchors; a slot is reused for the frame that follows its own
    among those of its kind.

    Attributes:
        recent: Slots for frames that are no anchors; all frames if there are no anchors.
        anchors: Slots for anchors; 0 for none.
        stride: Frames from one anchor to the next; 1 if there are none.
    """

    recent: int
    anchors: int = 0
    stride: int = 1

    @property
    def slots(self) -> int:
        """Number of all slots."""
        return self.recent + self.anchors

    @property
    def span(self) -> int:
        """Frames from the oldest that may be remembered to the newest."""
        return max(self.recent, self.anchors * self.stride)

    def problem(self) -> str | None:
        """Return what cannot be true of these numbers, or None."""
        if self.recent < 1 or self.anchors < 0:
            return f"a memory of {self.recent} recent frames and {self.anchors} anchors"
        if (self.stride < 2) if self.anchors else (self.stride != 1):
            return f"{self.anchors} anchors at a stride of {self.stride}"
        return None

    def slot(self, step: int) -> int:
        """Return the slot that a frame is written to."""
        if not self.anchors:
            return step % self.recent
        if step % self.stride == 0:
            return self.recent + step // self.stride % self.anchors
        # How many frames before it are no anchors.
        plain_before = step - -(-step // self.stride)
        return plain_before % self.recent

    def outlasts(self, ahead: int) -> bool:
        """Return whether a frame is left of any clip, however short, after so many steps without.

        Args:
            ahead: Frames that a layer looks ahead: as many steps after the last frame, it is asked
                about that one.
        """
        # The step that is taken has none either, but is in no slot yet.
        empty = ahead - 1
        if not self.anchors:
            return empty < self.recent
        if empty // self.stride >= self.anchors:
            return False  # Of the first frame, which is an anchor.
        most = -(-empty // self.stride)
        return most < self.anchors or empty - most < self.recent

    def remembered(self, steps: int) -> NDArray[np.bool_]:
        """Return which earlier frames the network has when it takes each frame.

        Args:
            steps: Number of frames.

        Returns:
            (steps, steps): the frame of the row finds that of the column in memory, or is it.
        """
        frames = np.arange(steps)
        if not self.anchors:
            age = frames[:, None] - frames
            return (age >= 0) & (age <= self.recent)
        anchor = frames % self.stride == 0
        number = np.where(anchor, frames // self.stride, frames - -(-frames // self.stride))
        # How many of each kind came before a frame.
        anchors_before = -(-frames // self.stride)
        plain_before = frames - anchors_before
        found = np.where(
            anchor,
            anchors_before[:, None] - number <= self.anchors,
            plain_before[:, None] - number <= self.recent,
        )
        return (found & (frames[:, None] > frames)) | np.eye(steps, dtype=np.bool_)


def layer_lookaheads(lookahead: int, depth: int) -> tuple[int, ...]:
    """Divide a network's lookahead among all layers but the first, evenly, the last ones first.

    What a layer finds in later frames is worth more, the more the layers before it have made of
    them: for the starter's weights, a pose is less accurate if the first layer looks ahead, too
    (MODEL_CARD.md, starter-live).

    Args:
        lookahead: Frames that a pose waits for.
        depth: Number of layers that see other frames.
    """
    looking = max(depth - 1, 1)
    share, rest = divmod(lookahead, looking)
    ahead = tuple(share + (number >= looking - rest) for number in range(looking))
    return (0,) * (depth - looking) + ahead
