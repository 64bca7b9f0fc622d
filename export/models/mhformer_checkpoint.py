"""The sizes of an MHFormer network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.shape_rules import ShapeRules

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
