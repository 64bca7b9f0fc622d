"""Graph convolutions over the joints of a frame and over the frames of a joint.

Mehraban et al., "MotionAGFormer: Enhancing 3D Human Pose Estimation with a Transformer-GCNFormer
Network", WACV 2024. Each node adds what it gathers from its neighbours to what it makes of itself;
the sum is normalized node by node. Parameter names are the published ones.

Modulated graph convolution: each node has its own say in how much it takes of each channel.

Zou and Tang, "Modulated Graph Convolutional Network for 3D Human Pose Estimation", ICCV 2021; the
graph convolution of HTNet and NanoHTNet. Parameter names are the published ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import init

from hot_sdk.export.models.layers.transformer import Grid
from hot_sdk.skeletons import Skeleton

# Bones that carry only outwards in the published graph: the pelvis does not gather from the left
# hip, nor the thorax from the shoulders, while those gather from them.
_OUTWARDS_ONLY = ("left_hip", "left_shoulder", "right_shoulder")


class NodeNorm(nn.BatchNorm1d):
    """Batch norm of each node of a graph by itself: in use, a scale and a shift for each."""

    _folded: tuple[Tensor, Tensor] | None = None

    def fold_constants(self) -> None:
        """Keep scale and shift as constants."""
        with torch.no_grad():
            self._folded = self._affine()

    def forward(self, values: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            values: (..., nodes, channels); with ``nodes`` given, (batch, joints, nodes, channels).
            nodes: Of all nodes those that ``values`` has, (batch or 1, nodes); None is all of them.

        Returns:
            The shape of ``values``.
        """
        if self.training and nodes is None:
            return super().forward(values.reshape(-1, *values.shape[-2:])).reshape(values.shape)
        scale, shift = self._affine() if self._folded is None else self._folded
        if nodes is not None:
            scale, shift = _of_nodes(scale, nodes), _of_nodes(shift, nodes)
        return values * scale + shift

    def _affine(self) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale.unsqueeze(1), (self.bias - self.running_mean * scale).unsqueeze(1)


