"""The sizes of a NanoHTNet network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.errors import CheckpointError
from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.htnet_checkpoint import mixer_sizes
from hot_sdk.export.models.shape_rules import ShapeRules
from hot_sdk.export.options import Variant

JOINT_CHANNELS = 8
"""Channels of one joint in one frame that each part of the network gives."""


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes. Heads leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of NanoHTNet is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("NanoHTNet", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (coefficients,) = rules.dimensions("tem_pos_embed", (1, None, width))
    (of_frame,) = rules.dimensions("tem_patch_embed.weight", (width, None))
    channels = _quotient("tem_patch_embed.weight", of_frame, joints)
    (of_path,) = rules.dimensions("patch_embed.weight", (width, None))
    frames = _quotient("patch_embed.weight", of_path, channels)
    depth, mlp_hidden = mixer_sizes(rules, "Transformer", joints, width)
    over_time = mixer_sizes(rules, "tem_Transformer", coefficients, width)
    for setting, one, other in zip(
        ("blocks", "hidden channels"), (depth, mlp_hidden), over_time, strict=True
    ):
        _require(one == other, f"its two parts have {one} and {other} {setting}")
    rules.dimensions("fcn_spa.weight", (JOINT_CHANNELS * coefficients, width))
    rules.dimensions("fcn_tem.weight", (JOINT_CHANNELS * joints, width))
    rules.dimensions("fc.weight", (3, 2 * JOINT_CHANNELS))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "coefficients": coefficients,
    }
    return CheckpointShape(frames, joints, config, Variant.PLAIN, None)


def _quotient(key: str, size: int, of: int) -> int:
    _require(size % of == 0, f"{key!r} takes {size} channels, no multiple of {of}")
    return size // of


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise CheckpointError(
            f"The checkpoint is not one of NanoHTNet: {fault}.",
            hint="Name the model that the checkpoint was trained as.",
        )
