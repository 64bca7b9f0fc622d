"""A body seen at three levels, each with a share of the channels: joints, limbs, the whole.

Cai et al., "HTNet: Human Topology Aware Network for 3D Human Pose Estimation", ICASSP 2023. In each
block, a graph convolution over neighboring joints hands on to a constraint within each limb, and
that to attention among all. The graph convolution is modulated, each node weights each channel by
itself: Zou and Tang, "Modulated Graph Convolutional Network for 3D Human Pose Estimation", ICCV
2021. Tokens travel as one matrix, (batch · nodes, channels); parameter names are the published
ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp
from hot_sdk.export.models.weight_shapes import WeightShapes
from hot_sdk.skeletons import Skeleton

_GRAPH_HIDDEN = 384
_INITIAL_CHANGE = 1e-6
_GAIN = 1.414
# Joints of Human3.6M, from the trunk outwards.
_LIMBS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))


class TopologyMixer(nn.Module):
    """A sequence of blocks, and a norm; the other arguments are those of a block."""

    def __init__(
        self,
        depth: int,
        width: int,
        heads: int,
        hidden: int,
        adjacency: Tensor,
        *,
        has_limbs: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            MixerBlock(width, heads, hidden, adjacency, has_limbs=has_limbs) for _ in range(depth)
        )
        self.Temporal_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pass (batch · nodes, channels) through all blocks and the norm."""
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.Temporal_norm(tokens))


def mixer_sizes(weights: WeightShapes, name: str, nodes: int, width: int) -> tuple[int, int]:
    """Return the depth of a topology mixer and the hidden channels of its MLPs.

    Raises:
        CheckpointError: A block is missing, or its size differs from that of the others.
    """
    depth = weights.depth(rf"{name}\.blocks")
    (hidden,) = weights.dimensions(f"{name}.blocks.0.mlp.fc1.weight", (None, width))
    for block in range(depth):
        weights.dimensions(f"{name}.blocks.{block}.mlp.fc1.weight", (hidden, width))
        weights.dimensions(f"{name}.blocks.{block}.lgc.gcn1.adj2", (nodes, nodes))
    return depth, hidden


class MixerBlock(nn.Module):
    """Each level on its share of the channels, then an MLP on all of them.

    Args:
        width: Channels of a token.
        heads: Attention heads.
        hidden: Hidden channels of the MLPs.
        adjacency: Adjacency of the nodes, (nodes, nodes).
        has_limbs: The nodes are the joints of a body; without limbs there are two levels.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, adjacency: Tensor, *, has_limbs: bool
    ) -> None:
        super().__init__()
        self.has_limbs = has_limbs
        self.nodes = len(adjacency)
        self.share = width // (3 if has_limbs else 2)
        self.lgc = JointConnection(self.share, adjacency)
        if has_limbs:
            self.ipc = PartConstraint(self.share, hidden, self.nodes)
        self.gbi = BodyInteraction(self.share, heads)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix (batch · nodes, channels) level by level, then add the MLP."""
        share = self.share
        levels = [self.lgc(tokens[:, :share])]
        if self.has_limbs:
            levels.append(self.ipc(tokens[:, share : 2 * share] + levels[-1]))
        levels.append(self.gbi(tokens[:, -share:] + levels[-1], self.nodes))
        mixed = torch.cat(levels, dim=1)
        return mixed + cast(Tensor, self.mlp(self.norm_mlp(mixed)))


