"""The sizes of a MixSTE network, read off the shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hot_sdk.errors import CheckpointError
from hot_sdk.export.models.checkpoint_shape import CheckpointShape
from hot_sdk.export.options import Variant

_HOURGLASS_KEYS = (
    "pos_embed_token",
    "x_token",
    *(
        f"cross_attention.{layer}.{kind}"
        for layer in ("linear_q", "linear_k", "linear_v", "proj")
        for kind in ("weight", "bias")
    ),
)
_BLOCK = re.compile(r"(STEblocks|TTEblocks)\.(\d{1,4})\.")


def infer_shape(shapes: Mapping[str, tuple[int, ...]]) -> CheckpointShape:
    """Read the sizes off a state-dict's shapes.

    Args:
        shapes: Shape of each tensor by its key, without ``module.``.

    Raises:
        CheckpointError: A key of MixSTE is missing, or its shape contradicts another's.
    """
    joints, width = _dimensions(shapes, "Spatial_pos_embed", (1, None, None))
    (frames,) = _dimensions(shapes, "Temporal_pos_embed", (1, None, width))
    (channels,) = _dimensions(shapes, "Spatial_patch_to_embedding.weight", (width, None))
    (mlp_hidden,) = _dimensions(shapes, "STEblocks.0.mlp.fc1.weight", (None, width))
    depth = _depth(shapes)
    for stream in ("STEblocks", "TTEblocks"):
        for block in range(depth):
            _dimensions(shapes, f"{stream}.{block}.mlp.fc1.weight", (mlp_hidden, width))

    variant, tokens, elastic = Variant.PLAIN, None, False
    if any(key in shapes for key in _HOURGLASS_KEYS):
        variant = Variant.HOT
        for key in _HOURGLASS_KEYS:
            _require_key(shapes, key)
        (embedded,) = _dimensions(shapes, "pos_embed_token", (1, None, width))
        # An embedding for each frame of the window is one of time; of ranks there are fewer.
        elastic = embedded == frames
        tokens = None if elastic else embedded
        _dimensions(shapes, "x_token", (1, frames, width))
    config = {"channels": channels, "width": width, "depth": depth, "mlp_hidden": mlp_hidden}
    if any(key.startswith("stem.") for key in shapes):
        (config["stem"],) = _dimensions(shapes, "stem.leave_norm.weight", (None,))
    return CheckpointShape(frames, joints, config, variant, tokens, elastic)


def _depth(shapes: Mapping[str, tuple[int, ...]]) -> int:
    blocks = (_BLOCK.match(key) for key in shapes)
    return 1 + max((int(block[2]) for block in blocks if block), default=0)


def _require_key(shapes: Mapping[str, tuple[int, ...]], key: str) -> tuple[int, ...]:
    if key not in shapes:
        raise CheckpointError(
            f"The checkpoint is not one of MixSTE: it has no {key!r}.",
            hint="Name the model that the checkpoint was trained as.",
        )
    return tuple(shapes[key])


def _dimensions(
    shapes: Mapping[str, tuple[int, ...]], key: str, pattern: tuple[int | None, ...]
) -> tuple[int, ...]:
    """The sizes of one tensor where the pattern has None; it must match elsewhere."""
    shape = _require_key(shapes, key)
    if len(shape) != len(pattern) or any(
        size < 1 or expected not in (None, size)
        for size, expected in zip(shape, pattern, strict=True)
    ):
        expected_shape = ", ".join("any" if size is None else str(size) for size in pattern)
        raise CheckpointError(
            f"The checkpoint is not one of MixSTE: {key!r} is {shape}, not ({expected_shape}).",
            hint="Name the model that the checkpoint was trained as.",
        )
    return tuple(size for size, expected in zip(shape, pattern, strict=True) if expected is None)
