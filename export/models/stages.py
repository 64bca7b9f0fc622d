"""Where frames are pruned: one stage as in HoT, or several, each keeping fewer frames.

Pruning little by little after Li et al., "H2OT: Hierarchical Hourglass Tokenizer for Efficient
Video Pose Transformers", TPAMI 2025.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TypeAlias, TypeVar

from hot_sdk.errors import UsageError
from hot_sdk.export.options import SelectorKind
from hot_sdk.suggest import closest

T = TypeVar("T")
OneOrMore: TypeAlias = T | Sequence[T]
"""A value for the one stage, or one for each of several."""
Selectors: TypeAlias = SelectorKind | str | Sequence[SelectorKind | str]
"""The same of selectors; a name is a sequence of letters, so that it takes a type of its own."""


@dataclass(frozen=True)
class PruningStage:
    """One choice of frames.

    Attributes:
        prune_at: Block before which it happens, counted from 0.
        tokens: Frames kept.
        selector: How they are chosen.
    """

    prune_at: int
    tokens: int
    selector: SelectorKind


def as_tuple(value: OneOrMore[T] | None) -> tuple[T, ...]:
    """One number, several or none, as a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) else (value,)


def selectors_of(value: Selectors | None) -> tuple[SelectorKind | str, ...]:
    """One selector's name, several or none, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def tokens_for_ratio(ratio: float, frames: int) -> int:
    """Frames kept at a ratio: half rounded up, at least 2."""
    return max(2, math.floor(ratio * frames + 0.5))


def kept_frames(
    frames: int, ratio: OneOrMore[float] | None, tokens: OneOrMore[int] | None
) -> tuple[int, ...]:
    """Frames that each stage keeps of a window; empty where nothing was asked for.

    Raises:
        UsageError: A number is out of range, or a stage keeps no fewer than the one before it.
    """
    asked = as_tuple(tokens)
    for count in asked:
        require(
            2 <= count <= frames,
            f"tokens is {count}, which is outside 2 to {frames}, the number of frames.",
            "It is the number of frames that are kept.",
        )
    kept = asked or tuple(min(frames, tokens_for_ratio(each, frames)) for each in as_tuple(ratio))
    for before, after in pairwise(kept):
        require(
            after < before,
            f"A stage of pruning keeps {after} frames and the one before it {before}.",
            "Each stage has to keep fewer than the one before it.",
        )
    return kept


def pruning_stages(
    kept: tuple[int, ...],
    prune_at: tuple[int, ...],
    selector: Selectors | None,
    depth: int,
) -> tuple[PruningStage, ...]:
    """Put the stages together.

    Args:
        kept: Frames that each keeps.
        prune_at: Block of each.
        selector: Of each, or one for all; None is ``tpc``.
        depth: Blocks of the network.

    Raises:
        UsageError: The numbers of values differ, or blocks are out of range or not ascending.
    """
    selectors = selectors_of(selector) or (SelectorKind.TPC,)
    if len(selectors) == 1:
        selectors = selectors * len(kept)
    for what, values in (("prune_at", prune_at), ("selector", selectors)):
        require(
            len(values) == len(kept),
            f"{len(kept)} stages keep frames, but {len(values)} values of {what} were given.",
            f"Give one value of {what} for each stage.",
        )
    for block in prune_at:
        require(
            1 <= block < depth,
            f"prune_at is {block}, which is outside 1 to {depth - 1}.",
            f"Frames are pruned before a block; there are {depth}, counted from 0, and the "
            "first must see every frame.",
        )
    require(
        list(prune_at) == sorted({*prune_at}),
        f"prune_at is {','.join(map(str, prune_at))}, which does not ascend.",
        "Name the blocks in the order in which they come.",
    )
    return tuple(
        PruningStage(block, tokens, SelectorKind(chosen))
        for block, tokens, chosen in zip(prune_at, kept, selectors, strict=True)
    )


def check_ratio(ratio: OneOrMore[float] | None) -> None:
    """Check shares of frames.

    Raises:
        UsageError: One is not above 0 and at most 1.
    """
    for share in as_tuple(ratio):
        require(
            0.0 < share <= 1.0,
            f"ratio is {share}, which is outside 0 to 1 (0 excluded).",
            "It is the share of frames that is kept: 0.5 keeps every second one.",
        )


def require(holds: bool, message: str, hint: str) -> None:
    """Raise a ``UsageError`` unless it holds."""
    if not holds:
        raise UsageError(message, hint=hint)


def require_choice(kind: type[Enum], value: Enum | str | None, what: str) -> None:
    """Raise a ``UsageError`` unless the value is one of the enum's, or None."""
    known = [str(member.value) for member in kind]
    if value is not None and value not in known:
        raise UsageError(f"There is no {what} '{value}'.", hint=closest(str(value), known))
