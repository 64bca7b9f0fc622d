"""Scenes with exact truth for ``root_accuracy``: held-out motion in front of a camera on a robot.

The motion is starter-val's, stood upright on a floor, scaled to the person's size, and moved along
the floor where the scene says so. Everything is in a frame with z up, whose floor is at z = 0.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.cameras import CameraPose, Intrinsics
from hot_sdk.contacts import ANKLE_HEIGHT_M, FEET
from hot_sdk.root import RootMeasurements, measure_root

Doubles = NDArray[np.float64]

CAMERA = Intrinsics.from_field_of_view(70.0, (1280, 720))
CAMERA_HEIGHT_M = 1.1
DISTANCE_M = 3.0
NOISE_PX = 2.0
FPS = 30.0

WALKS = ("14_17", "14_18", "14_19")
"""Sequences of someone who walks about."""

_STRIDE_HZ = 1.0
_SWING_S = 3.0
_BESIDE_PX = 300.0


@dataclass(frozen=True, eq=False)
class Scene:
    """One person in front of a camera.

    Attributes:
        joints: (frames, 17, 3), where the person truly is.
        size: Of the person over that of the poses.
        cameras: The camera's pose, in each frame.
        points: (frames, 17, 2), pixels with noise; NaN where the person is not seen.
    """

    joints: Doubles
    size: float
    cameras: tuple[CameraPose, ...]
    points: Doubles

    @property
    def times(self) -> Doubles:
        """(frames,), seconds."""
        return np.arange(len(self.joints)) / FPS

    @property
    def root(self) -> Doubles:
        """(frames, 3), the true pelvis."""
        root: Doubles = self.joints[:, 0]
        return root

    @property
    def velocity(self) -> Doubles:
        """(frames, 3), of the true pelvis, by central differences."""
        velocity: Doubles = np.gradient(self.root, 1.0 / FPS, axis=0)
        return velocity

    @property
    def rays(self) -> Doubles:
        """(frames, 3), unit vectors from the camera to the true pelvis."""
        ray = self.root - np.stack([camera.translation for camera in self.cameras])
        rays: Doubles = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        return rays

    @property
    def poses(self) -> Doubles:
        """(frames, 17, 3), what an exact lifter says who does not know the person's size."""
        away = (self.joints - self.joints[:, :1]) / self.size
        turned = np.stack([camera.rotation for camera in self.cameras])
        poses: Doubles = away @ turned
        return poses

    def measure(self) -> RootMeasurements:
        """Return the root in each frame on its own."""
        valid = np.ones(self.points.shape[:2], dtype=np.bool_)
        return measure_root(self.poses, valid, self.points, None, CAMERA, pixel_noise=NOISE_PX)


@functools.cache
def motion(name: str) -> Doubles:
    """Return a sequence on a floor about the origin, (frames, 17, 3), z up, meters."""
    clip = next(one for one in load_starter_val(views=1) if one.name == f"{name}-1")
    joints = clip.truth.astype(np.float64)
    if clip.root is not None:
        joints = joints + clip.root[:, None]
    if clip.up is None:
        raise ValueError(f"{name} has no up direction")
    up = clip.up / np.linalg.norm(clip.up)
    side = np.cross(up, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    turned: Doubles = joints @ np.stack([side, np.cross(up, side), up]).T
    turned[..., :2] -= turned[:, 0, :2].mean(axis=0)
    turned[..., 2] += ANKLE_HEIGHT_M - np.percentile(turned[:, FEET, 2].min(axis=1), 5)
    return turned


def scene(
    name: str,
    seed: int,
    *,
    size: float = 1.0,
    frames: int = 240,
    speed_m_s: float = 0.0,
    camera_speed_m_s: float = 0.0,
    camera_swing_m: float = 0.0,
    unseen: tuple[slice, ...] = (),
    strange: tuple[slice, ...] = (),
) -> Scene:
    """Make a scene.

    Args:
        name: Name of the sequence.
        seed: Of the noise, of which part of the sequence is shown, and of how it is turned.
        size: Of the person over that of the sequence's body.
        frames: Number of frames.
        speed_m_s: Of a walk straight on, with the sway of a gait, added to the motion.
        camera_speed_m_s: Of the camera, to its left.
        camera_swing_m: How far the camera swings to either side, once in three seconds.
        unseen: Frames without keypoints.
        strange: Frames whose keypoints are someone else's.
    """
    random = np.random.default_rng(seed)
    whole = motion(name)
    first = int(random.integers(max(len(whole) - frames, 0) + 1))
    joints = _turned(whole[first : first + frames], random.uniform(0.0, 2.0 * np.pi)) * size
    times = np.arange(len(joints)) / FPS
    joints[..., :2] -= joints[:, 0, :2].mean(axis=0)
    joints = joints + _walk(times, speed_m_s, random.uniform(0.0, 2.0 * np.pi))[:, None]
    # The nearest that the person comes is at least 2 m.
    nearest = min(float(joints[..., 0].min()) + DISTANCE_M - 2.0, 0.0)
    joints[..., 0] += DISTANCE_M - nearest
    level = CameraPose.mounted((0.0, 0.0, CAMERA_HEIGHT_M), pitch=np.radians(5.0))
    aside = camera_speed_m_s * (times - times.mean())
    aside += camera_swing_m * np.sin(2.0 * np.pi * times / _SWING_S)
    cameras = tuple(
        CameraPose(level.rotation, level.translation + np.array([0.0, shift, 0.0]))
        for shift in aside
    )
    seen = np.stack(
        [
            (one - camera.translation) @ camera.rotation
            for one, camera in zip(joints, cameras, strict=True)
        ]
    )
    points = CAMERA.project(seen) + random.normal(size=(*joints.shape[:2], 2)) * NOISE_PX
    for part in strange:
        points[part] += [_BESIDE_PX, 0.0]
    for part in unseen:
        points[part] = np.nan
    return Scene(joints, size, cameras, points)


def _turned(joints: Doubles, angle: float) -> Doubles:
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Doubles = joints @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return turned


def _walk(times: Doubles, speed: float, direction: float) -> Doubles:
    """Return the way of a pelvis that walks, (frames, 3): two steps a second, with their sway."""
    phase = 2.0 * np.pi * _STRIDE_HZ * times
    share = min(speed, 1.0)
    ahead = speed * (times - times.mean()) + 0.01 * share * np.sin(2.0 * phase)
    aside = 0.02 * share * np.sin(phase)
    cos, sin = np.cos(direction), np.sin(direction)
    height = 0.02 * share * np.cos(2.0 * phase)
    return np.stack([cos * ahead - sin * aside, sin * ahead + cos * aside, height], axis=1)
