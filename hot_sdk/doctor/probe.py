"""What the doctor runs in child processes: imports and sessions that may crash or hang.

``main`` prints one JSON object as its last line; whatever else the libraries print comes before it
or on standard error.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

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
