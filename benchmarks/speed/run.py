"""A whole run of ``hot-benchmark``: open, measure in turn, look further, and make the record."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Sequence

from hot_sdk.benchmarks.machine import (
    BUSY,
    Conditions,
    MachineStamp,
    conditions_of,
    stamp_of,
    throttled_between,
)
from hot_sdk.benchmarks.power import PowerSampler, PowerSamples, open_source
from hot_sdk.benchmarks.speed.extras import Wanted, look_further, problems
from hot_sdk.benchmarks.speed.measure import Telling, measure_in_turn, opened
from hot_sdk.benchmarks.speed.plan import Configuration
from hot_sdk.benchmarks.speed.record import SCHEMA, PowerTrace, Record, Settings
from hot_sdk.benchmarks.speed.results import Extras, results_of
from hot_sdk.errors import UsageError
from hot_sdk.host.machine import Machine
from hot_sdk.results.result import METERS

_IDLE_S = 1.0
_MOST_TRACED = 2000


def run_benchmark(
    configurations: Sequence[Configuration],
    wanted: Wanted,
    machine: Machine,
    command: Sequence[str],
    tell: Telling,
) -> Record:
    """Measure, and make the record. Ctrl-C ends it early, and the record says so.

    Args:
        configurations: What to measure; the first is the reference.
        wanted: What is looked at.
        machine: What it runs on.
        command: The command line, for the record.
        tell: Is told what is going on.

    Raises:
        HotSDKError: A configuration cannot be opened, a source of power is not there, or an
            engine failed.
        KeyboardInterrupt: It was interrupted before anything was measured.
    """
    if wanted.data is not None:
        _require_metric(configurations)
    stamp, before = stamp_of(machine), conditions_of(machine)
    source, problem = open_source(wanted.power, machine, configurations[0].device)
    interrupted = False
    idle_until = 0.0
    with contextlib.ExitStack() as stack:
        sampler = None if source is None else stack.enter_context(PowerSampler(source))
        if sampler is not None:
            time.sleep(_IDLE_S)
            idle_until = time.monotonic()
        cache = None if wanted.cache_dir is None else str(wanted.cache_dir)
        running = stack.enter_context(opened(configurations, wanted.streaming, cache, tell))
        extras = [Extras() for _ in running]
        try:
            measure_in_turn(running, wanted.effort, tell)
            look_further(running, extras, wanted, stamp, tell)
        except KeyboardInterrupt:
            if not any(one.series for one in running):
                raise
            interrupted = True
        samples = None if sampler is None else sampler.samples()
        if sampler is not None:
            problem = sampler.problem
        results = results_of(running, extras, samples, idle_until)
        order = tuple(one.configuration.name for one in running)
        rounds = max(len(series.turns) for one in running for series in one.series.values())
    after = conditions_of(machine)
    return Record(
        schema=SCHEMA,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        interrupted=interrupted,
        machine=stamp,
        before=before,
        after=after,
        settings=Settings(
            command=tuple(command),
            duration_s=wanted.effort.duration_s,
            windows=wanted.effort.windows,
            rounds=rounds,
            order=order,
            data=wanted.data,
        ),
        power=None if samples is None or sampler is None else _trace(samples, sampler),
        power_problem=problem,
        results=results,
        notes=(*_notes(stamp, before, after, interrupted), *problems(running, extras)),
    )


def _require_metric(configurations: Sequence[Configuration]) -> None:
    for one in configurations:
        if one.manifest.unit != METERS:
            raise UsageError(
                f"{one.name} gives '{one.manifest.unit}', which no accuracy can be measured in.",
                hint="Leave --data out, or name models whose unit is the metre.",
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


def _notes(
    stamp: MachineStamp, before: Conditions, after: Conditions, interrupted: bool
) -> tuple[str, ...]:
    notes = []
    if before.load is not None and before.load > BUSY:
        notes.append(
            f"The machine was busy before the start ({before.load:.2f} of {stamp.processors} CPUs):"
            " times are longer than on an idle one, and ratios hold better than times."
        )
    if throttled_between(before, after):
        notes.append("The machine slowed itself down while it was measured, for heat or current.")
    if before.governors and before.governors != ("performance",):
        notes.append(
            f"The CPUs' clocks follow the load (governor {', '.join(before.governors)}); lock them"
            " for steady times."
        )
    if interrupted:
        notes.append("It was interrupted: what is missing was not measured.")
    return tuple(notes)
