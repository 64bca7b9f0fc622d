"""Colors and sizes of drawings."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from hot_sdk.errors import UsageError

Color = tuple[int, int, int]
"""Blue, green, red, 0 to 255, as in OpenCV."""


@dataclass(frozen=True)
class Style:
    """Colors (blue, green, red) and sizes (pixels in a picture 480 high).

    Attributes:
        left: Left limbs. Blue and orange also differ for color-blind people.
        right: Right limbs.
        middle: Spine and head.
        low_score: Joints of score 0; other scores are mixed.
        high_score: Joints of score 1.
        outline: Around joints, so that they stand out from any video.
        background: Behind everything.
        panel: Behind the 3D pose, and in place of a video.
        grid: Ground.
        shadow: Shadow of a body on the ground.
        text: Captions.
        quiet_text: Less important captions.
        bar: Latency within the budget.
        late_bar: Latency above the budget.
        budget: Line of the budget.
        min_score: 2D joints with a lower score are hollow.
        joint_radius: Radius of a joint with score 1; others are smaller.
        link_width: Width of a bone.
        turn_period_s: Seconds per turn of the viewpoint about the people. None keeps it on the
            camera's side, so that left and right are as in the video.
        elevation_degrees: How far the viewpoint looks down.

    Raises:
        UsageError: The seconds per turn are not above 0.
    """

    left: Color = (255, 170, 60)
    right: Color = (40, 130, 255)
    middle: Color = (205, 205, 205)
    low_score: Color = (70, 60, 230)
    high_score: Color = (210, 255, 225)
    outline: Color = (20, 20, 20)
    background: Color = (24, 20, 18)
    panel: Color = (42, 36, 32)
    grid: Color = (88, 78, 72)
    shadow: Color = (26, 22, 20)
    text: Color = (235, 235, 235)
    quiet_text: Color = (165, 160, 155)
    bar: Color = (165, 190, 90)
    late_bar: Color = (60, 90, 240)
    budget: Color = (80, 210, 250)
    min_score: float = 0.3
    joint_radius: float = 4.0
    link_width: int = 2
    turn_period_s: float | None = None
    elevation_degrees: float = 14.0

    def __post_init__(self) -> None:
        if self.turn_period_s is not None and not self.turn_period_s > 0.0:
            raise UsageError(
                f"turn_period_s is {self.turn_period_s}; expected seconds above 0.",
                hint="Leave it out for a viewpoint that stays on the camera's side.",
            )

    def side(self, joint: int, left: Collection[int], right: Collection[int]) -> Color:
        """Return the color of a joint's side."""
        return self.left if joint in left else self.right if joint in right else self.middle

    def link(self, ends: tuple[int, int], left: Collection[int], right: Collection[int]) -> Color:
        """Return the color of a line: that of a side if an end has one and the other no other.

        A shoulder line or a pelvis line, from left to right, is in the middle.
        """
        sides = {self.side(end, left, right) for end in ends} - {self.middle}
        return sides.pop() if len(sides) == 1 else self.middle


@functools.lru_cache(maxsize=64)
def link_colors(
    style: Style,
    links: tuple[tuple[int, int], ...],
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> tuple[Color, ...]:
    """Return the color of each line of a skeleton; cached, because every frame needs it."""
    return tuple(style.link(link, left, right) for link in links)


@functools.lru_cache(maxsize=4)
def score_colors(style: Style) -> tuple[Color, ...]:
    """Return the colors of the scores 0, 0.01 and so on to 1."""
    ends = np.array([style.low_score, style.high_score], dtype=np.float64)
    steps = np.linspace(0.0, 1.0, 101)[:, None]
    mixed = np.rint(ends[0] + (ends[1] - ends[0]) * steps).astype(int)
    return tuple((blue, green, red) for blue, green, red in mixed.tolist())
