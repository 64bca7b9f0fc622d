"""Which configurations no other one beats, and which of them fits a budget."""

from __future__ import annotations

from collections.abc import Sequence

from hot_sdk.benchmarks.speed.figures import KINDS
from hot_sdk.benchmarks.speed.limits import Limit
from hot_sdk.benchmarks.speed.result import Result


def front(results: Sequence[Result]) -> frozenset[str]:
    """Names of the configurations that no other one beats in both accuracy and frames a second.

    Those without an accuracy are not compared.
    """
    points = [
        (result.subject.name, error, speed)
        for result in results
        if (error := KINDS["mpjpe"].of(result)) is not None
        and (speed := KINDS["frames_per_s"].of(result)) is not None
    ]
    return frozenset(
        name
        for name, error, speed in points
        if not any(
            other_error <= error
            and other_speed >= speed
            and (other_error, other_speed) != (error, speed)
            for _, other_error, other_speed in points
        )
    )


def advice(results: Sequence[Result], limit: Limit) -> str:
    """One sentence: what to take for a budget.

    It is the most accurate configuration that keeps the limit, or the fastest where no accuracy
    was measured; and where none keeps it, the one that comes nearest.
    """
    figure = limit.kind
    known = [(result, value) for result in results if (value := figure.of(result)) is not None]
    if not known:
        return f"Nothing can be advised for {limit.text}: '{figure.name}' was not measured."
    fitting = [(result, value) for result, value in known if limit.holds(value)]
    if not fitting:
        wants_small = limit.sign.startswith("<")
        result, value = (min if wants_small else max)(known, key=lambda one: one[1])
        return (
            f"Nothing keeps {limit.text}; {result.subject.name} comes nearest, with"
            f" {_shown(value, figure.unit)}."
        )
    accurate = [one for one in fitting if one[0].accuracy is not None]
    if accurate:
        result, value = min(accurate, key=lambda one: KINDS["mpjpe"].of(one[0]) or 0.0)
        error = KINDS["mpjpe"].of(result)
        return (
            f"For {limit.text} take {result.subject.name}: {_shown(value, figure.unit)}, and with"
            f" {error:.1f} mm the most accurate of the {len(accurate)} that keep it."
        )
    result, value = max(fitting, key=lambda one: KINDS["frames_per_s"].of(one[0]) or 0.0)
    return (
        f"For {limit.text} take {result.subject.name}: {_shown(value, figure.unit)}, and the"
        f" fastest of the {len(fitting)} that keep it; accuracy was not measured."
    )


def _shown(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
