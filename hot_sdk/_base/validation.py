"""Validate dataclass options in ``__post_init__``, and suggest the nearest name for a typo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hot_sdk.errors import UsageError


def check_settings(settings: object, expected: Mapping[str, tuple[bool, str]]) -> None:
    """Check attributes.

    Args:
        settings: The object that has them.
        expected: For each attribute, whether it is valid, and what is expected.

    Raises:
        UsageError: An attribute is not valid.
    """
    for name, (valid, description) in expected.items():
        if not valid:
            raise UsageError(
                f"{name} is {getattr(settings, name)!r}; expected {description}.",
                hint="Leave it out for the default.",
            )


def nearest(given: str, known: Sequence[str]) -> str | None:
    """Return the known name that is most similar to a given one, or None if none is similar."""
    # Here, because it is for messages alone.
    import difflib

    near = difflib.get_close_matches(given.lower(), known, n=1, cutoff=0.5)
    return near[0] if near else None


def closest(given: str, known: Sequence[str]) -> str:
    """Return a hint with the most similar known name, or with all of them if none is similar."""
    near = nearest(given, known)
    return f"Known: {', '.join(known)}." if near is None else f"Did you mean '{near}'?"
