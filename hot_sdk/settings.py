"""Settings that are checked where they are given."""

from __future__ import annotations

from collections.abc import Mapping

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
