"""Run all checks in their order, and derive what the machine can run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hot_sdk.doctor.engines import CPU, CUDA, check_onnxruntime, check_openvino
from hot_sdk.doctor.nvidia import check_gpus, check_pycuda, check_visible_devices
from hot_sdk.doctor.opencv import check_opencv
from hot_sdk.doctor.packages import check_extras, check_onnxruntime_builds, check_python, check_sdk
from hot_sdk.doctor.resources import (
    check_cpus,
    check_disk,
    check_governor,
    check_memory,
    check_swap,
)
from hot_sdk.doctor.tensorrt import check_tensorrt
from hot_sdk.host import Finding, one_line
from hot_sdk.host.jetson import check_gpu_clock, check_jetpack, check_power_mode, check_throttling
from hot_sdk.host.machine import Machine

Check = Callable[[Machine], Finding | Iterable[Finding] | None]
"""Checks a machine; finds nothing if it does not apply there."""

CHECKS: tuple[Check, ...] = (
    check_python,
    check_sdk,
    check_extras,
    check_opencv,
    check_jetpack,
    check_gpus,
    check_visible_devices,
    check_onnxruntime_builds,
    check_onnxruntime,
    check_tensorrt,
    check_pycuda,
    check_openvino,
    check_memory,
    check_swap,
    check_cpus,
    check_governor,
    check_power_mode,
    check_gpu_clock,
    check_throttling,
    check_disk,
)

# What each way of running models needs, the engine itself first.
_CAPABILITIES = (
    ("ONNX Runtime on the CPU", (f"provider {CPU}",)),
    ("ONNX Runtime on CUDA", (f"provider {CUDA}",)),
    ("TensorRT", ("tensorrt", "pycuda")),
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capability:
    """Whether a machine can run models in one way.

    Attributes:
        name: The way.
        usable: Whether it works.
        reason: Why it does not; empty if it does.
    """

    name: str
    usable: bool
    reason: str


def diagnose(machine: Machine, checks: Sequence[Check] = CHECKS) -> tuple[Finding, ...]:
    """Run checks one after the other; one that fails is a finding, and the others go on."""
    findings: list[Finding] = []
    for check in checks:
        try:
            found = check(machine)
            findings += [found] if isinstance(found, Finding) else found or ()
        except Exception as error:
            _LOG.info("the check failed", exc_info=error)
            findings.append(
                Finding(
                    check.__name__.removeprefix("check_"),
                    "wrong",
                    f"the check itself failed: {type(error).__name__}: {one_line(str(error))}",
                    "Report it, with the output of: hot-doctor -v",
                )
            )
    return tuple(findings)


def capabilities(findings: Sequence[Finding]) -> tuple[Capability, ...]:
    """Return in which ways the machine can run models, by what was found."""
    found = {finding.name: finding for finding in findings}
    problems = [
        (name, next(filter(None, (_problem(found, key, keys[0]) for key in keys)), ""))
        for name, keys in _CAPABILITIES
    ]
    return tuple(Capability(name, not problem, problem) for name, problem in problems)


def _problem(found: dict[str, Finding], key: str, engine: str) -> str:
    """Return why what a finding is about is not usable; empty if it is."""
    finding = found.get(key)
    if finding is not None:
        reason = finding.detail if key == engine else f"{key}: {finding.detail}"
        return "" if finding.status == "ok" else reason
    # Without a finding on a provider, ONNX Runtime itself does not work, or was built without it.
    runtime = found.get("onnxruntime")
    if runtime is None or runtime.status != "ok":
        return runtime.detail if runtime else "ONNX Runtime not checked"
    gpu = found.get("gpu") or found.get("gpu 0")
    return gpu.detail if gpu is not None and gpu.status != "ok" else "not in this ONNX Runtime"
