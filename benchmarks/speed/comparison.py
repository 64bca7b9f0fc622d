"""Compare a record with an earlier one, or a file with another one that ran in turn with it.

A change counts if its interval says so. Where the intervals are too wide, the runs too few or the
machine was busy, there is no verdict, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.speed.evidence import busy_with, is_paired, ratio_of, trouble_with
from hot_sdk.benchmarks.speed.metrics import METRICS, Metric
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Result
from hot_sdk.benchmarks.speed.series import Interval
from hot_sdk.errors import ResultError

DRIFT = 0.02
"""Two processes that run the same thing differ by this share even if each is steady: from what
cannot be seen within one, such as the place of its memory."""

BUSY_DRIFT = 0.15
"""The same on a machine that others keep busy: each process runs beside others, all through. A file
against itself was once 15% slower there, with an interval from 6% to 21%."""

_SAME = 0.05
"""A change whose interval lies within this share is said to be none."""

_OF_STREAMS = ("stream", "push", "quiet_push")

BETTER, WORSE, SAME, UNDECIDED = "better", "worse", "same", "no verdict"
"""Verdicts."""


@dataclass(frozen=True)
class Change:
    """One metric of one configuration, new and old.

    Attributes:
        name: Name of the configuration.
        metric: The metric.
        old: Its earlier value.
        new: Its new value.
        ratio: New over old, with its confidence interval if the metric was read many times.
        verdict: ``better``, ``worse``, ``same``, or ``no verdict``.
        trouble: Why the values are no evidence; empty if they are.
        busy: What kept the machine busy while they were measured in turn; empty if nothing did.
    """

    name: str
    metric: Metric
    old: float
    new: float
    ratio: Interval
    verdict: str
    trouble: str
    busy: str = ""

    @property
    def drift(self) -> float:
        """The share by which two processes that run the same thing may differ."""
        return BUSY_DRIFT if self.busy else DRIFT

    @property
    def reason(self) -> str:
        """Why there is no verdict; empty if there is one."""
        if self.verdict != UNDECIDED:
            return ""
        if self.busy and not self.trouble:
            return (
                f"{self.busy}, where two processes that run the same may differ by"
                f" {BUSY_DRIFT:.0%}; measure again when it is idle"
            )
        return self.trouble or "the interval is too wide; measure longer (--duration)"

    @property
    def beyond_noise(self) -> bool:
        """Whether it changed by more than noise."""
        return self.verdict in (BETTER, WORSE)

    @property
    def is_worse(self) -> bool:
        """Whether it changed for the worse."""
        return self.verdict == WORSE

    def __str__(self) -> str:
        ratio = self.ratio
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        interval = ""
        if ratio.rounds > 1:
            interval = f" (95%: {ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
        return (
            f"{self.verdict}: {self.name}, {self.metric.name} {self.old:.4g} →"
            f" {self.new:.4g}{unit}, {ratio.value - 1:+.1%}{interval}"
        )


@dataclass(frozen=True)
class Comparison:
    """What changed.

    Attributes:
        title: What is compared with what.
        changes: Every metric that both have.
        only_old: Configurations that only the earlier record has.
        only_new: Configurations that only the new record has.
        notes: What else differs.
    """

    title: str
    changes: tuple[Change, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_undecided(self) -> bool:
        """Whether there is no verdict on any time; also if nothing that both have is timed."""
        timed = [change for change in self.changes if change.metric.timed is not None]
        return all(change.verdict == UNDECIDED for change in timed)

    def as_text(self) -> str:
        """Return a line for each change, and what was not compared or not decided, and why."""
        reported = [change for change in self.changes if change.beyond_noise]
        undecided = [change for change in self.changes if change.verdict == UNDECIDED]
        unchanged = len(self.changes) - len(reported) - len(undecided)
        lines = [self.title, *map(str, reported)]
        if not self.changes:
            lines.append("nothing was compared: no metric of a configuration is in both")
        elif not reported and not undecided:
            lines.append(f"nothing changed beyond noise in {unchanged} metrics")
        else:
            lines.append(f"{unchanged} metrics did not change beyond noise")
        by_reason: dict[tuple[str, str], list[str]] = {}
        for change in undecided:
            by_reason.setdefault((change.name, change.reason), []).append(change.metric.name)
        lines += [
            f"{UNDECIDED}: {name}, {', '.join(metrics)}: {reason}"
            for (name, reason), metrics in by_reason.items()
        ]
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
    pairs = [(one, earlier_result(old, one)) for one in new.results]
    changes = [
        change
        for result, before in pairs
        if before is not None
        for metric in METRICS.values()
        if (change := change_since(new, result, old, before, metric)) is not None
    ]
    compared = {id(before) for _, before in pairs}
    return Comparison(
        title="compared with the earlier record",
        changes=tuple(changes),
        only_old=tuple(one.subject.name for one in old.results if id(one) not in compared),
        only_new=tuple(one.subject.name for one, before in pairs if before is None),
        notes=_notes(new, old),
    )


def compare_in_turn(record: Record) -> Comparison | None:
    """Compare the files of a record with the one that they were measured against.

    They ran in the same rounds, so that what disturbed one disturbed the other, and the intervals
    are those of the rounds' ratios. None if there is no such file.
    """
    old = record.settings.against
    if old is None:
        return None
    changes = [
        change
        for result in record.results
        if (reference := reference_of(record, result)) is not None
        for metric in METRICS.values()
        if (change := change_in_turn(record, result, reference, metric)) is not None
    ]
    alone = [
        one.subject.name
        for one in record.results
        if reference_of(record, one) is None and not is_reference(record, one)
    ]
    return Comparison(
        f"compared with {old}, which ran in turn with it",
        tuple(changes),
        notes=tuple(f"{name} has no measure in common with it." for name in alone),
    )


def reference_of(record: Record, result: Result) -> Result | None:
    """Return what a result of a record was compared with in turn; None of a reference itself."""
    if not result.ratios:
        return None
    name = result.ratios[0].reference
    return next((one for one in record.results if one.subject.name == name), None)


def is_reference(record: Record, result: Result) -> bool:
    """Return whether a result is what others were measured in turn with, and no more."""
    references = {ratio.reference for one in record.results for ratio in one.ratios}
    return result.subject.name in {*references, record.settings.against}


def earlier_result(old: Record, result: Result) -> Result | None:
    """Return the result of an earlier record that is of the same configuration.

    Of several, such as files that were measured in turn, it is the one of the same name, or none.
    """
    alike = [one for one in old.results if _key(one) == _key(result)]
    if len(alike) > 1:
        alike = [one for one in alike if one.subject.name == result.subject.name]
    return alike[0] if len(alike) == 1 else None


def change_since(
    record: Record, new: Result, earlier: Record, old: Result, metric: Metric
) -> Change | None:
    """Return the change of a metric since an earlier record; None if one of them lacks it."""
    trouble = trouble_with(record, new, metric)
    if not trouble and (before := trouble_with(earlier, old, metric)):
        trouble = f"of the earlier record, {before}"
    return _change(new, old, metric, ratio_of(new, old, metric), trouble)


def change_in_turn(record: Record, new: Result, old: Result, metric: Metric) -> Change | None:
    """Return the change of a metric against what ran in turn with it."""
    paired = is_paired(metric)
    trouble = trouble_with(record, new, metric, paired=paired)
    trouble = trouble or trouble_with(record, old, metric, paired=paired)
    ratio = ratio_of(new, old, metric, paired=True)
    return _change(new, old, metric, ratio, trouble, busy_with(record))


def _change(
    new: Result,
    old: Result,
    metric: Metric,
    ratio: Interval | None,
    trouble: str,
    busy: str = "",
) -> Change | None:
    value, before = metric.of(new), metric.of(old)
    if value is None or before is None or before <= 0.0:
        return None
    if metric.timed in _OF_STREAMS and _stream_of(new) != _stream_of(old):
        return None
    share = value / before
    if not metric.noisy:
        plain = Interval(share, share, share, 1)
        changed = abs(share - 1.0) > metric.tolerance
        verdict = _direction(share, metric) if changed else SAME
        return Change(new.subject.name, metric, before, value, plain, verdict, "")
    if ratio is None or trouble:
        plain = ratio or Interval(share, share, share, 1)
        trouble = trouble or "too few rounds to tell"
        return Change(new.subject.name, metric, before, value, plain, UNDECIDED, trouble)
    drift = BUSY_DRIFT if busy else DRIFT
    if ratio.low > 1.0 + drift or ratio.high < 1.0 - drift:
        verdict = _direction(ratio.value, metric)
    else:
        same = max(abs(ratio.low - 1.0), abs(ratio.high - 1.0)) <= _SAME
        verdict = SAME if same else UNDECIDED
    return Change(new.subject.name, metric, before, value, ratio, verdict, "", busy)


def _stream_of(result: Result) -> tuple[int, int, int] | None:
    stream = result.stream
    return None if stream is None else (stream.hop, stream.lookahead, stream.people)


def _direction(share: float, metric: Metric) -> str:
    return WORSE if (share > 1.0) == metric.smaller_is_better else BETTER


def _key(result: Result) -> tuple[object, ...]:
    """Return what makes two configurations the same, independent of their files' names."""
    subject = result.subject
    # A result that is of a stream alone has others beside it, of the same file.
    alone = not any(result.measure(name) for name in ("window", "engine"))
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
        _stream_of(result) if alone else None,
    )


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
