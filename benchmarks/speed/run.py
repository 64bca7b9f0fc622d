"""Run a benchmark: open the configurations, measure them, and make the record."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator, Sequence

from hot_sdk._base.progress import Progress
from hot_sdk.benchmarks.machine import (
    BUSY,
    Conditions,
    read_conditions,
    stamp_machine,
    throttled_between,
)
from hot_sdk.benchmarks.power import PowerSampler, PowerSamples, open_source
from hot_sdk.benchmarks.speed.extras import measure_extras
from hot_sdk.benchmarks.speed.make_result import make_result
from hot_sdk.benchmarks.speed.measure import (
    Measurement,
    OthersWatch,
    measure_in_turn,
    open_workers,
)
from hot_sdk.benchmarks.speed.options import BenchmarkOptions
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.record import SCHEMA, PowerTrace, Record, Settings
from hot_sdk.errors import UsageError
from hot_sdk.host.machine import Machine
from hot_sdk.results.result import METERS

_IDLE_S = 1.0
_MOST_TRACED = 2000


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
            make_result(one, _reference(one, measurements, options), samples, idle_until)
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
