"""A record beside an earlier one: what changed by more than noise, and what fails.

Which configurations no other one beats, and which of them fits a budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hot_sdk.benchmarks.machine import MachineStamp
from hot_sdk.benchmarks.speed.figures import KINDS, FigureKind, Limit, served
from hot_sdk.benchmarks.speed.record import Measure, Record, Result, Subject
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval, unpaired_ratio
from hot_sdk.errors import ResultError

_READ_ONCE = 0.05
"""Share by which a figure without an interval has to differ before it is told."""

_DRIFT = 0.02
"""Two runs of the same thing differ by so much even where each is steady: what cannot be seen
within a run, such as where memory came to lie."""


@dataclass(frozen=True)
class Change:
    """One figure of one configuration, then and now.

    Attributes:
        name: Of the configuration.
        kind: The figure.
        old: Then.
        new: Now.
        ratio: Now over then, with its confidence interval where the figure was taken many times.
        beyond_noise: It changed by more than noise.
    """

    name: str
    kind: FigureKind
    old: float
    new: float
    ratio: Interval
    beyond_noise: bool

    @property
    def is_worse(self) -> bool:
        """It changed for the worse."""
        return self.beyond_noise and (self.ratio.value > 1.0) == self.kind.smaller_is_better


@dataclass(frozen=True)
class Comparison:
    """What changed.

    Attributes:
        changes: Every figure that both records have.
        only_old: Configurations that are in the earlier record only.
        only_new: Those that are in the new one only.
        notes: What else differs.
    """

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    notes: tuple[str, ...]

    def as_text(self) -> str:
        """A line for each change beyond noise, and what was not compared."""
        told = [change for change in self.changes if change.beyond_noise]
        lines = ["compared with the earlier record"]
        lines += [_line(change) for change in told]
        if not told:
            lines.append(f"nothing changed beyond noise in {len(self.changes)} figures")
        else:
            lines.append(f"{len(self.changes) - len(told)} figures did not change beyond noise")
        lines += [f"only then: {name}" for name in self.only_old]
        lines += [f"only now: {name}" for name in self.only_new]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def _line(change: Change) -> str:
    ratio = change.ratio
    verdict = "worse" if change.is_worse else "better"
    unit = f" {change.kind.unit}" if change.kind.unit else ""
    interval = f" (95 %: {ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})" if ratio.rounds > 1 else ""
    return (
        f"{verdict}: {change.name}, {change.kind.name} {change.old:.4g} → {change.new:.4g}{unit},"
        f" {ratio.value - 1:+.1%}{interval}"
    )


def require_alike(new: MachineStamp, old: MachineStamp) -> None:
    """Check that two records are of the same hardware.

    Raises:
        ResultError: They are not.
    """
    if new.identity == old.identity:
        return
    raise ResultError(
        f"The earlier record is of another machine ({_hardware(old)}; this is {_hardware(new)}).",
        hint="Give --any-machine to compare all the same.",
    )


def _hardware(stamp: MachineStamp) -> str:
    parts = (stamp.board or stamp.cpu, f"{stamp.processors} CPUs", *stamp.gpus)
    return ", ".join(parts)


def compare(new: Record, old: Record) -> Comparison:
    """Compare every configuration that both records have."""
    then = {_key(result.subject): result for result in old.results}
    now = {_key(result.subject): result for result in new.results}
    changes = [
        change
        for key, result in now.items()
        if key in then
        for kind in KINDS.values()
        if (change := _change(result, then[key], kind)) is not None
    ]
    return Comparison(
        changes=tuple(changes),
        only_old=tuple(one.subject.name for key, one in then.items() if key not in now),
        only_new=tuple(one.subject.name for key, one in now.items() if key not in then),
        notes=_notes(new, old),
    )


def failures(record: Record, old: Record | None, limits: Sequence[Limit]) -> list[str]:
    """What ``--fail-if`` finds, a line each.

    A limit against an old figure counts only where the change is beyond noise. A configuration
    that lacks the figure, or that the earlier record lacks, fails too: a check that checks nothing
    must not pass.
    """
    found = []
    then = {} if old is None else {_key(one.subject): one for one in old.results}
    for limit in limits:
        for result in record.results:
            name = result.subject.name
            value = limit.kind.of(result)
            if value is None:
                found.append(f"failed: {name} has no figure '{limit.kind.name}'.")
                continue
            if not limit.of_old:
                if limit.holds(value):
                    found.append(f"failed: {name}, {limit.kind.name} is {value:.4g}: {limit.text}.")
                continue
            earlier = then.get(_key(result.subject))
            change = None if earlier is None else _change(result, earlier, limit.kind)
            if change is None:
                found.append(f"failed: the earlier record has no {limit.kind.name} of {name}.")
            elif limit.holds(value, change.old) and change.beyond_noise:
                found.append(
                    f"failed: {name}, {limit.kind.name} is {value:.4g} and was {change.old:.4g}:"
                    f" {limit.text}."
                )
    return found


def _key(subject: Subject) -> tuple[object, ...]:
    """What makes two configurations the same, whatever their files are called."""
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


def _change(new: Result, old: Result, kind: FigureKind) -> Change | None:
    value, before = kind.of(new), kind.of(old)
    if value is None or before is None or before <= 0.0:
        return None
    ratio = _timed_ratio(new, old, kind)
    if ratio is None or ratio.rounds < LEAST_ROUNDS:
        share = value / before
        interval = Interval(share, share, share, 1)
        return Change(
            new.subject.name, kind, before, value, interval, abs(share - 1.0) > _READ_ONCE
        )
    beyond = ratio.low > 1.0 + _DRIFT or ratio.high < 1.0 - _DRIFT
    return Change(new.subject.name, kind, before, value, ratio, beyond)


def _timed_ratio(new: Result, old: Result, kind: FigureKind) -> Interval | None:
    """The ratio of a figure from the rounds of the measure that it is of."""
    if kind.timed is None:
        return None
    measures = [_timed(result, kind.timed) for result in (new, old)]
    if measures[0] is None or measures[1] is None:
        return None
    rounds = [
        [value / measure.frames for value in measure.rounds_ms] for measure in measures if measure
    ]
    if kind.smaller_is_better:
        return unpaired_ratio(rounds[0], rounds[1])
    return unpaired_ratio(rounds[1], rounds[0])


def _timed(result: Result, name: str) -> Measure | None:
    return served(result) if name == "window" else result.measure(name)


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
