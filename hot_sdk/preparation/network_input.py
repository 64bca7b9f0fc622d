"""What a network wants as input, as its manifest says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import ManifestError
from hot_sdk.manifest import Manifest
from hot_sdk.preparation.normalisation import (
    BOUNDING_BOX,
    NORMALISATIONS,
    by_bounding_box,
    by_image_width,
)


@dataclass(frozen=True)
class NetworkInput:
    """How filled keypoints become an array for a network.

    Attributes:
        normalisation: ``image_width`` or ``bounding_box``.
        channels: 2 for x and y, 3 with the score.
    """

    normalisation: str
    channels: int

    def of(
        self,
        points: NDArray[np.float32],
        scores: NDArray[np.float32],
        valid: NDArray[np.bool_],
        image_size: tuple[int, int],
        aspect: str,
    ) -> NDArray[np.float32]:
        """Normalise.

        Args:
            points: (frames, 17, 2), pixels, finite.
            scores: (frames, 17), 0 to 1.
            valid: (frames, 17).
            image_size: Width and height, pixels.
            aspect: See ``InputPolicies``.

        Returns:
            (frames, 17, channels), float32.
        """
        if self.normalisation == BOUNDING_BOX:
            normalised = by_bounding_box(points, valid)
        else:
            normalised = by_image_width(points, image_size, aspect)
        if self.channels == 2:
            return normalised
        return np.concatenate([normalised, scores[..., None]], axis=-1, dtype=np.float32)


def network_input_of(manifest: Manifest) -> NetworkInput:
    """Read it from a manifest.

    Raises:
        ManifestError: The normalisation is none that this version knows.
    """
    if manifest.normalisation not in NORMALISATIONS:
        raise ManifestError(
            f"The model wants its keypoints normalised by '{manifest.normalisation}'; this version"
            f" knows {', '.join(NORMALISATIONS)}.",
            hint="Run: pip install --upgrade hot-sdk",
        )
    return NetworkInput(manifest.normalisation, manifest.channels)
