"""MixSTE: alternating attention over the joints of a frame and over the frames of a joint.

Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video",
CVPR 2022; with the hourglass of Li et al., CVPR 2024. State-dict keys are the published ones.

A stem that lifts each frame by itself; the network that follows corrects it.

It learns in minutes what a transformer on raw keypoints needs hours for, because it sees the body
apart from where and how large it stands in the image.

The sizes of a MixSTE network, read off the shapes of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.models.families import NetworkSize
from hot_sdk.export.models.frame_selection import take_frames
from hot_sdk.export.models.hourglass import (
    HourglassNetwork,
    HourglassSpec,
    chosen_frames,
    hourglass_of,
)
from hot_sdk.export.models.layers.transformer import Axis, Block, Grid
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, ShapeRules

_LAYERS = 3
_PER_JOINT = 32
_SMALLEST_SPREAD = 1e-6
"""Squared, in units of normalized keypoints; a frame with all joints in one point is no body."""


class FrameStem(nn.Module):
    """Residual layers over a frame's keypoints, giving each joint a token.

    Args:
        joints: Joints of the skeleton.
        channels: Of a keypoint: 2, or 3 with its confidence.
        width: Channels of a token.
        hidden: Channels of the residual layers.
    """

    def __init__(self, joints: int, channels: int, *, width: int, hidden: int) -> None:
        super().__init__()
        self.joints = joints
        self.enter = nn.Linear(joints * channels + 3, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(_LAYERS))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(_LAYERS))
        self.leave_norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, joints * _PER_JOINT)
        self.to_tokens = nn.Linear(_PER_JOINT, width)
        self.guess = nn.Linear(_PER_JOINT, 3)

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Lift each frame.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).

        Returns:
            Tokens, (batch · frames · joints, width), and a first guess of the poses in metres,
            (batch, frames, joints, 3).
        """
        features = self._joint_features(keypoints)
        guess = cast(Tensor, self.guess(features))
        tokens = cast(Tensor, self.to_tokens(features))
        return tokens, guess.reshape(-1, keypoints.shape[1], self.joints, 3)

    def _joint_features(self, keypoints: Tensor) -> Tensor:
        points = keypoints[..., :2].reshape(-1, self.joints, 2)
        centre = points.mean(dim=1)
        offsets = points - centre.unsqueeze(1)
        square = offsets.square().sum(dim=2).mean(dim=1, keepdim=True)
        spread = square.clamp(min=_SMALLEST_SPREAD).sqrt()
        seen = (offsets / spread.unsqueeze(2)).reshape(-1, 2 * self.joints)
        features = [seen, centre, spread]
        if keypoints.shape[3] > 2:
            features.append(keypoints[..., 2].reshape(-1, self.joints))
        state = cast(Tensor, self.enter(torch.cat(features, dim=1)))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            state = state + layer(nn.functional.gelu(norm(state)))
        left = cast(Tensor, self.leave(nn.functional.gelu(self.leave_norm(state))))
        return left.reshape(-1, _PER_JOINT)


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MixSTE is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MixSTE", shapes)
    joints, width = rules.dimensions("Spatial_pos_embed", (1, None, None))
    (frames,) = rules.dimensions("Temporal_pos_embed", (1, None, width))
    (channels,) = rules.dimensions("Spatial_patch_to_embedding.weight", (width, None))
    (mlp_hidden,) = rules.dimensions("STEblocks.0.mlp.fc1.weight", (None, width))
    depth = rules.depth("STEblocks|TTEblocks")
    for stream in ("STEblocks", "TTEblocks"):
        for block in range(depth):
            rules.dimensions(f"{stream}.{block}.mlp.fc1.weight", (mlp_hidden, width))
    found = rules.hourglass(frames, width)
    config = {"channels": channels, "width": width, "depth": depth, "mlp_hidden": mlp_hidden}
    if rules.has("stem."):
        (config["stem"],) = rules.dimensions("stem.leave_norm.weight", (None,))
    return CheckpointShape(frames, joints, config, found.variant, found.tokens, found.elastic)


