"""The sizes of a MixSTE network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.shape_rules import ShapeRules


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
