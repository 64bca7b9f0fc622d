"""From what was measured to the results of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hot_sdk.benchmarks.power import PowerSamples
from hot_sdk.benchmarks.speed.measure import Running
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.profilers import Profile
from hot_sdk.benchmarks.speed.profilers.graph_cost import GraphCost
from hot_sdk.benchmarks.speed.record import (
    Accuracy,
    Ceiling,
    Cost,
    Energy,
    Measure,
    Memory,
    Projection,
    Ratio,
    Result,
    Start,
    Stream,
    Subject,
)
from hot_sdk.benchmarks.speed.series import paired_ratio, quantiles_ms, statistics_ms
from hot_sdk.benchmarks.speed.worker.ceilings import COPY, PRODUCT

_MEASURES = ("window", "engine", "stream", "push")
_COMPARED = ("window", "engine", "stream")
_MOST_ROUNDS = 300


@dataclass
class Extras:
    """What was found of a configuration beside its times.

    Attributes:
        peak_mib: The most memory of its process.
        gpu_mib: Memory on the GPU.
        graph: Cost of its file, node by node.
        work: Of the yardsticks.
        problems: Why a yardstick could not be measured.
        profile: Where its time goes.
        accuracy: On a data set.
        projections: Bounds.
        failed: What could not be found out, and why.
    """

    peak_mib: float | None = None
    gpu_mib: float | None = None
    graph: GraphCost | None = None
    work: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    profile: Profile | None = None
    accuracy: Accuracy | None = None
    projections: tuple[Projection, ...] = ()
    failed: list[str] = field(default_factory=list)


def results_of(
    running: Sequence[Running],
    extras: Sequence[Extras],
    power: PowerSamples | None,
    idle_until: float,
) -> tuple[Result, ...]:
    """One result for each configuration that was measured at least once.

    Args:
        running: The configurations; the first is the reference of the others.
        extras: What else was found of each.
        power: Power over time, or None.
        idle_until: Seconds of the monotonic clock until which nothing ran.
    """
    return tuple(
        _result(one, running[0], extra, power, idle_until)
        for one, extra in zip(running, extras, strict=True)
        if one.series
    )


def _result(
    one: Running,
    reference: Running,
    extra: Extras,
    power: PowerSamples | None,
    idle_until: float,
) -> Result:
    opened, configuration = one.opened, one.configuration
    manifest = configuration.manifest
    measures = tuple(measure for name in _MEASURES if (measure := _measure(one, name)) is not None)
    stream = None
    if opened.hop is not None and opened.lookahead is not None:
        wait = 1e3 * opened.lookahead / manifest.training_fps
        stream = Stream(opened.hop, opened.lookahead, wait)
    return Result(
        subject=subject_of(one),
        start=Start(opened.startup_ms, opened.load_ms, opened.build_ms, opened.first_inference_ms),
        memory=Memory(opened.base_mib, opened.loaded_mib, extra.peak_mib, extra.gpu_mib),
        cost=_cost(configuration, extra.graph),
        stream=stream,
        measures=measures,
        ratios=() if one is reference else ratios_of(one, reference),
        ceiling=_ceiling(one, extra),
        energy=None if power is None else _energy(one, power, idle_until),
        accuracy=extra.accuracy,
        profile=extra.profile,
        projections=extra.projections,
    )


def subject_of(one: Running) -> Subject:
    """A configuration in the words of the record."""
    configuration, opened = one.configuration, one.opened
    manifest, model = configuration.manifest, configuration.model
    return Subject(
        name=configuration.name,
        model=configuration.name if model is None else model.name,
        sha256=configuration.sha256,
        file_bytes=None if model is None else model.stat().st_size,
        family=manifest.family,
        variant=manifest.variant,
        ratio=manifest.ratio,
        tokens=manifest.tokens,
        frames=manifest.frames,
        batch=configuration.batch,
        precision=opened.precision,
        engine=opened.engine,
        engine_version=opened.engine_version,
        device=opened.device,
        threads=configuration.threads,
        random_weights=manifest.weights.random,
    )


def _measure(one: Running, name: str) -> Measure | None:
    series = one.series.get(name)
    if series is None:
        return None
    counted = series.counted()
    if not len(counted):
        return None
    hop = one.opened.hop or 1
    windows, frames = {"stream": (1, hop), "push": (0, 1)}.get(
        name, (one.opened.windows, one.opened.frames)
    )
    return Measure(
        name=name,
        windows=windows,
        frames=frames,
        statistics=statistics_ms(counted),
        steadiness=series.steadiness(),
        quantiles_ms=quantiles_ms(counted),
        rounds_ms=_thinned(1e3 * series.round_medians()),
    )


def _thinned(rounds: NDArray[np.float64]) -> tuple[float, ...]:
    """Rounds that count, or medians of neighbours, so that a long run has a small record."""
    counted = rounds[np.isfinite(rounds)]
    if len(counted) > _MOST_ROUNDS:
        counted = np.array([np.median(part) for part in np.array_split(counted, _MOST_ROUNDS)])
    return tuple(float(f"{value:.6g}") for value in counted.tolist())


def ratios_of(one: Running, reference: Running) -> tuple[Ratio, ...]:
    """How much faster a configuration is than the reference, measure by measure."""
    found = []
    for measure in _COMPARED:
        pairs = _pairs(one, reference, measure)
        if pairs is None:
            continue
        interval = paired_ratio(*pairs)
        if interval is None:
            continue
        flops = _flops_ratio(one, reference)
        found.append(
            Ratio(
                measure=measure,
                reference=reference.configuration.name,
                speed_up=interval,
                flops_ratio=flops,
                efficiency=None if flops is None else interval.value / flops,
            )
        )
    return tuple(found)


def _pairs(
    one: Running, reference: Running, measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Seconds per window, or per frame of a stream, of both in the rounds that both counted."""
    own, other = one.series.get(measure), reference.series.get(measure)
    if own is None or other is None:
        return None
    above, below = other.round_medians(), own.round_medians()
    both = min(len(above), len(below))
    above, below = above[:both], below[:both]
    counted = np.isfinite(above) & np.isfinite(below)
    if measure == "stream":
        units = (reference.opened.hop or 1, one.opened.hop or 1)
    else:
        # Per frame of the window, so that windows of other lengths compare.
        units = (reference.opened.frames, one.opened.frames)
    return above[counted] / units[0], below[counted] / units[1]


