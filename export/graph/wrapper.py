"""The function that is exported: a network with its input and output conventions, and mirroring."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hot_sdk.export.models import ModelSpec, build
from hot_sdk.export.models.hourglass import HourglassNetwork
from hot_sdk.export.models.layers.memory_attention import Remembered
from hot_sdk.export.models.live_mixste import LiveMixSTE, StepState
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, TOKEN_INDEX
from hot_sdk.step_graph import AGES, DELAYED_GUESS, DELAYED_TOKENS, KEYS, VALUES, Shapes


class Lifter(nn.Module):
    """Map keypoints to poses, with the kept frames if any are pruned, and the spread if predicted.

    Args:
        network: The network.
        subtracted: Index of the root, if its prediction is to be subtracted from all joints; None
            if the network predicts them relative to it.
        scale: Factor from the network's unit to that of the output.
    """

    def __init__(
        self, network: HourglassNetwork, subtracted: int | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.network = network
        self.subtracted, self.scale = subtracted, scale

    def forward(
        self,
        keypoints_2d: Tensor,
        index: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Lift windows of keypoints.

        Args:
            keypoints_2d: Normalized, (batch, frames, joints, 2 or 3).
            index: Frames to keep instead of the selector's choice, in the shape returned.
            conditions: What is known of camera and person, (batch, frames, conditions); None if
                nothing is, and for a network that takes none.

        Returns:
            What :func:`output_names` names: poses, (batch, frames, joints, 3); the kept frames,
            (batch, tokens) int64; the poses' spread, of their shape.
        """
        poses, kept, spread = self.network.lift(keypoints_2d, index, conditions)
        outputs = [_finished(poses, self.subtracted, self.scale)]
        if kept is not None:
            outputs.append(_repeat_over_batch(kept, keypoints_2d))
        if spread is not None:
            outputs.append(_scaled(spread, self.scale))
        return tuple(outputs)


