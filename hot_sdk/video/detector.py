"""2D keypoint detectors behind one protocol, found by name among the installed packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.plugins import PluginGroup
from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError, VideoError
from hot_sdk.keypoints import Keypoints

DETECTORS = PluginGroup("hot_sdk.detectors", "detector", VideoError)
"""The entry points that list detectors.

Each names a function that takes ``max_people`` and the detector's own options by keyword and
returns a ``Detector``. A package ships one in its ``pyproject.toml``::

    [project.entry-points."hot_sdk.detectors"]
    my-detector = "my_package.detector:create_my_detector"
"""

DEFAULT_DETECTOR = "mediapipe"
DEFAULT_MAX_PEOPLE = 2
MOST_PEOPLE = 50


class Detector(Protocol):
    """Finds the 2D keypoints of the people in an image.

    A detector may remember earlier frames: use one for each video, from one thread at a time.
    """

    @property
    def name(self) -> str:
        """Name of the detector, as in ``list_detectors()``."""

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
            Keypoints of one frame for each person, in pixels, the most certain first, with no
            ``track_id``; empty if no person was found.
        """

    def close(self) -> None:
        """Release what the detector holds; harmless if it is closed."""


def list_detectors() -> tuple[str, ...]:
    """Return the names of all detectors, whether or not their libraries are installed.

    Raises:
        VideoError: Two packages ship a detector of the same name.
    """
    return tuple(DETECTORS.entries())


def create_detector(
    name: str = DEFAULT_DETECTOR, *, max_people: int = DEFAULT_MAX_PEOPLE, **options: object
) -> Detector:
    """Load a detector.

    Args:
        name: One of ``list_detectors()``.
        max_people: Maximum people per image, 1 to 50. MediaPipe looks for more in every frame until
            it has found as many, which costs time if there are fewer.
        options: The detector's own, as its ``create_..._detector`` documents them.

    Raises:
        UsageError: The detector or an option is unknown, or a value is out of range.
        MissingDependencyError: The detector's library is not installed.
        VideoError: The detector cannot be loaded, or two packages ship one of this name.
    """
    entries = DETECTORS.entries()
    if name not in entries:
        raise UsageError(f"Unknown detector {name!r}.", hint=closest(str(name), tuple(entries)))
    if isinstance(max_people, bool) or not isinstance(max_people, int):
        raise UsageError(f"max_people is {max_people!r}.", hint="Give a whole number.")
    if not 1 <= max_people <= MOST_PEOPLE:
        raise UsageError(
            f"max_people is {max_people}; expected 1 to {MOST_PEOPLE}.",
            hint="Leave it out for the default.",
        )
    creator = DETECTORS.load(entries[name])
    if not callable(creator):
        raise DETECTORS.broken(entries[name], f"'{entries[name].value}' is not a function")
    known_options = getattr(creator, "__kwdefaults__", None) or {}
    if unknown := sorted(set(options) - set(known_options)):
        raise UsageError(
            f"The detector '{name}' has no option {', '.join(unknown)}.",
            hint=f"Its options: {', '.join(sorted(set(known_options) - {'max_people'}))}.",
        )
    return cast(Callable[..., Detector], creator)(max_people=max_people, **options)


def check_image(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the width and height of an image that a detector can accept.

    Raises:
        VideoError: It is not a color image of bytes.
    """
    is_color = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
    if not is_color or image.dtype != np.uint8 or image.size == 0:
        shape, dtype = (getattr(image, name, None) for name in ("shape", "dtype"))
        raise VideoError(
            f"The image is a {type(image).__name__} of shape {shape} and type {dtype}; expected an"
            " array (height, width, 3) of uint8.",
            hint="Give blue, green and red of each pixel, as OpenCV does.",
        )
    return int(image.shape[1]), int(image.shape[0])
