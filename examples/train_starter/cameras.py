"""Put people in front of virtual cameras, and tell the network what a user might know of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hot_sdk.camera_knowledge import MOST_VERTICAL
from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.preprocessing.virtual_view import HEIGHT_STEP, USUAL_HEIGHT_M
from hot_sdk.skeletons import H36M17

MIRROR = list(H36M17.mirror)
IMAGE_SIZES = torch.tensor(
    [(16, 9), (16, 9), (9, 16), (9, 16), (4, 3), (1, 1), (4, 3)], dtype=torch.float32
)
CONDITIONS = len(CONDITION_NAMES)
"""Values of a frame."""
_KNOWS_NOTHING, _KNOWS_GRAVITY = 0.35, 0.5
"""Shares of clips; of the remaining ones only the intrinsics are known."""
_KNOWS_HEIGHT = 0.4
_FOCAL_SD_LOG = 0.015
_HEIGHT_SD = 0.015
"""Error of a stature that somebody states, meters."""
_GRAVITY_SD_DEGREES = 1.0


@dataclass(frozen=True)
class View:
    """What the cameras of a batch of clips see.

    Attributes:
        keypoints: (batch, frames, 17, 2), normalized as the runtime does for pixels.
        poses: (batch, frames, 17, 3), along the cameras' axes, relative to the pelvis, meters.
        focal: (batch,), keypoints at the slope 1.
        up: (batch, 3), the direction away from the ground along the cameras' axes.
        stature: (batch,), meters.
    """

    keypoints: Tensor
    poses: Tensor
    focal: Tensor
    up: Tensor
    stature: Tensor


def uniform(low: float, high: float, *shape: int) -> Tensor:
    """Draw uniform numbers."""
    return low + (high - low) * torch.rand(*shape)


def about(axis: int, angle: Tensor) -> Tensor:
    """Return rotations about one axis, (batch, 3, 3)."""
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, second, first], matrix[:, first, second] = angle.sin(), -angle.sin()
    return matrix


def see(world: Tensor, marks: Tensor, stature: Tensor) -> View:
    """Put every clip in front of its own camera.

    Args:
        world: Joints, (batch, frames, 17, 3), meters, y up.
        marks: What a detector finds in their place, of the same shape.
        stature: (batch,), meters.
    """
    batch = len(world)
    yaw = uniform(-math.pi, math.pi, batch)
    pitch = torch.deg2rad(uniform(-15.0, 45.0, batch))
    roll = torch.deg2rad(15.0 * torch.randn(batch))
    points = marks.flatten(1, 2)
    middle = (points.amin(dim=1) + points.amax(dim=1)) / 2.0
    # From y up to the camera's y down, z forward.
    level = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    turn = about(2, roll) @ about(0, pitch) @ level @ about(1, yaw)
    turned = (points - middle[:, None]) @ turn.transpose(1, 2)
    nearest = 0.6 - turned[..., 2].amin(dim=1)
    distance = torch.maximum(uniform(2.5, 6.5, batch), nearest)
    ahead = torch.zeros(batch, 1, 3)
    ahead[:, 0, 2] = distance
    # The camera looks past the person.
    past = about(0, torch.deg2rad(uniform(-10.0, 10.0, batch))) @ about(
        1, torch.deg2rad(uniform(-20.0, 20.0, batch))
    )
    seen = (turned + ahead) @ past.transpose(1, 2)
    slopes = seen[..., :2] / seen[..., 2:].clamp(min=0.3)
    sizes = IMAGE_SIZES.to(world.device)
    size = sizes[torch.randint(len(sizes), (batch,))]
    reach = slopes.abs().amax(dim=1)
    filled = uniform(0.25, 0.97, batch)
    # The runtime treats a portrait image as the middle of a square.
    focal = filled * (size / 2.0 / reach).amin(dim=1) * (2.0 / size.amax(dim=1))
    keypoints = (slopes * focal[:, None, None]).unflatten(1, world.shape[1:3])
    axes = past @ turn
    poses = (world - world[:, :, :1]) @ axes.transpose(1, 2)[:, None]
    return View(keypoints, poses, focal, axes[:, :, 1], stature)


def mirror(view: View) -> View:
    """Mirror every second clip."""
    half = len(view.keypoints) // 2
    sign = torch.tensor([-1.0, 1.0, 1.0])
    keypoints, poses, up = view.keypoints.clone(), view.poses.clone(), view.up.clone()
    keypoints[:half] = view.keypoints[:half, :, MIRROR] * sign[:2]
    poses[:half] = view.poses[:half, :, MIRROR] * sign
    up[:half] = view.up[:half] * sign
    return View(keypoints, poses, view.focal, up, view.stature)


def inform(seen: Tensor, view: View) -> tuple[Tensor, Tensor, Tensor]:
    """Draw what is known of each clip's camera and person, and turn views as the runtime does.

    Args:
        seen: What the detector says of ``view.keypoints``.
        view: The truth.

    Returns:
        Keypoints; conditions, (batch, frames, ``CONDITIONS``), in the order of
            ``CONDITION_NAMES``; and poses along the axes of the turned views.
    """
    batch, frames = seen.shape[:2]
    drawn = torch.rand(batch)
    known = drawn >= _KNOWS_NOTHING
    upright = drawn >= 1.0 - _KNOWS_GRAVITY
    stated = torch.rand(batch) < _KNOWS_HEIGHT
    focal = view.focal * torch.exp(_FOCAL_SD_LOG * torch.randn(batch))
    slopes = seen / focal[:, None, None, None]
    up = view.up + math.radians(_GRAVITY_SD_DEGREES) * torch.randn(batch, 3)
    up = (up / up.norm(dim=1, keepdim=True))[:, None].expand(-1, frames, -1)
    keypoints, turns, pitch = turn_views(slopes, up, upright[:, None].expand(-1, frames))
    height = view.stature + _HEIGHT_SD * torch.randn(batch)
    conditions = torch.zeros(batch, frames, CONDITIONS)
    conditions[:, :, 0] = known[:, None]
    conditions[:, :, 1] = pitch.abs() > 0.0
    conditions[:, :, 2] = pitch
    conditions[:, :, 3] = stated[:, None]
    conditions[:, :, 4] = (stated * torch.log(height / USUAL_HEIGHT_M) / HEIGHT_STEP)[:, None]
    here = known[:, None, None, None]
    poses = view.poses @ turns.transpose(2, 3)
    return torch.where(here, keypoints, seen), conditions, torch.where(here, poses, view.poses)


def turn_views(slopes: Tensor, up: Tensor, upright: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn each frame's camera to look at the person, upright if gravity is known.

    Args:
        slopes: x/z and y/z of every joint's ray, (batch, frames, 17, 2).
        up: Unit vectors away from the ground, (batch, frames, 3).
        upright: (batch, frames), gravity is known.

    Returns:
        Keypoints of the virtual cameras, of the shape of ``slopes``; rotations to their axes,
        (batch, frames, 3, 3); and the views' pitch, (batch, frames), 0 if gravity is unknown.
    """
    ones = torch.ones_like(slopes[..., :1])
    center = torch.cat([slopes.mean(dim=2), ones[:, :, 0]], dim=2)
    forward = center / center.norm(dim=2, keepdim=True)
    pitch = (up * forward).sum(dim=2)
    upright = upright & (pitch.abs() < MOST_VERTICAL)
    # The smallest turn that makes the view's direction z keeps the plane of both.
    least = torch.tensor([0.0, 1.0, 0.0]) - forward * (forward[..., 1:2] / (1.0 + forward[..., 2:]))
    least = least - torch.tensor([0.0, 0.0, 1.0]) * (forward[..., 1:2] / (1.0 + forward[..., 2:]))
    hanging = -(up - pitch[..., None] * forward)
    down = torch.where(upright[..., None], hanging, least)
    down = down / down.norm(dim=2, keepdim=True).clamp(min=1e-6)
    turns = torch.stack([torch.linalg.cross(down, forward), down, forward], dim=2)
    rays = torch.cat([slopes, ones], dim=3) @ turns.transpose(2, 3)
    keypoints = rays[..., :2] / rays[..., 2:].clamp(min=0.1)
    return keypoints, turns, torch.where(upright, pitch, torch.zeros_like(pitch))
