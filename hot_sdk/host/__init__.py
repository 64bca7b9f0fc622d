"""Facts about the machine, and what the checks of it find; for hot-doctor and hot-benchmark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Status = Literal["ok", "missing", "wrong", "info"]
"""``ok``: usable. ``missing``: absent, and nothing that is installed suffers from it.
``wrong``: present, but broken, contradictory or too small. ``info``: a fact, not judged."""

STATUSES: tuple[Status, ...] = get_args(Status)

_LONGEST_DETAIL = 400
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked; stable, for programs.
        status: The verdict.
        detail: What was found, in one line.
        fix: What to do about it, in one line; empty if there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def one_line(text: str) -> str:
    """Return other programs' text fit for a line: printable, without line breaks, bounded."""
    plain = _COLOR.sub("", text)
    printable = "".join(character if character.isprintable() else " " for character in plain)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_DETAIL else f"{words[:_LONGEST_DETAIL]} …"
