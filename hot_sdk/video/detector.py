"""2D keypoint detectors behind one protocol, by name; one file and one entry here for each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError, VideoError
from hot_sdk.keypoints import Keypoints

DEFAULT_DETECTOR = "mediapipe"
DEFAULT_MAX_PEOPLE = 2
MOST_PEOPLE = 50

# Name -> 'module:function'. The function takes max_people and the detector's own options; its
# module is imported when its detector is asked for.
_DETECTORS = {
    "mediapipe": "hot_sdk.video.mediapipe:create_mediapipe_detector",
    "rtmlib": "hot_sdk.video.rtmlib:create_rtmlib_detector",
}


class Detector(Protocol):
    """Finds the 2D keypoints of the people in an image.

    A detector may remember the frames before: use one for each video, from one thread at a time.
    """

    @property
    def name(self) -> str:
        """Name of the detector, as in ``list_detectors()`` for those that come with the SDK."""

    @property
    def version(self) -> str:
        """Version of the library behind it."""

    @property
    def skeleton(self) -> str:
        """Name of the skeleton that it finds, one of ``hot_sdk.skeletons``."""

    def __call__(self, image: NDArray[np.uint8], timestamp: float) -> tuple[Keypoints, ...]:
        """Find people.

        Args:
            image: (height, width, 3), uint8, blue, green, red.
            timestamp: When it was taken, in seconds; strictly increasing from call to call.

        Returns:
            Keypoints of one frame for each person, in pixels, the surest first, with no
            ``track_id``; empty where there is nobody.
        """

    def close(self) -> None:
        """Free what the detector holds; harmless when closed."""


def list_detectors() -> tuple[str, ...]:
    """Names of all detectors, whether or not their libraries are installed."""
    return tuple(_DETECTORS)


def create_detector(
    name: str = DEFAULT_DETECTOR, *, max_people: int = DEFAULT_MAX_PEOPLE, **options: object
) -> Detector:
    """Load a detector.

    Args:
        name: One of ``list_detectors()``.
        max_people: Most people to find in one image, 1 to 50. MediaPipe looks for more in every
            frame until it has found as many, which costs time where there are fewer.
        options: The detector's own, as its ``create_..._detector`` documents them.

    Raises:
        UsageError: The detector or an option is unknown, or a value is out of range.
        MissingDependencyError: The detector's library is not installed.
        VideoError: The detector cannot be loaded.
    """
    if name not in _DETECTORS:
        raise UsageError(f"Unknown detector {name!r}.", hint=closest(str(name), list_detectors()))
    if isinstance(max_people, bool) or not isinstance(max_people, int):
        raise UsageError(f"max_people is {max_people!r}.", hint="Give a whole number.")
    if not 1 <= max_people <= MOST_PEOPLE:
        raise UsageError(
            f"max_people is {max_people}; expected 1 to {MOST_PEOPLE}.",
            hint="Leave it out for the default.",
        )
    module, function = _DETECTORS[name].split(":")
    creator = cast(Callable[..., Detector], getattr(importlib.import_module(module), function))
    known_options = creator.__kwdefaults__ or {}
    if unknown := sorted(set(options) - set(known_options)):
        raise UsageError(
            f"The detector '{name}' has no option {', '.join(unknown)}.",
            hint=f"It has: {', '.join(sorted(set(known_options) - {'max_people'}))}.",
        )
    return creator(max_people=max_people, **options)


def check_image(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height of an image that a detector can take.

    Raises:
        VideoError: It is no colour image of bytes.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.ndim != 3
        or image.shape[2] != 3
        or image.dtype != np.uint8
        or image.size == 0
    ):
        shape = getattr(image, "shape", None)
        raise VideoError(
            f"The image is a {type(image).__name__} of shape {shape} and type"
            f" {getattr(image, 'dtype', None)}; expected an array (height, width, 3) of uint8.",
            hint="Give blue, green and red of each pixel, as OpenCV does.",
        )
    return int(image.shape[1]), int(image.shape[0])
