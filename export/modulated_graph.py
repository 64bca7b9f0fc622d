"""Modulated graph convolution: each node has its own say in how much it takes of each channel.

Zou and Tang, "Modulated Graph Convolutional Network for 3D Human Pose Estimation", ICCV 2021; the
graph convolution of HTNet and NanoHTNet. Parameter names are the published ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import init

from hot_sdk.skeleton import Skeleton

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
    """Each node joined to itself and to the one on either side, (nodes, nodes), not normalised."""
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
