"""From what a user asked for to one complete, consistent description of a network.

Where frames are pruned: one stage as in HoT, or several, each keeping fewer frames.

Pruning little by little after Li et al., "H2OT: Hierarchical Hourglass Tokenizer for Efficient
Video Pose Transformers", TPAMI 2025.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import TypeAlias, TypeVar

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models.families import Family, NetworkSize, PublishedSize
from hot_sdk.export.models.registry import family
from hot_sdk.manifest import PruningStage

T = TypeVar("T")
OneOrMore: TypeAlias = T | Sequence[T]
"""A value for the one stage, or one for each of several."""
Selectors: TypeAlias = SelectorKind | str | Sequence[SelectorKind | str]
"""The same of selectors; a name is a sequence of letters, so that it takes a type of its own."""


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
        PruningStage(block, tokens, SelectorKind(chosen).value)
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


_LARGEST = {
    "channels": 3,
    "width": 4096,
    "depth": 64,
    "heads": 64,
    "mlp_hidden": 16384,
    "stem": 4096,
    "representation": 4096,
    "neighbours": 64,
    "coefficients": 256,
    "refine": 1,
}
_MAY_BE_ABSENT = ("stem", "refine")
_MOST_FRAMES = 4096


@dataclass(frozen=True)
class ModelSpec:
    """Everything that fixes a network's architecture.

    Attributes:
        family: Name of the family.
        variant: Plain, or with frames pruned.
        frames: Frames of a window.
        size: Size of the network.
        stages: Where frames are pruned; empty for the plain variant.
        recovery: How frames come back; None for the plain and the ``tpc`` variant.
        elastic: The recovery is trained for any number of kept frames; see ``HourglassSpec``.
    """

    family: str
    variant: Variant
    frames: int
    size: NetworkSize
    stages: tuple[PruningStage, ...] = ()
    recovery: RecoveryKind | None = None
    elastic: bool = False

    @property
    def joints(self) -> int:
        """Joints of input and output."""
        return len(family(self.family).skeleton.joints)

    @property
    def frame_tokens(self) -> int:
        """Tokens of a frame: one for each joint, unless the family has others."""
        return family(self.family).hypotheses or self.joints

    @property
    def tokens(self) -> int | None:
        """Frames that the last stage keeps; None for the plain variant."""
        return self.stages[-1].tokens if self.stages else None

    @property
    def ratio(self) -> float:
        """Frames kept over frames."""
        return 1.0 if self.tokens is None else self.tokens / self.frames

    @property
    def output_frames(self) -> int:
        """Frames of the output: all, or the kept or the middle ones where it gives no more."""
        if self.variant is Variant.TPC and self.tokens:
            return self.tokens
        return self.size.coefficients or self.frames

    def plain(self) -> ModelSpec:
        """The same network without pruning."""
        return replace(self, variant=Variant.PLAIN, stages=(), recovery=None, elastic=False)


def resolve(
    name: str,
    *,
    size: str | None = None,
    frames: int | None = None,
    ratio: OneOrMore[float] | None = None,
    tokens: OneOrMore[int] | None = None,
    prune_at: OneOrMore[int] | None = None,
    variant: Variant | str | None = None,
    selector: Selectors | None = None,
    recovery: RecoveryKind | str | None = None,
    elastic: bool = False,
    **config: int,
) -> ModelSpec:
    """Complete a request with the family's published values and check that it holds together.

    Args:
        name: Family.
        size: One of the family's published sizes; None is the first of them.
        frames: Frames of a window.
        ratio: Frames kept over frames, above 0 and at most 1; 1 is the plain network. Here, and in
            the three below, one value for each stage where frames are pruned in several.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0; at least 1.
        variant: ``plain``, ``hot`` or ``tpc``; None is ``plain``, or ``hot`` where fewer tokens
            than frames are asked for. With every frame kept, each of them is ``plain``.
        selector: How frames are chosen; None is ``tpc``.
        recovery: How frames come back; None is ``tra``.
        elastic: Where frames come back by ``tra``, it is one that serves any number of tokens.
        **config: Settings of the network, fields of ``NetworkSize``.

    Raises:
        UsageError: A value is unknown or out of range, or two contradict each other.
    """
    entry = family(name)
    published = published_size(entry, size)
    frames = _frames(entry, published, frames)
    plain = ModelSpec(entry.name, Variant.PLAIN, frames, _size(entry, published.size, config))
    _check_middle(entry, plain)
    check_choices(ratio, tokens, variant, selector, recovery)
    chosen = None if variant is None else Variant(variant)
    if entry.single_frame:
        _refuse_pruning(entry, chosen, ratio, tokens, prune_at)
        return plain
    kept = kept_frames(frames, ratio, tokens)
    if chosen is None:
        chosen = Variant.HOT if kept and kept[-1] < frames else Variant.PLAIN
    pruning = entry.pruning.get(chosen)
    if not kept and pruning is not None:
        kept = (tokens_for_ratio(pruning.tokens / entry.frames, frames),)
    if chosen is Variant.PLAIN or kept == (frames,):
        require(
            not kept or kept == (frames,),
            f"The variant 'plain' keeps every frame, but {kept[-1] if kept else 0} of {frames} were"
            " asked for.",
            "Ask for the variant 'hot' or 'tpc', or drop the ratio.",
        )
        asked = {"prune_at": prune_at, "selector": selector, "recovery": recovery}
        for option, value in asked.items():
            require(
                value is None,
                f"{option} was given, but a network that keeps every frame prunes nothing.",
                "Ask for a ratio below 1 or the variant 'hot' or 'tpc', or drop it.",
            )
        return plain
    if pruning is None:
        why = f": {entry.unprunable}" if entry.unprunable else ""
        raise UsageError(
            f"{entry.title} has no variant '{chosen.value}'{why}.",
            hint=f"It has: plain{''.join(', ' + known.value for known in entry.pruning)}.",
        )
    at = as_tuple(prune_at)
    require(
        bool(at) or pruning.prune_at < plain.size.depth,
        f"Pruning is published before block {pruning.prune_at}, but this network has "
        f"{plain.size.depth} blocks, counted from 0.",
        "Say where to prune, with --prune-at or prune_at.",
    )
    stages = pruning_stages(kept, at or (pruning.prune_at,), selector, plain.size.depth)
    recovering = None
    if chosen is not Variant.TPC:
        recovering = RecoveryKind.TRA if recovery is None else RecoveryKind(recovery)
    return replace(
        plain,
        variant=chosen,
        stages=stages,
        recovery=recovering,
        elastic=elastic and recovering is RecoveryKind.TRA,
    )


def published_size(entry: Family, name: str | None) -> PublishedSize:
    """One of a family's published sizes; the first where no name is given.

    Raises:
        UsageError: The family has none of that name.
    """
    if name is None:
        return next(iter(entry.sizes.values()))
    if name not in entry.sizes:
        raise UsageError(
            f"{entry.title} has no size '{name}'.", hint=closest(name, list(entry.sizes))
        )
    return entry.sizes[name]


def check_choices(
    ratio: OneOrMore[float] | None,
    tokens: OneOrMore[int] | None,
    variant: Variant | str | None,
    selector: Selectors | None,
    recovery: RecoveryKind | str | None,
) -> None:
    """Check what can be checked of a request without knowing the number of frames.

    Raises:
        UsageError: A name is unknown, the ratio is out of range, or two values contradict.
    """
    require(
        ratio is None or tokens is None,
        f"Both a ratio ({ratio}) and a number of tokens ({tokens}) were given.",
        "Give one of them.",
    )
    check_ratio(ratio)
    require_choice(Variant, variant, "variant")
    for each in selectors_of(selector):
        require_choice(SelectorKind, each, "selector")
    require_choice(RecoveryKind, recovery, "recovery")
    require(
        variant != Variant.TPC or recovery is None,
        "The variant 'tpc' recovers no frames, but a recovery was asked for.",
        "Drop the recovery, or ask for the variant 'hot'.",
    )


def _frames(entry: Family, published: PublishedSize, frames: int | None) -> int:
    frames = published.frames if frames is None else frames
    if entry.single_frame:
        require(
            frames == 1,
            f"frames is {frames}, but {entry.title} lifts each frame by itself.",
            "Drop the frames; several in one run are a batch.",
        )
        return frames
    require(
        2 <= frames <= _MOST_FRAMES,
        f"frames is {frames}, which is outside 2 to {_MOST_FRAMES}.",
        f"{entry.title} was published with {published.frames}.",
    )
    return frames


def _refuse_pruning(entry: Family, variant: Variant | None, *asked: object) -> None:
    wanted = variant in (Variant.HOT, Variant.TPC) or any(value is not None for value in asked)
    require(
        not wanted,
        f"{entry.title} lifts each frame by itself: there are no other frames whose tokens could "
        "be pruned.",
        "Drop the ratio, or choose a family that sees several frames: see hot-export --list.",
    )


def _size(entry: Family, published: NetworkSize, config: Mapping[str, int]) -> NetworkSize:
    for key, value in config.items():
        require(
            key in entry.settings,
            f"'{key}' is no setting of {entry.title}.",
            closest(key, list(entry.settings)),
        )
        least = 0 if key in _MAY_BE_ABSENT else 1
        require(
            least <= value <= _LARGEST[key],
            f"{key} is {value}, which is outside {least} to {_LARGEST[key]}.",
            f"{entry.title} was published with {getattr(published, key)}.",
        )
    size = replace(published, **config)
    require(
        size.channels in (2, 3),
        f"channels is {size.channels}; a keypoint has 2 (x, y) or 3 with its confidence.",
        f"{entry.title} was published with {published.channels}.",
    )
    step = entry.parts * size.heads
    parts = f"{entry.parts} parts with " if entry.parts > 1 else ""
    require(
        size.width % step == 0,
        f"width {size.width} cannot be divided among {parts}{size.heads} heads.",
        f"Choose a width that is a multiple of {step}.",
    )
    return size


def _check_middle(entry: Family, spec: ModelSpec) -> None:
    """Where poses of the middle frames come out, there have to be so many, and a middle one."""
    given = spec.output_frames
    require(
        given == spec.frames or (given < spec.frames and given % 2 == spec.frames % 2 == 1),
        f"coefficients is {given} and frames {spec.frames}; {entry.title} gives the poses of as "
        "many middle frames as it keeps coefficients.",
        "Both have to be odd, and coefficients no more than frames.",
    )
