"""Compare a record with an earlier one, and its configurations with one another.

What changed by more than noise, and which limits are broken; which configurations no other one
beats, and which of them fits a budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.speed.metrics import METRICS, Limit, Metric, timed_measure
from hot_sdk.benchmarks.speed.record import Record, Result, Subject
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval, unpaired_ratio
from hot_sdk.errors import ResultError

_READ_ONCE = 0.05
"""Share by which a metric without an interval has to differ before it counts."""

_DRIFT = 0.02
"""Two runs of the same thing differ by this share even if each is steady: from what cannot be seen
within a run, such as the place of its memory."""


@dataclass(frozen=True)
class Change:
    """One metric of one configuration, in both records.

    Attributes:
        name: Name of the configuration.
        metric: The metric.
        old: Its earlier value.
        new: Its new value.
        ratio: New over old, with its confidence interval if the metric was read many times.
        beyond_noise: It changed by more than noise.
    """

    name: str
    metric: Metric
    old: float
    new: float
    ratio: Interval
    beyond_noise: bool

    @property
    def is_worse(self) -> bool:
        """Whether it changed for the worse."""
        return self.beyond_noise and (self.ratio.value > 1.0) == self.metric.smaller_is_better

    def __str__(self) -> str:
        ratio = self.ratio
        verdict = "worse" if self.is_worse else "better"
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        interval = ""
        if ratio.rounds > 1:
            interval = f" (95 %: {ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
        return (
            f"{verdict}: {self.name}, {self.metric.name} {self.old:.4g} → {self.new:.4g}{unit},"
            f" {ratio.value - 1:+.1%}{interval}"
        )


@dataclass(frozen=True)
class Comparison:
    """What changed between two records.

    Attributes:
        changes: Every metric that both records have.
        only_old: Configurations that only the earlier record has.
        only_new: Configurations that only the new record has.
        notes: What else differs.
    """

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    notes: tuple[str, ...]

    def as_text(self) -> str:
        """Return a line for each change beyond noise, and what was not compared."""
        reported = [change for change in self.changes if change.beyond_noise]
        lines = ["compared with the earlier record", *map(str, reported)]
        if not reported:
            lines.append(f"nothing changed beyond noise in {len(self.changes)} metrics")
        else:
            lines.append(f"{len(self.changes) - len(reported)} metrics did not change beyond noise")
        lines += [f"only in the earlier record: {name}" for name in self.only_old]
        lines += [f"only in this record: {name}" for name in self.only_new]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def require_same_machine(new: MachineStamp, old: MachineStamp) -> None:
    """Check that two records come from the same hardware.

    Raises:
        ResultError: They do not.
    """
    if new.identity != old.identity:
        raise ResultError(
            f"The earlier record is of another machine ({old.hardware}; this is {new.hardware}).",
            hint="Add --any-machine to compare anyway.",
        )


def compare(new: Record, old: Record) -> Comparison:
    """Compare every configuration that both records have."""
    before, now = _by_key(old), _by_key(new)
    changes = [
        change
        for key, result in now.items()
        if key in before
        for metric in METRICS.values()
        if (change := _change(result, before[key], metric)) is not None
    ]
    return Comparison(
        changes=tuple(changes),
        only_old=tuple(one.subject.name for key, one in before.items() if key not in now),
        only_new=tuple(one.subject.name for key, one in now.items() if key not in before),
        notes=_notes(new, old),
    )


def failures(record: Record, old: Record | None, limits: Sequence[Limit]) -> list[str]:
    """Return what ``--fail-if`` finds, a line each.

    A limit relative to an old value counts only if the change is beyond noise. A configuration that
    lacks the metric, or that the earlier record lacks, fails too: a check that checks nothing must
    not pass.
    """
    before = {} if old is None else _by_key(old)
    found = []
    for limit in limits:
        metric = limit.metric
        for result in record.results:
            name, value = result.subject.name, metric.of(result)
            earlier = before.get(_key(result.subject))
            change = None if earlier is None else _change(result, earlier, metric)
            if value is None:
                found.append(f"failed: {name} has no metric '{metric.name}'.")
            elif not limit.is_relative:
                if limit.is_met(value):
                    found.append(f"failed: {name}, {metric.name} is {value:.4g}: {limit.text}.")
            elif change is None:
                found.append(f"failed: the earlier record has no {metric.name} of {name}.")
            elif limit.is_met(value, change.old) and change.beyond_noise:
                found.append(
                    f"failed: {name}, {metric.name} is {value:.4g} and was {change.old:.4g}:"
                    f" {limit.text}."
                )
    return found


def _by_key(record: Record) -> dict[tuple[object, ...], Result]:
    return {_key(result.subject): result for result in record.results}


def _key(subject: Subject) -> tuple[object, ...]:
    """Return what makes two configurations the same, independent of their files' names."""
    return (
        subject.family,
        subject.model if subject.sha256 is None else subject.variant,
        round(subject.ratio, 6),
        subject.frames,
        subject.batch,
        subject.precision,
        subject.engine,
        subject.device,
        subject.threads,
    )


