"""The lines above and below a record's tables."""

from __future__ import annotations

from collections.abc import Sequence

from hot_sdk.benchmarks.speed.conditions import Conditions
from hot_sdk.benchmarks.speed.limits import Limit
from hot_sdk.benchmarks.speed.pareto import advice
from hot_sdk.benchmarks.speed.record import Record


def headline(record: Record) -> list[str]:
    """What it ran on and how, a line each."""
    machine, settings = record.machine, record.settings
    hardware = [f"{machine.cpu}, {machine.processors} CPUs", *machine.instructions]
    if machine.board is not None:
        hardware.insert(0, machine.board)
    hardware += machine.gpus
    software = [f"hot-sdk {machine.sdk}", f"Python {machine.python}", machine.system]
    if machine.l4t is not None:
        software.append(f"L4T {machine.l4t}")
    if machine.driver is not None:
        software.append(f"driver {machine.driver}")
    software += [f"{package.name} {package.version}" for package in machine.packages]
    effort = (
        f"at least {settings.windows} counted runs of each measure"
        if settings.windows is not None
        else f"at least {settings.duration_s:g} counted seconds of each measure"
    )
    lines = [
        ", ".join(hardware),
        ", ".join(software),
        f"before: {_conditions(record.before)}",
        f"after: {_conditions(record.after)}",
        f"{effort}, in {settings.rounds} rounds, in turn: {', '.join(settings.order)}",
        f"command: {' '.join(settings.command)}",
    ]
    if record.power is not None:
        lines.append(f"power: {record.power.source}, {record.power.rail}")
    else:
        lines.append(f"power: not measured ({record.power_problem or 'no sample was read'})")
    return lines


def closing_lines(record: Record, budgets: Sequence[Limit]) -> list[str]:
    """What the reader has to know, and what to take for a budget."""
    lines = [f"Note: {note}" for note in record.notes]
    for result in record.results:
        for measure in result.measures:
            if measure.steadiness.state == "drifting" and measure.name != "push":
                lines.append(
                    f"Note: {result.subject.name}, {measure.name}: no steady state was reached"
                    f" ({measure.steadiness.drift or 0.0:+.1%} from the first half to the second)."
                )
        if result.subject.random_weights:
            lines.append(f"Note: {result.subject.name} has random weights; its poses mean nothing.")
        if result.subject.sha256 is None and result.subject.engine == "onnxruntime":
            lines.append(
                f"Note: {result.subject.name} is exported in the process that measures it, and its"
                " start and memory are those of the export."
            )
        if result.ceiling is not None:
            lines += [
                f"Note: {result.subject.name}: ceiling by {problem}."
                for problem in result.ceiling.problems
            ]
        if result.profile is not None and result.profile.problem:
            lines.append(f"Note: {result.subject.name}: {result.profile.problem}.")
    return [*lines, *(advice(record.results, limit) for limit in budgets)]


def _conditions(one: Conditions) -> str:
    parts = [f"{one.load:.2f} CPUs busy" if one.load is not None else "load unknown"]
    parts.append(f"governor {', '.join(one.governors)}" if one.governors else "governor unknown")
    if one.cpu_mhz:
        parts.append(f"CPU {min(one.cpu_mhz):.0f} to {max(one.cpu_mhz):.0f} MHz")
    if one.power_mode is not None:
        parts.append(f"power mode {one.power_mode}")
    parts += [f"GPU clock {clock}" for clock in one.gpu_clocks]
    if one.temperatures:
        hottest = max(one.temperatures, key=lambda zone: zone.celsius)
        parts.append(f"{hottest.celsius:.0f} °C ({hottest.zone})")
    else:
        parts.append("temperatures unknown")
    if one.throttled is not None:
        parts.append(f"throttled {one.throttled} times since it started")
    return "; ".join(parts)
