"""Turn motion capture into what a detector sees of it: bodies, cameras, errors.

Random numbers are drawn on torch's default device, where the motion has to lie.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hot_sdk.skeletons import H36M17

MIRROR = list(H36M17.mirror)
PARENTS = H36M17.parents
# Joints whose place differs from one detector or data set to the next.
LOOSE_JOINTS = [0, 1, 4, 7, 8, 9, 10]
LEGS = ((1, 2, 3), (4, 5, 6))
"""Hip, knee and ankle."""
SWAPPED = ((1, 4), (2, 5), (3, 6), (14, 11), (15, 12), (16, 13))
IMAGE_SIZES = torch.tensor(
    [(16, 9), (16, 9), (9, 16), (9, 16), (4, 3), (1, 1), (4, 3)], dtype=torch.float32
)


def uniform(low: float, high: float, *shape: int) -> Tensor:
    """Draw uniform numbers."""
    return low + (high - low) * torch.rand(*shape)


def straighten_legs(world: Tensor) -> Tensor:
    """Bend knees by up to 35° less, each clip by its own angle; (batch, frames, 17, 3).

    The motion's retargeted body stands with its knees bent by about 37°, which a network then
    predicts for every person seen from the front. Bones keep their lengths, and ankles their
    direction from the hips.
    """
    less = torch.deg2rad(uniform(0.0, 35.0, len(world), 1, 1))
    moved = world.clone()
    for hip, knee, ankle in LEGS:
        start, middle, end = world[:, :, hip], world[:, :, knee], world[:, :, ankle]
        thigh, shin = middle - start, end - middle
        upper, lower = (part.norm(dim=2, keepdim=True).clamp(min=1e-6) for part in (thigh, shin))
        cosine = (thigh * shin).sum(dim=2, keepdim=True) / (upper * lower)
        bend = torch.acos(cosine.clamp(-1.0, 1.0))
        # Small bends become nearly straight, and no knee bends forwards.
        straighter = bend - less * (bend / (bend + 0.3))
        leg = end - start
        ahead = leg / leg.norm(dim=2, keepdim=True).clamp(min=1e-6)
        out = thigh - (thigh * ahead).sum(dim=2, keepdim=True) * ahead
        aside = out / out.norm(dim=2, keepdim=True).clamp(min=1e-6)
        square = upper.square() + lower.square() + 2.0 * upper * lower * straighter.cos()
        reach = square.clamp(min=1e-12).sqrt()
        along = upper * (upper + lower * straighter.cos()) / reach
        sideways = upper * lower * straighter.sin() / reach
        moved[:, :, knee] = start + along * ahead + sideways * aside
        moved[:, :, ankle] = start + reach * ahead
    return moved


def vary_bodies(world: Tensor) -> Tensor:
    """Scale bodies and each bone by up to 12 %, left and right alike; (batch, frames, 17, 3).

    The motion's thighs are short and its shins are long, so that knees also move down the leg.
    """
    batch = len(world)
    scale = (0.05 * torch.randn(batch, 1)).clamp(-0.12, 0.12)
    bones = (0.05 * torch.randn(batch, 17)).clamp(-0.12, 0.12)
    lower = uniform(0.0, 0.2, batch)
    for _, knee, ankle in LEGS:
        bones[:, knee] += lower
        bones[:, ankle] -= 0.8 * lower
    bones[:, list(H36M17.right)] = bones[:, list(H36M17.left)]
    factor = (1.0 + scale) * (1.0 + bones)
    joints = [world[:, :, 0]]
    for joint in range(1, 17):
        bone = world[:, :, joint] - world[:, :, PARENTS[joint]]
        joints.append(joints[PARENTS[joint]] + bone * factor[:, joint, None, None])
    return torch.stack(joints, dim=2)


def about(axis: int, angle: Tensor) -> Tensor:
    """Return rotations about one axis, (batch, 3, 3)."""
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, second, first], matrix[:, first, second] = angle.sin(), -angle.sin()
    return matrix


def see(world: Tensor) -> tuple[Tensor, Tensor]:
    """Put every clip in front of its own camera.

    Returns:
        Normalized keypoints, (batch, frames, 17, 2), as the runtime makes them from pixels, and
        poses along the camera's axes relative to the pelvis, meters.
    """
    batch = len(world)
    yaw = uniform(-math.pi, math.pi, batch)
    pitch = torch.deg2rad(uniform(-15.0, 45.0, batch))
    roll = torch.deg2rad(15.0 * torch.randn(batch))
    points = world.flatten(1, 2)
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
    seen[..., 2].clamp_(min=0.3)
    slopes = seen[..., :2] / seen[..., 2:]
    sizes = IMAGE_SIZES.to(world.device)
    size = sizes[torch.randint(len(sizes), (batch,))]
    reach = slopes.abs().amax(dim=1)
    filled = uniform(0.25, 0.97, batch)
    focal = filled * (size / 2.0 / reach).amin(dim=1)
    # The runtime treats a portrait image as the middle of a square.
    side = size.amax(dim=1)
    keypoints = slopes * (2.0 * focal / side)[:, None, None]
    keypoints, poses = keypoints.unflatten(1, world.shape[1:3]), seen.unflatten(1, world.shape[1:3])
    return keypoints, poses - poses[:, :, :1]


def mirror(keypoints: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror every second clip."""
    half = len(keypoints) // 2
    sign = torch.tensor([-1.0, 1.0, 1.0])
    flipped = keypoints[:half, :, MIRROR] * sign[:2], poses[:half, :, MIRROR] * sign
    return torch.cat([flipped[0], keypoints[half:]]), torch.cat([flipped[1], poses[half:]])


