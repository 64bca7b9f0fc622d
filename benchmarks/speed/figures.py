"""The figures of a result by the names that tables, limits and comparisons use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hot_sdk.benchmarks.speed.result import Measure, Ratio, Result


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
