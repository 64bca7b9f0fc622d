"""MotionAGFormer: in each layer, attention and graph convolution side by side.

Mehraban et al., "MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer
Network", WACV 2024, published in the sizes XS, S, B and L, with 8 heads and 2 neighbours; with the
hourglass of Li et al., CVPR 2024, whose copy has 4 of each. State-dict keys are the published ones.

The norms of the graphs over time have numbers for each of their nodes. Where the hourglass is the
published one, they belong to the ranks of the kept frames and are trained with it. In all other
pruned networks they belong to the frames of the window, and a kept frame has its own: then a plain
network's weights serve, whatever frames are kept.

The sizes of a MotionAGFormer network, read off the shapes of its weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import RecoveryKind
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import (
    HourglassNetwork,
    HourglassSpec,
    chosen_frames,
    hourglass_of,
)
from hot_sdk.export.models.layers.graph_convolution import FrameGraph, JointGraph, NodeNorm
from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules
from hot_sdk.skeletons import Skeleton


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    The frames are those of the first layer's norm over time. Heads and neighbours leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MotionAGFormer is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MotionAGFormer", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (channels,) = rules.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = rules.dimensions("layers.0.att_spatial.mlp.fc1.weight", (None, width))
    (representation,) = rules.dimensions("rep_logit.fc.weight", (None, width))
    rules.dimensions("head.weight", (3, representation))
    depth = rules.depth("layers")
    (frames,) = rules.dimensions(_norm(0), (None,))
    found = rules.hourglass(frames, width, bias=False)
    nodes = frames
    for layer in range(depth):
        rules.dimensions(f"layers.{layer}.att_spatial.mlp.fc1.weight", (mlp_hidden, width))
        (count,) = rules.dimensions(_norm(layer), (None,))
        # Norms of kept frames' ranks: of the first stage as many as it embeds, then ever fewer.
        pruned = count == found.tokens if nodes == frames else count < nodes
        if not (pruned and found.tokens):
            rules.dimensions(_norm(layer), (nodes,))
        nodes = count
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    return CheckpointShape(frames, joints, config, found.variant, found.tokens, found.elastic)


def _norm(layer: int) -> str:
    return f"layers.{layer}.graph_temporal.mixer.batch_norm.weight"


__all__ = ["MotionAGFormer", "build", "infer_shape"]

_INITIAL_SCALE = 1e-5


class ScaledBlock(nn.Module):
    """A mixer and an MLP, each normalized before and scaled channel by channel after."""

    def __init__(self, mixer: nn.Module, size: NetworkSize) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(size.width)
        self.mlp = Mlp(size.width, size.mlp_hidden)
        self.layer_scale_1 = nn.Parameter(torch.full((size.width,), _INITIAL_SCALE))
        self.layer_scale_2 = nn.Parameter(torch.full((size.width,), _INITIAL_SCALE))

    def forward(self, tokens: Tensor, *where: object) -> Tensor:
        """Map (batch · frames · joints, channels) to the same shape.

        Args:
            tokens: The rows.
            *where: What the mixer takes after them.
        """
        tokens = tokens + self.layer_scale_1 * self.mixer(self.norm1(tokens), *where)
        return tokens + self.layer_scale_2 * cast(Tensor, self.mlp(self.norm2(tokens)))

    def received(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention that each frame receives in this block, (batch, frames), from its input."""
        return cast(Attention, self.mixer).received(self.norm1(tokens), grid)


class DualStreamLayer(nn.Module):
    """Attention over joints, then frames; beside it graphs over both; and a learnt blend.

    Args:
        size: Of the network.
        nodes: Frames that the norm of the graph over time has numbers for.
        skeleton: Whose bones are the graph over joints.
    """

    def __init__(self, size: NetworkSize, nodes: int, skeleton: Skeleton) -> None:
        super().__init__()
        width = size.width
        self.att_spatial = ScaledBlock(Attention(width, size.heads, bias=False), size)
        self.att_temporal = ScaledBlock(Attention(width, size.heads, bias=False), size)
        self.graph_spatial = ScaledBlock(JointGraph(width, skeleton), size)
        self.graph_temporal = ScaledBlock(FrameGraph(width, nodes, size.neighbours), size)
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, tokens: Tensor, grid: Grid, times: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both streams.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            times: Of :class:`FrameGraph`.

        Returns:
            The layer's output and the input of its attention over frames, both in the shape of
            ``tokens``.
        """
        by_joints = self.att_spatial(tokens, grid, Axis.JOINTS)
        attended = self.att_temporal(by_joints, grid, Axis.FRAMES)
        gathered = self.graph_temporal(self.graph_spatial(tokens, grid), grid, times)
        blend = self.fusion(torch.cat([attended, gathered], dim=1)).softmax(dim=1)
        return attended * blend[:, :1] + gathered * blend[:, 1:], by_joints


class MotionAGFormer(HourglassNetwork):
    """The network.

    Args:
        frames: Frames of a window.
        skeleton: Joints of input and output.
        size: Size of the network; its depth counts layers of both streams.
        hourglass: Where and how frames are pruned; None is the plain network.
    """

    def __init__(
        self,
        *,
        frames: int,
        skeleton: Skeleton,
        size: NetworkSize,
        hourglass: HourglassSpec | None = None,
    ) -> None:
        width = size.width
        super().__init__(hourglass, frames=frames, width=width, heads=size.heads, bias=False)
        self.norms_by_rank = _norms_by_rank(hourglass)
        self.joints_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, len(skeleton.joints), width))
        nodes = [frames] * size.depth
        if hourglass is not None and self.norms_by_rank:
            for stage in hourglass.stages:
                nodes[stage.prune_at :] = [stage.tokens] * (size.depth - stage.prune_at)
        self.layers = nn.ModuleList(DualStreamLayer(size, count, skeleton) for count in nodes)
        self.norm = nn.LayerNorm(width)
        fully_connected = nn.Linear(width, size.representation)
        self.rep_logit = nn.Sequential(OrderedDict(fc=fully_connected, act=nn.Tanh()))
        self.head = nn.Linear(size.representation, 3)

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        super().fold_constants()
        for module in self.modules():
            if isinstance(module, (JointGraph, NodeNorm)):
                module.fold_constants()

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            index: Frames to keep, as returned, instead of the selectors' choice.

        Returns:
            Poses in normalized pixels, (batch, frames, joints, 3), or (batch, tokens, joints, 3)
            where nothing is recovered; and the kept frames of all stages, (batch, sum of their
            tokens), or None where nothing is pruned.
        """
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens = cast(Tensor, self.joints_embed(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        kept: tuple[Tensor, ...] = ()
        times = received = None
        for number, layer in enumerate(self.layers):
            if self.prunes_before(number):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, received)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
                times = None if self.norms_by_rank else kept[-1]
            tokens, by_joints = layer(tokens, grid, times)
            block = cast(DualStreamLayer, layer).att_temporal
            received = partial(block.received, by_joints, grid)
        tokens = cast(Tensor, self.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        return self.head(self.rep_logit(tokens)).reshape(-1, *grid, 3), chosen_frames(kept)


def _norms_by_rank(hourglass: HourglassSpec | None) -> bool:
    """Whether the norms over time are trained for the ranks of the kept frames."""
    return (
        hourglass is not None and hourglass.recovery is RecoveryKind.TRA and not hourglass.elastic
    )


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> MotionAGFormer:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return MotionAGFormer(
        frames=spec.frames,
        skeleton=family(spec.family).skeleton,
        size=spec.size,
        hourglass=hourglass_of(spec, mirrored_pairs=mirrored_pairs),
    )
