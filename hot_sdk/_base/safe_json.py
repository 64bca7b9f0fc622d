"""Parse untrusted JSON, within a budget that is checked before anything is parsed."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from hot_sdk._base.budget import Budget, require

# Bytes that CPython takes at most for what each character begins, with its place in a list.
_COSTS = {b",": 33, b"[": 88, b"{": 232, b":": 16, b'"': 30}
_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_CHUNK = 1 << 20


def parse_json(content: bytes, budget: Budget) -> Any:  # noqa: ANN401
    """Parse UTF-8 text, with or without a byte order mark.

    Raises:
        OverBudgetError: What it would become is over the budget.
        ValueError: It is not JSON.
    """
    require_parsable(content, budget)
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def require_parsable(content: bytes, budget: Budget) -> None:
    """Check how much memory text would take once it is parsed, and how deep it is nested.

    Raises:
        OverBudgetError: It would take too much memory.
        ValueError: It is nested too deeply.
    """
    require(parsed_bytes(content), budget.parsed_bytes, "bytes once it is parsed")
    if _depth(content) > budget.depth:
        # Slower, and only here: brackets within texts do not count.
        depth = _depth(_TEXT.sub(b"", content))
        if depth > budget.depth:
            raise ValueError(f"it is nested {depth} levels deep; at most {budget.depth} are read")


def parsed_bytes(content: bytes) -> int:
    """Estimate the bytes of memory that text and its parsed values take together."""
    width = 1
    if not content.isascii():
        # The first byte of a character: up to U+00FF, up to U+FFFF, and above.
        highest = int(np.frombuffer(content, np.uint8).max())
        width = 1 if highest < 0xC4 else 2 if highest < 0xF0 else 4
    parsed = sum(cost * content.count(begin) for begin, cost in _COSTS.items())
    return len(content) * (1 + width) + parsed


def _depth(content: bytes) -> int:
    deepest = level = 0
    for first in range(0, len(content), _CHUNK):
        brackets = content[first : first + _CHUNK].translate(None, _BRACKETS)
        if not brackets:
            continue
        codes = np.frombuffer(brackets, np.uint8)
        # Of the four codes, those of brackets that open have this bit.
        levels = level + np.cumsum(np.where(codes & 2, 1, -1))
        deepest, level = max(deepest, int(levels.max())), int(levels[-1])
    return deepest
