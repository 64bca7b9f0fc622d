"""The metrics of a result by name, and limits on them that a user writes.

Limits look like ``latency<33ms`` for a budget, ``frames_per_s<0.95*old`` for CI.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.speed.result import Measure, Ratio, Result
from hot_sdk.errors import UsageError

Reader = Callable[[Result], float | None]
"""Reads a metric from a result; None if the result has none."""


@dataclass(frozen=True)
class Metric:
    """A metric of a result.

    Attributes:
        name: Name in limits and tables.
        unit: Its unit; empty for a number.
        about: What it is, for a user.
        of: Reads it from a result.
        smaller_is_better: Which way is better.
        timed: Name of the measure that it is of; None if it is read once.
        quantile: Which quantile of that measure's samples it is.
        fixed_ms: Reads the part of it that is known and not timed; None if all is timed.
        noisy: It depends on what else the machine does.
        tolerance: Share by which it differs from run to run although it is not noisy.
    """

    name: str
    unit: str
    about: str
    of: Reader
    smaller_is_better: bool = True
    timed: str | None = None
    quantile: float = 0.5
    fixed_ms: Reader | None = None
    noisy: bool = False
    tolerance: float = 0.0


def user_latency(result: Result) -> Measure | None:
    """Return what a user waits for: the window end to end, or else the engine alone."""
    return result.measure("window") or result.measure("engine")


def timed_measure(result: Result, name: str) -> Measure | None:
    """Return a measure by name, ``window`` standing for ``user_latency``."""
    return user_latency(result) if name == "window" else result.measure(name)


def frames_per_s(measure: Measure | None) -> float | None:
    """Return the frames a second at the median."""
    return None if measure is None else 1e3 * measure.frames / measure.statistics.median


def first_ratio(result: Result) -> Ratio | None:
    """Return the speed-up that a user sees first: end to end, or else of the engine."""
    found = {ratio.measure: ratio for ratio in result.ratios}
    return found.get("window") or found.get("engine")


def read_part(part: str, field: str, factor: float = 1.0) -> Reader:
    """Return a reader of a field of a part of the result, such as ``memory`` and ``peak_mib``."""

    def read(result: Result) -> float | None:
        value = getattr(getattr(result, part), field, None)
        return None if value is None else factor * value

    return read


def _timed(
    name: str,
    about: str,
    measure: str,
    field: str,
    *,
    per_frame: bool = False,
) -> Metric:
    """Return a metric of a measure's statistics."""

    def of(result: Result) -> float | None:
        found = timed_measure(result, measure)
        if found is None:
            return None
        value = float(getattr(found.statistics, field))
        return value / found.frames if per_frame else value

    return Metric(name, "ms", about, of, timed=measure, quantile=_QUANTILES[field], noisy=True)


_QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99}


def _waiting_ms(result: Result) -> float | None:
    """Return the delay of a stream's poses without computing: the frames that they wait for."""
    stream = result.stream
    if stream is None:
        return None
    return stream.lookahead_ms + 1e3 * (stream.hop - 1) / stream.fps


def _delay_ms(result: Result) -> float | None:
    waiting, each = _waiting_ms(result), result.measure("stream")
    return None if waiting is None or each is None else waiting + each.statistics.p95


def _startup_ms(result: Result) -> float:
    timed = result.measure("start")
    return result.start.startup_ms if timed is None else timed.statistics.median


