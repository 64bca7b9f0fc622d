"""Limits that a user writes: ``latency<33ms`` for a budget, ``frames_per_s<0.95*old`` for CI."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hot_sdk.benchmarks.speed.figures import KINDS, FigureKind
from hot_sdk.errors import UsageError
from hot_sdk.suggest import closest

_FORM = re.compile(
    r"\s*(?P<name>[a-z0-9_]+)\s*(?P<sign><=|>=|<|>)\s*"
    r"(?P<number>[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)\s*"
    r"(?:(?P<unit>[A-Za-z]+)|(?P<old>\*\s*old))?\s*"
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_UNITS = {
    ("s", "ms"): 1e3,
    ("ms", "ms"): 1.0,
    ("us", "ms"): 1e-3,
    ("GiB", "MiB"): 1024.0,
    ("MiB", "MiB"): 1.0,
    ("W", "W"): 1.0,
    ("mW", "W"): 1e-3,
    ("J", "J"): 1.0,
    ("mJ", "J"): 1e-3,
    ("mm", "mm"): 1.0,
}


@dataclass(frozen=True)
class Limit:
    """One comparison.

    Attributes:
        text: As it was written.
        kind: The figure on its left.
        sign: ``<``, ``<=``, ``>`` or ``>=``.
        number: In the figure's unit, or a factor of the old figure.
        of_old: The number is a factor of the old figure.
    """

    text: str
    kind: FigureKind
    sign: str
    number: float
    of_old: bool

    def holds(self, value: float, old: float | None = None) -> bool:
        """Whether a figure is so.

        Args:
            value: The figure.
            old: Of an earlier record, where the limit is a factor of it.
        """
        bound = self.number * old if self.of_old and old is not None else self.number
        return _SIGNS[self.sign](value, bound)


def parse_limit(text: str, *, of_old: bool) -> Limit:
    """Read a limit.

    Args:
        text: What a user wrote.
        of_old: Whether a factor of ``old`` is allowed.

    Raises:
        UsageError: It is not of the form, or names an unknown figure or unit.
    """
    match = _FORM.fullmatch(text)
    form = "frames_per_s<0.95*old" if of_old else "latency<33ms"
    if match is None:
        raise UsageError(
            f"The limit '{text}' is not of the form FIGURE<NUMBER.", hint=f"Write it as '{form}'."
        )
    kind = KINDS.get(match["name"])
    if kind is None:
        raise UsageError(
            f"There is no figure '{match['name']}'.", hint=closest(match["name"], tuple(KINDS))
        )
    if match["old"] and not of_old:
        raise UsageError(f"The limit '{text}' knows no 'old'.", hint=f"Write it as '{form}'.")
    factor = 1.0
    if match["unit"]:
        known = _UNITS.get((match["unit"], kind.unit))
        if known is None:
            raise UsageError(
                f"The figure '{kind.name}' is no figure of {match['unit']}.",
                hint=f"Its unit is {kind.unit}." if kind.unit else "It has no unit.",
            )
        factor = known
    return Limit(text, kind, match["sign"], factor * float(match["number"]), bool(match["old"]))
