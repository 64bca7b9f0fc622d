"""Made-up records, to test what follows from them."""

import dataclasses

import numpy as np

from hot_sdk.benchmarks.machine import Conditions, MachineStamp, Package, Temperature
from hot_sdk.benchmarks.speed.profilers import Profile, Share
from hot_sdk.benchmarks.speed.record import SCHEMA, PowerTrace, Record, Settings
from hot_sdk.benchmarks.speed.result import (
    Accuracy,
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
from hot_sdk.benchmarks.speed.series import Interval, examine, quantiles_ms
from hot_sdk.latency import Statistics

CONDITIONS = Conditions((), (), (), None, (Temperature("cpu", 41.0),), 0, None, 0.1)
MACHINE = MachineStamp(
    cpu="A CPU",
    instructions=("avx2",),
    processors=4,
    cpu_mhz=3000.0,
    memory_mib=8000,
    board=None,
    l4t=None,
    jetpack=None,
    gpus=(),
    driver=None,
    system="Linux 6.1 x86_64",
    python="3.11.7",
    sdk="0.1.0",
    packages=(Package("numpy", "2.4.6"),),
)


def measure(name, ms, *, frames=27, noise=0.02, count=200, seed=0):
    random = np.random.default_rng(seed)
    seconds = ms / 1e3 * np.exp(noise * random.standard_normal(count))
    rounds = [float(1e3 * np.median(part)) for part in np.array_split(seconds, min(40, count))]
    return Measure(
        name=name,
        windows=1,
        frames=frames,
        statistics=Statistics.from_seconds(seconds),
        steadiness=examine(seconds),
        quantiles_ms=quantiles_ms(seconds),
        rounds_ms=tuple(rounds),
    )


def result(name, ms, *, mpjpe=None, ratio=1.0, seed=0, memory=100.0):
    tokens = None if ratio == 1.0 else round(27 * ratio)
    return Result(
        subject=Subject(
            name=name,
            model=f"{name}.onnx",
            sha256="0" * 64,
            file_bytes=1 << 20,
            family="mixste",
            variant="plain" if tokens is None else "hot",
            ratio=ratio,
            tokens=tokens,
            frames=27,
            batch=1,
            precision="fp32",
            engine="onnxruntime",
            engine_version="1.32.0",
            device="cpu",
            threads=2,
            random_weights=False,
        ),
        start=Start(500.0, 50.0, None, 20.0),
        memory=Memory(30.0, 90.0, memory, None),
        cost=Cost(1_000_000, 10**9, 11 * 10**8, 10**9, 4 << 20, 10**8, 100),
        stream=Stream(1, 0, 0.0, 1, 30.0, False),
        measures=(measure("window", ms, seed=seed), measure("engine", 0.9 * ms, seed=seed + 1)),
        stages=(),
        ratios=(),
        ceiling=None,
        energy=Energy(5.0, 2.0, 0.01, None),
        accuracy=None if mpjpe is None else Accuracy("starter-val", 100, mpjpe, mpjpe, 4.0),
        stream_accuracy=None,
        profile=Profile(
            "",
            5,
            (Share("spatial", 2.0, 0.5), Share("temporal", 2.0, 0.5)),
            (),
            (),
            4.0,
            4.2,
        ),
        projections=(),
    )


def record(*results, machine=MACHINE, **changes):
    made = Record(
        schema=SCHEMA,
        created="2026-01-01T00:00:00+00:00",
        interrupted=False,
        machine=machine,
        before=CONDITIONS,
        after=CONDITIONS,
        busy_meanwhile=0.0,
        settings=Settings(
            ("hot-benchmark", "a.onnx"),
            5.0,
            None,
            40,
            tuple(one.subject.name for one in results),
            None,
            None,
        ),
        power=PowerTrace("rapl", "package-0", (0.0, 0.5, 1.0), (5.0, 6.0, 5.5)),
        power_problem="",
        results=results,
        notes=(),
    )
    return dataclasses.replace(made, **changes)


def in_turn(speed_up, low, high, *, rounds=40, **changes):
    """A record of a file that was measured against another, in turn."""
    ratios = tuple(
        Ratio(name, "old", Interval(speed_up, low, high, rounds), 1.0, speed_up)
        for name in ("window", "engine")
    )
    new = dataclasses.replace(result("new", 10.0 / speed_up, seed=3), ratios=ratios)
    made = record(result("old", 10.0), new, **changes)
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, against="old"))
