"""MHFormer: three hypotheses of each frame, refined each by itself and then among one another.

Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR 2022; pruned
as in Li et al., "Hourglass Tokenizer for Efficient Transformer-Based 3D Human Pose Estimation",
CVPR 2024, whose variant ``tpc`` keeps the centre frame and recovers none. State-dict keys are the
published ones.

The variant ``hot`` is this SDK's own: nobody published it, nor weights for it. It prunes where
``tpc`` does, without holding on to the centre, and recovers all frames after the last norm, before
the poses are read off. A frame has three tokens, one for each hypothesis, in the place of those of
its joints: recovery has a ninth of the weights that it would have with the three as one wide token,
and its linear layers a third of the operations.

What MHFormer is made of: the generators of its hypotheses, and the blocks that mix them.

Li et al., "MHFormer: Multi-Hypothesis Transformer for 3D Human Pose Estimation", CVPR 2022. Tokens
travel as one matrix, (batch · frames, hypotheses · channels); parameter names are the published
ones.

The sizes of an MHFormer network, read off the shapes of its weights.
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
from hot_sdk.export.models.hourglass import (
    HourglassNetwork,
    HourglassSpec,
    chosen_frames,
    hourglass_of,
)
from hot_sdk.export.models.layers.pointwise import (
    ActivatedPointwise,
    NormedPointwise,
    PointwiseLinear,
)
from hot_sdk.export.models.layers.transformer import Attention, Axis, Block, Grid, Mlp
from hot_sdk.export.models.registry import HYPOTHESES
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules

_EACH = range(1, HYPOTHESES + 1)
_GENERATOR_DEPTH = 4
# Of the blocks that make the hypotheses: as published, where they divide the frames; else as many
# as divide both.
_GENERATOR_HEADS = 9


class Generator(nn.Module):
    """Blocks whose tokens are the paths of the coordinates over time (Transformer encoder of MHG).

    Args:
        frames: Of a window: the channels of a token.
        coordinates: Of a frame: the tokens.
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
        """Map (batch · coordinates, frames) to the same shape."""
        coordinates, frames = self.pos_embed.shape[1:]
        placed = paths.reshape(-1, coordinates, frames) + self.pos_embed
        tokens = placed.reshape(-1, frames)
        for block in self.blocks:
            tokens = block(tokens, Grid(coordinates, 1), Axis.FRAMES)
        return cast(Tensor, self.norm(tokens))


class CrossAttention(nn.Module):
    """Multi-head attention over the frames whose queries, keys and values are three hypotheses'.

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

    def forward(self, asking: Tensor, asked: Tensor, given: Tensor, frames: int) -> Tensor:
        """Attend.

        Args:
            asking: Whose queries, (batch · frames, channels).
            asked: Whose keys.
            given: Whose values.
            frames: Of a window, as far as they are there.

        Returns:
            The shape of ``asking``.
        """
        width = asking.shape[1]
        split = (-1, frames, self.heads, width // self.heads)
        if self._folded is None:
            queries = self.linear_q(asking) * self.scale
        else:
            queries = linear(asking, *self._folded)
        queries = queries.reshape(split).transpose(1, 2)
        keys = self.linear_k(asked).reshape(split).permute(0, 2, 3, 1)
        values = self.linear_v(given).reshape(split).transpose(1, 2)
        mixed = (queries @ keys).softmax(dim=-1) @ values
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(-1, width)))


def _apart(tokens: Tensor) -> Sequence[Tensor]:
    """The hypotheses of (rows, hypotheses · channels), each (rows, channels)."""
    # By sizes and not into so many parts, which opset 17 does not know.
    return torch.split(tokens, [tokens.shape[1] // HYPOTHESES] * HYPOTHESES, dim=1)


class HypothesisBlock(nn.Module):
    """Base of the blocks over time: what each hypothesis gathers, then an MLP over all of them."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.norm2 = nn.LayerNorm(HYPOTHESES * size.width, eps=1e-6)
        self.mlp = Mlp(HYPOTHESES * size.width, size.mlp_hidden)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Map (batch · frames, hypotheses · channels) to the same shape."""
        tokens = torch.cat(self.gather(_apart(tokens), frames), dim=1)
        return tokens + cast(Tensor, self.mlp(self.norm2(tokens)))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        raise NotImplementedError


class RefiningBlock(HypothesisBlock):
    """Each hypothesis attends to itself (SHR, self-hypothesis refinement)."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"norm1_{each}", nn.LayerNorm(size.width, eps=1e-6))
            self.add_module(f"attn_{each}", Attention(size.width, size.heads))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        grid = Grid(frames, 1)
        return [
            tokens + attention(norm(tokens), grid, Axis.FRAMES)
            for tokens, (norm, attention) in zip(hypotheses, self._parts(), strict=True)
        ]

    def received(self, tokens: Tensor, frames: int) -> Tensor:
        """Attention that each frame receives in this block, (batch, frames), from its input."""
        grid = Grid(frames, 1)
        of_each = [
            attention.received(norm(part), grid)
            for part, (norm, attention) in zip(_apart(tokens), self._parts(), strict=True)
        ]
        return torch.stack(of_each).mean(dim=0)

    def _parts(self) -> list[tuple[nn.Module, Attention]]:
        return [
            (getattr(self, f"norm1_{each}"), cast(Attention, getattr(self, f"attn_{each}")))
            for each in _EACH
        ]


