"""Mixin: a context manager that calls ``close``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # In typing from Python 3.11 on; annotations are not evaluated here.
    from typing_extensions import Self


class Closing:
    """A context manager that calls its own ``close``."""

    def close(self) -> None:
        """Release what is held; closing twice is allowed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
