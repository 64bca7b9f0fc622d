"""Hold what is known of a stream's camera, which each frame may say anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.camera_knowledge import CameraKnowledge, unused_warning
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.errors import StreamError
from hot_sdk.root.placement import Placement
from hot_sdk.root.placing import PersonPlacer
from hot_sdk.root.scale import Floor
from hot_sdk.skeletons import H36M17
from hot_sdk.streams.observations import UNKNOWN_UP, Detection
from hot_sdk.streams.placing import PersonPlacing

_PELVIS = H36M17.joints[0]


class StreamCamera:
    """The camera of a stream.

    Args:
        knowledge: What the stream was opened with; it holds for frames and people that say nothing
            of their own.
        conditions: Names of what the network can be told.
        placement: Where people are placed.

    Attributes:
        up: (3,), that of the newest frame that said it, else that of the stream; NaN if unknown.
        pose: Where the camera was in the newest frame; None if it is not known.
    """

    def __init__(
        self, knowledge: CameraKnowledge, conditions: Sequence[str], placement: Placement
    ) -> None:
        self._default = knowledge
        self._conditions = conditions
        self._placement = placement
        self.reset()

    def reset(self) -> None:
        """Know no more than when the stream was opened."""
        self._known = self._default
        self._floor: Floor | None = None
        self._frames = 0
        self.pose: CameraPose | None = None
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

    def check_pose(self, pose: CameraPose | None) -> None:
        """Check that a frame says where the camera is if those before did.

        Raises:
            StreamError: It does not.
        """
        if self._frames and (pose is None) != (self.pose is None):
            said = "do not say" if self.pose is None else "say"
            raise StreamError(
                f"The frames before {said} where the camera is; this one is otherwise.",
                hint="Push every frame with camera=, or none, or reset() the stream in between.",
            )

    def note(self, detections: Sequence[Detection], pose: CameraPose | None) -> None:
        """Remember what a frame and its people say, after the checks."""
        self.pose = pose
        if not self._frames:
            self._floor = self._placement.floor(pose, self._default.up)
        self._frames += 1
        if pose is not None and self._default.up is None:
            self.up = pose.rotation[2]
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
        if self._default.up is None and self.pose is not None:
            upward: NDArray[np.float64] = self.pose.rotation[2]
            return upward
        return UNKNOWN_UP if self._default.up is None else self._default.up

    def placing(self, placer: PersonPlacer | None, height_m: float | None) -> PersonPlacing | None:
        """Return how a person is placed; None if there is nothing to do.

        Args:
            placer: The person's; None for a new one.
            height_m: The person's own height; None for that of the stream.
        """
        intrinsics, in_robot_frame = self._known.camera, self.pose is not None
        asked = self._placement.smoothing or self._placement.root != _PELVIS
        if not (intrinsics is not None or in_robot_frame or asked):
            return None
        height = self._default.height_m if height_m is None else height_m
        if placer is None:
            known = height is not None
            told = known and "height_known" in self._conditions
            options = self._placement.options(self._floor)
            placer = PersonPlacer(options, height_told=told, height_known=known)
        name = self._placement.frame_name(in_robot_frame=in_robot_frame)
        return PersonPlacing(placer, intrinsics, height, in_robot_frame, name)

    def told(self, height_m: float | None) -> tuple[Intrinsics | None, float | None]:
        """Return the intrinsics and a person's height, each None if the network does not take it.

        Args:
            height_m: The person's own height; None for that of the stream.
        """
        height = self._default.height_m if height_m is None else height_m
        if self._known.camera is None and height is None:
            return None, None
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
