"""The figures of a result by the names that tables, limits and comparisons use.

Limits that a user writes: ``latency<33ms`` for a budget, ``frames_per_s<0.95*old`` for CI.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.speed.record import Measure, Ratio, Result
from hot_sdk.errors import UsageError


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        name: As it is written in limits.
        unit: Of the figure; empty for a number.
        about: What it is.
        of: Takes it from a result; None where the result has none.
        smaller_is_better: Which way is better.
        timed: Name of the measure whose rounds say how noisy it is; None for what is read once.
    """

    name: str
    unit: str
    about: str
    of: Callable[[Result], float | None]
    smaller_is_better: bool = True
    timed: str | None = None


def served(result: Result) -> Measure | None:
    """What a user waits for: the window end to end, or the engine where there is no more."""
    return result.measure("window") or result.measure("engine")


def frames_per_s(measure: Measure | None) -> float | None:
    """Frames a second at the median."""
    return None if measure is None else 1e3 * measure.frames / measure.statistics.median


def _of(name: str, field: str) -> Callable[[Result], float | None]:
    def take(result: Result) -> float | None:
        measure = served(result) if name == "window" else result.measure(name)
        return None if measure is None else float(getattr(measure.statistics, field))

    return take


def _per_frame(name: str) -> Callable[[Result], float | None]:
    def take(result: Result) -> float | None:
        measure = served(result) if name == "window" else result.measure(name)
        return None if measure is None else measure.statistics.median / measure.frames

    return take


def _part(part: str, field: str) -> Callable[[Result], float | None]:
    def take(result: Result) -> float | None:
        value = getattr(getattr(result, part), field, None)
        return None if value is None else float(value)

    return take


_KINDS = (
    FigureKind(
        "latency",
        "ms",
        "95th percentile of one call of the lifter, keypoints to poses",
        _of("window", "p95"),
        timed="window",
    ),
    FigureKind(
        "latency_median", "ms", "median of the same", _of("window", "median"), timed="window"
    ),
    FigureKind("latency_p99", "ms", "99th percentile of the same", _of("window", "p99")),
    FigureKind(
        "engine", "ms", "median of the engine alone", _of("engine", "median"), timed="engine"
    ),
    FigureKind(
        "per_frame",
        "ms",
        "median of a call over the frames that it gives",
        _per_frame("window"),
        timed="window",
    ),
    FigureKind(
        "frames_per_s",
        "",
        "frames over the median of a call that gives them",
        lambda result: frames_per_s(served(result)),
        smaller_is_better=False,
        timed="window",
    ),
    FigureKind(
        "per_new_frame",
        "ms",
        "median cost of one new frame of a stream, the engine's runs spread over its hop",
        _per_frame("stream"),
        timed="stream",
    ),
    FigureKind("push_p99", "ms", "99th percentile of one push to a stream", _of("push", "p99")),
    FigureKind(
        "startup", "ms", "start of the process to the first poses", _part("start", "startup_ms")
    ),
    FigureKind("load", "ms", "file to a ready session", _part("start", "load_ms")),
    FigureKind(
        "first_inference", "ms", "first run of the engine", _part("start", "first_inference_ms")
    ),
    FigureKind("memory", "MiB", "most resident memory of the process", _part("memory", "peak_mib")),
    FigureKind("gpu_memory", "MiB", "memory on the GPU", _part("memory", "gpu_mib")),
    FigureKind("power", "W", "mean power while it runs", _part("energy", "mean_w")),
    FigureKind("energy", "J", "for each frame of a window", _part("energy", "j_per_frame")),
    FigureKind("mpjpe", "mm", "mean distance of the joints", _part("accuracy", "mpjpe_mm")),
    FigureKind("p_mpjpe", "mm", "the same after alignment", _part("accuracy", "p_mpjpe_mm")),
)
KINDS: Mapping[str, FigureKind] = {kind.name: kind for kind in _KINDS}
"""By name."""


def ratio_of(result: Result) -> Ratio | None:
    """The speed-up that a user sees first: end to end, or else of the engine."""
    found = {ratio.measure: ratio for ratio in result.ratios}
    return found.get("window") or found.get("engine")


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
