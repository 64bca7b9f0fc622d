"""HTNet: one frame at a time, along the topology of the body.

Cai et al., "HTNet: Human Topology Aware Network for 3D Human Pose Estimation", ICASSP 2023;
published with 3 blocks of 240 channels, 8 heads and MLPs of 1024. State-dict keys are the published
ones. The paper's figures "with refinement" come from a further network, the setting ``refine``: the
authors' program neither builds nor loads it, and no weights of it are published with HTNet, so that
its keys are those of its own file behind ``refine.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.export.models.layers.topology_mixer import TopologyMixer, bone_adjacency, mixer_sizes
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes

_REFINEMENT_HIDDEN = 1024
_SMALLEST_SQUARE = 1e-8


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`."""
    weights = WeightShapes("HTNet", shapes)
    joints, width = weights.dimensions("pos_embed", (1, None, None))
    (channels,) = weights.dimensions("patch_embed.weight", (width, None))
    depth, mlp_hidden = mixer_sizes(weights, "Hiremixer", joints, width)
    weights.dimensions("fcn.weight", (3, width))
    refine = weights.has("refine.")
    if refine:
        weights.dimensions("refine.post_refine.0.weight", (None, 6 * joints))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "refine": int(refine),
    }
    return CheckpointShape(1, joints, config)


class HTNet(HourglassNetwork):
    """The network; it lifts each frame by itself, so that there is nothing to prune.

    The limbs are those of Human3.6M.
    """

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs)
        size, width = spec.size, spec.size.width
        self.patch_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.joints, width))
        self.Hiremixer = TopologyMixer(
            size.depth, width, size.heads, size.mlp_hidden, bone_adjacency(spec.graph_skeleton)
        )
        self.fcn = nn.Linear(width, 3)
        self.refines = size.refine > 0
        if self.refines:
            self.refine = PoseRefinement(spec.joints)

    def forward(self, keypoints: Tensor, index: Tensor | None = None) -> tuple[Tensor, None]:
        """Lift keypoints of any number of frames to poses in meters, each frame by itself.

        See :meth:`HourglassNetwork.forward`; ``index`` has to be None.
        """
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        tokens = cast(Tensor, self.patch_embed(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        poses = cast(Tensor, self.fcn(self.Hiremixer(tokens))).reshape(-1, joints, 3)
        if self.refines:
            poses = self.refine(poses, keypoints.reshape(-1, joints, channels)[..., :2])
        return poses.reshape(-1, frames, joints, 3), None


build = HTNet


class PoseRefinement(nn.Module):
    """Blend, joint by joint, two poses in the image plane: the lifter's and the keypoints'.

    From Cai et al., "Exploiting Spatial-Temporal Relationships for 3D Pose Estimation via Graph
    Convolutional Networks", ICCV 2019. There the keypoints are brought to meters by the camera's
    calibration and the true distance of the pelvis, in evaluation too. A lifter knows neither: here
    they are scaled to agree with the lifter's pose as well as they can. Parameter names are the
    published ones.

    Args:
        joints: Joints of the skeleton, the first its root.
    """

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.post_refine = nn.Sequential(
            nn.Linear(6 * joints, _REFINEMENT_HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_REFINEMENT_HIDDEN, 2 * joints),
            nn.Sigmoid(),
        )

    def forward(self, poses: Tensor, points: Tensor) -> Tensor:
        """Draw poses towards the keypoints that they were lifted from.

        Args:
            poses: (batch, joints, 3), meters, relative to the root.
            points: (batch, joints, 2), normalized keypoints.

        Returns:
            The shape of ``poses``; depths are those of ``poses``.
        """
        joints = poses.shape[1]
        lifted = poses[..., :2]
        offsets = points - points[:, :1]
        agreement = (lifted * offsets).sum(dim=(1, 2), keepdim=True)
        square = offsets.square().sum(dim=(1, 2), keepdim=True).clamp(_SMALLEST_SQUARE)
        seen = offsets * (agreement / square)
        depth = poses[..., 2:]
        depth_of_seen = torch.cat([depth[:, :1] * 0.0, depth[:, 1:]], dim=1)
        both = torch.cat([poses, seen, depth_of_seen], dim=2).reshape(-1, 6 * joints)
        share = cast(Tensor, self.post_refine(both)).reshape(-1, joints, 2)
        return torch.cat([share * lifted + (1.0 - share) * seen, depth], dim=2)
