"""Say how far an export is: which step it is at, and how much of the step is done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Count: TypeAlias = Callable[[int, int], None]
"""Called within a step with how much of it is done, and how much there is: whole numbers of
whatever the step repeats, such as windows."""


def uncounted(done: int, total: int) -> None:
    """Take no notice of a count."""


@dataclass(frozen=True)
class Steps:
    """Receives the steps of an export, in order.

    Attributes:
        begin: Called with each step, in words.
        count: Called within steps that can be counted; see ``Count``.
    """

    begin: Callable[[str], None]
    count: Count = uncounted


LOGGED = Steps(logging.getLogger(__name__).info)
"""Steps that are only logged."""