def detect(keypoints: Tensor) -> Tensor:
    """Add a detector's errors: noise that lasts, other conventions, swaps, joints that stick."""
    batch, frames = keypoints.shape[:2]
    centered = keypoints - keypoints.mean(dim=2, keepdim=True)
    spread = centered.square().sum(dim=3).mean(dim=(1, 2)).sqrt()[:, None, None, None]
    # A quarter of the clips is clean; the noise of the others is 0.2 to 5 % of the body's spread.
    level = torch.exp(uniform(math.log(0.002), math.log(0.05), batch, 1, 1, 1))
    level = level * (torch.rand(batch, 1, 1, 1) > 0.25)
    each = 0.5 + torch.rand(batch, 1, 17, 1)
    slow = torch.randn(batch, 2 + frames // 6, 17, 2)
    slow = torch.nn.functional.interpolate(
        slow.flatten(2).transpose(1, 2), size=frames, mode="linear", align_corners=True
    )
    slow = slow.transpose(1, 2).unflatten(2, (17, 2))
    noise = level * each * (0.8 * slow + 0.6 * torch.randn(batch, frames, 17, 2))
    offsets = torch.zeros(batch, 1, 17, 2)
    shifted = 0.04 * (torch.rand(batch, 1, 1, 1) > 0.4)
    offsets[:, :, LOOSE_JOINTS] = shifted * torch.randn(batch, 1, len(LOOSE_JOINTS), 2)
    seen = keypoints + spread * (noise + offsets)
    time = torch.arange(frames)[None]
    for first, second in SWAPPED:
        start = torch.randint(frames, (batch, 1))
        swapped = (time >= start) & (time < start + torch.randint(1, 5, (batch, 1)))
        swapped = swapped & (torch.rand(batch, 1) < 0.03)
        pair = seen[:, :, [first, second]]
        seen[:, :, [first, second]] = torch.where(swapped[..., None, None], pair.flip(2), pair)
    # A missing joint stays where it was, as under the runtime's policy.
    for _ in range(2):
        joint = torch.randint(17, (batch,))
        start = torch.randint(frames, (batch, 1))
        lost = (time >= start) & (time < start + torch.randint(1, 20, (batch, 1)))
        lost = lost & (torch.rand(batch, 1) < 0.3)
        row = torch.arange(batch)
        track = seen[row, :, joint]
        held = track[row, (start[:, 0] - 1).clamp(min=0)]
        seen[row, :, joint] = torch.where(lost[..., None], held[:, None], track)
    jumped = torch.rand(batch, frames, 17, 1) < 0.0015
    return seen + jumped * spread * torch.randn(batch, frames, 17, 2) * 0.6
