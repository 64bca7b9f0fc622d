"""Probe in child processes what may crash or hang: imports of libraries, and sessions.

``ask_child`` starts a child, which runs one probe by ``main``. That prints one JSON object as its
last line; anything else that the libraries print comes before it or on standard error.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hot_sdk._base.optional import is_whole_opencv
from hot_sdk._base.quiet_imports import import_quietly
from hot_sdk.host import one_line
from hot_sdk.host.machine import Machine, ProgramResult

SECONDS = 60.0
"""Time limit of a probe; the first use of a GPU takes seconds on a small board."""

# Not by 'python -m', which searches the working directory first: a folder there that happens to be
# named onnxruntime would be imported as the package.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.doctor.probe import main; main()"
)

ADD_MODEL = (
    b'\x08\x08\x12\x00:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08'
    b"\x01\x12\x04\n\x02\x08\x04b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x04B\x04\n\x00\x10\r"
)
"""An ONNX model of opset 13: y = x + x, float32 (4,). An addition rather than a copy, so that it
needs a kernel of the device."""


@dataclass(frozen=True)
class Answer:
    """The answer of a probe.

    Attributes:
        values: What it found; empty if it failed.
        problem: Why it failed; empty if it did not.
        stderr: What the libraries wrote to standard error.
        not_installed: Whether the package itself is missing, rather than one that it needs.
    """

    values: dict[str, Any]
    problem: str
    stderr: str
    not_installed: bool = False


def ask_child(machine: Machine, probe: str, *arguments: str) -> Answer:
    """Run a probe of ``hot_sdk.doctor.probe`` in a child process with the same Python.

    A probe of a package has the package's name.
    """
    command = [machine.interpreter.executable, "-c", _PROGRAM, probe, *arguments]
    result = machine.run(command, SECONDS)
    if result.status != 0:
        return Answer({}, death(result), result.stderr)
    last = result.stdout.strip().rpartition("\n")[2]
    try:
        values = json.loads(last)
    except ValueError:
        return Answer({}, f"it answered {one_line(last)!r}", result.stderr)
    if "error" in values:
        problem = one_line(values["error"])
        absent = f"ModuleNotFoundError: No module named '{probe}'"
        return Answer({}, problem, result.stderr, not_installed=problem == absent)
    return Answer(values, "", result.stderr)


def death(result: ProgramResult) -> str:
    """Return how a program ended that gave no answer, in one line."""
    last = one_line(result.stderr.strip().rpartition("\n")[2])
    if result.status is None:
        return last
    if result.status < 0:
        try:
            name = signal.Signals(-result.status).name
        except ValueError:
            name = f"signal {-result.status}"
        return f"it crashed with {name}"
    return last or f"it ended with status {result.status}"


def onnxruntime() -> dict[str, Any]:
    """Return version and providers of ONNX Runtime."""
    ort = import_quietly("onnxruntime")
    return {
        "version": ort.__version__,
        "providers": ort.get_available_providers(),
        "file": ort.__file__,
    }


def provider(name: str) -> dict[str, Any]:
    """Request a provider; return those that the session has, and what it computes."""
    import numpy as np

    ort = import_quietly("onnxruntime")
    # As hot_sdk.engines does: CUDA's libraries may come from pip packages.
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None and name != "CPUExecutionProvider":
        preload()
    session = ort.InferenceSession(ADD_MODEL, providers=[name])
    (result,) = session.run(None, {"x": np.ones(4, np.float32)})
    return {"providers": session.get_providers(), "result": np.asarray(result).tolist()}


def tensorrt() -> dict[str, Any]:
    """Return the version of TensorRT, and whether it can build a plan here."""
    trt = import_quietly("tensorrt")
    answer = {"version": trt.__version__, "file": trt.__file__, "problem": ""}
    try:
        # Imported is not usable: without a working device this raises, or gives nothing.
        if trt.Builder(trt.Logger(trt.Logger.ERROR)) is None:
            answer["problem"] = "it creates no builder"
    except Exception as error:
        answer["problem"] = f"it creates no builder: {error}"
    return answer


def openvino() -> dict[str, Any]:
    """Return version and devices of OpenVINO."""
    module = import_quietly("openvino")
    return {"version": module.__version__, "devices": module.Core().available_devices}


def pycuda() -> dict[str, Any]:
    """Return the version of PyCUDA, and the GPUs that it sees."""
    version = import_quietly("pycuda").VERSION_TEXT
    driver = import_quietly("pycuda.driver")
    driver.init()
    names = [driver.Device(index).name() for index in range(driver.Device.count())]
    return {"version": version, "devices": names}


def cv2() -> dict[str, Any]:
    """Return the version of OpenCV, and whether it is more than what a removed wheel left."""
    module = import_quietly("cv2")
    version = getattr(module, "__version__", None)
    return {"version": version, "whole": is_whole_opencv(module)}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    probe.__name__: probe for probe in (onnxruntime, provider, tensorrt, openvino, pycuda, cv2)
}


def main() -> None:
    """Run the probe that the arguments name."""
    name, *arguments = sys.argv[1:]
    try:
        answer = PROBES[name](*arguments)
    except Exception as error:  # Reported, without a traceback; the status reports a crash.
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
