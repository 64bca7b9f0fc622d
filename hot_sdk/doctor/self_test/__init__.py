"""The self-test of a board: build, run and compare small files and the starter model.

Each check runs in its own process, so that a crash or a lack of memory is a finding. What cannot
run is named with its reason; ONNX Runtime alone is enough for a part.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hot_sdk._base import records
from hot_sdk._base.leftovers import temporary_folder
from hot_sdk.doctor.probe import ask_child, death
from hot_sdk.doctor.self_test.report import (
    SCHEMA,
    Check,
    CheckStatus,
    Gpu,
    ModelFigures,
    SelfTestReport,
)
from hot_sdk.doctor.self_test.trtexec import TRTEXEC, parse_trtexec
from hot_sdk.host import one_line
from hot_sdk.host.jetson import check_power_mode, installed_jetpack, is_jetson, jetson_model
from hot_sdk.host.machine import Machine
from hot_sdk.starter import STARTER, STARTER_LIVE, resolve_model
from hot_sdk.version import __version__

MODELS = ("fp32", "fp16", "int8+fp16", STARTER)
"""The files: three small ones by their precision, made by ``self_test_models.py``, and the starter
model."""

# As the probes: not by 'python -m', which searches the working directory first.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.doctor.self_test.child import main; main()"
)
# A build takes minutes on a Jetson.
_BUILD_S = 1800.0
_LIFE_S = 300.0
_BUILDS = ("tensorrt", "live", "interrupted_build")
_PACKAGES = ("tensorrt", "pycuda", "onnxruntime", "onnxruntime-gpu", "numpy")
_LIFE = ("threads", "left_open", "daemon_at_exit", "memory_returned")


@dataclass(frozen=True)
class _Step:
    """One check, and the child or the program that makes it."""

    name: str
    run: Callable[[], Check]


def run_self_test(
    machine: Machine,
    *,
    models: Sequence[str] = MODELS,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> SelfTestReport:
    """Run every check that can run on a machine.

    Args:
        machine: The machine.
        models: The files, some of ``MODELS``.
        progress: Called before each check with those done, their number, and the check's name.

    Returns:
        What was found.
    """
    power = check_power_mode(machine)
    with temporary_folder("hot-self-test") as folder:
        steps = list(_steps(machine, folder, models))
        checks, gpu = [], None
        progress(0, len(steps) + 1, "gpu")
        first, gpu = _check_gpu(machine)
        checks.append(first)
        for done, step in enumerate(steps, 1):
            progress(done, len(steps) + 1, step.name)
            if step.name.startswith("tensorrt") and first.status is not CheckStatus.PASSED:
                detail = f"see '{first.name}'"
                checks.append(Check(step.name, CheckStatus.NOT_RUN, detail, 0.0))
            else:
                checks.append(step.run())
    return SelfTestReport(
        schema=SCHEMA,
        sdk=__version__,
        board=_board(machine),
        power_mode=power.detail if power is not None else "",
        python=f"{'.'.join(map(str, machine.interpreter.version))}",
        packages=tuple(
            f"{package} {machine.distributions[package]}"
            for package in _PACKAGES
            if package in machine.distributions
        ),
        gpu=gpu,
        checks=tuple(checks),
    )


def model_file(name: str) -> Path:
    """Return the file of one of ``MODELS``, or of the live starter."""
    if name in (STARTER, STARTER_LIVE):
        return resolve_model(name)
    file = f"self_test_{name.replace('+', '_')}.onnx"
    return Path(__file__).resolve().parents[1] / "data" / file


def _steps(machine: Machine, folder: Path, models: Sequence[str]) -> Iterator[_Step]:
    """Yield the checks in their order."""
    for model in models:
        yield _child(machine, f"onnxruntime cpu {model}", "onnxruntime", model, "cpu")
    if _has_cuda_provider(machine):
        for model in models:
            yield _child(machine, f"onnxruntime cuda {model}", "onnxruntime", model, "cuda:0")
    for model in models:
        yield _child(machine, f"tensorrt {model}", "tensorrt", model, str(folder))
    yield _child(machine, f"tensorrt {STARTER_LIVE}", "live", STARTER_LIVE, str(folder))
    for check in _LIFE:
        yield _child(machine, f"tensorrt {check.replace('_', ' ')}", check, models[0], str(folder))
    yield _child(machine, "tensorrt interrupted build", "interrupted_build", models[-1])
    for model in models:
        name = f"trtexec {model}"
        yield _Step(name, functools.partial(_trtexec, machine, name, model))


def _child(machine: Machine, name: str, check: str, model: str, *arguments: str) -> _Step:
    return _Step(name, lambda: _ask(machine, name, check, str(model_file(model)), *arguments)[0])


def _check_gpu(machine: Machine) -> tuple[Check, Gpu | None]:
    check, answer = _ask(machine, "tensorrt gpu", "gpu")
    found = answer.get("gpu")
    return check, None if found is None else records.build(Gpu, found)


def _ask(machine: Machine, name: str, check: str, *arguments: str) -> tuple[Check, dict[str, Any]]:
    """Run a check of ``child.py`` in its own process."""
    seconds = _BUILD_S if check in _BUILDS else _LIFE_S
    command = [machine.interpreter.executable, "-c", _PROGRAM, check, *arguments]
    start = time.monotonic()
    result = machine.run(command, seconds)
    took = time.monotonic() - start
    last = result.stdout.strip().rpartition("\n")[2]
    try:
        answer = json.loads(last)
    except ValueError:
        answer = {}
    if result.status != 0 or not isinstance(answer, dict) or not answer:
        # Also if it ended well before, and crashed at the end of its process.
        return Check(name, CheckStatus.FAILED, death(result), took), {}
    if "not run" in answer:
        return Check(name, CheckStatus.NOT_RUN, one_line(answer["not run"]), took), answer
    if "error" in answer:
        return Check(name, CheckStatus.FAILED, one_line(answer["error"]), took), answer
    figures = answer.get("figures")
    built = None if figures is None else records.build(ModelFigures, figures)
    problems = one_line("; ".join(answer.get("problems", ())))
    status = CheckStatus.FAILED if problems else CheckStatus.PASSED
    detail = problems or answer.get("found") or (_summary(built) if built else "")
    return Check(name, status, detail, took, built), answer


def _summary(figures: ModelFigures) -> str:
    parts = [f"{figures.engine} on {figures.device}"]
    if figures.layer_types is not None:
        hidden = f", {figures.opaque_regions} opaque regions" if figures.opaque_regions else ""
        parts.append(f"tensors: {figures.layer_types}{hidden}")
    if figures.cuda_graph:
        parts.append("one CUDA graph")
    if figures.zero_copy:
        parts.append("no copies")
    return "; ".join(parts)


def _has_cuda_provider(machine: Machine) -> bool:
    answer = ask_child(machine, "onnxruntime")
    return not answer.problem and "CUDAExecutionProvider" in answer.values["providers"]


def _trtexec(machine: Machine, name: str, model: str) -> Check:
    """Have NVIDIA's own program build and time a file, as an independent witness."""
    program = next((path for path in TRTEXEC if machine.at(path).is_file()), None)
    found = str(machine.at(program)) if program else shutil.which("trtexec")
    if found is None:
        detail = f"there is no trtexec ({TRTEXEC[0]}, or on the PATH)"
        return Check(name, CheckStatus.NOT_RUN, detail, 0.0)
    start = time.monotonic()
    result = machine.run([found, f"--onnx={model_file(model)}", "--stronglyTyped"], _BUILD_S)
    took = time.monotonic() - start
    answer = parse_trtexec(result)
    status = CheckStatus.PASSED if answer.passed else CheckStatus.FAILED
    return Check(name, status, answer.detail, took)


def _board(machine: Machine) -> str:
    board = jetson_model(machine) if is_jetson(machine) else None
    parts = [one_line(board or machine.interpreter.architecture)]
    jetpack = installed_jetpack(machine)
    if jetpack is not None:
        parts.append(f"JetPack {jetpack.version or '?'} (L4T {jetpack.l4t})")
    elif (release := _release(machine)) is not None:
        parts.append(release)
    return ", ".join(parts)


def _release(machine: Machine) -> str | None:
    """Return the name of the operating system."""
    for line in (machine.text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return one_line(line.partition("=")[2].strip('"'))
    return sys.platform
