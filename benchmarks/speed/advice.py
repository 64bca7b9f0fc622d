"""Advice from a record: which configurations no other one beats, and which one keeps a budget.

A budget is one limit or several that hold together. What is advised was measured; if nothing that
was measured keeps the budget, what to measure next is estimated from what was, and said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from hot_sdk.benchmarks.speed.evidence import interval_of, trouble_with
from hot_sdk.benchmarks.speed.metrics import METRICS, Limit, Metric
from hot_sdk.benchmarks.speed.record import Record
from hot_sdk.benchmarks.speed.result import Result

_OF_STREAMS = ("per_new_frame", "push_p99", "quiet_push", "delay", "hop", "lookahead", "people")
_OTHER_PRECISIONS = ("int8-dynamic", "int8")


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


def advice(record: Record, limits: Sequence[Limit]) -> list[str]:
    """Return which configuration to use for a budget, a sentence each; none without limits.

    It is the most accurate one that keeps all limits, or the fastest if no accuracy was measured.
    If none keeps them, it is the one that comes nearest, and what to measure next.
    """
    if not limits:
        return []
    wanted = " and ".join(limit.text for limit in limits)
    unmeasured = [
        limit.metric.name
        for limit in limits
        if all(limit.metric.of(result) is None for result in record.results)
    ]
    if unmeasured:
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(unmeasured))
        return [f"No advice for {wanted}: {names} was not measured."]
    known = [
        result
        for result in record.results
        if all(limit.metric.of(result) is not None for limit in limits)
    ]
    if not known:
        return [f"No advice for {wanted}: no configuration has all of these."]
    fitting = [one for one in known if all(_keeps(one, limit) for limit in limits)]
    if not fitting:
        return [
            _nearest(known, limits, wanted),
            *_doubts_of_misses(record, known, limits),
            *_what_next(known, limits),
        ]
    best, why = _best(fitting, limits)
    sentence = f"For {wanted} use {best.subject.name}: {_described(best, limits)}, {why}."
    return [sentence, *_doubts(record, best, limits)]


def _keeps(result: Result, limit: Limit) -> bool:
    value = limit.metric.of(result)
    return value is not None and limit.is_met(value)


def _is_about_streams(limits: Sequence[Limit]) -> bool:
    return any(limit.metric.name in _OF_STREAMS for limit in limits)


def _error_of(result: Result, *, streamed: bool) -> float | None:
    """Return the error in millimeters; that of the stream if it is known and wanted."""
    own = METRICS["stream_mpjpe"].of(result) if streamed else None
    return METRICS["mpjpe"].of(result) if own is None else own


def _best(fitting: Sequence[Result], limits: Sequence[Limit]) -> tuple[Result, str]:
    """Return the most accurate, and among equals the cheapest; and why."""
    streamed = _is_about_streams(limits)
    cost = _cost(streamed)
    errors = [(error, one) for one in fitting if (error := _error_of(one, streamed=streamed))]
    if errors:
        _, best = min(errors, key=lambda each: (each[0], cost(each[1])))
        return best, f"the most accurate of the {len(errors)} that keep it"
    best = min(fitting, key=cost)
    return best, f"the fastest of the {len(fitting)} that keep it; accuracy was not measured"


def _cost(streamed: bool) -> Callable[[Result], float]:
    metric = METRICS["per_new_frame" if streamed else "per_frame"]

    def of(result: Result) -> float:
        value = metric.of(result)
        return math.inf if value is None else value

    return of


def _described(result: Result, limits: Sequence[Limit]) -> str:
    """Return the metrics of the limits, and what else a stream's user has to know."""
    metrics = [limit.metric for limit in limits]
    if _is_about_streams(limits):
        metrics += [METRICS[name] for name in ("per_new_frame", "delay")]
    parts = [
        _with_unit(value, metric)
        for metric in dict.fromkeys(metrics)
        if (value := metric.of(result)) is not None
    ]
    stream = result.stream
    if stream is not None and _is_about_streams(limits):
        people = "" if stream.people == 1 else f", {stream.people} people"
        kind = "a live network, a run for each frame" if stream.live else f"hop {stream.hop}"
        parts.append(f"{kind}, lookahead {stream.lookahead}{people}")
        error = METRICS["stream_mpjpe"].of(result)
        if error is not None:
            return ", ".join([*parts, f"{error:.1f} mm as a stream"])
    error = METRICS["mpjpe"].of(result)
    if error is not None:
        streamed = _is_about_streams(limits)
        parts.append(f"{error:.1f} mm" + (" on whole clips" if streamed else ""))
    return ", ".join(parts)


