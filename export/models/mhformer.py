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
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.hourglass import (
    HourglassNetwork,
    HourglassSpec,
    chosen_frames,
    hourglass_of,
)
from hot_sdk.export.hypotheses import (
    CrossAttention,
    Generator,
    HypothesisTransformer,
    RefiningBlock,
)
from hot_sdk.export.models.mhformer_checkpoint import infer_shape
from hot_sdk.export.models.published import NetworkSize
from hot_sdk.export.models.registry import HYPOTHESES
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.pointwise import ActivatedPointwise, NormedPointwise, PointwiseLinear

__all__ = ["MHFormer", "build", "infer_shape"]

_EACH = range(1, HYPOTHESES + 1)
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
            keypoints: Normalised, (batch, frames, joints, channels).
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