__all__ = ["MixSTE", "build", "infer_shape"]


_UNTRAINED_TRUST = -4.5
"""Logarithm of the shaking, in metres, at which an untrained network trusts the stem by half."""


class MixSTE(HourglassNetwork):
    """The network.

    Args:
        frames: Frames of a window.
        joints: Joints of the skeleton.
        size: Size of the network; its depth counts pairs of a spatial and a temporal block.
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
        width = size.width
        super().__init__(hourglass, frames=frames, width=width, heads=size.heads)
        self.has_stem = size.stem > 0
        self.Spatial_patch_to_embedding = nn.Linear(size.channels, width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.STEblocks = nn.ModuleList(_block(size) for _ in range(size.depth))
        self.TTEblocks = nn.ModuleList(_block(size) for _ in range(size.depth))
        self.Spatial_norm = nn.LayerNorm(width, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))
        if size.stem:
            self.stem = FrameStem(joints, size.channels, width=width, hidden=size.stem)
            self.guess_trust = nn.Linear(width, 1)
            nn.init.zeros_(self.guess_trust.weight)
            nn.init.constant_(self.guess_trust.bias, _UNTRAINED_TRUST)

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
        frames, joints, channels = keypoints.shape[1:]
        width = self.Spatial_pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens = cast(Tensor, self.Spatial_patch_to_embedding(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.Spatial_pos_embed).reshape(-1, width)
        guess = None
        if self.has_stem:
            of_frames, guess = self.stem(keypoints)
            tokens = tokens + of_frames
        kept: tuple[Tensor, ...] = ()
        received = None
        for pair, (spatial, temporal) in enumerate(
            zip(self.STEblocks, self.TTEblocks, strict=True)
        ):
            if self.prunes_before(pair):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, received)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
            tokens = self.Spatial_norm(spatial(tokens, grid, Axis.JOINTS))
            if pair == 0:
                timed = tokens.reshape(-1, *grid, width) + self.Temporal_pos_embed.unsqueeze(2)
                tokens = timed.reshape(-1, width)
            received = partial(cast(Block, temporal).received, tokens, grid)
            tokens = self.Temporal_norm(temporal(tokens, grid, Axis.FRAMES))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        poses = cast(Tensor, self.head(tokens)).reshape(-1, *grid, 3)
        if guess is not None:
            if grid.frames < frames:
                guess = take_frames(guess, kept[-1])
            elif kept:
                guess = self._steadied(guess, kept, tokens)
            poses = poses + guess
        return poses, chosen_frames(kept)

    def _steadied(self, guess: Tensor, kept: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """The stem's guess, in dropped frames drawn towards that of the kept ones around them.

        The stem's guess carries each frame's noise, which the blocks take out of kept frames only.
        It is trusted less the more it shakes; the recovered tokens tell at how much by half.
        """
        smooth = cast(Tensor, self.interpolation(take_frames(guess, kept[-1]), kept[-1]))
        bends = guess[:, 2:] - 2.0 * guess[:, 1:-1] + guess[:, :-2]
        shaking = bends.abs().mean(dim=(1, 3)).unsqueeze(1).unsqueeze(3)
        patience = cast(Tensor, self.guess_trust(tokens)).reshape(-1, *guess.shape[1:3], 1)
        return smooth + (guess - smooth) / (1.0 + shaking * (-patience).exp())


def _block(size: NetworkSize) -> Block:
    return Block(size.width, size.heads, size.mlp_hidden)


def build(spec: ModelSpec, *, mirrored_pairs: bool = False) -> MixSTE:
    """Build the network of a specification; see :func:`hot_sdk.export.models.build`."""
    return MixSTE(
        frames=spec.frames,
        joints=spec.joints,
        size=spec.size,
        hourglass=hourglass_of(spec, mirrored_pairs=mirrored_pairs),
    )