def _doubts(record: Record, best: Result, limits: Sequence[Limit]) -> Iterator[str]:
    """Yield what makes the advice less than sure."""
    for limit in limits:
        metric = limit.metric
        trouble = trouble_with(record, best, metric)
        interval = interval_of(best, metric)
        if trouble:
            yield f"That {metric.name} keeps its limit is not sure: {trouble}."
        elif interval is not None and not (
            limit.is_met(interval.low) and limit.is_met(interval.high)
        ):
            yield (
                f"That {metric.name} keeps its limit is not sure: it is {interval.low:.4g} to"
                f" {interval.high:.4g} (95%)."
            )


def _doubts_of_misses(
    record: Record, known: Sequence[Result], limits: Sequence[Limit]
) -> Iterator[str]:
    """Yield what makes it less than sure that nothing keeps the limits."""
    for limit in limits:
        missing = [result for result in known if not _keeps(result, limit)]
        troubles = {trouble_with(record, result, limit.metric) for result in missing} - {""}
        if troubles:
            why = "; ".join(sorted(troubles))
            yield f"That {limit.metric.name} misses its limit is not sure: {why}."
        for result in missing:
            interval = interval_of(result, limit.metric)
            if interval is not None and (limit.is_met(interval.low) or limit.is_met(interval.high)):
                yield (
                    f"That {limit.metric.name} of {result.subject.name} misses its limit is not"
                    f" sure: it is {interval.low:.4g} to {interval.high:.4g} (95%)."
                )


def _nearest(known: Sequence[Result], limits: Sequence[Limit], wanted: str) -> str:
    """Return which configuration is least beyond the limits."""

    def excess(result: Result) -> float:
        return max(_excess(result, limit) for limit in limits)

    best = min(known, key=excess)
    return f"Nothing keeps {wanted}; {best.subject.name} comes nearest: {_described(best, limits)}."


def _excess(result: Result, limit: Limit) -> float:
    """Return by which factor a result is beyond a limit, at most 1 if it keeps it."""
    value = limit.metric.of(result)
    if value is None:
        return math.inf
    if limit.is_met(value):
        return 1.0
    above, below = (value, limit.number) if limit.sign.startswith("<") else (limit.number, value)
    return math.inf if below <= 0.0 else above / below


def _what_next(known: Sequence[Result], limits: Sequence[Limit]) -> Iterator[str]:
    """Yield what to measure next, estimated from what was measured."""
    each = next(
        (one for one in limits if one.metric.name == "per_new_frame" and one.sign[0] == "<"), None
    )
    if each is not None and each.number > 0.0:
        yield from _larger_hop(known, limits, each)
    streams = _is_about_streams(limits)
    if streams and not any(one.stream is not None and one.stream.live for one in known):
        yield "Not measured: a live network, which costs one frame for each new frame."
    slow = any(one.metric.noisy and not all(_keeps(each, one) for each in known) for one in limits)
    if slow:
        precisions = {one.subject.precision for one in known}
        others = [name for name in _OTHER_PRECISIONS if name not in precisions]
        if others and not precisions & set(_OTHER_PRECISIONS):
            yield f"Not measured: --precisions {','.join(others)} of the family, or such files."
        engines = {one.subject.engine for one in known}
        if "openvino" not in engines and all(one.subject.device == "cpu" for one in known):
            yield "Not measured: --engines openvino."
        ratios = [one.subject.ratio for one in known]
        if min(ratios) > 0.33:
            yield f"Not measured: a ratio below {min(ratios):.2f}, such as --ratios 0.33,0.2."


def _larger_hop(known: Sequence[Result], limits: Sequence[Limit], each: Limit) -> Iterator[str]:
    """Yield the smallest hop at which a measured model would keep a limit on each new frame."""
    found = []
    for one in known:
        stream, value = one.stream, METRICS["per_new_frame"].of(one)
        if stream is None or stream.live or value is None:
            continue
        # A run of the engine is spread over the hop; the rest of a push is small beside it.
        run_ms = value * stream.hop
        hop = math.floor(run_ms / each.number) + 1
        late = stream.lookahead_ms + 1e3 * (hop - 1) / stream.fps + run_ms
        if hop > stream.hop and all(_allows(limit, hop, late) for limit in limits):
            found.append((hop, late, run_ms, one.subject.name))
    if found:
        hop, late, run_ms, name = min(found)
        yield (
            f"Measure next: {name} with --hop {hop}; each new frame would cost about"
            f" {run_ms / hop:.3g} ms, and a pose be up to {late:.0f} ms late."
        )


def _allows(limit: Limit, hop: int, late_ms: float) -> bool:
    if limit.metric.name == "hop":
        return limit.is_met(hop)
    return limit.metric.name != "delay" or limit.is_met(late_ms)


def _with_unit(value: float, metric: Metric) -> str:
    return f"{metric.name} {value:.4g} {metric.unit}".rstrip()
