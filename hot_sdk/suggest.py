"""'Did you mean', for every name that a user can mistype."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def closest(given: str, known: Sequence[str]) -> str:
    """A hint that names the nearest known word, or all of them where none is near."""
    near = difflib.get_close_matches(given.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(known)}."
