"""Resolve the options of a network into one complete, consistent specification.

Frames are pruned in one stage, as in HoT, or in several that keep fewer and fewer frames, after Li
et al., "H2OT: Hierarchical Hourglass Tokenizer for Efficient Video Pose Transformers", TPAMI 2025.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar

from hot_sdk._base.validation import closest
from hot_sdk.errors import UsageError
from hot_sdk.export.enums import RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models.families import Family, NetworkSize, PublishedSize
from hot_sdk.export.models.live_settings import (
    LiveSettings,
    check_live,
    check_reach,
    live_settings,
)
from hot_sdk.export.models.registry import family
from hot_sdk.manifest import CONDITION_NAMES, PruningStage
from hot_sdk.skeletons import H36M17, NETWORK_SKELETONS, Skeleton
from hot_sdk.step_graph import StepGraph
from hot_sdk.step_memory import StepMemory

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
OneOrMore: TypeAlias = T | Sequence[T]
"""A value for the only stage, or one for each of several."""
Selectors: TypeAlias = SelectorKind | str | Sequence[SelectorKind | str]
"""The same for selectors; a name is itself a sequence, so they need their own type."""

_LARGEST = {
    "channels": 3,
    "width": 4096,
    "depth": 64,
    "heads": 64,
    "mlp_hidden": 16384,
    "stem": 4096,
    "conditions": len(CONDITION_NAMES),
    "spread": 4096,
    "representation": 4096,
    "neighbors": 64,
    "coefficients": 256,
    "refine": 1,
}
_MAY_BE_ABSENT = ("stem", "conditions", "spread", "refine")
_MOST_FRAMES = 4096


class SizeOptions(TypedDict, total=False):
    """Settings that differ from a published size; see :class:`NetworkSize` for what they are."""

    channels: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    stem: int
    conditions: int
    spread: int
    representation: int
    neighbors: int
    coefficients: int
    refine: int


class ModelOptions(SizeOptions, total=False):
    """Options of a network. One that is missing or None has the family's published value.

    Of the settings of ``SizeOptions``, a family has those in ``Family.settings``. ``ratio``,
    ``tokens``, ``prune_at`` and ``selector`` are one value, or one for each stage of pruning.

    Attributes:
        size: Name of one of the family's published sizes.
        frames: Frames of a window.
        ratio: Frames kept over frames, above 0 and at most 1, rounded half up to a number of
            frames, at least 2. 1 is the plain network.
        tokens: Frames kept, instead of a ratio.
        prune_at: Block before which frames are pruned, counted from 0; at least 1.
        variant: ``plain``, ``hot`` (prune, then recover all frames), ``tpc`` (prune, keep the
            center frame, recover none) or ``live`` (take one frame at a time). The default is
            ``hot`` if fewer tokens than frames are requested, else ``plain``. If every frame is
            kept, each of the first three is ``plain``.
        selector: How frames are chosen: ``tpc`` (the default), ``uniform``, ``motion`` or
            ``attention``.
        recovery: How the other frames come back: ``tra`` (the default) or ``interpolate``.
        elastic: Make a recovery by ``tra`` that serves any number of tokens.
        lookahead: Frames that a pose of the variant ``live`` waits for.
        memory: Earlier frames that it remembers, as in ``48`` or ``16+12x5``.
    """

    size: str | None
    frames: int | None
    ratio: OneOrMore[float] | None
    tokens: OneOrMore[int] | None
    prune_at: OneOrMore[int] | None
    variant: Variant | str | None
    selector: Selectors | None
    recovery: RecoveryKind | str | None
    elastic: bool
    lookahead: int | None
    memory: StepMemory | str | None


@dataclass(frozen=True)
class ModelSpec:
    """The architecture of a network, complete.

    Attributes:
        family: Name of the family.
        variant: Plain, with frames pruned, or live.
        frames: Frames of a window; 1 of a live network.
        size: Size of the network.
        stages: Where frames are pruned; empty for the plain variant.
        recovery: How frames come back; None for the plain and the ``tpc`` variant.
        elastic: The recovery is trained for any number of kept frames; see ``HourglassNetwork``.
        root_relative: The network predicts joints relative to the root. If not, the exported
            function subtracts the root's prediction.
        joint_order: Name of the order of input and output, of ``NETWORK_SKELETONS``.
        millimeters: The network predicts millimeters, which the exported function converts to
            meters.
        live: Lookahead and memory of a live network; None of any other.
    """

    family: str
    variant: Variant
    frames: int
    size: NetworkSize
    stages: tuple[PruningStage, ...] = ()
    recovery: RecoveryKind | None = None
    elastic: bool = False
    root_relative: bool = True
    joint_order: str = H36M17.name
    millimeters: bool = False
    live: LiveSettings | None = None

    @property
    def skeleton(self) -> Skeleton:
        """Joints and bones of input and output."""
        return NETWORK_SKELETONS[self.joint_order]

    @property
    def graph_skeleton(self) -> Skeleton:
        """Joints and bones by whose numbers the network's graphs connect its tokens.

        The published code has those of Human3.6M, and leaves them so if it is trained on data with
        another order of joints.
        """
        return family(self.family).skeleton

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.skeleton.joints)

    @property
    def frame_tokens(self) -> int:
        """Tokens of a frame: hypotheses, of a family that has them, else joints."""
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
    def step(self) -> StepGraph | None:
        """The state of a live network's exported function; None of any other network."""
        if self.live is None:
            return None
        memory, size = self.live.memory, self.size
        return StepGraph(
            lookahead=self.live.lookahead,
            recent=memory.recent,
            anchors=memory.anchors,
            stride=memory.stride,
            layers=size.depth,
            heads=size.heads,
            width=size.width,
            guess=size.stem > 0,
        )

    @property
    def output_frames(self) -> int:
        """Frames of the output: all, those kept (``tpc``), or one for each kept coefficient."""
        if self.variant is Variant.TPC and self.tokens:
            return self.tokens
        return self.size.coefficients or self.frames

    def plain(self) -> ModelSpec:
        """Return the same network without pruning."""
        if self.variant is Variant.LIVE:
            return self
        return replace(self, variant=Variant.PLAIN, stages=(), recovery=None, elastic=False)


