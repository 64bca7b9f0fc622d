"""Virtual cameras, which turn motion capture into 2D keypoints of any view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import Intrinsics

Floats = NDArray[np.float64]

IMAGE_SIZES = (
    (1920, 1080),
    (1280, 720),
    (1080, 1920),
    (720, 1280),
    (640, 480),
    (1000, 1000),
    (1440, 1080),
)
"""Width and height, pixels: landscape, portrait, 4:3 and square."""

_PITCH_DEGREES = (-15.0, 45.0)
_ROLL_SIGMA_DEGREES = 15.0
_DISTANCE_M = (2.5, 6.5)
_AIM_DEGREES = (12.0, 6.0)
_FILLED = (0.5, 0.95)
_NEAREST_M = 0.5


@dataclass(frozen=True, eq=False)
class VirtualCamera:
    """A pinhole camera at rest.

    Attributes:
        image_size: Width and height, pixels.
        rotation: (3, 3), from world axes (y up, right-handed) to the camera's (x right, y down,
            z forward).
        position: (3,), in the world, meters.
        intrinsics: Square pixels, principal point in the middle of the image.
    """

    image_size: tuple[int, int]
    rotation: Floats
    position: Floats
    intrinsics: Intrinsics

    @property
    def up(self) -> Floats:
        """The world's y axis, which points away from the ground, along the camera's axes, (3,)."""
        up: Floats = self.rotation[:, 1].copy()
        return up

    def to_camera_axes(self, world: Floats) -> Floats:
        """Return points (..., 3) of the world along the camera's axes, meters."""
        turned: Floats = (world - self.position) @ self.rotation.T
        return turned


def draw_camera(random: np.random.Generator, world: Floats) -> VirtualCamera:
    """Draw a camera whose image holds a whole clip.

    Yaw is uniform, pitch uniform from 15 degrees below level to 45 above, roll normal with 15
    degrees, the distance from the middle of the clip uniform from 2.5 to 6.5 m. It looks up to 12
    degrees past the person to either side and 6 up or down. The focal length is such that the
    joint farthest from the middle of the image comes 0.5 to 0.95 of the way to its edge.

    Args:
        random: The random generator.
        world: (frames, joints, 3), meters, y up, right-handed.
    """
    points = world.reshape(-1, 3)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    while True:
        width, height = IMAGE_SIZES[int(random.integers(len(IMAGE_SIZES)))]
        yaw = random.uniform(0.0, 2.0 * math.pi)
        pitch = math.radians(random.uniform(*_PITCH_DEGREES))
        roll = math.radians(random.normal(0.0, _ROLL_SIGMA_DEGREES))
        distance = random.uniform(*_DISTANCE_M)
        aside, above = (math.radians(random.uniform(-most, most)) for most in _AIM_DEGREES)
        filled = random.uniform(*_FILLED)
        backwards = np.array(
            [math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)]
        )
        rotation = _about(2, roll) @ _about(0, above) @ _about(1, aside) @ _looking(-backwards)
        position = middle + distance * backwards
        seen = (points - position) @ rotation.T
        # A clip in which the person walks into the camera needs another one.
        if seen[:, 2].min() > _NEAREST_M:
            break
    slopes = np.abs(seen[:, :2] / seen[:, 2:]).max(axis=0)
    focal = filled * min(width / 2.0 / slopes[0], height / 2.0 / slopes[1])
    intrinsics = Intrinsics(focal, focal, width / 2.0, height / 2.0)
    return VirtualCamera((width, height), rotation, position, intrinsics)


def _looking(forward: Floats) -> Floats:
    """Return the axes of an upright camera that looks along a direction; the world's y is up."""
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def _about(axis: int, angle: float) -> Floats:
    """Return the rotation about a coordinate axis."""
    rotation = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation[first, first] = rotation[second, second] = math.cos(angle)
    rotation[second, first] = math.sin(angle)
    rotation[first, second] = -math.sin(angle)
    return rotation
