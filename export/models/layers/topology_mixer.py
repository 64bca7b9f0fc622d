"""A body seen at three levels, each with a share of the channels: joints, limbs, the whole.

Cai et al., "HTNet: Human Topology Aware Network for 3D Human Pose Estimation", ICASSP 2023. In each
block, a graph convolution over neighbouring joints hands on to a constraint within each limb, and
that to attention among all. Tokens travel as one matrix, (batch · nodes, channels); parameter names
are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from hot_sdk.export.models.layers.graph_convolution import ModulatedGraphConvolution
from hot_sdk.export.models.layers.transformer import Attention, Axis, Grid, Mlp

_GRAPH_HIDDEN = 384
# Joints of Human3.6M, from the trunk outwards.
_LIMBS = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))


class JointConnection(nn.Module):
    """Graph convolution over neighbouring nodes (published as local joint-level connection)."""

    def __init__(self, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.norm_gcn1 = nn.LayerNorm(width)
        self.gcn1 = ModulatedGraphConvolution(width, _GRAPH_HIDDEN, adjacency)
        self.gcn2 = ModulatedGraphConvolution(_GRAPH_HIDDEN, width, adjacency)
        self.norm_gcn2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch · nodes, channels) to the same shape."""
        hidden = gelu(self.gcn1(self.norm_gcn1(tokens)))
        return tokens + cast(Tensor, self.norm_gcn2(self.gcn2(hidden)))


class LimbPooling(nn.Conv1d):
    """The joints of each limb to one token: a convolution that never overlaps, so one product."""

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
        """Map (limbs, joints of a limb, channels) to (limbs, channels)."""
        joints = tokens.reshape(-1, self.kernel_size[0] * self.in_channels)
        return linear(joints, self._matrix() if self._folded is None else self._folded, self.bias)


class PartConstraint(nn.Module):
    """Outer joints replaced by what their limb as a whole says (intra-part constraint).

    Once the limbs are taken whole, once without the joint next to the trunk. What is written over
    in the published code is gathered here: every joint of the result comes either from the joints
    or from the limbs, and which is known beforehand.
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
            pooled, sources = _gathers(limbs, joints)
            self.register_buffer(f"joints_{number}", pooled, persistent=False)
            self.register_buffer(f"sources_{number}", sources, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch · joints, channels) to the same shape."""
        width = tokens.shape[1]
        bodies = tokens.reshape(-1, self.joints, width)
        first = self.norm_conv1(bodies)
        limbs = gelu(self.conv1(first.index_select(1, self.joints_1)))
        limbs = limbs + self.mlp_down_1(self.norm_conv1_mlp(limbs))
        long = _spread(first, limbs, self.sources_1)
        second = self.norm_conv2(bodies)
        limbs = gelu(self.conv2(second.index_select(1, self.joints_2)))
        limbs = limbs + self.mlp_down_2(self.norm_conv2_mlp(limbs))
        short = _spread(second, limbs, self.sources_2)
        return (long + short + bodies).reshape(-1, width)


def _gathers(limbs: Sequence[tuple[int, ...]], joints: int) -> tuple[Tensor, Tensor]:
    """Joints to pool, limb by limb; and where each joint comes from, joints first, then limbs."""
    sources = list(range(joints))
    for number, limb in enumerate(limbs):
        for joint in limb[1:]:
            sources[joint] = joints + number
    return torch.tensor([joint for limb in limbs for joint in limb]), torch.tensor(sources)


def _spread(bodies: Tensor, limbs: Tensor, sources: Tensor) -> Tensor:
    """Bodies, (batch, joints, channels), some of whose joints come from the limbs."""
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
        """Map (batch · nodes, channels) to the same shape."""
        mixed = self.attn(self.norm_attn(tokens), Grid(1, nodes), Axis.JOINTS)
        return tokens + cast(Tensor, mixed)


class MixerBlock(nn.Module):
    """Each level on its share of the channels, then an MLP on all of them.

    Args:
        width: Channels of a token.
        heads: Attention heads.
        hidden: Hidden channels of the MLPs.
        adjacency: Of the nodes, (nodes, nodes).
        has_limbs: Whether the nodes are the joints of a body; without limbs there are two levels.
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
        """Map (batch · nodes, channels) to the same shape."""
        share = self.share
        levels = [self.lgc(tokens[:, :share])]
        if self.has_limbs:
            levels.append(self.ipc(tokens[:, share : 2 * share] + levels[-1]))
        levels.append(self.gbi(tokens[:, -share:] + levels[-1], self.nodes))
        mixed = torch.cat(levels, dim=1)
        return mixed + cast(Tensor, self.mlp(self.norm_mlp(mixed)))


class TopologyMixer(nn.Module):
    """Blocks one after the other, and a norm; the arguments are those of a block."""

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

    def fold_constants(self) -> None:
        """Precompute what no input changes, attention aside."""
        for module in self.modules():
            if isinstance(module, (ModulatedGraphConvolution, LimbPooling)):
                module.fold_constants()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch · nodes, channels) to the same shape."""
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.Temporal_norm(tokens))
