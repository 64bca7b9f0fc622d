"""Power from ``jtop``, where a user has installed jetson-stats.

jetson-stats is under the AGPL: it is never a dependency of this SDK, and imported only where it is
asked for or nothing else can tell.
"""

from __future__ import annotations

import importlib
from typing import Any

from hot_sdk.benchmarks.power.source import UnavailableError

NAME = "jtop"

_INTERVAL_S = 0.2


class JtopPower:
    """The board's power as jtop's service says it.

    Raises:
        UnavailableError: jetson-stats is not installed, or its service is not running.
    """

    name = NAME
    counts_energy = False
    rail = "jtop's total"

    def __init__(self) -> None:
        try:
            module = importlib.import_module("jtop")
        except ImportError as error:
            raise UnavailableError("the package jetson-stats is not installed") from error
        self._jtop: Any = None
        try:
            jtop = module.jtop(interval=_INTERVAL_S)
            jtop.start()
        except Exception as error:  # Its own exceptions, whose base changed between versions.
            raise UnavailableError(f"jtop: {' '.join(str(error).split())}") from error
        self._jtop = jtop
        self.read()

    def read(self) -> float:
        """Watts of its newest sample."""
        try:
            return float(self._jtop.power["tot"]["power"]) / 1e3
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError("jtop tells no total power") from error

    def close(self) -> None:
        """Leave the service."""
        self._jtop.close()
