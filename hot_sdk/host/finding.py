"""What one check found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Status = Literal["ok", "missing", "wrong", "info"]
"""``ok``: usable. ``missing``: not there, and nothing that was installed suffers from it.
``wrong``: there, but broken, contradictory or too small. ``info``: a fact to know, not judged."""

STATUSES: tuple[Status, ...] = get_args(Status)

_LONGEST_DETAIL = 400
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at; stable, for programs.
        status: The verdict.
        detail: What was found, in one line.
        fix: What to do about it, in one line; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def one_line(text: str) -> str:
    """Text of other programs, fit for a line: printable, without line breaks, bounded."""
    plain = _COLOUR.sub("", text)
    printable = "".join(character if character.isprintable() else " " for character in plain)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_DETAIL else f"{words[:_LONGEST_DETAIL]} …"
