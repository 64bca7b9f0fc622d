"""A last network that draws a pose towards the keypoints it was lifted from.

From Cai et al., "Exploiting Spatial-Temporal Relationships for 3D Pose Estimation via Graph
Convolutional Networks", ICCV 2019; HTNet (Cai et al., ICASSP 2023) reports figures with it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_HIDDEN = 1024
_LEAST = 1e-8


class PoseRefinement(nn.Module):
    """Chooses, joint by joint, between two poses in the image plane: the lifter's, the keypoints'.

    Where it was published, the keypoints are brought to metres by the camera's calibration and the
    true distance of the pelvis, in evaluation too. A lifter knows neither: here they are scaled to
    agree with the lifter's pose as well as they can. Parameter names are the published ones.

    Args:
        joints: Joints of the skeleton, the first its root.
    """

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.post_refine = nn.Sequential(
            nn.Linear(6 * joints, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_HIDDEN, 2 * joints),
            nn.Sigmoid(),
        )

    def forward(self, poses: Tensor, points: Tensor) -> Tensor:
        """Refine.

        Args:
            poses: (batch, joints, 3), metres, relative to the root.
            points: (batch, joints, 2), normalized keypoints.

        Returns:
            The shape of ``poses``; depths are those of ``poses``.
        """
        joints = poses.shape[1]
        lifted = poses[..., :2]
        offsets = points - points[:, :1]
        agreement = (lifted * offsets).sum(dim=(1, 2), keepdim=True)
        seen = offsets * (agreement / offsets.square().sum(dim=(1, 2), keepdim=True).clamp(_LEAST))
        depth = poses[..., 2:]
        depth_of_seen = torch.cat([depth[:, :1] * 0.0, depth[:, 1:]], dim=1)
        both = torch.cat([poses, seen, depth_of_seen], dim=2).reshape(-1, 6 * joints)
        share = cast(Tensor, self.post_refine(both)).reshape(-1, joints, 2)
        return torch.cat([share * lifted + (1.0 - share) * seen, depth], dim=2)
