"""MotionAGFormer: in each layer, attention and graph convolution side by side.

Mehraban et al., "MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer
Network", WACV 2024, published in the sizes XS, S, B and L, with 8 heads and 2 neighbors; with the
hourglass of Li et al., CVPR 2024, whose copy has 4 of each. State-dict keys are the published ones.

Each node of a graph adds what it gathers from its neighbors to what it makes of itself; the sum is
normalized node by node. The norms of the graphs over time have numbers for each of their nodes. If
the hourglass is the published one, they belong to the ranks of the kept frames and are trained with
it. In all other pruned networks they belong to the frames of the window, and each kept frame uses
its own: then a plain network's weights serve, whichever frames are kept.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import RecoveryKind
from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import HourglassNetwork, chosen_frames
from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes
from hot_sdk.skeletons import Skeleton

_INITIAL_SCALE = 1e-5
# Bones that carry only outwards in the published graph: the pelvis does not gather from the left
# hip, nor the thorax from the shoulders, while those gather from them.
_OUTWARDS_ONLY = ("left_hip", "left_shoulder", "right_shoulder")


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`.

    The frames are those of the first layer's norm over time. The number of neighbors cannot be
    read off.
    """
    weights = WeightShapes("MotionAGFormer", shapes)
    joints, width = weights.dimensions("pos_embed", (1, None, None))
    (channels,) = weights.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = weights.dimensions("layers.0.att_spatial.mlp.fc1.weight", (None, width))
    (representation,) = weights.dimensions("rep_logit.fc.weight", (None, width))
    weights.dimensions("head.weight", (3, representation))
    config = {
        "channels": channels,
        "width": width,
        "depth": weights.depth("layers"),
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    norm = "layers.{}.graph_temporal.mixer.batch_norm.weight"
    (frames,) = weights.dimensions(norm.format(0), (None,))
    found = weights.with_hourglass(frames, joints, config, bias=False)
    nodes = frames
    for layer in range(config["depth"]):
        weights.dimensions(f"layers.{layer}.att_spatial.mlp.fc1.weight", (mlp_hidden, width))
        (count,) = weights.dimensions(norm.format(layer), (None,))
        # Norms of the kept frames' ranks: as many as the first stage embeds, then fewer and fewer.
        pruned = count == found.tokens if nodes == frames else count < nodes
        if not (pruned and found.tokens):
            weights.dimensions(norm.format(layer), (nodes,))
        nodes = count
    return found


class MotionAGFormer(HourglassNetwork):
    """The network; its depth counts layers of both streams."""

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs, bias=False)
        size, width, skeleton = spec.size, spec.size.width, spec.graph_skeleton
        # The norms over time are trained for the ranks of the kept frames.
        self.norms_by_rank = spec.recovery is RecoveryKind.TRA and not spec.elastic
        self.joints_embed = nn.Linear(size.channels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.joints, width))
        nodes = [spec.frames] * size.depth
        for stage in spec.stages if self.norms_by_rank else ():
            nodes[stage.prune_at :] = [stage.tokens] * (size.depth - stage.prune_at)
        self.layers = nn.ModuleList(DualStreamLayer(size, count, skeleton) for count in nodes)
        self.norm = nn.LayerNorm(width)
        fully_connected = nn.Linear(width, size.representation)
        self.rep_logit = nn.Sequential(OrderedDict(fc=fully_connected, act=nn.Tanh()))
        self.head = nn.Linear(size.representation, 3)

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints to poses in normalized pixels; see :meth:`HourglassNetwork.forward`."""
        frames, joints, channels = keypoints.shape[1:]
        width = self.pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens = cast(Tensor, self.joints_embed(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.pos_embed).reshape(-1, width)
        kept: tuple[Tensor, ...] = ()
        times = attention = None
        for number, layer in enumerate(self.layers):
            if self.prunes_at(number):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, attention)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
                times = None if self.norms_by_rank else kept[-1]
            tokens, by_joints = layer(tokens, grid, times)
            block = cast(DualStreamLayer, layer).att_temporal
            attention = partial(block.received_attention, by_joints, grid)
        tokens = cast(Tensor, self.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        return self.head(self.rep_logit(tokens)).reshape(-1, *grid, 3), chosen_frames(kept)


build = MotionAGFormer


class DualStreamLayer(nn.Module):
    """Attention over joints, then frames; next to it graphs over both; and a learned blend.

    Args:
        size: Size of the network.
        nodes: Frames that the norm of the graph over time has numbers for.
        skeleton: Skeleton whose bones are the graph over joints.
    """

    def __init__(self, size: NetworkSize, nodes: int, skeleton: Skeleton) -> None:
        super().__init__()
        width = size.width
        self.att_spatial = ScaledBlock(Attention(width, size.heads, bias=False), size)
        self.att_temporal = ScaledBlock(Attention(width, size.heads, bias=False), size)
        self.graph_spatial = ScaledBlock(JointGraph(width, skeleton), size)
        self.graph_temporal = ScaledBlock(FrameGraph(width, nodes, size.neighbors), size)
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, tokens: Tensor, grid: Grid, times: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute both streams and blend them.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            times: See :class:`FrameGraph`.

        Returns:
            The layer's output and the input of its attention over frames, both in the shape of
            ``tokens``.
        """
        by_joints = self.att_spatial(tokens, grid, Axis.JOINTS)
        attended = self.att_temporal(by_joints, grid, Axis.FRAMES)
        gathered = self.graph_temporal(self.graph_spatial(tokens, grid), grid, times)
        blend = self.fusion(torch.cat([attended, gathered], dim=1)).softmax(dim=1)
        return attended * blend[:, :1] + gathered * blend[:, 1:], by_joints


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

    def forward(self, tokens: Tensor, *arguments: object) -> Tensor:
        """Add the mixer, then the MLP, to (batch · frames · joints, channels).

        Args:
            tokens: The rows.
            *arguments: The mixer's other arguments.
        """
        tokens = tokens + self.layer_scale_1 * self.mixer(self.norm1(tokens), *arguments)
        return tokens + self.layer_scale_2 * cast(Tensor, self.mlp(self.norm2(tokens)))

    def received_attention(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return the attention that frames receive, (batch, frames), from the block's input."""
        return cast(Attention, self.mixer).received_attention(self.norm1(tokens), grid)


class NodeNorm(nn.BatchNorm1d):
    """Batch norm of each node of a graph by itself: in evaluation, a scale and a shift for each."""

    _folded: tuple[Tensor, Tensor] | None = None

    def fold_constants(self) -> None:
        """Keep scale and shift as constants."""
        with torch.no_grad():
            self._folded = self._affine()

    def forward(self, values: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Normalize each node.

        Args:
            values: (..., nodes, channels); with ``nodes`` given, (batch, joints, nodes, channels).
            nodes: Which of all nodes ``values`` has, (batch or 1, nodes); None is all of them.

        Returns:
            The shape of ``values``.
        """
        if self.training and nodes is None:
            return super().forward(values.reshape(-1, *values.shape[-2:])).reshape(values.shape)
        scale, shift = self._affine() if self._folded is None else self._folded
        if nodes is not None:
            scale, shift = _select_nodes(scale, nodes), _select_nodes(shift, nodes)
        return values * scale + shift

    def _affine(self) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale.unsqueeze(1), (self.bias - self.running_mean * scale).unsqueeze(1)


def _select_nodes(values: Tensor, nodes: Tensor) -> Tensor:
    """Select from (all nodes, 1) to (batch or 1, 1, nodes, 1)."""
    return values.index_select(0, nodes.reshape(-1)).reshape(-1, 1, nodes.shape[1], 1)


class _GraphConvolution(nn.Module):
    """The weights that both graphs have."""

    def __init__(self, width: int, nodes: int) -> None:
        super().__init__()
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        self.batch_norm = NodeNorm(nodes)
        for layer in (self.U, self.V):
            nn.init.normal_(layer.weight, std=math.sqrt(2.0 / width))


class JointGraph(_GraphConvolution):
    """Gather along the bones of the skeleton."""

    bones: Tensor

    def __init__(self, width: int, skeleton: Skeleton) -> None:
        super().__init__(width, len(skeleton.joints))
        self.register_buffer("bones", bone_graph(skeleton), persistent=False)
        self._folded: Tensor | None = None

    def fold_constants(self) -> None:
        """Keep the weights of the bones as a constant."""
        self._folded = self._adjacency()

    def _adjacency(self) -> Tensor:
        """Divide each bone by the root of both joints' degrees."""
        degree = self.bones.sum(dim=1).rsqrt()
        return degree.unsqueeze(1) * self.bones * degree

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Convolve (batch · frames · joints, channels) over the joints of each frame."""
        width = tokens.shape[1]
        values = self.V(tokens).reshape(-1, grid.joints, width)
        own = self.U(tokens).reshape(-1, grid.joints, width)
        adjacency = self._adjacency() if self._folded is None else self._folded
        normed = self.batch_norm(adjacency @ values + own)
        return torch.relu(tokens + normed.reshape(-1, width))


class FrameGraph(_GraphConvolution):
    """Gather from the frames in which a joint's token is most similar.

    Attributes:
        neighbors: Number of frames that each frame gathers from.
        forced: Used instead of the result of :func:`similar_frames`, unless it is None.
    """

    def __init__(self, width: int, frames: int, neighbors: int) -> None:
        super().__init__(width, frames)
        self.neighbors = neighbors
        self.forced: Tensor | None = None

    def forward(self, tokens: Tensor, grid: Grid, times: Tensor | None = None) -> Tensor:
        """Convolve over the similar frames of each joint.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            times: Frames of the window that ``tokens`` has, (batch or 1, frames), if the norm has
                numbers for all of the window's; None if it has as many as ``tokens``.

        Returns:
            The shape of ``tokens``.
        """
        width = tokens.shape[1]
        by_joint = _by_joint(tokens, grid)
        chosen = similar_frames(by_joint, self.neighbors) if self.forced is None else self.forced
        similar = chosen.to(tokens.dtype)
        degree = similar.sum(dim=3, keepdim=True).rsqrt()
        gathered = similar @ (_by_joint(self.V(tokens), grid) * degree) * degree
        own = _by_joint(self.U(tokens), grid)
        normed = self.batch_norm(gathered + own, times)
        return torch.relu(by_joint + normed).transpose(1, 2).reshape(-1, width)


def _by_joint(tokens: Tensor, grid: Grid) -> Tensor:
    """Reorder (batch · frames · joints, channels) to (batch, joints, frames, channels)."""
    return tokens.reshape(-1, *grid, tokens.shape[1]).transpose(1, 2)


def similar_frames(features: Tensor, neighbors: int) -> Tensor:
    """Return which frames each gathers from: those of the highest dot products, maybe itself.

    If several are as similar as the last of the neighbors, all of them count, as published; so no
    engine's order among equals matters. Dot products with the mean frame are left out, since they
    move all of a frame's alike: what remains is smaller, and so are its rounding errors.

    Args:
        features: (batch, joints, frames, channels).
        neighbors: Number of neighbors; all frames if there are fewer.

    Returns:
        (batch, joints, frames, frames) bool; the third axis gathers, the last is gathered from.
    """
    if features.dtype != torch.float64:
        features = features.to(torch.float32)
    centered = features - features.mean(dim=2, keepdim=True)
    similarity = features @ centered.transpose(2, 3)
    count = min(neighbors, features.shape[2])
    highest, _ = torch.topk(similarity, count, dim=3, sorted=True)
    return similarity >= highest[..., count - 1 :]


def bone_graph(skeleton: Skeleton) -> Tensor:
    """Return from which joints (columns) each joint (row) gathers, (joints, joints), 1 or 0."""
    joints = len(skeleton.joints)
    bones = torch.zeros(joints, joints)
    for child, parent in enumerate(skeleton.parents):
        if parent >= 0:
            bones[child, parent] = 1.0
            bones[parent, child] = float(skeleton.joints[child] not in _OUTWARDS_ONLY)
    return bones
