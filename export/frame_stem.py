"""A stem that lifts each frame by itself; the network that follows corrects it.

It learns in minutes what a transformer on raw keypoints needs hours for, because it sees the body
apart from where and how large it stands in the image.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_LAYERS = 3
_PER_JOINT = 32
_SMALLEST_SPREAD = 1e-6
"""Squared, in units of normalised keypoints; a frame with all joints in one point is no body."""


class FrameStem(nn.Module):
    """Residual layers over a frame's keypoints, giving each joint a token.

    Args:
        joints: Joints of the skeleton.
        channels: Of a keypoint: 2, or 3 with its confidence.
        width: Channels of a token.
        hidden: Channels of the residual layers.
    """

    def __init__(self, joints: int, channels: int, *, width: int, hidden: int) -> None:
        super().__init__()
        self.joints = joints
        self.enter = nn.Linear(joints * channels + 3, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(_LAYERS))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(_LAYERS))
        self.leave_norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, joints * _PER_JOINT)
        self.to_tokens = nn.Linear(_PER_JOINT, width)
        self.guess = nn.Linear(_PER_JOINT, 3)

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Lift each frame.

        Args:
            keypoints: Normalised, (batch, frames, joints, channels).

        Returns:
            Tokens, (batch · frames · joints, width), and a first guess of the poses in metres,
            (batch, frames, joints, 3).
        """
        features = self._joint_features(keypoints)
        guess = cast(Tensor, self.guess(features))
        tokens = cast(Tensor, self.to_tokens(features))
        return tokens, guess.reshape(-1, keypoints.shape[1], self.joints, 3)

    def _joint_features(self, keypoints: Tensor) -> Tensor:
        points = keypoints[..., :2].reshape(-1, self.joints, 2)
        centre = points.mean(dim=1)
        offsets = points - centre.unsqueeze(1)
        square = offsets.square().sum(dim=2).mean(dim=1, keepdim=True)
        spread = square.clamp(min=_SMALLEST_SPREAD).sqrt()
        seen = (offsets / spread.unsqueeze(2)).reshape(-1, 2 * self.joints)
        features = [seen, centre, spread]
        if keypoints.shape[3] > 2:
            features.append(keypoints[..., 2].reshape(-1, self.joints))
        state = cast(Tensor, self.enter(torch.cat(features, dim=1)))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            state = state + layer(nn.functional.gelu(norm(state)))
        left = cast(Tensor, self.leave(nn.functional.gelu(self.leave_norm(state))))
        return left.reshape(-1, _PER_JOINT)
