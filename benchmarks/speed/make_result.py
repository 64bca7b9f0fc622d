"""Make the result of a configuration of what was measured of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.power import PowerSamples
from hot_sdk.benchmarks.speed.ceiling import ceiling_of
from hot_sdk.benchmarks.speed.measure import Measurement
from hot_sdk.benchmarks.speed.messages import STARTS
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.result import (
    Ceiling,
    Cost,
    Energy,
    Measure,
    Memory,
    Ratio,
    Result,
    Start,
    Stream,
    Subject,
)
from hot_sdk.benchmarks.speed.series import paired_ratio, quantiles_ms
from hot_sdk.latency import Statistics

_MEASURES = ("window", "engine", "stream", "push", "start", "command")
_COMPARED = ("window", "engine", "stream", "start", "command")
_MOST_ROUNDS = 300


def make_result(
    one: Measurement, reference: Measurement, power: PowerSamples | None, idle_until: float
) -> Result:
    """Return the result of a configuration that was measured at least once.

    Args:
        one: The configuration.
        reference: The configuration that it is compared with.
        power: Power over time, or None.
        idle_until: Monotonic clock, in seconds, until which nothing ran.
    """
    ready, manifest = one.ready, one.configuration.manifest
    measures = [measure for name in _MEASURES if (measure := _measure(one, name)) is not None]
    quiet = _quiet_push(one)
    if quiet is not None:
        measures.append(quiet)
    stream = None
    if ready.hop is not None and ready.lookahead is not None:
        wait = 1e3 * ready.lookahead / manifest.training_fps
        stream = Stream(
            hop=ready.hop,
            lookahead=ready.lookahead,
            lookahead_ms=wait,
            people=one.configuration.task.people,
            fps=manifest.training_fps,
            live=manifest.step is not None,
        )
    return Result(
        subject=_subject(one),
        start=Start(ready.startup_ms, ready.load_ms, ready.build_ms, ready.first_inference_ms),
        memory=Memory(ready.base_mib, ready.loaded_mib, one.peak_mib, one.gpu_mib),
        cost=_cost(one),
        stream=stream,
        measures=tuple(measures),
        stages=one.stages,
        ratios=() if one is reference else _ratios(one, reference),
        ceiling=_ceiling(one),
        energy=None if power is None else _energy(one, power, idle_until),
        accuracy=one.accuracy,
        stream_accuracy=one.stream_accuracy,
        profile=one.profile,
        projections=one.projections,
    )


def _subject(one: Measurement) -> Subject:
    configuration, ready = one.configuration, one.ready
    manifest, task = configuration.manifest, configuration.task
    return Subject(
        name=configuration.name,
        model=configuration.name if configuration.is_baseline else task.file.name,
        sha256=configuration.sha256,
        file_bytes=None if configuration.is_baseline else task.file.stat().st_size,
        family=manifest.family,
        variant=manifest.variant,
        ratio=manifest.ratio,
        tokens=manifest.tokens,
        frames=manifest.frames,
        batch=task.batch,
        precision=ready.precision,
        engine=ready.engine,
        engine_version=ready.engine_version,
        device=ready.device,
        threads=task.threads,
        random_weights=manifest.weights.random,
    )


def _measure(one: Measurement, name: str) -> Measure | None:
    series = one.series.get(name)
    if series is None or not len(steady := series.steady()):
        return None
    windows, frames = one.ready.windows, one.ready.frames
    if name == "stream":
        windows, frames = 1, one.ready.hop or 1
    elif name == "push":
        windows, frames = 0, 1
    elif name in STARTS:
        windows, frames = 1, one.configuration.manifest.frames
    return Measure(
        name=name,
        windows=windows,
        frames=frames,
        statistics=Statistics.from_seconds(steady),
        steadiness=series.steadiness(),
        quantiles_ms=quantiles_ms(steady),
        rounds_ms=_thinned(1e3 * series.round_medians()),
    )


def _quiet_push(one: Measurement) -> Measure | None:
    """Return the pushes that ran no engine; None if each push runs it."""
    push, hop = one.series.get("push"), one.ready.hop or 1
    if push is None or hop == 1 or not len(steady := push.steady()):
        return None
    by_place = steady[: len(steady) // hop * hop].reshape(-1, hop)
    # The engine runs at the same place of each group of pushes.
    runs = int(np.argmax(np.median(by_place, axis=0)))
    quiet = np.delete(by_place, runs, axis=1)
    return Measure(
        name="quiet_push",
        windows=0,
        frames=1,
        statistics=Statistics.from_seconds(quiet.reshape(-1)),
        steadiness=push.steadiness(),
        quantiles_ms=quantiles_ms(quiet.reshape(-1)),
        rounds_ms=_thinned(1e3 * np.median(quiet, axis=1)),
    )


def _thinned(rounds: NDArray[np.float64]) -> tuple[float, ...]:
    """Return rounds that count, or medians of neighbors, so that long runs have small records."""
    counted = rounds[np.isfinite(rounds)]
    if len(counted) > _MOST_ROUNDS:
        counted = np.array([np.median(part) for part in np.array_split(counted, _MOST_ROUNDS)])
    return tuple(float(f"{value:.6g}") for value in counted.tolist())


def _ratios(one: Measurement, reference: Measurement) -> tuple[Ratio, ...]:
    """Return how much faster a configuration is than the reference, measure by measure."""
    # A network's operations for each frame that it returns.
    costs = [
        _executed(each.configuration) * each.ready.windows / each.ready.frames
        for each in (reference, one)
    ]
    flops = costs[0] / costs[1] if costs[1] else None
    found = []
    for name in _COMPARED:
        pairs = _pairs(one, reference, name)
        speed_up = None if pairs is None else paired_ratio(*pairs)
        if speed_up is not None:
            efficiency = None if flops is None else speed_up.value / flops
            found.append(Ratio(name, reference.configuration.name, speed_up, flops, efficiency))
    return tuple(found)


def _pairs(
    one: Measurement, reference: Measurement, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return both ones' seconds per frame, the reference's first, in rounds that both counted."""
    own, other = one.series.get(name), reference.series.get(name)
    if own is None or other is None:
        return None
    above, below = other.round_medians(), own.round_medians()
    both = min(len(above), len(below))
    above, below = above[:both], below[:both]
    counted = np.isfinite(above) & np.isfinite(below)
    if name == "stream":
        frames = (reference.ready.hop or 1, one.ready.hop or 1)
    elif name in STARTS:
        frames = (1, 1)
    else:
        frames = (reference.ready.frames, one.ready.frames)
    return above[counted] / frames[0], below[counted] / frames[1]


