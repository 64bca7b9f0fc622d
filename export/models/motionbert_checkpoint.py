"""The sizes of a MotionBERT network, read off the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.models.shape_rules import ShapeRules
from hot_sdk.export.options import Variant

_TIMES = "temp_embed"


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MotionBERT is missing, or its shape contradicts another's.
    """
    rules = ShapeRules("MotionBERT", shapes)
    joints, width = rules.dimensions("pos_embed", (1, None, None))
    (frames,) = rules.dimensions(_TIMES, (1, None, 1, width))
    (channels,) = rules.dimensions("joints_embed.weight", (width, None))
    (mlp_hidden,) = rules.dimensions("blocks_st.0.mlp_s.fc1.weight", (None, width))
    (representation,) = rules.dimensions("pre_logits.fc.weight", (None, width))
    rules.dimensions("head.weight", (3, representation))
    depth = rules.depth("blocks_st|blocks_ts")
    for stream in ("blocks_st", "blocks_ts"):
        for block in range(depth):
            for mlp in ("mlp_s", "mlp_t"):
                rules.dimensions(f"{stream}.{block}.{mlp}.fc1.weight", (mlp_hidden, width))
    config = {
        "channels": channels,
        "width": width,
        "depth": depth,
        "mlp_hidden": mlp_hidden,
        "representation": representation,
    }
    found = rules.hourglass(frames, width)
    return CheckpointShape(
        frames,
        joints,
        config,
        found.variant,
        found.tokens,
        found.elastic,
        # The recovery has a query for each frame of the window; nothing else counts the frames.
        time_embedding=_TIMES if found.variant is Variant.PLAIN else None,
    )
