"""Draw joints, lines and text on a part of a picture with OpenCV."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.style import Color, Style
from hot_sdk.video.quiet import require_opencv

# Eighths of a pixel: slow joints glide instead of hopping from pixel to pixel.
_SHIFT = 3
_ONE_PIXEL = 1 << _SHIFT

# OpenCV has 32-bit coordinates and steps along each line; points farther outside are left out.
_FARTHEST = 20_000.0

Point = list[int]
"""x and y in eighths of a pixel."""


@functools.cache
def opencv() -> ModuleType:
    """Import OpenCV.

    Raises:
        MissingDependencyError: It is not installed.
    """
    return require_opencv("Drawing")


@dataclass(frozen=True, eq=False)
class Canvas:
    """A part of a picture, with the sizes of what is drawn on it.

    Attributes:
        pixels: (height, width, 3), uint8, blue, green, red; changed by drawing.
        style: Colors and sizes.
        size: Size of joints and lines, times the style's.
        letters: Size of text.
    """

    pixels: NDArray[np.uint8]
    style: Style = field(default_factory=Style)
    size: float = 1.0
    letters: float = 1.0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    def part(self, rows: slice, columns: slice = slice(None)) -> Canvas:
        """Return a part of this canvas."""
        return replace(self, pixels=self.pixels[rows, columns])

    def scaled(self, pixels: float) -> int:
        """Return a distance that grows with the letters, in whole pixels."""
        return round(pixels * self.letters)

    def fill(self, color: Color) -> None:
        """Fill the whole canvas."""
        corner = (self.width - 1, self.height - 1)
        opencv().rectangle(self.pixels, (0, 0), corner, color, -1)

    def text(self, text: str, at: tuple[int, int], size: float, color: Color) -> None:
        """Write one line; ``at`` is the left end of its baseline."""
        cv2, scale = opencv(), size * self.letters
        cv2.putText(self.pixels, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)

    def line(self, start: Point, end: Point, color: Color, width: float) -> None:
        """Draw a line, ``width`` times the canvas's size wide."""
        cv2, thickness = opencv(), max(1, round(width * self.size))
        cv2.line(self.pixels, start, end, color, thickness, cv2.LINE_AA, _SHIFT)

    def polylines(self, lines: NDArray[np.float64], color: Color) -> None:
        """Draw thin lines (lines, points, 2), in pixels."""
        cv2 = opencv()
        whole = list(np.rint(lines * _ONE_PIXEL).astype(np.int32))
        cv2.polylines(self.pixels, whole, False, color, 1, cv2.LINE_AA, _SHIFT)

    def joint(self, at: Point, radius: float, color: Color, *, is_filled: bool) -> None:
        """Draw a disc with an outline, or a ring."""
        outline = self.style.outline
        if is_filled:
            self._circle(at, radius + 1.0, outline, -1)
            self._circle(at, radius, color, -1)
        else:
            # The rim would close a smaller ring.
            radius = max(radius + 0.5, 4.0)
            self._circle(at, radius, outline, 3)
            self._circle(at, radius, color, 1)

    def _circle(self, at: Point, radius: float, color: Color, thickness: int) -> None:
        cv2, whole = opencv(), round(radius * _ONE_PIXEL)
        cv2.circle(self.pixels, at, whole, color, thickness, cv2.LINE_AA, _SHIFT)


def text_size(text: str, scale: float) -> tuple[int, int, int]:
    """Return the width of a line of text, its height above the baseline, and that below."""
    cv2 = opencv()
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    return width, height, below


def to_points(pixels: NDArray[np.float64]) -> tuple[list[Point], NDArray[np.bool_]]:
    """Round pixels (points, 2); also return which points are finite and not far outside."""
    with np.errstate(invalid="ignore"):
        is_near: NDArray[np.bool_] = np.asarray((np.abs(pixels) < _FARTHEST).all(axis=-1))
    near = np.where(is_near[:, None], pixels, 0.0)
    return np.rint(near * _ONE_PIXEL).astype(int).tolist(), is_near
