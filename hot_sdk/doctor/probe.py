"""What the doctor runs in child processes: imports and sessions that may crash or hang.

``main`` prints one JSON object as its last line; whatever else the libraries print comes before it
or on standard error.

Asking a child process what would be unsafe to find out in this one.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hot_sdk.host.finding import one_line
from hot_sdk.host.machine import Machine, Outcome

ADD_MODEL = (
    b'\x08\x08\x12\x00:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08'
    b"\x01\x12\x04\n\x02\x08\x04b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x04B\x04\n\x00\x10\r"
)
"""An ONNX model of opset 13: y = x + x, float32 (4,). An addition rather than a copy, so that it
takes a kernel of the device."""


def onnxruntime() -> dict[str, Any]:
    """Version and providers of ONNX Runtime."""
    ort = importlib.import_module("onnxruntime")
    return {
        "version": ort.__version__,
        "providers": ort.get_available_providers(),
        "file": ort.__file__,
    }


def provider(name: str) -> dict[str, Any]:
    """Providers that a session really has which was asked for this one, and what it computes."""
    import numpy as np

    ort = importlib.import_module("onnxruntime")
    # As hot_sdk.engines does: CUDA's libraries may come from pip packages.
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None and name != "CPUExecutionProvider":
        preload()
    session = ort.InferenceSession(ADD_MODEL, providers=[name])
    (result,) = session.run(None, {"x": np.ones(4, np.float32)})
    return {"providers": session.get_providers(), "result": np.asarray(result).tolist()}


def tensorrt() -> dict[str, Any]:
    """Version of TensorRT, and whether it can build an engine here."""
    trt = importlib.import_module("tensorrt")
    answer = {"version": trt.__version__, "file": trt.__file__, "problem": ""}
    try:
        # Imported is not usable: without a working device this raises, or gives nothing.
        if trt.Builder(trt.Logger(trt.Logger.ERROR)) is None:
            answer["problem"] = "it creates no builder"
    except Exception as error:
        answer["problem"] = f"it creates no builder: {error}"
    return answer


def openvino() -> dict[str, Any]:
    """Version and devices of OpenVINO."""
    module = importlib.import_module("openvino")
    return {"version": module.__version__, "devices": module.Core().available_devices}


def pycuda() -> dict[str, Any]:
    """Version of PyCUDA, and the GPUs that it sees."""
    version = importlib.import_module("pycuda").VERSION_TEXT
    driver = importlib.import_module("pycuda.driver")
    driver.init()
    names = [driver.Device(index).name() for index in range(driver.Device.count())]
    return {"version": version, "devices": names}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    probe.__name__: probe for probe in (onnxruntime, provider, tensorrt, openvino, pycuda)
}


def main() -> None:
    """Run the probe that the arguments name."""
    name, *arguments = sys.argv[1:]
    try:
        answer = PROBES[name](*arguments)
    except Exception as error:  # Told, rather than a traceback; a crash is told by the status.
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


SECONDS = 60.0
"""How long a probe may take; the first use of a GPU takes seconds on a small board."""

# Not by 'python -m', which looks into the working directory first: there, a folder that happens to
# be named onnxruntime would be taken for the package.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.doctor.probe import main; main()"
)


@dataclass(frozen=True)
class Answer:
    """What a probe found out.

    Attributes:
        values: What it answered; empty where it failed.
        problem: Why it failed; empty where it did not.
        said: What the libraries wrote to standard error.
        not_installed: Whether it failed for want of the very package, rather than of what that
            needs.
    """

    values: dict[str, Any]
    problem: str
    said: str
    not_installed: bool = False


def ask_child(machine: Machine, probe: str, *arguments: str) -> Answer:
    """Run a probe of ``hot_sdk.doctor.probe`` in a child process with the same Python.

    A probe of a package has the package's name.
    """
    command = [machine.interpreter.executable, "-c", _PROGRAM, probe, *arguments]
    outcome = machine.run(command, SECONDS)
    if outcome.status != 0:
        return Answer({}, _death(outcome), outcome.said)
    last = outcome.out.strip().rpartition("\n")[2]
    try:
        values = json.loads(last)
    except ValueError:
        return Answer({}, f"it answered {one_line(last)!r}", outcome.said)
    if "error" in values:
        problem = one_line(values["error"])
        absent = f"ModuleNotFoundError: No module named '{probe}'"
        return Answer({}, problem, outcome.said, not_installed=problem == absent)
    return Answer(values, "", outcome.said)


def _death(outcome: Outcome) -> str:
    last = one_line(outcome.said.strip().rpartition("\n")[2])
    if outcome.status is None:
        return last
    if outcome.status < 0:
        try:
            name = signal.Signals(-outcome.status).name
        except ValueError:
            name = f"signal {-outcome.status}"
        return f"it crashed with {name}"
    return last or f"it ended with status {outcome.status}"