class MirrorAveragedLifter(nn.Module):
    """Average the poses of a window and of its mirror image, in one batch of pairs.

    The mirror image swaps left and right joints; the published evaluations average this way
    (Pavllo et al., CVPR 2019). Window and mirror image are neighbors in the batch, so that no
    operator depends on the batch size. What is known of camera and person is the same in a mirror,
    and a spread has no sign.

    Args:
        network: The network.
        mirror: Index of each joint's mirror image.
        channels: Channels of a keypoint.
        subtracted: See :class:`Lifter`.
        scale: See there.
    """

    mirror: Tensor
    input_sign: Tensor
    output_sign: Tensor

    def __init__(
        self,
        network: HourglassNetwork,
        mirror: tuple[int, ...],
        channels: int,
        subtracted: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.subtracted, self.scale = subtracted, scale
        self.register_buffer("mirror", torch.tensor(mirror), persistent=False)
        signs = torch.tensor([-1.0, 1.0, 1.0])
        self.register_buffer("input_sign", signs[:channels].clone(), persistent=False)
        self.register_buffer("output_sign", signs, persistent=False)

    def forward(
        self,
        keypoints_2d: Tensor,
        index: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Lift as :class:`Lifter` does, but with two choices of frames, (batch, 2, tokens)."""
        mirrored = keypoints_2d.index_select(2, self.mirror) * self.input_sign
        pairs = torch.stack([keypoints_2d, mirrored], dim=1)
        pairs = pairs.reshape(-1, *keypoints_2d.shape[1:])
        if index is not None:
            index = index.reshape(-1, index.shape[-1])
        if conditions is not None:
            both = torch.stack([conditions, conditions], dim=1)
            conditions = both.reshape(-1, *conditions.shape[1:])
        poses, kept, spread = self.network.lift(pairs, index, conditions)
        poses = poses.reshape(-1, 2, *poses.shape[1:])
        direct, back = poses[:, 0], poses[:, 1].index_select(2, self.mirror) * self.output_sign
        outputs = [_finished((direct + back) * 0.5, self.subtracted, self.scale)]
        if kept is not None:
            rows = _repeat_over_batch(kept, pairs)
            outputs.append(rows.reshape(-1, 2, kept.shape[-1]))
        if spread is not None:
            spread = spread.reshape(-1, 2, *spread.shape[1:])
            spread = (spread[:, 0] + spread[:, 1].index_select(2, self.mirror)) * 0.5
            outputs.append(_scaled(spread, self.scale))
        return tuple(outputs)


class StepLifter(nn.Module):
    """Map a frame and what is remembered to the pose that it brings, and what is to be kept.

    Args:
        network: The live network.
        subtracted: See :class:`Lifter`.
        scale: See there.
    """

    def __init__(
        self, network: LiveMixSTE, subtracted: int | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        assert network.spec.live is not None
        self.network = network
        self.lookahead = network.spec.live.lookahead
        self.inputs = tuple(input_shapes(network.spec))
        self.subtracted, self.scale = subtracted, scale

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take one frame of several people.

        Args:
            *tensors: In the order of ``inputs``; see :mod:`hot_sdk.step_graph`.

        Returns:
            What :func:`output_names` names.
        """
        given = dict(zip(self.inputs, tensors, strict=True))
        layers = range(len(self.network.TTEblocks))
        memories = tuple(
            Remembered(given[KEYS.format(layer)], given[VALUES.format(layer)]) for layer in layers
        )
        delayed = given.get(DELAYED_TOKENS), given.get(DELAYED_GUESS)
        state = StepState(given[AGES], memories, *delayed)
        step = self.network.step(given[KEYPOINTS], state, given.get(CONDITIONS), self.lookahead)
        outputs = [_finished(step.poses, self.subtracted, self.scale)]
        if step.spread is not None:
            outputs.append(_scaled(step.spread, self.scale))
        for fresh in ("keys", "values"):
            parts = [getattr(memory, fresh) for memory in step.memories]
            rows, head_width = parts[0].shape[1], parts[0].shape[2] * parts[0].shape[3]
            outputs.append(torch.cat([p.reshape(-1, 1, rows, head_width) for p in parts], dim=1))
        return tuple(outputs) + tuple(
            kept for kept in (step.tokens, step.guess) if kept is not None
        )


def lift_arrays(
    lifter: nn.Module, arrays: Mapping[str, NDArray[np.float32]], index: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Run a function to export on the arrays of a file's inputs."""
    if isinstance(lifter, StepLifter):
        kept: tuple[Tensor, ...] = lifter(
            *(torch.from_numpy(arrays[name]) for name in lifter.inputs)
        )
        return kept
    known = arrays.get(CONDITIONS)
    conditions = None if known is None else torch.from_numpy(known)
    outputs: tuple[Tensor, ...] = lifter(torch.from_numpy(arrays[KEYPOINTS]), index, conditions)
    return outputs


def input_shapes(spec: ModelSpec) -> Shapes:
    """Return the shapes of what the function to export takes, without the batch, in its order."""
    shapes: Shapes = {KEYPOINTS: (spec.frames, spec.joints, spec.size.channels)}
    if spec.size.conditions:
        shapes[CONDITIONS] = (spec.frames, spec.size.conditions)
    return shapes if spec.step is None else {**shapes, **spec.step.states(spec.joints)}


def output_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of what the function to export returns, in its order."""
    kept = () if spec.tokens is None else (TOKEN_INDEX,)
    of_step = () if spec.step is None else tuple(spec.step.updates(spec.joints))
    return (POSES, *kept, *((SPREAD,) if spec.size.spread else ()), *of_step)


def _finished(poses: Tensor, root: int | None, scale: float) -> Tensor:
    """Subtract the root's prediction, which may be larger than the body, and convert the unit."""
    if root is not None:
        poses = poses - poses[:, :, root : root + 1]
    return _scaled(poses, scale)


def _scaled(values: Tensor, scale: float) -> Tensor:
    return values if scale == 1.0 else values * scale


def _repeat_over_batch(kept: Tensor, keypoints: Tensor) -> Tensor:
    if kept.shape[0] == 1:
        # Repeats a constant choice over the batch without asking for its size: no magnitude is
        # below 0, not even NaN's. Also for one window, since engines reject an output that no node
        # computes.
        return kept + (keypoints[:, 0, 0, :1].abs() < 0.0).to(kept.dtype)
    return kept


def build_lifter(spec: ModelSpec, state: dict[str, Tensor], *, flip: bool) -> nn.Module:
    """Build the function to export, with its weights, as it runs in PyTorch.

    Args:
        spec: The architecture.
        state: A state-dict that fits it exactly.
        flip: Average with the mirror image.
    """
    network = build(spec, mirrored_pairs=flip)
    network.load_state_dict(state, strict=True)
    network.requires_grad_(False)
    skeleton = spec.skeleton
    subtracted = None if spec.root_relative else skeleton.parents.index(-1)
    scale = 1e-3 if spec.millimeters else 1.0
    if isinstance(network, LiveMixSTE):
        return StepLifter(network, subtracted, scale).eval()
    if not flip:
        return Lifter(network, subtracted, scale).eval()
    mirror, channels = skeleton.mirror, spec.size.channels
    return MirrorAveragedLifter(network, mirror, channels, subtracted, scale).eval()


def fold_constants(lifter: nn.Module) -> nn.Module:
    """Return a copy with everything precomputed that does not depend on the input."""
    duplicate = copy.deepcopy(lifter)
    for module in duplicate.modules():
        if isinstance(module, HourglassNetwork):
            module.fold_constants()
    return duplicate
