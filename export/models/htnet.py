"""HTNet: one frame at a time, along the topology of the body.

Cai et al., "HTNet: Human Topology Aware Network for 3D Human Pose Estimation", ICASSP 2023;
published with 3 blocks of 240 channels, 8 heads and MLPs of 1024. State-dict keys are the published
ones. The paper's figures "with refinement" come from a further network, the setting ``refine``: the
authors' program neither builds nor loads it, and no weights of it are published with HTNet, so that
its keys are those of its own file behind ``refine.``.

The sizes of an HTNet network, read off the shapes of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import Variant
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.export.models.layers.graph_convolution import bone_adjacency
from hot_sdk.export.models.layers.refinement import PoseRefinement
from hot_sdk.export.models.layers.topology_mixer import TopologyMixer
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules
from hot_sdk.skeletons import Skeleton


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes. Heads leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of HTNet is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("HTNet", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (channels,) = rules.dimensions("patch_embed.weight", (width, None))
    depth, mlp_hidden = mixer_sizes(rules, "Hiremixer", joints, width)
    rules.dimensions("fcn.weight", (3, width))
    refine = rules.has("refine.")
    if refine:
        rules.dimensions("refine.post_refine.0.weight", (None, 6 * joints))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "refine": int(refine),
    }
    return CheckpointShape(1, joints, config, Variant.PLAIN, None)


def mixer_sizes(rules: ShapeRules, name: str, nodes: int, width: int) -> tuple[int, int]:
    """Depth of a topology mixer and hidden channels of its MLPs.

    Raises:
        CheckpointError: A block is missing, or of another size than the others.
    """
    depth = rules.depth(rf"{name}\.blocks")
    (hidden,) = rules.dimensions(f"{name}.blocks.0.mlp.fc1.weight", (None, width))
    for block in range(depth):
        rules.dimensions(f"{name}.blocks.{block}.mlp.fc1.weight", (hidden, width))
        rules.dimensions(f"{name}.blocks.{block}.lgc.gcn1.adj2", (nodes, nodes))
    return depth, hidden


__all__ = ["HTNet", "build", "infer_shape"]


class HTNet(HourglassNetwork):
    """The network; frames are lifted apart from each other, so that there is nothing to prune.

    Args:
        skeleton: Joints and bones; limbs are those of Human3.6M.
        size: Size of the network.
    """

    def __init__(self, *, skeleton: Skeleton, size: NetworkSize) -> None:
        width = size.width
        super().__init__(None, frames=1, width=width, heads=size.heads)
        self.patch_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, len(skeleton.joints), width))
        self.Hiremixer = TopologyMixer(
            size.depth, width, size.heads, size.mlp_hidden, bone_adjacency(skeleton)
        )
        self.fcn = nn.Linear(width, 3)
        self.refines = size.refine > 0
        if self.refines:
            self.refine = PoseRefinement(len(skeleton.joints))

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        super().fold_constants()
        self.Hiremixer.fold_constants()

    def forward(self, keypoints: Tensor, index: Tensor | None = None) -> tuple[Tensor, None]:
        """Lift keypoints.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels); any number of frames, which
                know nothing of each other.
            index: No frames can be chosen: None.

        Returns:
            Poses in metres, (batch, frames, joints, 3), and None.
        """
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        tokens = cast(Tensor, self.patch_embed(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        poses = cast(Tensor, self.fcn(self.Hiremixer(tokens))).reshape(-1, joints, 3)
        if self.refines:
            poses = self.refine(poses, keypoints.reshape(-1, joints, channels)[..., :2])
        return poses.reshape(-1, frames, joints, 3), None


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> HTNet:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return HTNet(skeleton=family(spec.family).skeleton, size=spec.size)
