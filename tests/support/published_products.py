"""The products that the authors' code makes and this SDK does not, by re-implementation and by sum.

The SDK scales rows where the published code multiplies by diagonal matrices, and multiplies
matrices to compare frames where the published code takes ``torch.cdist``, which no counter sees.
"""

import torch

from hot_sdk.export.enums import RecoveryKind, SelectorKind
from hot_sdk.export.models import family, frame_selection, motionagformer, nanohtnet
from hot_sdk.export.models.layers import topology_mixer

_GRAPH_HIDDEN = 384


def difference(spec):
    """Return what torch's counter finds in the published code of a network and not in ours."""
    return _diagonal(spec) + _whole_transform(spec) - _distances(spec)


def _diagonal(spec):
    """Operations of products with a diagonal matrix."""
    size, joints = spec.size, spec.joints
    if spec.family == "motionagformer":
        frames = [spec.frames] * size.depth
        for stage in spec.stages:
            frames[stage.prune_at :] = [stage.tokens] * (size.depth - stage.prune_at)
        # Both sides of each adjacency are multiplied by the degrees: that of the joints once for
        # each frame, that of the frames once for each joint.
        return sum(2 * 2 * (count * joints**3 + joints * count**3) for count in frames)
    if spec.family in ("htnet", "nanohtnet"):
        parts = [(joints, size.width // 3)]
        if spec.family == "nanohtnet":
            parts.append((size.coefficients, size.width // 2))
        # Each block convolves twice over its nodes, to the hidden channels and back.
        return sum(
            size.depth * 2 * nodes**2 * (_GRAPH_HIDDEN + channels) for nodes, channels in parts
        )
    return 0


def _whole_transform(spec):
    """Operations for coefficients of the cosine transform that are not kept."""
    dropped = spec.frames - spec.size.coefficients if spec.size.coefficients else 0
    return 2 * dropped * spec.frames * spec.joints * spec.size.channels


def _distances(spec):
    """Operations of the selectors' distances."""
    width = spec.size.width * (family(spec.family).hypotheses or 1)
    present, total = spec.frames, 0
    for stage in spec.stages:
        total += 2 * present**2 * width if stage.selector == SelectorKind.TPC else 0
        present = stage.tokens
    return total


def use_published_products(monkeypatch, network):
    """Make a network compute with the products of the published code."""
    monkeypatch.setattr(frame_selection, "squared_distances", _by_cdist)
    monkeypatch.setattr(motionagformer.JointGraph, "forward", _joint_graph)
    monkeypatch.setattr(motionagformer.FrameGraph, "forward", _frame_graph)
    monkeypatch.setattr(topology_mixer.ModulatedGraphConvolution, "forward", _modulated)
    if network.spec.recovery is RecoveryKind.TRA:
        recovery = network.cross_attention
        monkeypatch.setattr(
            recovery, "_project_queries", _project_each(recovery, network.spec.frame_tokens)
        )
    if network.spec.size.coefficients:
        del network.transform
        network.transform = _WholeTransform(network.spec)


def _by_cdist(features):
    exactly = "donot_use_mm_for_euclid_dist"
    return torch.cdist(features, features, compute_mode=exactly).square() / features.shape[2]


def _normalized(adjacency):
    """Divide (graphs, nodes, nodes) by the roots of both nodes' degrees."""
    roots = torch.diag_embed(adjacency.sum(dim=2).rsqrt())
    return torch.bmm(torch.bmm(roots, adjacency), roots)


def _joint_graph(self, tokens, grid):
    nodes = tokens.reshape(-1, grid.joints, tokens.shape[1])
    bones = self.bones.expand(len(nodes), -1, -1)
    normed = self.batch_norm(torch.bmm(_normalized(bones), self.V(nodes)) + self.U(nodes))
    return torch.relu(nodes + normed).reshape(tokens.shape)


def _frame_graph(self, tokens, grid, times=None):
    paths = tokens.reshape(-1, *grid, tokens.shape[1]).transpose(1, 2)
    graphs = paths.reshape(-1, grid.frames, tokens.shape[1])
    similarity = torch.bmm(graphs, graphs.transpose(1, 2))
    least = similarity.topk(self.neighbors, dim=2).values[..., -1:]
    adjacency = (similarity >= least).to(tokens.dtype)
    gathered = torch.bmm(_normalized(adjacency), self.V(graphs)) + self.U(graphs)
    normed = self.batch_norm(gathered.reshape(paths.shape), times)
    return torch.relu(paths + normed).transpose(1, 2).reshape(tokens.shape)


def _modulated(self, tokens):
    nodes = tokens.reshape(-1, len(self.M), tokens.shape[1])
    joined = (self.adjacency + self.adj2 + (self.adjacency + self.adj2).T) / 2
    own = torch.diag(torch.diagonal(joined))
    mixed = own @ (self.M * (nodes @ self.W[0])) + (joined - own) @ (self.M * (nodes @ self.W[1]))
    return (mixed + self.bias).reshape(-1, mixed.shape[2])


def _project_each(recovery, rows):
    """Project the queries once for each token of a frame, though they are the same."""

    def project(frame_queries):
        queries = recovery.linear_q(frame_queries.expand(rows, -1, -1))
        width = queries.shape[2] // recovery.heads
        split = queries.reshape(1, rows, -1, recovery.heads, width).transpose(2, 3)
        return split * width**-0.5

    return project


class _WholeTransform:
    """All rows of the cosine transform, of whose results some are kept."""

    def __init__(self, spec):
        self.rows = nanohtnet.cosine_transform(spec.frames, spec.frames)
        self.kept = spec.size.coefficients

    def to(self, dtype):
        self.rows = self.rows.to(dtype)
        return self

    def __matmul__(self, paths):
        return (self.rows @ paths)[:, : self.kept]