def _of_nodes(values: Tensor, nodes: Tensor) -> Tensor:
    """(all nodes, 1) to (batch or 1, 1, nodes, 1)."""
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
    """Gathers along the bones of the skeleton."""

    bones: Tensor

    def __init__(self, width: int, skeleton: Skeleton) -> None:
        super().__init__(width, len(skeleton.joints))
        self.register_buffer("bones", bone_graph(skeleton), persistent=False)
        self._folded: Tensor | None = None

    def fold_constants(self) -> None:
        """Keep the weights of the bones as a constant."""
        self._folded = self._adjacency()

    def _adjacency(self) -> Tensor:
        """Each bone over the root of both joints' degrees."""
        degree = self.bones.sum(dim=1).rsqrt()
        return degree.unsqueeze(1) * self.bones * degree

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Map (batch · frames · joints, channels) to the same shape."""
        width = tokens.shape[1]
        values = self.V(tokens).reshape(-1, grid.joints, width)
        own = self.U(tokens).reshape(-1, grid.joints, width)
        adjacency = self._adjacency() if self._folded is None else self._folded
        normed = self.batch_norm(adjacency @ values + own)
        return torch.relu(tokens + normed.reshape(-1, width))


class FrameGraph(_GraphConvolution):
    """Gathers from the frames in which a joint's token is most similar.

    Attributes:
        neighbours: How many frames each gathers from.
        given: What to take instead of the result of :func:`similar_frames`; None is nothing.
    """

    def __init__(self, width: int, frames: int, neighbours: int) -> None:
        super().__init__(width, frames)
        self.neighbours = neighbours
        self.given: Tensor | None = None

    def forward(self, tokens: Tensor, grid: Grid, times: Tensor | None = None) -> Tensor:
        """Gather.

        Args:
            tokens: (batch · frames · joints, channels).
            grid: Frames and joints of the rows.
            times: Frames of the window that ``tokens`` has, (batch or 1, frames), where the norm
                has all of the window's; None is as many as the norm has.

        Returns:
            The shape of ``tokens``.
        """
        width = tokens.shape[1]
        by_joint = _by_joint(tokens, grid)
        chosen = similar_frames(by_joint, self.neighbours) if self.given is None else self.given
        similar = chosen.to(tokens.dtype)
        degree = similar.sum(dim=3, keepdim=True).rsqrt()
        gathered = similar @ (_by_joint(self.V(tokens), grid) * degree) * degree
        own = _by_joint(self.U(tokens), grid)
        normed = self.batch_norm(gathered + own, times)
        return torch.relu(by_joint + normed).transpose(1, 2).reshape(-1, width)


def _by_joint(tokens: Tensor, grid: Grid) -> Tensor:
    """(batch · frames · joints, channels) to (batch, joints, frames, channels)."""
    return tokens.reshape(-1, *grid, tokens.shape[1]).transpose(1, 2)


def similar_frames(features: Tensor, neighbours: int) -> Tensor:
    """Which frames each frame gathers from: those of the highest dot products, maybe itself.

    Where several are as similar as the last of the neighbours, all of them count, as published; so
    no engine's order among equals matters. Products with the mean frame are left out, which moves
    all of a frame's alike: what remains is smaller, and so are its rounding errors.

    Args:
        features: (batch, joints, frames, channels).
        neighbours: How many; all frames where there are fewer.

    Returns:
        (batch, joints, frames, frames) bool; the third axis gathers, the last is gathered from.
    """
    if features.dtype != torch.float64:
        features = features.to(torch.float32)
    centred = features - features.mean(dim=2, keepdim=True)
    similarity = features @ centred.transpose(2, 3)
    count = min(neighbours, features.shape[2])
    highest, _ = torch.topk(similarity, count, dim=3, sorted=True)
    return similarity >= highest[..., count - 1 :]


def bone_graph(skeleton: Skeleton) -> Tensor:
    """From which joints each joint gathers: (joints, joints), 1 or 0, a row for each that does."""
    joints = len(skeleton.joints)
    bones = torch.zeros(joints, joints)
    for child, parent in enumerate(skeleton.parents):
        if parent >= 0:
            bones[child, parent] = 1.0
            bones[parent, child] = float(skeleton.joints[child] not in _OUTWARDS_ONLY)
    return bones


_INITIAL_CHANGE = 1e-6
_GAIN = 1.414


def bone_adjacency(skeleton: Skeleton) -> Tensor:
    """Which joints the bones of a skeleton join, (joints, joints).

    Each row is divided by its sum, and the diagonal set to 1 after that, as published. It is in no
    checkpoint, so that the weights mean something only with this very one: that of the published
    code, which rounds it to float32.
    """
    joints = len(skeleton.joints)
    joined = torch.zeros(joints, joints)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            joined[joint, parent] = joined[parent, joint] = 1.0
    return joined / joined.sum(dim=1, keepdim=True) + torch.eye(joints)


def chain_adjacency(nodes: int) -> Tensor:
    """Each node joined to itself and to the one on either side, (nodes, nodes), not normalized."""
    place = torch.arange(nodes)
    return ((place.unsqueeze(0) - place.unsqueeze(1)).abs() <= 1).to(torch.float32)


class ModulatedGraphConvolution(nn.Module):
    """One layer: a node's own channels by one matrix, those of its neighbours by another.

    Args:
        inputs: Channels of a node.
        outputs: Channels of the result.
        adjacency: (nodes, nodes); what is learnt is added to it, and the sum made symmetric.
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
        init.xavier_uniform_(self.W, gain=_GAIN)
        init.xavier_uniform_(self.M, gain=_GAIN)
        init.uniform_(self.bias, -1.0 / math.sqrt(outputs), 1.0 / math.sqrt(outputs))

    def fold_constants(self) -> None:
        """Keep as constants what comes of the two adjacencies and the modulation."""
        with torch.no_grad():
            self._folded = self._constants()

    def _constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both matrices side by side; what a node takes of itself; what it takes of the others."""
        joined = self.adjacency + self.adj2
        joined = (joined + joined.T) / 2
        own = torch.diagonal(joined)
        return (
            torch.cat([self.W[0], self.W[1]], dim=1),
            own.unsqueeze(1) * self.M,
            (joined - torch.diag(own)),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch · nodes, inputs) to (batch · nodes, outputs)."""
        matrix, own, others = self._constants() if self._folded is None else self._folded
        nodes, outputs = self.M.shape
        values = (tokens @ matrix).reshape(-1, nodes, 2 * outputs)
        of_itself, of_others = values[..., :outputs], values[..., outputs:]
        gathered = own * of_itself + others @ (self.M * of_others)
        return gathered.reshape(-1, outputs) + self.bias