_ALL = (
    _timed("latency", "95th percentile of a call, keypoints to poses", "window", "p95"),
    _timed("latency_median", "its median", "window", "median"),
    _timed("latency_p99", "its 99th percentile", "window", "p99"),
    _timed("engine", "median of the engine alone", "engine", "median"),
    _timed("per_frame", "median call over its frames", "window", "median", per_frame=True),
    Metric(
        "frames_per_s",
        "",
        "frames of a call over its median",
        lambda result: frames_per_s(user_latency(result)),
        smaller_is_better=False,
        timed="window",
        noisy=True,
    ),
    _timed(
        "per_new_frame",
        "median of a stream's new frame, runs spread over its hop",
        "stream",
        "median",
        per_frame=True,
    ),
    _timed("push_p99", "99th percentile of a push to a stream", "push", "p99"),
    _timed("quiet_push", "median of a push that runs no engine", "quiet_push", "median"),
    Metric(
        "delay",
        "ms",
        "most that a stream's pose is late: lookahead, hop, run (95th percentile)",
        _delay_ms,
        timed="stream",
        quantile=0.95,
        fixed_ms=_waiting_ms,
        noisy=True,
    ),
    Metric("hop", "", "frames of a stream between runs of the engine", read_part("stream", "hop")),
    Metric(
        "lookahead",
        "ms",
        "time that a stream's pose waits for",
        read_part("stream", "lookahead_ms"),
    ),
    Metric(
        "people",
        "",
        "people in a stream",
        read_part("stream", "people"),
        smaller_is_better=False,
    ),
    Metric(
        "startup",
        "ms",
        "process start to the first poses; --measure start repeats it",
        _startup_ms,
        timed="start",
        noisy=True,
    ),
    _timed("command", "hot-infer on a short clip, start to end", "command", "median"),
    Metric("load", "ms", "file to a ready session", read_part("start", "load_ms"), noisy=True),
    Metric(
        "first_inference",
        "ms",
        "first run of the engine",
        read_part("start", "first_inference_ms"),
        noisy=True,
    ),
    Metric(
        "memory",
        "MiB",
        "most resident memory of the process",
        read_part("memory", "peak_mib"),
        tolerance=0.05,
    ),
    Metric(
        "gpu_memory", "MiB", "memory on the GPU", read_part("memory", "gpu_mib"), tolerance=0.05
    ),
    Metric("power", "W", "mean power while it runs", read_part("energy", "mean_w"), noisy=True),
    Metric(
        "energy",
        "J",
        "energy for each frame of a window",
        read_part("energy", "j_per_frame"),
        noisy=True,
    ),
    Metric(
        "stream_mpjpe",
        "mm",
        "mean distance of the joints of a stream",
        read_part("stream_accuracy", "mpjpe_mm"),
    ),
    Metric("mpjpe", "mm", "mean distance of the joints", read_part("accuracy", "mpjpe_mm")),
    Metric("p_mpjpe", "mm", "the same after alignment", read_part("accuracy", "p_mpjpe_mm")),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""All metrics by name."""


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
    """A comparison of a metric with a number.

    Attributes:
        text: The text that the user wrote.
        metric: What is compared.
        sign: One of ``<``, ``<=``, ``>``, ``>=``.
        number: The number, in the metric's unit, or the factor of the old value.
        is_relative: ``number`` is a factor of the same metric of an earlier record.
    """

    text: str
    metric: Metric
    sign: str
    number: float
    is_relative: bool

    def is_met(self, value: float, old: float | None = None) -> bool:
        """Return True if a value of the metric compares so.

        Args:
            value: The metric's value.
            old: Its value in an earlier record, for a relative limit.
        """
        bound = self.number * old if self.is_relative and old is not None else self.number
        return _SIGNS[self.sign](value, bound)


def parse_limit(text: str, *, allow_baseline: bool) -> Limit:
    """Read a limit.

    Args:
        text: The text that a user wrote.
        allow_baseline: Accept a factor of ``old``.

    Raises:
        UsageError: It is not of the form, or names an unknown metric or unit.
    """
    match = _FORM.fullmatch(text)
    form = "frames_per_s<0.95*old" if allow_baseline else "latency<33ms"
    if match is None:
        raise UsageError(
            f"The limit '{text}' is not of the form METRIC<NUMBER.", hint=f"Write it as '{form}'."
        )
    metric = METRICS.get(match["name"])
    if metric is None:
        raise UsageError(
            f"There is no metric '{match['name']}'.", hint=closest(match["name"], tuple(METRICS))
        )
    if match["old"] and not allow_baseline:
        raise UsageError(
            f"The limit '{text}' cannot refer to 'old'.", hint=f"Write it as '{form}'."
        )
    factor = 1.0
    if match["unit"]:
        known = _UNITS.get((match["unit"], metric.unit))
        if known is None:
            raise UsageError(
                f"The metric '{metric.name}' is not measured in {match['unit']}.",
                hint=f"Its unit is {metric.unit}." if metric.unit else "It has no unit.",
            )
        factor = known
    number = factor * float(match["number"])
    return Limit(text, metric, match["sign"], number, is_relative=bool(match["old"]))
