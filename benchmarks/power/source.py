"""What every reader of power offers."""

from __future__ import annotations

from typing import Protocol


class UnavailableError(Exception):
    """A source cannot be read here; the text says why."""


class PowerSource(Protocol):
    """Somewhere to read power, or energy, from."""

    @property
    def name(self) -> str:
        """Which source it is, one of ``SOURCES``."""

    @property
    def rail(self) -> str:
        """What is measured, in the machine's own words."""

    @property
    def counts_energy(self) -> bool:
        """``read`` gives joules since some moment, and not watts."""

    def read(self) -> float:
        """Watts now, or joules until now.

        Raises:
            UnavailableError: It cannot be read any more.
        """

    def close(self) -> None:
        """Let go of it."""
