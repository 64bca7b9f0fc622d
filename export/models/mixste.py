"""MixSTE: alternating attention over the joints of a frame and over the frames of a joint.

Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video",
CVPR 2022; with the hourglass of Li et al., CVPR 2024. State-dict keys are the published ones.

The setting ``stem``, this SDK's own, adds a stem that lifts each frame by itself; the blocks then
correct its guess. It learns in minutes what a transformer on raw keypoints needs hours for, because
it sees the body apart from where and how large it stands in the image. With the setting
``conditions`` the stem is also told what is known of the camera; with ``spread`` a second head says
how far each coordinate may be off, learned on the error of poses that it does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from hot_sdk.export.enums import Variant
from hot_sdk.export.models.frame_selection import take_frames
from hot_sdk.export.models.hourglass import HourglassNetwork, chosen_frames
from hot_sdk.export.models.layers.memory_attention import WAVES
from hot_sdk.export.models.layers.transformer import Axis, Block, Grid
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.models.weight_shapes import CheckpointShape, WeightShapes

AGE_WEIGHTS = "TTEblocks.0.attn.age_weights.weight"
"""Key that the live network alone has; see :mod:`hot_sdk.export.models.live_mixste`."""

_STEM_LAYERS = 3
_STEM_CHANNELS = 32
"""Channels of a joint at the end of the stem."""
_SMALLEST_SPREAD = 1e-6
"""Squared, in normalized keypoints; a frame with all joints in one point is not a body."""
_UNTRAINED_TRUST = -4.5
"""Log of the jitter (m) at which the stem's guess gets weight 0.5 before training."""
_LOG_SPREAD = (-7.0, 0.0)
"""Least and most log of a spread in meters."""


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict; see :func:`hot_sdk.export.models.infer_shape`."""
    weights = WeightShapes("MixSTE", shapes)
    joints, width = weights.dimensions("Spatial_pos_embed", (1, None, None))
    live = weights.has(AGE_WEIGHTS) and not weights.has("Temporal_pos_embed")
    frames = 1 if live else weights.dimensions("Temporal_pos_embed", (1, None, width))[0]
    (channels,) = weights.dimensions("Spatial_patch_to_embedding.weight", (width, None))
    (mlp_hidden,) = weights.dimensions("STEblocks.0.mlp.fc1.weight", (None, width))
    depth = weights.depth("STEblocks|TTEblocks")
    for stream in ("STEblocks", "TTEblocks"):
        for block in range(depth):
            weights.dimensions(f"{stream}.{block}.mlp.fc1.weight", (mlp_hidden, width))
    config = {"channels": channels, "width": width, "depth": depth, "mlp_hidden": mlp_hidden}
    if weights.has("stem."):
        (config["stem"],) = weights.dimensions("stem.leave_norm.weight", (None,))
        if weights.has("stem.known."):
            known = weights.dimensions("stem.known.weight", (config["stem"], None))
            (config["conditions"],) = known
    if weights.has("spread_head."):
        (config["spread"],) = weights.dimensions("spread_head.1.weight", (None, width))
    if live:
        (rows,) = weights.dimensions(AGE_WEIGHTS, (None, width))
        weights.require(rows % (2 * WAVES) == 0, f"{AGE_WEIGHTS!r} has {rows} rows")
        config["heads"] = rows // (2 * WAVES)
        return CheckpointShape(frames, joints, config, Variant.LIVE)
    return weights.with_hourglass(frames, joints, config)


class MixSTE(HourglassNetwork):
    """The network; its depth counts pairs of a spatial and a temporal block."""

    def __init__(self, spec: ModelSpec, *, mirrored_pairs: bool = False) -> None:
        super().__init__(spec, mirrored_pairs=mirrored_pairs)
        size, width, joints = spec.size, spec.size.width, spec.joints
        block = width, size.heads, size.mlp_hidden
        self.has_stem = size.stem > 0
        self.Spatial_patch_to_embedding = nn.Linear(size.channels, width)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, joints, width))
        self.STEblocks = nn.ModuleList(Block(*block) for _ in range(size.depth))
        self._build_temporal(spec)
        self.Spatial_norm = nn.LayerNorm(width, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))
        if self.has_stem:
            self.stem = FrameStem(
                joints,
                size.channels,
                width=width,
                hidden=size.stem,
                conditions=size.conditions,
            )
            self.guess_trust = nn.Linear(width, 1)
            nn.init.zeros_(self.guess_trust.weight)
            nn.init.constant_(self.guess_trust.bias, _UNTRAINED_TRUST)
        if size.spread:
            self.spread_head = nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, size.spread),
                nn.GELU(),
                nn.Linear(size.spread, 3),
            )
            self.spread_factor = nn.Parameter(torch.ones(3), requires_grad=False)

    def _build_temporal(self, spec: ModelSpec) -> None:
        """Build the blocks over frames, and what tells them of time."""
        size = spec.size
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, spec.frames, size.width))
        self.TTEblocks = nn.ModuleList(
            Block(size.width, size.heads, size.mlp_hidden) for _ in range(size.depth)
        )

    def forward(
        self, keypoints: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Lift keypoints to poses in meters; see :meth:`HourglassNetwork.forward`."""
        return self.lift(keypoints, index)[:2]

    def lift(
        self,
        keypoints: Tensor,
        index: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Lift keypoints to poses in meters; see :meth:`HourglassNetwork.lift`."""
        frames, joints = keypoints.shape[1:3]
        width = self.Spatial_pos_embed.shape[2]
        grid = Grid(frames, joints)
        tokens, guess = self._embedded(keypoints, conditions)
        kept: tuple[Tensor, ...] = ()
        attention = None
        for pair, (spatial, temporal) in enumerate(
            zip(self.STEblocks, self.TTEblocks, strict=True)
        ):
            if self.prunes_at(pair):
                whole = tokens.reshape(-1, *grid, width)
                pruned, kept = self.prune(whole, keypoints, kept, index, attention)
                tokens, grid = pruned.reshape(-1, width), Grid(pruned.shape[1], joints)
            tokens = self.Spatial_norm(spatial(tokens, grid, Axis.JOINTS))
            if pair == 0:
                timed = tokens.reshape(-1, *grid, width) + self.Temporal_pos_embed.unsqueeze(2)
                tokens = timed.reshape(-1, width)
            attention = partial(cast(Block, temporal).received_attention, tokens, grid)
            tokens = self.Temporal_norm(temporal(tokens, grid, Axis.FRAMES))
        if kept:
            recovered = self.recover(tokens.reshape(-1, *grid, width), kept)
            tokens, grid = recovered.reshape(-1, width), Grid(recovered.shape[1], joints)
        poses = cast(Tensor, self.head(tokens)).reshape(-1, *grid, 3)
        spread = self._spread(tokens).reshape(-1, *grid, 3) if self.spec.size.spread else None
        if guess is not None:
            if grid.frames < frames:
                guess = take_frames(guess, kept[-1])
            elif kept:
                guess = self._smooth_guess(guess, kept, tokens)
            poses = poses + guess
        return poses, chosen_frames(kept), spread

    def _embedded(
        self, keypoints: Tensor, conditions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return each frame's tokens, (batch · frames · joints, width), and the stem's guess."""
        joints, channels = keypoints.shape[2:]
        width = self.Spatial_pos_embed.shape[2]
        tokens = cast(Tensor, self.Spatial_patch_to_embedding(keypoints.reshape(-1, channels)))
        tokens = (tokens.reshape(-1, joints, width) + self.Spatial_pos_embed).reshape(-1, width)
        if not self.has_stem:
            return tokens, None
        stem_tokens, guess = self.stem(keypoints, conditions)
        return tokens + stem_tokens, guess

    def _spread(self, tokens: Tensor) -> Tensor:
        """Return half the width of the interval that holds 68 % of errors, (tokens, 3), meters."""
        # The poses must not become worse for a better spread.
        log = cast(Tensor, self.spread_head(tokens.detach())).clamp(*_LOG_SPREAD)
        return log.exp() * self.spread_factor

    def _smooth_guess(self, guess: Tensor, kept: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """Draw the stem's guess in dropped frames towards that of the kept frames around them.

        The guess carries each frame's noise, which the blocks remove from kept frames only. The
        more it jitters, the lower its weight; the recovered tokens set the jitter of weight 0.5.
        """
        smooth = cast(Tensor, self.interpolation(take_frames(guess, kept[-1]), kept[-1]))
        bends = guess[:, 2:] - 2.0 * guess[:, 1:-1] + guess[:, :-2]
        jitter = bends.abs().mean(dim=(1, 3)).unsqueeze(1).unsqueeze(3)
        trust = cast(Tensor, self.guess_trust(tokens)).reshape(-1, *guess.shape[1:3], 1)
        return smooth + (guess - smooth) / (1.0 + jitter * (-trust).exp())


build = MixSTE


class FrameStem(nn.Module):
    """Residual layers over a frame's keypoints, giving each joint a token.

    Args:
        joints: Joints of the skeleton.
        channels: Channels of a keypoint: 2, or 3 with its confidence.
        width: Channels of a token.
        hidden: Channels of the residual layers.
        conditions: Values that say what is known of a frame's camera, if any; all 0 if nothing is.
    """

    def __init__(
        self, joints: int, channels: int, *, width: int, hidden: int, conditions: int = 0
    ) -> None:
        super().__init__()
        self.joints = joints
        self.enter = nn.Linear(joints * channels + 3, hidden)
        if conditions:
            # Without a bias and from 0 on, so that a stem without conditions can be trained on.
            self.known = nn.Linear(conditions, hidden, bias=False)
            nn.init.zeros_(self.known.weight)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(_STEM_LAYERS))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(_STEM_LAYERS))
        self.leave_norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, joints * _STEM_CHANNELS)
        self.to_tokens = nn.Linear(_STEM_CHANNELS, width)
        self.guess = nn.Linear(_STEM_CHANNELS, 3)

    def forward(self, keypoints: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Lift each frame by itself.

        Args:
            keypoints: Normalized, (batch, frames, joints, channels).
            conditions: What is known of the camera, (batch, frames, conditions); None for nothing.

        Returns:
            Tokens, (batch · frames · joints, width), and a first guess of the poses in meters,
            (batch, frames, joints, 3).
        """
        features = self._joint_features(keypoints, conditions)
        guess = cast(Tensor, self.guess(features))
        tokens = cast(Tensor, self.to_tokens(features))
        return tokens, guess.reshape(-1, keypoints.shape[1], self.joints, 3)

    def _joint_features(self, keypoints: Tensor, conditions: Tensor | None) -> Tensor:
        points = keypoints[..., :2].reshape(-1, self.joints, 2)
        center = points.mean(dim=1)
        offsets = points - center.unsqueeze(1)
        square = offsets.square().sum(dim=2).mean(dim=1, keepdim=True)
        spread = square.clamp(min=_SMALLEST_SPREAD).sqrt()
        scaled = (offsets / spread.unsqueeze(2)).reshape(-1, 2 * self.joints)
        features = [scaled, center, spread]
        if keypoints.shape[3] > 2:
            features.append(keypoints[..., 2].reshape(-1, self.joints))
        state = cast(Tensor, self.enter(torch.cat(features, dim=1)))
        if conditions is not None:
            state = state + self.known(conditions.reshape(-1, conditions.shape[2]))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            state = state + layer(nn.functional.gelu(norm(state)))
        left = cast(Tensor, self.leave(nn.functional.gelu(self.leave_norm(state))))
        return left.reshape(-1, _STEM_CHANNELS)