def resolve(name: str, **options: Unpack[ModelOptions]) -> ModelSpec:
    """Complete the options of a network with the family's published values, and check them.

    Args:
        name: A family of :func:`hot_sdk.export.models.list_models`.
        **options: See :class:`ModelOptions`.

    Raises:
        UsageError: A value is unknown or out of range, or two contradict each other.
    """
    entry = family(name)
    published = published_size(entry, options.get("size"))
    if options.get("variant") == Variant.LIVE:
        check_choices(options)
        return _live(entry, published, options)
    frames = _frames(entry, published, options.get("frames"))
    plain = ModelSpec(entry.name, Variant.PLAIN, frames, _size(entry, published.size, options))
    _check_middle(entry, plain)
    check_choices(options)
    if entry.single_frame:
        _refuse_pruning(entry, options)
        return plain
    kept = kept_frames(frames, options.get("ratio"), options.get("tokens"))
    requested = options.get("variant")
    if requested is None:
        requested = Variant.HOT if kept and kept[-1] < frames else Variant.PLAIN
    variant = Variant(requested)
    pruning = entry.pruning.get(variant)
    if not kept and pruning is not None:
        kept = (tokens_for_ratio(pruning.tokens / entry.frames, frames),)
    if variant is Variant.PLAIN or kept == (frames,):
        _check_plain(kept, frames, options)
        return plain
    if pruning is None:
        why = f": {entry.unprunable}" if entry.unprunable else ""
        raise UsageError(
            f"{entry.title} has no variant '{variant.value}'{why}.",
            hint=f"It has: {', '.join(known.value for known in entry.variants)}.",
        )
    depth, prune_at = plain.size.depth, as_tuple(options.get("prune_at"))
    _require(
        bool(prune_at) or pruning.prune_at < depth,
        f"Pruning is published before block {pruning.prune_at}, but this network has {depth} "
        "blocks, counted from 0.",
        "Say where to prune, with --prune-at or prune_at.",
    )
    recovery = None
    if variant is Variant.HOT:
        recovery = RecoveryKind(options.get("recovery") or RecoveryKind.TRA)
    return replace(
        plain,
        variant=variant,
        stages=_stages(kept, prune_at or (pruning.prune_at,), options.get("selector"), depth),
        recovery=recovery,
        elastic=bool(options.get("elastic")) and recovery is RecoveryKind.TRA,
    )


