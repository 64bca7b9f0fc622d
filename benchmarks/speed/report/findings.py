"""What a record shows, in sentences: the decision of its reader, before any table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hot_sdk._base.tables import number
from hot_sdk.benchmarks.speed.advice import advice
from hot_sdk.benchmarks.speed.comparison import BUSY_DRIFT, DRIFT
from hot_sdk.benchmarks.speed.evidence import busy_with, trouble_with
from hot_sdk.benchmarks.speed.metrics import METRICS, Limit, first_ratio, user_latency
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Result
from hot_sdk.benchmarks.speed.series import LEAST_ROUNDS, Interval


def decision_lines(record: Record, budgets: Sequence[Limit]) -> list[str]:
    """Return the advice for a budget; without one, what was fastest and most accurate."""
    return advice(record, budgets) or findings(record)


def findings(record: Record) -> list[str]:
    """Return what a record shows, a sentence each, and first of all why not to rely on it."""
    return [*_doubts(record), *_speed(record), *_accuracy(record), *_ceilings(record)]


def findings_section(title: str, question: str, record: Record) -> str:
    """Return the findings of a study as a section of Markdown.

    Args:
        title: Its heading.
        question: What it asks.
        record: What it measured.
    """
    listed = "\n".join(f"- {line}" for line in findings(record))
    when = f"{record.created[:10]}, {record.machine.hardware}"
    return f"### {title}\n\n{question} ({when})\n\n{listed}\n"


def _doubts(record: Record) -> Iterator[str]:
    metric = METRICS["frames_per_s"]
    troubles = {
        trouble
        for result in record.results
        if user_latency(result) is not None and (trouble := trouble_with(record, result, metric))
    }
    if troubles:
        yield f"Do not rely on these times: {'; '.join(sorted(troubles))}."


def _speed(record: Record) -> Iterator[str]:
    timed = [result for result in record.results if user_latency(result) is not None]
    if not timed:
        return
    compared = [(ratio, result) for result in timed if (ratio := first_ratio(result)) is not None]
    if not compared:
        for result in timed:
            yield f"{result.subject.name}: {_time(result)}."
        return
    known = [each for each in compared if each[0].speed_up.rounds >= LEAST_ROUNDS]
    if not known:
        yield "Too few rounds to say which is faster."
        return
    drift = BUSY_DRIFT if busy_with(record) else DRIFT
    ratio, fastest = max(known, key=lambda each: each[0].speed_up.value)
    best = ratio.speed_up
    about = f"{fastest.subject.name}, {_interval(best)} times {ratio.reference}; {_time(fastest)}"
    if best.low > 1.0 + drift:
        yield f"Fastest: {about}."
        as_fast = [
            result.subject.name
            for one, result in known
            if result is not fastest and one.speed_up.high * (1.0 + drift) >= best.low
        ]
        if as_fast:
            yield f"Not told apart from it: {', '.join(as_fast)}."
    else:
        yield f"None is faster than {ratio.reference} beyond noise. Nearest: {about}."
    slower = [result.subject.name for one, result in known if one.speed_up.high < 1.0 - drift]
    if slower:
        yield f"Slower than {ratio.reference}: {', '.join(slower)}."
    unclear = [
        result.subject.name
        for one, result in known
        if one.speed_up.low <= 1.0 + drift and one.speed_up.high >= 1.0 - drift
    ]
    if unclear:
        yield f"Not told apart from {ratio.reference}: {', '.join(unclear)}."


def _time(result: Result) -> str:
    measure = user_latency(result)
    assert measure is not None
    what = "one window" if measure.windows == 1 else f"{measure.windows} windows"
    how = "end to end" if measure.name == "window" else "in the engine"
    return f"{what} {how} takes {number(measure.statistics.median)} ms at the median"


def _accuracy(record: Record) -> Iterator[str]:
    found = [
        (error, result)
        for result in record.results
        if (error := METRICS["mpjpe"].of(result)) is not None
    ]
    if not found:
        return
    (least, best), (most, worst) = min(found, key=_error), max(found, key=_error)
    data = best.accuracy.data if best.accuracy is not None else ""
    if best is worst:
        yield f"MPJPE on {data}: {least:.2f} mm."
        return
    yield (
        f"MPJPE on {data}: {least:.2f} mm ({best.subject.name}) to {most:.2f} mm"
        f" ({worst.subject.name})."
    )


def _error(each: tuple[float, Result]) -> float:
    return each[0]


def _ceilings(record: Record) -> Iterator[str]:
    shares = [
        (result.ceiling.share_of_shapes, result)
        for result in record.results
        if result.ceiling is not None and result.ceiling.share_of_shapes is not None
    ]
    known = [(share, result) for share, result in shares if share.rounds >= LEAST_ROUNDS]
    if not known:
        return
    low, lowest = min(known, key=lambda each: each[0].value)
    high, highest = max(known, key=lambda each: each[0].value)
    text = f"{low.value:.0%} ({lowest.subject.name})"
    if lowest is not highest:
        text += f" to {high.value:.0%} ({highest.subject.name})"
    yield f"Matrix multiplications one by one would take this share of a run's time: {text}."


def _interval(one: Interval) -> str:
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
