"""Settings that are checked where they are given.

'Did you mean', for every name that a user can mistype.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from hot_sdk.errors import UsageError


def check_settings(settings: object, expected: Mapping[str, tuple[bool, str]]) -> None:
    """Check attributes.

    Args:
        settings: What has them.
        expected: By name, whether the attribute is as expected, and what is expected.

    Raises:
        UsageError: One is not.
    """
    for name, (holds, what) in expected.items():
        if not holds:
            raise UsageError(
                f"{name} is {getattr(settings, name)!r}; expected {what}.",
                hint="Leave it out for the default.",
            )


def closest(given: str, known: Sequence[str]) -> str:
    """A hint that names the nearest known word, or all of them where none is near."""
    near = difflib.get_close_matches(given.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(known)}."
