"""Which part of a network a node belongs to, by the module path in its name.

``hot-export`` names nodes ``module path/operation``. What stands outside of any module, and what
an engine made itself, belongs to what comes before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BLOCKS = ("embedding", "spatial", "temporal", "prune", "recover", "head")

# The first that fits counts, over the module paths of all families.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^selectors", "prune"),
    (r"^(cross_attention|interpolation|guess_trust)", "recover"),
    (r"^(head|regression|fc|fcn\w*|rep_logit|pre_logits)(\.|$)", "head"),
    (r"(^|\.)(\w*patch_(to_)?embed\w*|joints_embed|embedding_\d|stem)", "embedding"),
    # MotionBERT and MotionAGFormer hold both in one block.
    (r"^blocks_\w+\.\d+\.\w+_s(\.|$)|(att|graph)_spatial", "spatial"),
    (r"^blocks_\w+\.\d+\.\w+_t(\.|$)|(att|graph)_temporal", "temporal"),
    (r"^(STEblocks|Spatial_norm|Hiremixer|Transformer\.|Transformer_encoder|norm_\d)", "spatial"),
    (r"^(TTEblocks|Temporal_norm|tem_Transformer|Transformer_hypothesis)", "temporal"),
)


def block_of(name: str) -> str | None:
    """The part that a node's name tells; None where it tells none."""
    path, slash, _ = name.partition("/")
    if not slash:
        return None
    return next((block for pattern, block in _RULES if re.search(pattern, path)), None)


def blocks_of(names: Iterable[str]) -> list[str]:
    """The part of each node, in the order in which they run."""
    found: list[str] = []
    current = "embedding"
    for name in names:
        current = block_of(name) or current
        found.append(current)
    return found
