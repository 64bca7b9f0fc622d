"""Normalize keypoints in pixels as a network was trained, by its manifest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import NEWER
from hot_sdk.errors import ManifestError
from hot_sdk.manifest import Manifest

IMAGE_WIDTH = "image_width"
BOUNDING_BOX = "bounding_box"
IMAGE_SHORT_SIDE = "image_short_side"
NORMALIZATIONS = (IMAGE_WIDTH, BOUNDING_BOX, IMAGE_SHORT_SIDE)

SQUARE_ENOUGH = 1.1
"""Height over width up to which an image counts as square: Human3.6M's are 1000 by 1002."""

SMALLEST_BOX = 1e-6
"""Shortest side of a bounding box, pixels, if all keypoints are in one place."""

Square = tuple[NDArray[np.float64], float]
"""Center (2,) and side of a square, pixels."""


def pads_to_square(image_size: tuple[int, int], aspect: str) -> bool:
    """Return whether an image gets margins left and right under a policy."""
    width, height = image_size
    return aspect == "pad_to_square" and height > SQUARE_ENOUGH * width


def by_image_width(
    points: NDArray[np.float32], image_size: tuple[int, int], aspect: str
) -> NDArray[np.float32]:
    """Map x to -1 … 1 over the image's width, and y by the same factor about the middle.

    As VideoPose3D (Pavllo et al., CVPR 2019) and all that follow it do.

    Args:
        points: (frames, joints, 2), pixels.
        image_size: Width and height, pixels.
        aspect: ``pad_to_square`` or ``published``; see ``InputPolicies``.
    """
    width, height = image_size
    side = height if pads_to_square(image_size, aspect) else width
    middle = np.array([width / 2, height / 2], dtype=np.float32)
    normalized: NDArray[np.float32] = (points - middle) * np.float32(2.0 / side)
    return normalized


def by_image_short_side(
    points: NDArray[np.float32], image_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Map the image's shorter side to -1 … 1, and the longer one by the same factor.

    As MotionBERT (Zhu et al., ICCV 2023) does for videos in the wild with its option ``--pixel``:
    poses times half the shorter side are in pixels.

    Args:
        points: (frames, joints, 2), pixels.
        image_size: Width and height, pixels.
    """
    middle, half = np.array(image_size) / 2.0, min(image_size) / 2.0
    # In float64, as the authors do, so that the network's input is theirs to the last bit.
    normalized = (points.astype(np.float64) - middle) / half
    return normalized.astype(np.float32)


def by_bounding_box(
    points: NDArray[np.float32], known: NDArray[np.bool_], square: Square | None = None
) -> NDArray[np.float32]:
    """Map the square about all known joints of all frames to -1 … 1, and clip there.

    As MotionBERT (Zhu et al., ICCV 2023) does for videos in the wild by default: the square is as
    large as the longer side of the box and shares its center.

    Args:
        points: (frames, joints, 2), pixels.
        known: (frames, joints); if no joint is known, all are used.
        square: The square, if the points are a part of a clip's.
    """
    middle, side = bounding_square(points, known) if square is None else square
    # A small box far from the image's corner would lose digits in float32.
    normalized = np.clip((points.astype(np.float64) - middle) * (2.0 / side), -1.0, 1.0)
    return normalized.astype(np.float32)


def bounding_square(points: NDArray[np.float32], known: NDArray[np.bool_]) -> Square:
    """Return the square about all known joints, or about all joints if none is known."""
    return square_about(points[known] if known.any() else points.reshape(-1, 2))


def square_about(points: NDArray[np.float32]) -> Square:
    """Return the square about points (points, 2)."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    return (low + high) / 2.0, max(float((high - low).max()), SMALLEST_BOX)


@dataclass(frozen=True)
class InputSpec:
    """The input of a network: how keypoints without gaps become its array.

    Attributes:
        normalization: ``image_width``, ``bounding_box`` or ``image_short_side``.
        channels: 2 for x and y, 3 with the score.
    """

    normalization: str
    channels: int

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> InputSpec:
        """Read the specification from a manifest.

        Raises:
            ManifestError: This version does not know the normalization.
        """
        if manifest.normalization not in NORMALIZATIONS:
            raise ManifestError(
                f"The model needs keypoints normalized by '{manifest.normalization}'; this version"
                f" knows {', '.join(NORMALIZATIONS)}.",
                hint=NEWER,
            )
        return cls(manifest.normalization, manifest.channels)

    def normalize(
        self,
        points: NDArray[np.float32],
        scores: NDArray[np.float32],
        valid: NDArray[np.bool_],
        image_size: tuple[int, int],
        aspect: str,
        square: Square | None = None,
    ) -> NDArray[np.float32]:
        """Normalize keypoints.

        Args:
            points: (frames, 17, 2), pixels, finite.
            scores: (frames, 17), 0 to 1.
            valid: (frames, 17).
            image_size: Width and height, pixels.
            aspect: See ``InputPolicies``.
            square: The square of ``bounding_box`` if the keypoints are a part of a clip's; None for
                that about them.

        Returns:
            (frames, 17, channels), float32.
        """
        if self.normalization == BOUNDING_BOX:
            normalized = by_bounding_box(points, valid & (scores > 0.0), square)
        elif self.normalization == IMAGE_SHORT_SIDE:
            normalized = by_image_short_side(points, image_size)
        else:
            normalized = by_image_width(points, image_size, aspect)
        if self.channels == 2:
            return normalized
        return np.concatenate([normalized, scores[..., None]], axis=-1, dtype=np.float32)

    def unit_px(self, image_size: tuple[int, int], aspect: str, square: Square | None) -> float:
        """Return how many pixels 1 is; the arguments are those of ``normalize``."""
        width, height = image_size
        if square is not None:
            side = square[1]
        elif self.normalization == IMAGE_SHORT_SIDE:
            side = min(image_size)
        else:
            side = height if pads_to_square(image_size, aspect) else width
        return side / 2.0