def published_size(entry: Family, name: str | None) -> PublishedSize:
    """Return one of a family's published sizes; the first if no name is given.

    Raises:
        UsageError: The family has no size of that name.
    """
    sizes = list(entry.sizes)
    name = sizes[0] if name is None else name
    _require(name in sizes, f"{entry.title} has no size '{name}'.", closest(name, sizes))
    return entry.sizes[name]


def check_choices(options: ModelOptions) -> None:
    """Check what can be checked without knowing the number of frames.

    Raises:
        UsageError: A name is unknown, the ratio is out of range, or two values contradict.
    """
    ratio, tokens = options.get("ratio"), options.get("tokens")
    variant, recovery = options.get("variant"), options.get("recovery")
    _require(
        ratio is None or tokens is None,
        f"Both a ratio ({ratio}) and a number of tokens ({tokens}) were given.",
        "Give one of them.",
    )
    for share in as_tuple(ratio):
        _require(
            0.0 < share <= 1.0,
            f"ratio is {share}, which is outside 0 to 1 (0 excluded).",
            "It is the share of frames that is kept: 0.5 keeps every second one.",
        )
    _require_choice(Variant, variant, "variant")
    for selector in _selector_names(options.get("selector")):
        _require_choice(SelectorKind, selector, "selector")
    _require_choice(RecoveryKind, recovery, "recovery")
    check_live(options, live=variant == Variant.LIVE)
    _require(
        variant != Variant.TPC or recovery is None,
        "The variant 'tpc' recovers no frames, but a recovery was requested.",
        "Drop the recovery, or request the variant 'hot'.",
    )


def kept_frames(
    frames: int, ratio: OneOrMore[float] | None, tokens: OneOrMore[int] | None
) -> tuple[int, ...]:
    """Return how many frames of a window each stage keeps; empty if neither value is given.

    Raises:
        UsageError: A number is out of range, or a stage does not keep fewer than the one before it.
    """
    counts = as_tuple(tokens)
    for count in counts:
        _require(
            2 <= count <= frames,
            f"tokens is {count}, which is outside 2 to {frames}, the number of frames.",
            "It is the number of frames that are kept.",
        )
    kept = counts or tuple(min(frames, tokens_for_ratio(each, frames)) for each in as_tuple(ratio))
    for before, after in pairwise(kept):
        _require(
            after < before,
            f"A stage of pruning keeps {after} frames and the one before it {before}.",
            "Each stage has to keep fewer than the one before it.",
        )
    return kept


def tokens_for_ratio(ratio: float, frames: int) -> int:
    """Return the number of frames kept at a ratio: half rounded up, at least 2."""
    return max(2, math.floor(ratio * frames + 0.5))


