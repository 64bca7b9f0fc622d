"""Colours and sizes of everything that is drawn with OpenCV."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from types import ModuleType

from hot_sdk._base.optional import require

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255, as OpenCV has them."""


@dataclass(frozen=True)
class Style:
    """Colours (blue, green, red) and sizes (pixels in a picture 480 high).

    Attributes:
        left: Left limbs. Blue against orange also tells them apart to the colour-blind.
        right: Right limbs.
        middle: Spine and head.
        low_score: Joints of score 0; scores between are mixed.
        high_score: Joints of score 1.
        outline: Around joints, so that they stand out from any video.
        background: Behind everything.
        panel: Behind the 3D pose, and in place of a video.
        grid: Ground.
        shadow: Body on the ground.
        text: Captions.
        quiet_text: Captions that matter less.
        bar: Latency within the budget.
        late_bar: Latency above it.
        budget: Line of the budget.
        min_score: 2D joints below it are hollow.
        joint_radius: Of a sure joint; an unsure one is smaller.
        link_width: Of a bone.
        turn_period_s: Seconds for the viewpoint to go round once.
        elevation_degrees: How far the viewpoint looks down.
    """

    left: Colour = (255, 170, 60)
    right: Colour = (40, 130, 255)
    middle: Colour = (205, 205, 205)
    low_score: Colour = (70, 60, 230)
    high_score: Colour = (210, 255, 225)
    outline: Colour = (20, 20, 20)
    background: Colour = (24, 20, 18)
    panel: Colour = (42, 36, 32)
    grid: Colour = (88, 78, 72)
    shadow: Colour = (26, 22, 20)
    text: Colour = (235, 235, 235)
    quiet_text: Colour = (165, 160, 155)
    bar: Colour = (165, 190, 90)
    late_bar: Colour = (60, 90, 240)
    budget: Colour = (80, 210, 250)
    min_score: float = 0.3
    joint_radius: float = 4.0
    link_width: int = 2
    turn_period_s: float = 24.0
    elevation_degrees: float = 14.0

    def side(self, joint: int, left: Collection[int], right: Collection[int]) -> Colour:
        """The colour of a joint's side."""
        return self.left if joint in left else self.right if joint in right else self.middle

    def link(self, ends: tuple[int, int], left: Collection[int], right: Collection[int]) -> Colour:
        """The colour of a line: its side's where at least one end has one, and the other no other.

        A shoulder line or a pelvis line, from left to right, is in the middle.
        """
        sides = {self.side(end, left, right) for end in ends} - {self.middle}
        return sides.pop() if len(sides) == 1 else self.middle


@functools.lru_cache(maxsize=64)
def link_colours(
    style: Style,
    links: tuple[tuple[int, int], ...],
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> tuple[Colour, ...]:
    """The colour of each line of a skeleton; kept, for every frame asks again."""
    return tuple(style.link(link, left, right) for link in links)


@functools.lru_cache(maxsize=4)
def score_colours(style: Style) -> tuple[Colour, ...]:
    """Colours of the scores 0, 0.01 and so on to 1."""
    low, high = style.low_score, style.high_score
    return tuple(
        (
            round(low[0] + (high[0] - low[0]) * step / 100),
            round(low[1] + (high[1] - low[1]) * step / 100),
            round(low[2] + (high[2] - low[2]) * step / 100),
        )
        for step in range(101)
    )


@functools.cache
def opencv() -> ModuleType:
    """OpenCV.

    Raises:
        MissingDependencyError: It is not installed.
    """
    return require("cv2", extra="video", purpose="Drawing")