def _executed(configuration: Configuration) -> int:
    """Return the operations of a window; a baseline also computes what an export folds."""
    flops = configuration.manifest.flops
    return flops.matmuls if configuration.is_baseline else flops.executed


def _cost(one: Measurement) -> Cost:
    manifest, graph = one.configuration.manifest, one.graph
    return Cost(
        parameters=manifest.parameters,
        papers_flops=manifest.flops.papers,
        products_flops=manifest.flops.matmuls,
        executed_flops=_executed(one.configuration),
        weight_bytes=None if graph is None else graph.weight_bytes,
        moved_bytes=None if graph is None else sum(kernel.bytes for kernel in graph.kernels),
        kernels=None if graph is None else len(graph.kernels),
    )


def _ceiling(one: Measurement) -> Ceiling | None:
    windows = one.ready.windows
    if one.ready.measures[0] == "stream":
        # A run for each person in it, and of a window unless the network is a live one.
        windows = one.configuration.task.people
    return ceiling_of(one, _executed(one.configuration) * windows)


def _energy(one: Measurement, power: PowerSamples, idle_until: float) -> Energy | None:
    main = "window" if "window" in one.spans else "engine"
    watts = power.mean_watts([span[:2] for span in one.spans.get(main, ())])
    each = _joules_per_frame(one, main, power, one.ready.frames)
    if watts is None or each is None:
        return None
    return Energy(
        mean_w=watts,
        idle_w=power.mean_watts([(float(power.times[0]), idle_until)]),
        j_per_frame=each,
        j_per_new_frame=_joules_per_frame(one, "stream", power, one.ready.hop or 1),
    )


def _joules_per_frame(
    one: Measurement, name: str, power: PowerSamples, frames: int
) -> float | None:
    joules, count = 0.0, 0
    for start, end, samples in one.spans.get(name, ()):
        spent = power.joules(start, end)
        if spent is not None:
            joules += spent
            count += samples * frames
    return joules / count if count else None