def as_tuple(value: OneOrMore[T] | None) -> tuple[T, ...]:
    """Return one value, several or none as a tuple."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _selector_names(value: Selectors | None) -> tuple[SelectorKind | str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _require(holds: bool, message: str, hint: str) -> None:
    if not holds:
        raise UsageError(message, hint=hint)


def _require_choice(kind: type[Enum], value: Enum | str | None, what: str) -> None:
    known = [str(member.value) for member in kind]
    if value is not None and value not in known:
        raise UsageError(f"There is no {what} '{value}'.", hint=closest(str(value), known))


def _frames(entry: Family, published: PublishedSize, frames: int | None) -> int:
    frames = published.frames if frames is None else frames
    if entry.single_frame:
        _require(
            frames == 1,
            f"frames is {frames}, but {entry.title} lifts each frame by itself.",
            "Drop the frames; several in one run are a batch.",
        )
        return frames
    _require(
        2 <= frames <= _MOST_FRAMES,
        f"frames is {frames}, which is outside 2 to {_MOST_FRAMES}.",
        f"{entry.title} was published with {published.frames}.",
    )
    return frames


def _live(entry: Family, published: PublishedSize, options: ModelOptions) -> ModelSpec:
    _require(
        entry.live is not None,
        f"{entry.title} has no variant 'live'.",
        f"It has: {', '.join(known.value for known in entry.variants)}.",
    )
    assert entry.live is not None
    _require(
        options.get("frames") in (None, 1),
        f"frames is {options.get('frames')}, but a live network takes one frame at a time.",
        "Drop the frames; what it remembers of earlier ones is said by memory, as in 48.",
    )
    size = _size(entry, published.size, options)
    live = live_settings(entry.live, options.get("lookahead"), options.get("memory"))
    check_reach(live, size.depth)
    return ModelSpec(entry.name, Variant.LIVE, 1, size, live=live)


def _size(entry: Family, published: NetworkSize, options: Mapping[str, Any]) -> NetworkSize:
    named = ModelOptions.__annotations__.keys() - SizeOptions.__annotations__.keys()
    settings = {key: value for key, value in options.items() if key not in named}
    for key, value in settings.items():
        _require(
            key in entry.settings,
            f"'{key}' is not a setting of {entry.title}.",
            closest(key, list(entry.settings)),
        )
        least = 0 if key in _MAY_BE_ABSENT else 1
        _require(
            least <= value <= _LARGEST[key],
            f"{key} is {value}, which is outside {least} to {_LARGEST[key]}.",
            f"{entry.title} was published with {getattr(published, key)}.",
        )
    size = replace(published, **settings)
    _require(
        size.channels in (2, 3),
        f"channels is {size.channels}; a keypoint has 2 (x, y) or 3 with its confidence.",
        f"{entry.title} was published with {published.channels}.",
    )
    _require(
        size.stem > 0 or size.conditions == 0,
        f"conditions is {size.conditions}, but the network has no stem that would take them.",
        "Set stem, too.",
    )
    step = entry.parts * size.heads
    parts = f"{entry.parts} parts with " if entry.parts > 1 else ""
    _require(
        size.width % step == 0,
        f"width {size.width} cannot be divided among {parts}{size.heads} heads.",
        f"Choose other heads, or a width that is a multiple of {step}.",
    )
    return size


def _check_middle(entry: Family, spec: ModelSpec) -> None:
    """Check that the output, if it is shorter than the window, lies in the window's middle."""
    output = spec.output_frames
    _require(
        output == spec.frames or (output < spec.frames and output % 2 == spec.frames % 2 == 1),
        f"coefficients is {output} and frames {spec.frames}; {entry.title} returns the poses of as "
        "many middle frames as it keeps coefficients.",
        "Both have to be odd, and coefficients no more than frames.",
    )


def _refuse_pruning(entry: Family, options: ModelOptions) -> None:
    pruning = (options.get("ratio"), options.get("tokens"), options.get("prune_at"))
    _require(
        options.get("variant") in (None, Variant.PLAIN) and pruning == (None, None, None),
        f"{entry.title} lifts each frame by itself: there are no other frames whose tokens could "
        "be pruned.",
        "Drop the ratio, or choose a family that sees several frames: see hot-export --list.",
    )


def _check_plain(kept: tuple[int, ...], frames: int, options: ModelOptions) -> None:
    """Check that the options of a network that keeps every frame prune nothing."""
    _require(
        kept in ((), (frames,)),
        f"The variant 'plain' keeps every frame, but {kept[-1] if kept else 0} of {frames} were "
        "requested.",
        "Request the variant 'hot' or 'tpc', or drop the ratio.",
    )
    for option in ("prune_at", "selector", "recovery"):
        _require(
            options.get(option) is None,
            f"{option} was given, but a network that keeps every frame prunes nothing.",
            "Request a ratio below 1 or the variant 'hot' or 'tpc', or drop it.",
        )


def _stages(
    kept: tuple[int, ...], prune_at: tuple[int, ...], selector: Selectors | None, depth: int
) -> tuple[PruningStage, ...]:
    selectors = _selector_names(selector) or (SelectorKind.TPC,)
    if len(selectors) == 1:
        selectors *= len(kept)
    for what, values in (("prune_at", prune_at), ("selector", selectors)):
        _require(
            len(values) == len(kept),
            f"{len(kept)} stages keep frames, but {len(values)} values of {what} were given.",
            f"Give one value of {what} for each stage.",
        )
    for block in prune_at:
        _require(
            1 <= block < depth,
            f"prune_at is {block}, which is outside 1 to {depth - 1}.",
            f"Frames are pruned before a block; there are {depth}, counted from 0, and the "
            "first must see every frame.",
        )
    _require(
        list(prune_at) == sorted({*prune_at}),
        f"prune_at is {','.join(map(str, prune_at))}, which does not ascend.",
        "Name the blocks in the order in which they come.",
    )
    return tuple(
        PruningStage(block, tokens, SelectorKind(chosen).value)
        for block, tokens, chosen in zip(prune_at, kept, selectors, strict=True)
    )
