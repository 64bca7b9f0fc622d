"""What is peculiar to a Jetson: JetPack, power mode, clocks of the GPU, throttling."""

from __future__ import annotations

import re

from hot_sdk.doctor.finding import Finding, Status, one_line
from hot_sdk.doctor.jetpack import RELEASE_FILE, installed_jetpack, is_jetson
from hot_sdk.doctor.machine import Machine

_SECONDS = 10.0
_GPU_CLOCK = re.compile(r"gpu|ga10b|gb10b|gv11b|gp10b")
_MODE = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.M)
_OLDEST_SERIES = 6


def check_jetpack(machine: Machine) -> tuple[Finding, ...]:
    """L4T, the JetPack that it belongs to, and the packages that match."""
    if not is_jetson(machine):
        return ()
    jetpack = installed_jetpack(machine)
    if jetpack is None:
        return (
            Finding(
                "jetpack",
                "wrong",
                f"{RELEASE_FILE} is absent or not in the form '# R36 (release), REVISION: 4.3, …'",
                "In a container, mount this file of the board; else flash JetPack 6.2 or newer.",
            ),
        )
    if jetpack.version is None:
        return (
            Finding(
                "jetpack",
                "info",
                f"L4T {jetpack.l4t}, which this version of the SDK does not know",
                "Look for a newer SDK; check that the GPU packages are those of this JetPack.",
            ),
        )
    parts = [f"JetPack {jetpack.version} (L4T {jetpack.l4t})"]
    for what, version in (("CUDA", jetpack.cuda), ("TensorRT", jetpack.tensorrt)):
        if version is not None:
            parts.append(f"{what} {version}")
    parts.append(f"Python {jetpack.python}")
    if int(jetpack.version.partition(".")[0]) < _OLDEST_SERIES:
        fix = "Flash JetPack 6.2 or newer: this one's GPU packages are for an older Python."
        return (Finding("jetpack", "wrong", ", ".join(parts), fix),)
    if jetpack.onnxruntime is not None:
        parts.append(f"onnxruntime-gpu from the Jetson AI Lab index, '{jetpack.onnxruntime}'")
    else:
        parts.append("no onnxruntime-gpu is known for it")
    fix = ""
    if jetpack.tensorrt is not None and jetpack.tensorrt.startswith("8."):
        fix = "Flash JetPack 6.2, or export models for this TensorRT with: hot-export --opset 17"
    return (Finding("jetpack", "ok", ", ".join(parts), fix),)


def check_power_mode(machine: Machine) -> tuple[Finding, ...]:
    """The power mode, which caps the clocks."""
    if not is_jetson(machine):
        return ()
    modes = dict(_MODE.findall(machine.text("/etc/nvpmodel.conf") or ""))
    outcome = machine.run(("nvpmodel", "-q"), _SECONDS)
    match = re.search(r"NV Power Mode:\s*(\S+)\s+(\d+)", outcome.out)
    if match is not None:
        name, mode = match[1], match[2]
    else:
        status = re.search(r"pmode:0*(\d+)", machine.text("/var/lib/nvpmodel/status") or "")
        if status is None:
            said = one_line(outcome.said) or "it did not say"
            return (
                Finding("power mode", "info", f"unknown: nvpmodel: {said}", "sudo nvpmodel -q"),
            )
        mode = status[1]
        name = modes.get(mode, "unnamed")
    others = ", ".join(f"{number} {other}" for number, other in modes.items() if number != mode)
    detail = f"{name} (mode {mode})" + (f"; others: {others}" if others else "")
    fix = "" if name.startswith("MAXN") else "For full speed: sudo nvpmodel -m ID of a MAXN mode"
    return (Finding("power mode", "ok" if not fix else "info", one_line(detail), fix),)


def check_gpu_clock(machine: Machine) -> tuple[Finding, ...]:
    """Whether the GPU's clock is capped, and whether it follows the load."""
    if not is_jetson(machine):
        return ()
    findings = []
    for folder in machine.matching("/sys/class/devfreq/*"):
        if not _GPU_CLOCK.search(folder.name):
            continue
        low, high = machine.number(folder / "min_freq"), machine.number(folder / "max_freq")
        if low is None or high is None:
            continue
        steps = [
            int(step)
            for step in (machine.text(folder / "available_frequencies") or "").split()
            if step.isdecimal()
        ]
        detail = f"{_mhz(low)} to {_mhz(high)} MHz"
        fixes = []
        if steps and high < max(steps):
            detail += f", capped by the power mode (the hardware has {_mhz(max(steps))})"
            fixes.append("sudo nvpmodel -m ID of a larger mode")
        if low < high:
            detail += ", follows the load"
            fixes.append("sudo jetson_clocks")
        status: Status = "info" if fixes else "ok"
        fix = f"For steady latency: {', then '.join(fixes)}" if fixes else ""
        findings.append(Finding(f"gpu clock {folder.name}", status, detail, fix))
    return tuple(findings)


def check_throttling(machine: Machine) -> tuple[Finding, ...]:
    """Whether the board has slowed itself down for want of current since it started."""
    if not is_jetson(machine):
        return ()
    counts = [machine.number(f) for f in machine.matching("/sys/class/hwmon/*/oc*_event_cnt")]
    known = [count for count in counts if count is not None]
    if not known:
        return ()
    if sum(known) == 0:
        return (Finding("throttling", "ok", "never for want of current since the start"),)
    return (
        Finding(
            "throttling",
            "wrong",
            f"{sum(known)} times for want of current since the start",
            "Use a stronger power supply or a smaller power mode: sudo nvpmodel -m ID",
        ),
    )


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.0f}"
