"""How far a live network looks ahead and what it remembers, from options to complete settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hot_sdk.errors import UsageError
from hot_sdk.step_graph import MOST_LOOKAHEAD, MOST_SLOTS
from hot_sdk.step_memory import StepMemory, layer_lookaheads

_OF_WINDOWS = ("ratio", "tokens", "prune_at", "selector", "recovery")
_OF_LIVE = ("lookahead", "memory")
_MEMORY = re.compile(r"(\d{1,9})(?:\+(\d{1,9})x(\d{1,9}))?")


@dataclass(frozen=True)
class LiveSettings:
    """What a live network is exported with; its weights serve any.

    Attributes:
        lookahead: Frames that a pose waits for.
        memory: The earlier frames that it remembers.
    """

    lookahead: int
    memory: StepMemory

    def __str__(self) -> str:
        """Return how users write the memory."""
        return memory_text(self.memory)


def memory_text(memory: StepMemory) -> str:
    """Return a memory as users write it, as in ``48`` or ``16+12x5``."""
    anchors = f"+{memory.anchors}x{memory.stride}" if memory.anchors else ""
    return f"{memory.recent}{anchors}"


def read_memory(text: str) -> StepMemory:
    """Read a memory as users write it.

    Args:
        text: ``RECENT``, the newest frames; or ``RECENT+ANCHORSxSTRIDE``, these and every
            ``STRIDE``-th frame before them.

    Raises:
        UsageError: The text has another form, or the numbers are out of range.
    """
    found = _MEMORY.fullmatch(text)
    if found is None:
        raise UsageError(
            f"memory is {text!r:.40}, which is neither RECENT nor RECENT+ANCHORSxSTRIDE.",
            hint="Give the number of newest frames, as in 48; or also every few before them, as in"
            " 16+12x5.",
        )
    recent, anchors, stride = (int(each) if each else 0 for each in found.groups())
    return StepMemory(recent, anchors, stride if found[2] else 1)


def check_live(options: Mapping[str, Any], *, live: bool) -> None:
    """Check that a live network is not pruned, and that no other has its options.

    Raises:
        UsageError: Names the option.
    """
    for name in _OF_WINDOWS if live else _OF_LIVE:
        if options.get(name) is None:
            continue
        if live:
            raise UsageError(
                f"{name} was given, but a live network takes one frame at a time: it has no window"
                " whose frames could be pruned.",
                hint=f"Drop {name}; what it remembers is said by memory, as in 48 or 16+12x5.",
            )
        raise UsageError(
            f"{name} was given, but only a live network has one.",
            hint=f"Request the variant 'live', or drop the {name}.",
        )


def live_settings(
    default: LiveSettings, lookahead: int | None, memory: StepMemory | str | None
) -> LiveSettings:
    """Complete options with default settings, and check them.

    Args:
        default: What holds for an option that is None.
        lookahead: Frames.
        memory: As users write it, or read.

    Raises:
        UsageError: A number is out of range.
    """
    lookahead = default.lookahead if lookahead is None else lookahead
    if not 0 <= lookahead <= MOST_LOOKAHEAD:
        raise UsageError(
            f"lookahead is {lookahead}, which is outside 0 to {MOST_LOOKAHEAD}.",
            hint="It is the number of frames that a pose waits for; 0 is the quickest.",
        )
    chosen = default.memory if memory is None else memory
    if isinstance(chosen, str):
        chosen = read_memory(chosen)
    problem = chosen.problem()
    if problem is None and max(chosen.slots, chosen.stride) > MOST_SLOTS:
        problem = f"a memory of {memory_text(chosen)}, which is beyond {MOST_SLOTS}"
    if problem is not None:
        raise UsageError(
            f"A live network cannot have {problem}.",
            hint="Remember at least one frame, as in 48; anchors are 2 frames or more apart, as in"
            " 16+12x5.",
        )
    return LiveSettings(lookahead, chosen)


def check_reach(live: LiveSettings, depth: int) -> None:
    """Check that a person's last frames, which no others follow, find something in the memory.

    Args:
        live: Settings of a network.
        depth: Number of its layers that see other frames.

    Raises:
        UsageError: The memory is too short for the lookahead.
    """
    farthest = max(layer_lookaheads(live.lookahead, depth))
    if not live.memory.outlasts(farthest):
        raise UsageError(
            f"A lookahead of {live.lookahead} is {farthest} frames in one of {depth} layers, and a"
            f" memory of {live} would have nothing left for a person's last frames.",
            hint=f"Reduce the lookahead, or remember {farthest} of the newest frames or more.",
        )
