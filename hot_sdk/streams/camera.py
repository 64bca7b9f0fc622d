"""Hold what is known of a stream's camera, which each frame may say anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.camera_knowledge import CameraKnowledge, unused_warning
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import StreamError
from hot_sdk.streams.observations import UNKNOWN_UP, Detection


class StreamCamera:
    """The camera of a stream.

    Args:
        knowledge: What the stream was opened with; it holds for frames and people that say nothing
            of their own.
        conditions: Names of what the network can be told.

    Attributes:
        up: (3,), that of the newest frame that said it, else that of the stream; NaN if unknown.
    """

    def __init__(self, knowledge: CameraKnowledge, conditions: Sequence[str]) -> None:
        self._default = knowledge
        self._conditions = conditions
        self.reset()

    def reset(self) -> None:
        """Know no more than when the stream was opened."""
        self._known = self._default
        self.up = UNKNOWN_UP if self._default.up is None else self._default.up

    def check(self, detections: Sequence[Detection], image_size: tuple[int, int] | None) -> None:
        """Check that the people of a frame are seen by the stream's camera.

        Raises:
            StreamError: They are seen by another.
            UsageError: The camera does not fit the image.
        """
        known = self._known.camera
        for detection in detections:
            known = detection.camera if known is None else known
            if detection.camera not in (None, known):
                raise StreamError(
                    f"The camera is {detection.camera}; so far it was {known}.",
                    hint="Open another stream for another camera.",
                )
        if image_size is None and detections and self._default.camera is not None:
            self._default.camera.check_image(detections[0].image_size)

    def note(self, detections: Sequence[Detection]) -> None:
        """Remember what the people of a frame say, after ``check``."""
        for detection in detections:
            given: dict[str, Any] = {
                "camera": detection.camera,
                "up": detection.up,
                "height_m": detection.height_m,
            }
            said = {name: value for name, value in given.items() if value is not None}
            if said:
                self._known = dataclasses.replace(self._known, **said)
            if detection.up is not None:
                self.up = detection.up

    def up_of(self, detection: Detection) -> NDArray[np.float64]:
        """Return the up direction of a frame, (3,): its own, else that of the stream."""
        if detection.up is not None:
            return detection.up
        return UNKNOWN_UP if self._default.up is None else self._default.up

    def told(self, height_m: float | None) -> tuple[Intrinsics | None, float | None]:
        """Return the intrinsics and a person's height, each None if the network does not take it.

        Args:
            height_m: The person's own height; None for that of the stream.
        """
        height = self._default.height_m if height_m is None else height_m
        known = CameraKnowledge(self._known.camera, None, height)
        told = known.usable_with(self._conditions)
        return told.camera, told.height_m

    def warnings(self, image_size: tuple[int, int] | None) -> tuple[str, ...]:
        """Return what the network is not told, and what is unlikely about the camera."""
        told = self._known.usable_with(self._conditions)
        unused = unused_warning(self._known, told)
        if told.camera is None or image_size is None:
            return unused
        return (*unused, *told.camera.check_image(image_size))