class JointConnection(nn.Module):
    """Graph convolution over neighboring nodes (published as local joint-level connection)."""

    def __init__(self, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.norm_gcn1 = nn.LayerNorm(width)
        self.gcn1 = ModulatedGraphConvolution(width, _GRAPH_HIDDEN, adjacency)
        self.gcn2 = ModulatedGraphConvolution(_GRAPH_HIDDEN, width, adjacency)
        self.norm_gcn2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Add two graph convolutions to (batch · nodes, channels)."""
        hidden = gelu(self.gcn1(self.norm_gcn1(tokens)))
        return tokens + cast(Tensor, self.norm_gcn2(self.gcn2(hidden)))


class ModulatedGraphConvolution(nn.Module):
    """A node's own channels by one matrix, those of its neighbors by another.

    Args:
        inputs: Channels of a node.
        outputs: Channels of the result.
        adjacency: (nodes, nodes); what is learned is added to it, and the sum made symmetric.
    """

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        nodes = len(adjacency)
        self.W = nn.Parameter(torch.empty(2, inputs, outputs))
        self.M = nn.Parameter(torch.empty(nodes, outputs))
        self.adj2 = nn.Parameter(torch.full((nodes, nodes), _INITIAL_CHANGE))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("adjacency", adjacency, persistent=False)
        self._folded: tuple[Tensor, Tensor, Tensor] | None = None
        nn.init.xavier_uniform_(self.W, gain=_GAIN)
        nn.init.xavier_uniform_(self.M, gain=_GAIN)
        nn.init.uniform_(self.bias, -1.0 / math.sqrt(outputs), 1.0 / math.sqrt(outputs))

    def fold_constants(self) -> None:
        """Keep what depends only on the two adjacencies and the modulation as constants."""
        with torch.no_grad():
            self._folded = self._constants()

    def _constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return both matrices side by side, and the weights of a node itself and of the others."""
        joined = self.adjacency + self.adj2
        joined = (joined + joined.T) / 2
        own = torch.diagonal(joined)
        return (
            torch.cat([self.W[0], self.W[1]], dim=1),
            own.unsqueeze(1) * self.M,
            (joined - torch.diag(own)),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Convolve (batch · nodes, inputs) to (batch · nodes, outputs)."""
        matrix, own, others = self._constants() if self._folded is None else self._folded
        nodes, outputs = self.M.shape
        values = (tokens @ matrix).reshape(-1, nodes, 2 * outputs)
        of_itself, of_others = values[..., :outputs], values[..., outputs:]
        gathered = own * of_itself + others @ (self.M * of_others)
        return gathered.reshape(-1, outputs) + self.bias


def bone_adjacency(skeleton: Skeleton) -> Tensor:
    """Return which joints the bones of a skeleton connect, (joints, joints).

    Each row is divided by its sum, and the diagonal set to 1 after that, as published. It is in no
    checkpoint, so that the weights are valid only with this very one: that of the published code,
    which rounds it to float32.
    """
    joints = len(skeleton.joints)
    joined = torch.zeros(joints, joints)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            joined[joint, parent] = joined[parent, joint] = 1.0
    return joined / joined.sum(dim=1, keepdim=True) + torch.eye(joints)


def chain_adjacency(nodes: int) -> Tensor:
    """Connect each node to itself and to its neighbors, (nodes, nodes), not normalized."""
    place = torch.arange(nodes)
    return ((place.unsqueeze(0) - place.unsqueeze(1)).abs() <= 1).to(torch.float32)


class PartConstraint(nn.Module):
    """Replace outer joints by what their limb as a whole says (intra-part constraint).

    Each limb counts once whole, once without the joint next to the trunk. What the published code
    overwrites is gathered here: every joint of the result comes either from the joints or from the
    limbs, and which is known beforehand.
    """

    joints_1: Tensor
    joints_2: Tensor
    sources_1: Tensor
    sources_2: Tensor

    def __init__(self, width: int, hidden: int, joints: int) -> None:
        super().__init__()
        self.joints = joints
        self.norm_conv1 = nn.LayerNorm(width)
        self.conv1 = LimbPooling(width, 3)
        self.norm_conv1_mlp = nn.LayerNorm(width)
        self.mlp_down_1 = Mlp(width, hidden)
        self.norm_conv2 = nn.LayerNorm(width)
        self.conv2 = LimbPooling(width, 2)
        self.norm_conv2_mlp = nn.LayerNorm(width)
        self.mlp_down_2 = Mlp(width, hidden)
        for number, limbs in enumerate((_LIMBS, [limb[1:] for limb in _LIMBS]), start=1):
            pooled, sources = _gather_indices(limbs, joints)
            self.register_buffer(f"joints_{number}", pooled, persistent=False)
            self.register_buffer(f"sources_{number}", sources, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Add both constraints to (batch · joints, channels)."""
        width = tokens.shape[1]
        bodies = tokens.reshape(-1, self.joints, width)
        first = self.norm_conv1(bodies)
        limbs = gelu(self.conv1(first.index_select(1, self.joints_1)))
        limbs = limbs + self.mlp_down_1(self.norm_conv1_mlp(limbs))
        long = _replace_joints(first, limbs, self.sources_1)
        second = self.norm_conv2(bodies)
        limbs = gelu(self.conv2(second.index_select(1, self.joints_2)))
        limbs = limbs + self.mlp_down_2(self.norm_conv2_mlp(limbs))
        short = _replace_joints(second, limbs, self.sources_2)
        return (long + short + bodies).reshape(-1, width)


class LimbPooling(nn.Conv1d):
    """Pool the joints of each limb to one token: a convolution without overlap, so one MatMul."""

    _folded: Tensor | None = None

    def __init__(self, width: int, joints: int) -> None:
        super().__init__(width, width, kernel_size=joints, stride=joints)

    def fold_constants(self) -> None:
        """Keep the matrix as a constant."""
        with torch.no_grad():
            self._folded = self._matrix().contiguous()

    def _matrix(self) -> Tensor:
        return self.weight.transpose(1, 2).reshape(self.out_channels, -1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool (limbs, joints of a limb, channels) to (limbs, channels)."""
        joints = tokens.reshape(-1, self.kernel_size[0] * self.in_channels)
        return linear(joints, self._matrix() if self._folded is None else self._folded, self.bias)


def _gather_indices(limbs: Sequence[tuple[int, ...]], joints: int) -> tuple[Tensor, Tensor]:
    """Return the joints to pool, limb by limb, and each joint's source: joints, then limbs."""
    sources = list(range(joints))
    for number, limb in enumerate(limbs):
        for joint in limb[1:]:
            sources[joint] = joints + number
    return torch.tensor([joint for limb in limbs for joint in limb]), torch.tensor(sources)


def _replace_joints(bodies: Tensor, limbs: Tensor, sources: Tensor) -> Tensor:
    """Take some joints of bodies, (batch, joints, channels), from their limbs."""
    width = bodies.shape[2]
    both = torch.cat([bodies, limbs.reshape(-1, len(_LIMBS), width)], dim=1)
    return both.index_select(1, sources)


class BodyInteraction(nn.Module):
    """Attention among all nodes (published as global body-level interaction)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attn = nn.LayerNorm(width)
        self.attn = Attention(width, heads)

    def forward(self, tokens: Tensor, nodes: int) -> Tensor:
        """Add attention among the nodes of each body to (batch · nodes, channels)."""
        mixed = self.attn(self.norm_attn(tokens), Grid(1, nodes), Axis.JOINTS)
        return tokens + cast(Tensor, mixed)
