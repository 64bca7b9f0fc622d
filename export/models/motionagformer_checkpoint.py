"""The sizes of a MotionAGFormer network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.shape_rules import ShapeRules


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    The frames are those of the first layer's norm over time. Heads and neighbours leave no trace.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MotionAGFormer is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MotionAGFormer", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (channels,) = rules.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = rules.dimensions("layers.0.att_spatial.mlp.fc1.weight", (None, width))
    (representation,) = rules.dimensions("rep_logit.fc.weight", (None, width))
    rules.dimensions("head.weight", (3, representation))
    depth = rules.depth("layers")
    (frames,) = rules.dimensions(_norm(0), (None,))
    found = rules.hourglass(frames, width, bias=False)
    nodes = frames
    for layer in range(depth):
        rules.dimensions(f"layers.{layer}.att_spatial.mlp.fc1.weight", (mlp_hidden, width))
        (count,) = rules.dimensions(_norm(layer), (None,))
        # Norms of kept frames' ranks: of the first stage as many as it embeds, then ever fewer.
        pruned = count == found.tokens if nodes == frames else count < nodes
        if not (pruned and found.tokens):
            rules.dimensions(_norm(layer), (nodes,))
        nodes = count
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    return CheckpointShape(frames, joints, config, found.variant, found.tokens, found.elastic)


def _norm(layer: int) -> str:
    return f"layers.{layer}.graph_temporal.mixer.batch_norm.weight"
