"""From what a user asked for to one complete, consistent description of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from hot_sdk.errors import UsageError
from hot_sdk.export.models.registry import Family, NetworkSize, family
from hot_sdk.export.options import RecoveryKind, SelectorKind, Variant
from hot_sdk.suggest import closest

_LARGEST = {
    "channels": 3,
    "width": 4096,
    "depth": 64,
    "heads": 64,
    "mlp_hidden": 16384,
    "stem": 4096,
}
_MAY_BE_ABSENT = ("stem",)
_MOST_FRAMES = 4096


@dataclass(frozen=True)
class ModelSpec:
    """Everything that fixes a network's architecture.

    Attributes:
        family: Name of the family.
        variant: Plain, or with frames pruned.
        frames: Frames of a window.
        size: Size of the network.
        tokens: Frames kept; None for the plain variant, as are the three below.
        prune_at: Block before which frames are pruned, counted from 0.
        selector: How frames are chosen.
        recovery: How frames come back; None also for the ``tpc`` variant.
        elastic: The recovery is trained for any number of kept frames; see ``HourglassSpec``.
    """

    family: str
    variant: Variant
    frames: int
    size: NetworkSize
    tokens: int | None = None
    prune_at: int | None = None
    selector: SelectorKind | None = None
    recovery: RecoveryKind | None = None
    elastic: bool = False

    @property
    def joints(self) -> int:
        """Joints of input and output."""
        return len(family(self.family).skeleton.joints)

    @property
    def ratio(self) -> float:
        """Frames kept over frames."""
        return 1.0 if self.tokens is None else self.tokens / self.frames

    @property
    def output_frames(self) -> int:
        """Frames of the output: all of them, or the kept ones where none is recovered."""
        return self.tokens if self.variant is Variant.TPC and self.tokens else self.frames

    def plain(self) -> ModelSpec:
        """The same network without pruning."""
        return replace(
            self,
            variant=Variant.PLAIN,
            tokens=None,
            prune_at=None,
            selector=None,
            recovery=None,
            elastic=False,
        )


def tokens_for_ratio(ratio: float, frames: int) -> int:
    """Frames kept at a ratio: half rounded up, at least 2."""
    return max(2, math.floor(ratio * frames + 0.5))


def resolve(
    name: str,
    *,
    frames: int | None = None,
    ratio: float | None = None,
    tokens: int | None = None,
    prune_at: int | None = None,
    variant: Variant | str | None = None,
    selector: SelectorKind | str | None = None,
    recovery: RecoveryKind | str | None = None,
    elastic: bool = False,
    **config: int,
) -> ModelSpec:
    """Complete a request with the family's published values and check that it holds together.

    Args:
        name: Family.
        frames: Frames of a window.
        ratio: Frames kept over frames, above 0 and at most 1; 1 is the plain network.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0; at least 1.
        variant: ``plain``, ``hot`` or ``tpc``; None is ``plain``, or ``hot`` where fewer tokens
            than frames are asked for. With every frame kept, each of them is ``plain``.
        selector: How frames are chosen; None is ``tpc``.
        recovery: How frames come back; None is ``tra``.
        elastic: Where frames come back by ``tra``, it is one that serves any number of tokens.
        **config: ``channels``, ``width``, ``depth``, ``heads``, ``mlp_hidden``, ``stem``.

    Raises:
        UsageError: A value is unknown or out of range, or two contradict each other.
    """
    entry = family(name)
    frames = entry.frames if frames is None else frames
    _require(
        2 <= frames <= _MOST_FRAMES,
        f"frames is {frames}, which is outside 2 to {_MOST_FRAMES}.",
        f"{entry.title} was published with {entry.frames}.",
    )
    plain = ModelSpec(entry.name, Variant.PLAIN, frames, _size(entry, config))
    check_choices(ratio, tokens, variant, selector, recovery)
    chosen = None if variant is None else Variant(variant)
    kept = _kept(frames, ratio, tokens)
    if chosen is None:
        prunes = kept is not None and kept < frames
        chosen = Variant.HOT if prunes else Variant.PLAIN
    published = entry.pruning.get(chosen)
    if kept is None and published is not None:
        kept = tokens_for_ratio(published.tokens / entry.frames, frames)
    if chosen is Variant.PLAIN or kept == frames:
        _require(
            kept is None or kept == frames,
            f"The variant 'plain' keeps every frame, but {kept} of {frames} were asked for.",
            "Ask for the variant 'hot' or 'tpc', or drop the ratio.",
        )
        asked = {"prune_at": prune_at, "selector": selector, "recovery": recovery}
        for option, value in asked.items():
            _require(
                value is None,
                f"{option} was given, but a network that keeps every frame prunes nothing.",
                "Ask for a ratio below 1 or the variant 'hot' or 'tpc', or drop it.",
            )
        return plain
    if published is None:
        raise UsageError(
            f"{entry.title} has no variant '{chosen.value}'.",
            hint=f"It has: plain{''.join(', ' + known.value for known in entry.pruning)}.",
        )
    at = published.prune_at if prune_at is None else prune_at
    _require(
        prune_at is not None or at < plain.size.depth,
        f"Pruning is published before block {at}, but this network has {plain.size.depth} blocks, "
        "counted from 0.",
        "Say where to prune, with --prune-at or prune_at.",
    )
    _require(
        1 <= at < plain.size.depth,
        f"prune_at is {at}, which is outside 1 to {plain.size.depth - 1}.",
        f"Frames are pruned before a block; there are {plain.size.depth}, counted from 0, and the "
        "first must see every frame.",
    )
    recovering = None
    if chosen is not Variant.TPC:
        recovering = RecoveryKind.TRA if recovery is None else RecoveryKind(recovery)
    return replace(
        plain,
        variant=chosen,
        tokens=kept,
        prune_at=at,
        selector=SelectorKind.TPC if selector is None else SelectorKind(selector),
        recovery=recovering,
        elastic=elastic and recovering is RecoveryKind.TRA,
    )


def check_choices(
    ratio: float | None,
    tokens: int | None,
    variant: Variant | str | None,
    selector: SelectorKind | str | None,
    recovery: RecoveryKind | str | None,
) -> None:
    """Check what can be checked of a request without knowing the number of frames.

    Raises:
        UsageError: A name is unknown, the ratio is out of range, or two values contradict.
    """
    _require(
        ratio is None or tokens is None,
        f"Both a ratio ({ratio}) and a number of tokens ({tokens}) were given.",
        "Give one of them.",
    )
    _require(
        ratio is None or 0.0 < ratio <= 1.0,
        f"ratio is {ratio}, which is outside 0 to 1 (0 excluded).",
        "It is the share of frames that is kept: 0.5 keeps every second one.",
    )
    _require_choice(Variant, variant, "variant")
    _require_choice(SelectorKind, selector, "selector")
    _require_choice(RecoveryKind, recovery, "recovery")
    _require(
        variant != Variant.TPC or recovery is None,
        "The variant 'tpc' recovers no frames, but a recovery was asked for.",
        "Drop the recovery, or ask for the variant 'hot'.",
    )


def _kept(frames: int, ratio: float | None, tokens: int | None) -> int | None:
    if ratio is not None:
        return min(frames, tokens_for_ratio(ratio, frames))
    if tokens is not None:
        _require(
            2 <= tokens <= frames,
            f"tokens is {tokens}, which is outside 2 to {frames}, the number of frames.",
            "It is the number of frames that are kept.",
        )
    return tokens


def _size(entry: Family, config: Mapping[str, int]) -> NetworkSize:
    for key, value in config.items():
        _require(
            key in _LARGEST,
            f"'{key}' is no setting of {entry.title}.",
            closest(key, list(_LARGEST)),
        )
        least = 0 if key in _MAY_BE_ABSENT else 1
        _require(
            least <= value <= _LARGEST[key],
            f"{key} is {value}, which is outside {least} to {_LARGEST[key]}.",
            f"{entry.title} was published with {getattr(entry.size, key)}.",
        )
    size = replace(entry.size, **config)
    _require(
        size.channels in (2, 3),
        f"channels is {size.channels}; a keypoint has 2 (x, y) or 3 with its confidence.",
        f"{entry.title} was published with {entry.size.channels}.",
    )
    _require(
        size.width % size.heads == 0,
        f"width {size.width} cannot be divided among {size.heads} heads.",
        "Choose a width that is a multiple of heads.",
    )
    return size


def _require(holds: bool, message: str, hint: str) -> None:
    if not holds:
        raise UsageError(message, hint=hint)


def _require_choice(kind: type[Enum], value: Enum | str | None, what: str) -> None:
    known = [str(member.value) for member in kind]
    if value is not None and value not in known:
        raise UsageError(f"There is no {what} '{value}'.", hint=closest(str(value), known))
