"""What a record says about a metric: its interval, its ratio to another, and when it says nothing.

A number is evidence only if enough runs are behind it and nothing else ran meanwhile.
"""

from __future__ import annotations

import math

import numpy as np

from hot_sdk.benchmarks.machine import BUSY, throttled_between
from hot_sdk.benchmarks.speed.metrics import METRICS, Metric, timed_measure
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Measure, Result
from hot_sdk.benchmarks.speed.series import (
    LEAST_ROUNDS,
    Interval,
    median_interval,
    unpaired_ratio,
)

_DEVIATIONS = 1.96
"""Of a two-sided interval that holds 95%."""

_PAIRED = {
    METRICS[name]: measure
    for name, measure in (
        ("latency_median", "window"),
        ("per_frame", "window"),
        ("frames_per_s", "window"),
        ("engine", "engine"),
        ("per_new_frame", "stream"),
        ("startup", "start"),
        ("command", "command"),
    )
}
"""Metrics that are medians of what ran in the same rounds as another file."""


def is_paired(metric: Metric) -> bool:
    """Return whether the rounds of two files that ran in turn give the ratio of a metric."""
    return metric in _PAIRED


def trouble_with(record: Record, result: Result, metric: Metric, *, paired: bool = False) -> str:
    """Return why a metric of a result allows no verdict; empty if it does.

    Args:
        record: The record.
        result: A result of it.
        metric: The metric.
        paired: It is compared with what ran in the same rounds: what disturbed one disturbed both.
    """
    if not metric.noisy:
        return ""
    if not paired:
        busy = busy_with(record)
        if busy:
            return busy
        if throttled_between(record.before, record.after):
            return "the machine throttled itself"
    measure = None if metric.timed is None else timed_measure(result, metric.timed)
    if measure is None:
        more = "; add start to --measure" if metric.timed == "start" else ""
        return f"it was read once{more}"
    state = measure.steadiness.state
    if not paired and state == "unknown":
        return f"too few runs to tell ({measure.statistics.count})"
    if not paired and state == "drifting":
        return "no steady state was reached"
    if len(measure.rounds_ms) < LEAST_ROUNDS:
        return f"too few rounds to tell ({len(measure.rounds_ms)} of at least {LEAST_ROUNDS})"
    if _quantile_ms(measure, metric.quantile) is None:
        return f"too few runs for a {metric.quantile:.0%} quantile ({measure.statistics.count})"
    return ""


def busy_with(record: Record) -> str:
    """Return what kept the machine busy while a record was made; empty if nothing did."""
    loads = (
        ("before the start", record.before.load),
        ("meanwhile", record.busy_meanwhile),
        ("after the end", record.after.load),
    )
    for when, load in loads:
        if load is not None and load > BUSY:
            return f"the machine was busy with other things {when} ({load:.2f} CPUs)"
    return ""


def interval_of(result: Result, metric: Metric) -> Interval | None:
    """Return a metric with its 95% interval; None if it is not timed, or too seldom."""
    value = metric.of(result)
    measure = None if metric.timed is None else timed_measure(result, metric.timed)
    if value is None or measure is None:
        return None
    found = _quantile_ms(measure, metric.quantile)
    if found is None or found.value <= 0.0:
        return None
    fixed = 0.0 if metric.fixed_ms is None else metric.fixed_ms(result) or 0.0
    shares = found.low / found.value, found.high / found.value
    if not metric.smaller_is_better:
        shares = 1.0 / shares[1], 1.0 / shares[0]
    low, high = (fixed + share * (value - fixed) for share in shares)
    return Interval(value, min(low, value), max(high, value), found.rounds)


def _quantile_ms(measure: Measure, quantile: float) -> Interval | None:
    """Return a quantile of a measure; None if too little is behind it for an interval.

    The interval of a median is over rounds, that of other quantiles over all runs: between the
    order statistics that hold it in 95% of series of independent values.
    """
    if quantile == 0.5:
        if len(measure.rounds_ms) < LEAST_ROUNDS:
            return None
        return median_interval(measure.rounds_ms)
    count = measure.statistics.count
    half = _DEVIATIONS * math.sqrt(quantile * (1.0 - quantile) / count)
    if quantile + half >= 1.0:
        return None
    places = 100.0 * np.array([quantile, max(0.0, quantile - half), quantile + half])
    value, low, high = np.interp(places, np.arange(101), measure.quantiles_ms).tolist()
    return Interval(value, low, high, count)


def ratio_of(new: Result, old: Result, metric: Metric, *, paired: bool = False) -> Interval | None:
    """Return new over old with its interval; None if there is too little behind it.

    Args:
        new: A result.
        old: Another one.
        metric: The metric.
        paired: Both were measured in the same rounds, and ``new`` holds their ratios.
    """
    if metric.timed is None:
        return None
    if paired and is_paired(metric):
        return _of_rounds(new, metric)
    if metric.quantile != 0.5 or metric.fixed_ms is not None:
        return _widest(interval_of(new, metric), interval_of(old, metric))
    now, before = timed_measure(new, metric.timed), timed_measure(old, metric.timed)
    if now is None or before is None:
        return None
    ms = [np.divide(measure.rounds_ms, measure.frames) for measure in (now, before)]
    found = unpaired_ratio(*(ms if metric.smaller_is_better else ms[::-1]))
    return None if found is None or found.rounds < LEAST_ROUNDS else found


def _of_rounds(new: Result, metric: Metric) -> Interval | None:
    """Return the ratio from the speed-ups of the same rounds."""
    names = [_PAIRED[metric]]
    if names == ["window"]:
        names.append("engine")  # Of a baseline, there is no other.
    ratios = {ratio.measure: ratio.speed_up for ratio in new.ratios}
    faster = next((ratios[name] for name in names if name in ratios), None)
    if faster is None or faster.rounds < LEAST_ROUNDS or faster.low <= 0.0:
        return None
    if not metric.smaller_is_better:
        return faster
    return Interval(1.0 / faster.value, 1.0 / faster.high, 1.0 / faster.low, faster.rounds)


def _widest(now: Interval | None, before: Interval | None) -> Interval | None:
    """Return the ratio of two estimates, as wide as their intervals allow."""
    if now is None or before is None or min(now.low, before.low) <= 0.0:
        return None
    return Interval(
        now.value / before.value,
        now.low / before.high,
        now.high / before.low,
        min(now.rounds, before.rounds),
    )
