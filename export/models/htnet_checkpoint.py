"""The sizes of an HTNet network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.shape_rules import ShapeRules
from hot_sdk.export.options import Variant


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes. Heads leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of HTNet is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("HTNet", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (channels,) = rules.dimensions("patch_embed.weight", (width, None))
    depth, mlp_hidden = mixer_sizes(rules, "Hiremixer", joints, width)
    rules.dimensions("fcn.weight", (3, width))
    refine = rules.has("refine.")
    if refine:
        rules.dimensions("refine.post_refine.0.weight", (None, 6 * joints))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "refine": int(refine),
    }
    return CheckpointShape(1, joints, config, Variant.PLAIN, None)


def mixer_sizes(rules: ShapeRules, name: str, nodes: int, width: int) -> tuple[int, int]:
    """Depth of a topology mixer and hidden channels of its MLPs.

    Raises:
        CheckpointError: A block is missing, or of another size than the others.
    """
    depth = rules.depth(rf"{name}\.blocks")
    (hidden,) = rules.dimensions(f"{name}.blocks.0.mlp.fc1.weight", (None, width))
    for block in range(depth):
        rules.dimensions(f"{name}.blocks.{block}.mlp.fc1.weight", (hidden, width))
        rules.dimensions(f"{name}.blocks.{block}.lgc.gcn1.adj2", (nodes, nodes))
    return depth, hidden
