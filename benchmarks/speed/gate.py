"""Judge the limits of ``--fail-if``: met, kept, or no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.speed.comparison import (
    Change,
    change_in_turn,
    change_since,
    earlier_result,
    is_reference,
    reference_of,
)
from hot_sdk.benchmarks.speed.evidence import interval_of, trouble_with
from hot_sdk.benchmarks.speed.metrics import Limit
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Result


@dataclass(frozen=True)
class Verdicts:
    """What ``--fail-if`` finds.

    Attributes:
        failed: A line for each limit that is met.
        undecided: A line for each limit of which too little is known.
    """

    failed: tuple[str, ...]
    undecided: tuple[str, ...]


def judge(record: Record, old: Record | None, limits: Sequence[Limit]) -> Verdicts:
    """Judge every limit for every configuration.

    A limit is met, or kept, if it is so all over the 95% interval of the metric, or of its ratio to
    the old value; else there is no verdict, as there is none from too few runs or a busy machine. A
    configuration that lacks the metric, or that the earlier record lacks, fails: a check that
    checks nothing must not pass.

    Args:
        record: The new record.
        old: An earlier one, for limits relative to an old value; None if the record itself holds
            what they are relative to, measured in turn.
        limits: The limits.
    """
    failed, undecided = [], []
    for limit in limits:
        for result in record.results:
            if limit.is_relative and old is None and is_reference(record, result):
                continue
            found, reason = _judged(record, result, old, limit)
            about = f"{result.subject.name}, {limit.metric.name} {found}: {limit.text}."
            if reason is None:
                failed.append(f"failed: {about}")
            elif reason:
                undecided.append(f"no verdict: {about[:-1]}; {reason}.")
    return Verdicts(tuple(failed), tuple(undecided))


def _judged(
    record: Record, result: Result, old: Record | None, limit: Limit
) -> tuple[str, str | None]:
    """Return what was found, and why there is no verdict: None if it failed, empty if it passed."""
    metric = limit.metric
    value = metric.of(result)
    if value is None:
        return "was not measured", None
    if not limit.is_relative:
        found = f"is {value:.4g}"
        trouble = trouble_with(record, result, metric)
        if trouble:
            return found, trouble
        interval = interval_of(result, metric)
        low, high = (value, value) if interval is None else (interval.low, interval.high)
        return found, _decided(limit.is_met(low), limit.is_met(high), f"{low:.4g} to {high:.4g}")
    change = _change(record, result, old, limit)
    if change is None:
        return "has no earlier value", None
    found = f"is {change.new:.4g} and was {change.old:.4g}"
    if not metric.noisy:
        met = limit.is_met(change.new, change.old) and change.beyond_noise
        return found, None if met else ""
    if change.trouble:
        return found, change.trouble
    ratio = change.ratio
    low, high = ratio.low / (1.0 + change.drift), ratio.high * (1.0 + change.drift)
    at_low = limit.is_met(low * change.old, change.old)
    at_high = limit.is_met(high * change.old, change.old)
    shown = f"{low:.3f} to {high:.3f} of the old value"
    decided = _decided(at_low, at_high, shown)
    return found, f"{change.busy}: {decided}" if decided and change.busy else decided


def _decided(low: bool, high: bool, interval: str) -> str | None:
    if low and high:
        return None
    if not low and not high:
        return ""
    return (
        f"the limit lies within the uncertainty ({interval}); measure longer (--duration), or leave"
        " more room"
    )


def _change(record: Record, result: Result, old: Record | None, limit: Limit) -> Change | None:
    if old is None:
        reference = reference_of(record, result)
        if reference is None:
            return None
        return change_in_turn(record, result, reference, limit.metric)
    earlier = earlier_result(old, result)
    if earlier is None:
        return None
    return change_since(record, result, old, earlier, limit.metric)