def _change(new: Result, old: Result, metric: Metric) -> Change | None:
    value, before = metric.of(new), metric.of(old)
    if value is None or before is None or before <= 0.0:
        return None
    ratio = _timed_ratio(new, old, metric)
    if ratio is None or ratio.rounds < LEAST_ROUNDS:
        share = value / before
        ratio = Interval(share, share, share, 1)
        beyond = abs(share - 1.0) > _READ_ONCE
    else:
        beyond = ratio.low > 1.0 + _DRIFT or ratio.high < 1.0 - _DRIFT
    return Change(new.subject.name, metric, before, value, ratio, beyond)


def _timed_ratio(new: Result, old: Result, metric: Metric) -> Interval | None:
    """Return the ratio of a metric from the rounds of its measure, None if it is read once."""
    if metric.timed is None:
        return None
    now, before = timed_measure(new, metric.timed), timed_measure(old, metric.timed)
    if now is None or before is None:
        return None
    ms = [np.divide(measure.rounds_ms, measure.frames) for measure in (now, before)]
    return unpaired_ratio(*(ms if metric.smaller_is_better else ms[::-1]))


def _notes(new: Record, old: Record) -> tuple[str, ...]:
    notes = []
    if new.machine.identity != old.machine.identity:
        notes.append("the machines differ.")
    versions = [
        {package.name: package.version for package in one.machine.packages} for one in (old, new)
    ]
    for name in sorted({*versions[0], *versions[1]}):
        before, after = (version.get(name, "absent") for version in versions)
        if before != after:
            notes.append(f"{name} was {before} and is {after}.")
    modes = old.before.power_mode, new.before.power_mode
    if modes[0] != modes[1]:
        notes.append(f"the power mode was {modes[0]} and is {modes[1]}.")
    return tuple(notes)


def pareto_front(results: Sequence[Result]) -> frozenset[str]:
    """Return the names of the configurations that none beats in both accuracy and frames a second.

    Those without an accuracy are not compared.
    """
    points = [
        (result.subject.name, error, speed)
        for result in results
        if (error := METRICS["mpjpe"].of(result)) is not None
        and (speed := METRICS["frames_per_s"].of(result)) is not None
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
    """Return one sentence: which configuration to use for a budget.

    It is the most accurate one that keeps the limit, or the fastest if no accuracy was measured;
    and if none keeps it, the one that comes nearest.
    """
    metric = limit.metric
    known = [(result, value) for result in results if (value := metric.of(result)) is not None]
    if not known:
        return f"No advice for {limit.text}: '{metric.name}' was not measured."
    fitting = [(result, value) for result, value in known if limit.is_met(value)]
    if not fitting:
        wants_small = limit.sign.startswith("<")
        result, value = (min if wants_small else max)(known, key=lambda one: one[1])
        return (
            f"Nothing keeps {limit.text}; {result.subject.name} comes nearest, with"
            f" {_with_unit(value, metric)}."
        )
    accurate = [one for one in fitting if one[0].accuracy is not None]
    if accurate:
        result, value = min(accurate, key=lambda one: METRICS["mpjpe"].of(one[0]) or 0.0)
        error = METRICS["mpjpe"].of(result)
        return (
            f"For {limit.text} use {result.subject.name}: {_with_unit(value, metric)}, and with"
            f" {error:.1f} mm the most accurate of the {len(accurate)} that keep it."
        )
    result, value = max(fitting, key=lambda one: METRICS["frames_per_s"].of(one[0]) or 0.0)
    return (
        f"For {limit.text} use {result.subject.name}: {_with_unit(value, metric)}, and the"
        f" fastest of the {len(fitting)} that keep it; accuracy was not measured."
    )


def _with_unit(value: float, metric: Metric) -> str:
    return f"{value:.4g} {metric.unit}".rstrip()