def _flops_ratio(one: Running, reference: Running) -> float | None:
    """Of the operations of both for each frame that they give."""
    costs = [
        _executed(each.configuration) * each.opened.windows / each.opened.frames
        for each in (reference, one)
    ]
    return costs[0] / costs[1] if costs[1] else None


def _executed(configuration: Configuration) -> int:
    """Operations of a window; a baseline computes what an export folds, too."""
    flops = configuration.manifest.flops
    return flops.executed if configuration.baseline is None else flops.matmuls


def _cost(configuration: Configuration, graph: GraphCost | None) -> Cost:
    manifest = configuration.manifest
    flops = manifest.flops
    return Cost(
        parameters=manifest.parameters,
        papers_flops=flops.papers,
        products_flops=flops.matmuls,
        executed_flops=_executed(configuration),
        weight_bytes=None if graph is None else graph.weight_bytes,
        moved_bytes=None if graph is None else sum(kernel.bytes for kernel in graph.kernels),
        kernels=None if graph is None else len(graph.kernels),
    )


def _ceiling(one: Running, extra: Extras) -> Ceiling | None:
    if not extra.work and not extra.problems:
        return None
    product, copy = one.series.get(PRODUCT), one.series.get(COPY)
    engine = one.series.get("engine")
    rate = best = copied = achieved = None
    if product is not None:
        rate = extra.work[PRODUCT] / float(np.median(product.all))
        best = extra.work[PRODUCT] / float(product.all.min())
    if copy is not None:
        copied = extra.work[COPY] / float(np.median(copy.all))
    if engine is not None and len(engine.counted()):
        flops = _executed(one.configuration) * one.opened.windows
        achieved = flops / float(np.median(engine.counted()))
    shape = None if extra.graph is None else extra.graph.largest_product
    return Ceiling(
        product_shape=shape,
        product_flops_per_s=rate,
        best_flops_per_s=best,
        copy_bytes_per_s=copied,
        achieved_flops_per_s=achieved,
        share_of_product=achieved / rate if achieved is not None and rate is not None else None,
        problems=tuple(f"{name}: {text}" for name, text in extra.problems.items()),
    )


def _energy(one: Running, power: PowerSamples, idle_until: float) -> Energy | None:
    main = "window" if "window" in one.spans else "engine"
    watts = power.mean_watts([span[:2] for span in one.spans.get(main, ())])
    each = _joules_per(one, main, power, one.opened.frames)
    if watts is None or each is None:
        return None
    return Energy(
        mean_w=watts,
        idle_w=power.mean_watts([(float(power.times[0]), idle_until)]),
        j_per_frame=each,
        j_per_new_frame=_joules_per(one, "stream", power, one.opened.hop or 1),
    )


def _joules_per(one: Running, measure: str, power: PowerSamples, frames: int) -> float | None:
    joules, count = 0.0, 0
    for start, end, samples in one.spans.get(measure, ()):
        spent = power.joules(start, end)
        if spent is not None:
            joules += spent
            count += samples * frames
    return joules / count if count else None