class InteractingBlock(HypothesisBlock):
    """Each hypothesis is asked for by the two others (CHI, cross-hypothesis interaction).

    One after the other: the second hears of the first as it is already, and the third of both.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__(size)
        for each in _EACH:
            self.add_module(f"attn_{each}", CrossAttention(size.width, size.heads))
            for role in _EACH:
                self.add_module(f"norm3_{each}{role}", nn.LayerNorm(size.width, eps=1e-6))

    def gather(self, hypotheses: Sequence[Tensor], frames: int) -> list[Tensor]:
        """The hypotheses after their attention, each (batch · frames, channels)."""
        hypotheses = list(hypotheses)
        for number, each in enumerate(_EACH):
            other, another = (tokens for at, tokens in enumerate(hypotheses) if at != number)
            normed = [
                getattr(self, f"norm3_{each}{role}")(tokens)
                for role, tokens in zip(_EACH, (other, another, hypotheses[number]), strict=True)
            ]
            gathered = getattr(self, f"attn_{each}")(*normed, frames)
            hypotheses[number] = hypotheses[number] + gathered
        return hypotheses


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


_BLOCKS = "Transformer_hypothesis"


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MHFormer is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MHFormer", shapes)
    (frames,) = rules.dimensions("norm_1.weight", (None,))
    (width,) = rules.dimensions(f"{_BLOCKS}.pos_embed_1", (1, frames, None))
    (outputs,) = rules.dimensions("regression.1.weight", (None, 3 * width, 1))
    joints = max(1, outputs // 3)
    rules.dimensions("regression.1.weight", (3 * joints, 3 * width, 1))
    (coordinates,) = rules.dimensions("Transformer_encoder_1.pos_embed", (1, None, frames))
    channels = max(1, coordinates // joints)
    for each in (1, 2, 3):
        rules.dimensions(f"Transformer_encoder_{each}.pos_embed", (1, channels * joints, frames))
    (mlp_hidden,) = rules.dimensions(_mlp("CHI", 0), (None, 3 * width))
    refining = rules.depth(rf"{_BLOCKS}\.SHR_blocks") if rules.has(f"{_BLOCKS}.SHR_blocks.") else 0
    for block in range(refining):
        rules.dimensions(_mlp("SHR", block), (mlp_hidden, 3 * width))
    found = rules.hourglass(frames, width)
    config = {
        "channels": channels,
        "width": width,
        "depth": refining + 1,
        "mlp_hidden": mlp_hidden,
    }
    return CheckpointShape(frames, joints, config, found.variant, found.tokens, found.elastic)


def _mlp(kind: str, block: int) -> str:
    return f"{_BLOCKS}.{kind}_blocks.{block}.mlp.fc1.weight"


__all__ = ["MHFormer", "build", "infer_shape"]


# Windows up to here have a norm and a rectifier in their embeddings.
_FEW_FRAMES = 27


class MHFormer(HourglassNetwork):
    """The network.

    Args:
        frames: Frames of a window.
        joints: Joints of the skeleton.
        size: Size of the network; its depth counts the blocks over time, of which the last lets the
            hypotheses interact.
        hourglass: Where and how frames are pruned; None is the plain network.
    """

    def __init__(
        self,
        *,
        frames: int,
        joints: int,
        size: NetworkSize,
        hourglass: HourglassSpec | None = None,
    ) -> None:
        width, coordinates = size.width, joints * size.channels
        super().__init__(hourglass, frames=frames, width=width, heads=size.heads)
        embedding = PointwiseLinear if frames > _FEW_FRAMES else ActivatedPointwise
        for each in _EACH:
            self.add_module(f"norm_{each}", nn.LayerNorm(frames))
            self.add_module(f"Transformer_encoder_{each}", Generator(frames, coordinates))
            self.add_module(f"embedding_{each}", embedding(coordinates, width))
        self.Transformer_hypothesis = HypothesisTransformer(frames, size)
        self.regression = NormedPointwise(HYPOTHESES * width, 3 * joints)

    def fold_constants(self) -> None:
        """Precompute what no input changes; for export, after the weights are loaded."""
        super().fold_constants()
        foldable = (ActivatedPointwise, CrossAttention, NormedPointwise, PointwiseLinear)
        for module in self.modules():
            if isinstance(module, foldable):
                module.fold_constants()

    def features(self, tokens: Tensor) -> Tensor:
        """What frames are chosen by: all hypotheses side by side, as published."""
        return tokens.reshape(-1, tokens.shape[1], HYPOTHESES * tokens.shape[3])

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            index: Frames to keep, as returned, instead of the selectors' choice.

        Returns:
            Poses in metres, (batch, frames, joints, 3), or (batch, tokens, joints, 3) where nothing
            is recovered; and the kept frames of all stages, (batch, sum of their tokens), or None
            where nothing is pruned.
        """
        frames, joints = self.frames, keypoints.shape[2]
        blocks = self.Transformer_hypothesis
        tokens = self._hypotheses(keypoints)
        wide = tokens.shape[1]
        split = HYPOTHESES, wide // HYPOTHESES
        kept: tuple[Tensor, ...] = ()
        received = None
        for number, block in enumerate([*blocks.SHR_blocks, *blocks.CHI_blocks]):
            if self.prunes_before(number):
                whole = tokens.reshape(-1, frames, *split)
                pruned, kept = self.prune(whole, keypoints, kept, index, received)
                tokens, frames = pruned.reshape(-1, wide), pruned.shape[1]
            if isinstance(block, RefiningBlock):
                received = partial(block.received, tokens, frames)
            tokens = block(tokens, frames)
        tokens = cast(Tensor, blocks.norm(tokens))
        if kept:
            recovered = self.recover(tokens.reshape(-1, frames, *split), kept)
            tokens, frames = recovered.reshape(-1, wide), recovered.shape[1]
        poses = self.regression(tokens).reshape(-1, frames, joints, 3)
        return poses, chosen_frames(kept)

    def _hypotheses(self, keypoints: Tensor) -> Tensor:
        """Keypoints to tokens, (batch · frames, hypotheses · channels)."""
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


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> MHFormer:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return MHFormer(
        frames=spec.frames,
        joints=spec.joints,
        size=spec.size,
        hourglass=hourglass_of(spec, mirrored_pairs=mirrored_pairs),
    )
