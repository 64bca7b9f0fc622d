"""MHFormer: three hypotheses of each frame, refined each by itself and then among one another.

Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR 2022; pruned
as in Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation",
CVPR 2024, whose variant ``tpc`` keeps the center frame and recovers none. State-dict keys are the
published ones. Tokens travel as one matrix, (batch · frames, hypotheses · channels).

The variant ``hot`` is this SDK's own; neither it nor weights for it are published. It prunes where
``tpc`` does, without keeping the center, and recovers all frames after the last norm, before the
poses are read off. A frame has three tokens, one for each hypothesis, in the place of those of its
joints: recovery has a ninth of the weights that it would have with the three as one wide token, and
its linear layers a third of the operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.hourglass import HourglassNetwork, chosen_frames
from hot_sdk.export.models.layers.transformer import Attention, Axis, Block, Grid, Mlp
from hot_sdk.export.models.registry import HYPOTHESES
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes

_EACH = range(1, HYPOTHESES + 1)
_GENERATOR_DEPTH = 4
# Heads of the blocks that make the hypotheses: as published if they divide the frames, else as many
# as divide both.
_GENERATOR_HEADS = 9
# Windows up to this length have a norm and a ReLU in their embeddings.
_FEW_FRAMES = 27
_BLOCKS = "Transformer_hypothesis"


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`."""
    weights = WeightShapes("MHFormer", shapes)
    (frames,) = weights.dimensions("norm_1.weight", (None,))
    (width,) = weights.dimensions(f"{_BLOCKS}.pos_embed_1", (1, frames, None))
    (outputs,) = weights.dimensions("regression.1.weight", (None, 3 * width, 1))
    joints = max(1, outputs // 3)
    weights.dimensions("regression.1.weight", (3 * joints, 3 * width, 1))
    (coordinates,) = weights.dimensions("Transformer_encoder_1.pos_embed", (1, None, frames))
    channels = max(1, coordinates // joints)
    for each in _EACH:
        key = f"Transformer_encoder_{each}.pos_embed"
        weights.dimensions(key, (1, channels * joints, frames))
    mlp = "mlp.fc1.weight"
    (mlp_hidden,) = weights.dimensions(f"{_BLOCKS}.CHI_blocks.0.{mlp}", (None, 3 * width))
    refining = f"{_BLOCKS}.SHR_blocks"
    depth = weights.depth(rf"{_BLOCKS}\.SHR_blocks") if weights.has(f"{refining}.") else 0
    for block in range(depth):
        weights.dimensions(f"{refining}.{block}.{mlp}", (mlp_hidden, 3 * width))
    config = {"channels": channels, "width": width, "depth": depth + 1, "mlp_hidden": mlp_hidden}
    return weights.with_hourglass(frames, joints, config)


class MHFormer(HourglassNetwork):
    """The network.

    Its depth counts the blocks over time, of which the last lets the hypotheses interact.
    """

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs)
        frames, width, coordinates = spec.frames, spec.size.width, spec.joints * spec.size.channels
        embedding = PointwiseLinear if frames > _FEW_FRAMES else ActivatedPointwise
        for each in _EACH:
            self.add_module(f"norm_{each}", PathNorm(frames))
            self.add_module(f"Transformer_encoder_{each}", Generator(frames, coordinates))
            self.add_module(f"embedding_{each}", embedding(coordinates, width))
        self.Transformer_hypothesis = HypothesisTransformer(frames, spec.size)
        self.regression = NormedPointwise(HYPOTHESES * width, 3 * spec.joints)

    def features(self, tokens: Tensor) -> Tensor:
        """Concatenate all hypotheses of a frame, as published."""
        return tokens.reshape(-1, tokens.shape[1], HYPOTHESES * tokens.shape[3])

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints to poses in meters; see :meth:`HourglassNetwork.forward`."""
        frames, joints = self.frames, keypoints.shape[2]
        blocks = self.Transformer_hypothesis
        tokens = self._hypotheses(keypoints)
        wide = tokens.shape[1]
        split = HYPOTHESES, wide // HYPOTHESES
        kept: tuple[Tensor, ...] = ()
        attention = None
        for number, block in enumerate([*blocks.SHR_blocks, *blocks.CHI_blocks]):
            if self.prunes_at(number):
                whole = tokens.reshape(-1, frames, *split)
                pruned, kept = self.prune(whole, keypoints, kept, index, attention)
                tokens, frames = pruned.reshape(-1, wide), pruned.shape[1]
            if isinstance(block, RefiningBlock):
                attention = partial(block.received_attention, tokens, frames)
            tokens = block(tokens, frames)
        tokens = cast(Tensor, blocks.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, frames, *split), kept)
            tokens, frames = recovered.reshape(-1, wide), recovered.shape[1]
        poses = self.regression(tokens).reshape(-1, frames, joints, 3)
        return poses, chosen_frames(kept)

    def _hypotheses(self, keypoints: Tensor) -> Tensor:
        """Turn keypoints into tokens, (batch · frames, hypotheses · channels)."""
        frames, joints, channels = keypoints.shape[1:]
        coordinates = joints * channels
        paths = keypoints.reshape(-1, frames, coordinates).transpose(1, 2).reshape(-1, frames)
        hypotheses = []
        for each in _EACH:
            generate = getattr(self, f"Transformer_encoder_{each}")
            paths = paths + generate(getattr(self, f"norm_{each}")(paths))
            moments = paths.reshape(-1, coordinates, frames).transpose(1, 2)
            tokens = getattr(self, f"embedding_{each}")(moments.reshape(-1, coordinates))
            times = getattr(self.Transformer_hypothesis, f"pos_embed_{each}")
            hypotheses.append(tokens.reshape(-1, *times.shape[1:]) + times)
        return torch.cat(hypotheses, dim=2).reshape(-1, HYPOTHESES * times.shape[2])


build = MHFormer


class PathNorm(nn.LayerNorm):
    """Layer norm over the path of a coordinate, which may be far from 0 and hardly move.

    ONNX Runtime 1.19 computes variances as differences of squares: without the mean taken out
    before, poses of a person who stands still were off by millimeters.
    """

    def forward(self, paths: Tensor) -> Tensor:
        """Normalize paths, (batch · coordinates, frames), each by itself."""
        return super().forward(paths - paths.mean(dim=-1, keepdim=True))


class Generator(nn.Module):
    """Blocks whose tokens are the paths of the coordinates over time (Transformer encoder of MHG).

    Args:
        frames: Frames of a window: the channels of a token.
        coordinates: Coordinates of a frame: the tokens.
    """

    def __init__(self, frames: int, coordinates: int) -> None:
        super().__init__()
        heads = math.gcd(frames, _GENERATOR_HEADS)
        self.pos_embed = nn.Parameter(torch.zeros(1, coordinates, frames))
        self.blocks = nn.ModuleList(
            Block(frames, heads, 2 * frames) for _ in range(_GENERATOR_DEPTH)
        )
        self.norm = nn.LayerNorm(frames, eps=1e-6)

    def forward(self, paths: Tensor) -> Tensor:
        """Let the paths, (batch · coordinates, frames), attend to each other."""
        coordinates, frames = self.pos_embed.shape[1:]
        placed = paths.reshape(-1, coordinates, frames) + self.pos_embed
        tokens = placed.reshape(-1, frames)
        for block in self.blocks:
            tokens = block(tokens, Grid(coordinates, 1), Axis.FRAMES)
        return cast(Tensor, self.norm(tokens))


class HypothesisTransformer(nn.Module):
    """The blocks over time, under their published names."""

    def __init__(self, frames: int, size: NetworkSize) -> None:
        super().__init__()
        for each in _EACH:
            embedding = nn.Parameter(torch.zeros(1, frames, size.width))
            self.register_parameter(f"pos_embed_{each}", embedding)
        self.SHR_blocks = nn.ModuleList(RefiningBlock(size) for _ in range(size.depth - 1))
        self.CHI_blocks = nn.ModuleList([InteractingBlock(size)])
        self.norm = nn.LayerNorm(HYPOTHESES * size.width, eps=1e-6)


class HypothesisBlock(nn.Module):
    """Base of the blocks over time: attention of each hypothesis, then an MLP over all of them."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.norm2 = nn.LayerNorm(HYPOTHESES * size.width, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * size.width, size.mlp_hidden)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Add attention, then the MLP, to (batch · frames, hypotheses · channels)."""
        tokens = torch.cat(self.attend(_split_hypotheses(tokens), frames), dim=1)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def attend(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """Return the hypotheses after their attention, each (batch · frames, channels)."""
        raise NotImplementedError


class RefiningBlock(HypothesisBlock):
    """Each hypothesis attends to itself (SHR, self-hypothesis refinement)."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"norm1_{each}", nn.LayerNorm(size.width, eps=1e-6))
            self.add_module(f"attn_{each}", Attention(size.width, size.heads))

    def attend(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """Return the hypotheses after their attention, each (batch · frames, channels)."""
        grid = Grid(frames, 1)
        return [
            tokens + attention(norm(tokens), grid, Axis.FRAMES)
            for tokens, (norm, attention) in zip(hypotheses, self._layers(), strict=True)
        ]

    def received_attention(self, tokens: Tensor, frames: int) -> Tensor:
        """Return the attention that frames receive, (batch, frames), from the block's input."""
        grid = Grid(frames, 1)
        of_each = [
            attention.received_attention(norm(part), grid)
            for part, (norm, attention) in zip(
                _split_hypotheses(tokens), self._layers(), strict=True
            )
        ]
        return torch.stack(of_each).mean(dim=0)

    def _layers(self) -> list[tuple[nn.Module, Attention]]:
        return [
            (getattr(self, f"norm1_{each}"), cast(Attention, getattr(self, f"attn_{each}")))
            for each in _EACH
        ]


class InteractingBlock(HypothesisBlock):
    """Each hypothesis attends to the two others (CHI, cross-hypothesis interaction).

    One after the other: the second sees the first as already changed, and the third both.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"attn_{each}", CrossAttention(size.width, size.heads))
            for role in _EACH:
                self.add_module(f"norm3_{each}{role}", nn.LayerNorm(size.width, eps=1e-6))

    def attend(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """Return the hypotheses after their attention, each (batch · frames, channels)."""
        hypotheses = list(hypotheses)
        for number, each in enumerate(_EACH):
            other, another = (tokens for at, tokens in enumerate(hypotheses) if at != number)
            normed = [
                getattr(self, f"norm3_{each}{role}")(tokens)
                for role, tokens in zip(_EACH, (other, another, hypotheses[number]), strict=True)
            ]
            attended = getattr(self, f"attn_{each}")(*normed, frames)
            hypotheses[number] = hypotheses[number] + attended
        return hypotheses


def _split_hypotheses(tokens: Tensor) -> Sequence[Tensor]:
    """Split (rows, hypotheses · channels) into the hypotheses, each (rows, channels)."""
    # By sizes, since opset 17 cannot split into a number of parts.
    return torch.split(tokens, [tokens.shape[1] // HYPOTHESES] * HYPOTHESES, dim=1)


class CrossAttention(nn.Module):
    """Multi-head attention over frames with queries, keys and values of three hypotheses.

    Args:
        width: Channels of a token.
        heads: Attention heads.
    """

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.scale = (width // heads) ** -0.5
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def fold_constants(self) -> None:
        """Put the scale of the logits into the weights that make the queries."""
        with torch.no_grad():
            self._folded = self.linear_q.weight * self.scale, self.linear_q.bias * self.scale

    def forward(self, query: Tensor, key: Tensor, value: Tensor, frames: int) -> Tensor:
        """Let each frame of one hypothesis attend to the frames of the others.

        Args:
            query: Tokens that queries are made of, (batch · frames, channels).
            key: Tokens that keys are made of.
            value: Tokens that values are made of.
            frames: Frames of a window that are still kept.

        Returns:
            The shape of ``query``.
        """
        width = query.shape[1]
        split = (-1, frames, self.heads, width // self.heads)
        if self._folded is None:
            queries = self.linear_q(query) * self.scale
        else:
            queries = linear(query, *self._folded)
        queries = queries.reshape(split).transpose(1, 2)
        keys = self.linear_k(key).reshape(split).permute(0, 2, 3, 1)
        values = self.linear_v(value).reshape(split).transpose(1, 2)
        mixed = (queries @ keys).softmax(dim=-1) @ values
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(-1, width)))


class PointwiseLinear(nn.Conv1d):
    """A convolution with a kernel of one, as a matrix multiplication over rows.

    Published as a convolution, so that its weights have a third axis, (out, in, 1).
    """

    _folded: Tensor | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)

    def fold_constants(self) -> None:
        """Keep the matrix as a constant."""
        with torch.no_grad():
            self._folded = self.matrix().clone()

    def matrix(self) -> Tensor:
        """Return the weights, (out, in)."""
        return self.weight.squeeze(2)

    def forward(self, rows: Tensor) -> Tensor:
        """Transform (rows, in) to (rows, out)."""
        return linear(rows, self.matrix() if self._folded is None else self._folded, self.bias)


class ActivatedPointwise(nn.Sequential):
    """A pointwise linear layer, a batch norm after it, and a ReLU."""

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(PointwiseLinear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())

    def fold_constants(self) -> None:
        """Put the norm into the matrix."""
        layer, norm = cast(PointwiseLinear, self[0]), cast(nn.BatchNorm1d, self[1])
        with torch.no_grad():
            assert layer.bias is not None
            scale, shift = _affine(norm)
            self._folded = (layer.matrix() * scale.unsqueeze(1), layer.bias * scale + shift)

    def forward(self, rows: Tensor) -> Tensor:
        """Transform (rows, in) to (rows, out)."""
        if self._folded is not None:
            return linear(rows, *self._folded).relu()
        layer, norm, activation = self
        return cast(Tensor, activation(norm(layer(rows))))


class NormedPointwise(nn.Sequential):
    """A batch norm, and a pointwise linear layer after it."""

    _folded: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.BatchNorm1d(inputs), PointwiseLinear(inputs, outputs))

    def fold_constants(self) -> None:
        """Put the norm into the matrix."""
        norm, layer = cast(nn.BatchNorm1d, self[0]), cast(PointwiseLinear, self[1])
        with torch.no_grad():
            assert layer.bias is not None
            scale, shift = _affine(norm)
            self._folded = (layer.matrix() * scale, layer.bias + layer.matrix() @ shift)

    def forward(self, rows: Tensor) -> Tensor:
        """Transform (rows, in) to (rows, out)."""
        if self._folded is not None:
            return linear(rows, *self._folded)
        norm, layer = self
        return cast(Tensor, layer(norm(rows)))


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of each channel that a batch norm in evaluation amounts to."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale
