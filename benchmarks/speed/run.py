"""Run a benchmark: open the configurations, measure them, and make the record."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.machine import (
    BUSY,
    Conditions,
    read_conditions,
    stamp_machine,
    throttled_between,
)
from hot_sdk.benchmarks.power import PowerSampler, PowerSamples, open_source
from hot_sdk.benchmarks.speed.ceiling import ceiling_of
from hot_sdk.benchmarks.speed.extras import measure_extras
from hot_sdk.benchmarks.speed.measure import (
    Measurement,
    OthersWatch,
    measure_in_turn,
    open_workers,
)
from hot_sdk.benchmarks.speed.messages import STARTS
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.record import (
    SCHEMA,
    Ceiling,
    Cost,
    Energy,
    Measure,
    Memory,
    PowerTrace,
    Ratio,
    Record,
    Result,
    Settings,
    Start,
    Stream,
    Subject,
)
from hot_sdk.benchmarks.speed.series import paired_ratio, quantiles_ms
from hot_sdk.errors import UsageError
from hot_sdk.host.machine import Machine
from hot_sdk.latency import Statistics
from hot_sdk.results.result import METERS

_IDLE_S = 1.0
_MOST_TRACED = 2000
_MEASURES = ("window", "engine", "stream", "push", "start", "command")
_COMPARED = ("window", "engine", "stream", "start", "command")
_MOST_ROUNDS = 300


def run_benchmark(
    configurations: Sequence[Configuration],
    options: BenchmarkOptions,
    machine: Machine,
    command: Sequence[str],
    progress: Progress,
) -> Record:
    """Measure, and make the record. Ctrl-C ends it early, and the record says so.

    Args:
        configurations: What to measure; the first is the reference.
        options: How to measure.
        machine: The machine that it runs on.
        command: The command line, for the record.
        progress: Shows what is going on.

    Raises:
        HotSDKError: A configuration cannot be opened, a source of power is missing, or an engine
            failed.
        KeyboardInterrupt: It was interrupted before anything was measured.
    """
    if options.data is not None:
        _require_scale(configurations, options.data)
    stamp, before = stamp_machine(machine), read_conditions(machine)
    source, problem = open_source(options.power, machine, configurations[0].task.device)
    interrupted = False
    busy: float | None = None
    idle_until = 0.0
    samples = trace = None
    with contextlib.ExitStack() as stack:
        sampler = None if source is None else stack.enter_context(PowerSampler(source))
        if sampler is not None:
            time.sleep(_IDLE_S)
            idle_until = time.monotonic()
        measurements = stack.enter_context(open_workers(configurations, progress))
        watch = OthersWatch(machine, [one.worker.pid for one in measurements])
        try:
            measure_in_turn(measurements, options, progress)
            busy = watch.busy()
            measure_extras(measurements, options, stamp, progress)
        except KeyboardInterrupt:
            if not any(one.series for one in measurements):
                raise
            interrupted = True
            busy = watch.busy()
        if sampler is not None:
            samples, problem = sampler.samples(), sampler.problem
            trace = _trace(samples, sampler)
        results = tuple(
            _result(one, _reference(one, measurements, options), samples, idle_until)
            for one in measurements
            if one.series
        )
    after = read_conditions(machine)
    failed = [f"{one.configuration.name}: {text}" for one in measurements for text in one.failed]
    return Record(
        schema=SCHEMA,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        interrupted=interrupted,
        machine=stamp,
        before=before,
        after=after,
        busy_meanwhile=busy,
        settings=Settings(
            command=tuple(command),
            duration_s=options.duration_s,
            windows=options.runs,
            rounds=max(len(series.turns) for one in measurements for series in one.series.values()),
            order=tuple(one.name for one in configurations),
            data=options.data,
            against=None if options.against is None else configurations[0].name,
        ),
        power=trace,
        power_problem=problem,
        results=results,
        notes=(*_notes(before, after, busy, stamp.processors, interrupted=interrupted), *failed),
    )


def _require_scale(configurations: Sequence[Configuration], name: str) -> None:
    from hot_sdk.benchmarks.evaluation.data_sets import data_set

    scale_of = data_set(name).scale_of
    for one in configurations:
        if one.manifest.unit != METERS and one.manifest.trained_on not in scale_of:
            raise UsageError(
                f"{one.name} returns '{one.manifest.unit}', and {name} has no scale for them.",
                hint="Remove --data, name models whose unit is the meter, or a data set that has a"
                " scale: h36m-motionbert.",
            )


def _trace(samples: PowerSamples, sampler: PowerSampler) -> PowerTrace | None:
    count = len(samples.times)
    if count == 0:
        return None
    step = -(-count // _MOST_TRACED)
    return PowerTrace(
        source=sampler.source.name,
        rail=sampler.source.rail,
        seconds=tuple(round(float(value), 3) for value in samples.times[::step] - samples.times[0]),
        watts=tuple(float(f"{value:.5g}") for value in samples.watts[::step]),
    )


def _reference(
    one: Measurement, measurements: Sequence[Measurement], options: BenchmarkOptions
) -> Measurement:
    """Return what a configuration is compared with: the first.

    With a file to measure against, it is the configuration of that file in the same engine, on the
    same device, with the same stream.
    """
    if options.against is None:
        return measurements[0]
    old, task = measurements[0].configuration.task.model, one.configuration.task
    for other in measurements:
        same = dataclasses.replace(task, model=old, batch=other.configuration.task.batch)
        if other.configuration.task == same:
            return other
    return measurements[0]


def _notes(
    before: Conditions,
    after: Conditions,
    busy: float | None,
    processors: int,
    *,
    interrupted: bool,
) -> Iterator[str]:
    if busy is not None and busy > BUSY:
        yield (
            f"Other programs kept {busy:.2f} of {processors} CPUs busy meanwhile: times are longer"
            " than on an idle machine, and ratios hold better than times."
        )
    if before.load is not None and before.load > BUSY:
        yield (
            f"The machine was busy before the start ({before.load:.2f} of {processors} CPUs):"
            " times are longer than on an idle one, and ratios hold better than times."
        )
    if throttled_between(before, after):
        yield "The machine throttled itself during the measurement, for heat or current."
    if before.governors and before.governors != ("performance",):
        yield (
            f"The CPUs' clocks follow the load (governor {', '.join(before.governors)}); lock them"
            " for steady times."
        )
    if interrupted:
        yield "It was interrupted: what is missing was not measured."


def _result(
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
            live=getattr(manifest, "step", None) is not None,
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
