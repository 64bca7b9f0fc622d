"""A session of ONNX Runtime behind this package's interface.

Runs on memory that was bound once: no allocation, and what a CUDA graph can replay.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk.engines.session import ANY_SIZE, TensorSpec, check_inputs, precision_of
from hot_sdk.errors import EngineError

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}


class VendorSession(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which has no types of its own."""

    def run(self, names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run it."""

    def get_inputs(self) -> list[VendorTensor]:
        """Its inputs."""

    def get_outputs(self) -> list[VendorTensor]:
        """Its outputs."""

    def get_modelmeta(self) -> VendorMetadata:
        """What the file says of itself."""

    def get_providers(self) -> list[str]:
        """The providers in use, in their order."""

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Their options."""

    def io_binding(self) -> Any:  # noqa: ANN401
        """A binding of inputs and outputs to memory."""

    def run_with_iobinding(self, binding: Any) -> None:  # noqa: ANN401
        """Run it on memory that was bound."""


class VendorTensor(Protocol):
    """An input or output."""

    name: str
    shape: list[int | str | None]
    type: str


class VendorMetadata(Protocol):
    """A model file's metadata."""

    custom_metadata_map: dict[str, str]


class Runner(Protocol):
    """Runs a session in a way of its own."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """From inputs that were checked to outputs that are the caller's."""


class OnnxRuntimeSession(Closing):
    """A session of ONNX Runtime; see ``hot_sdk.engines.Session``.

    Attributes:
        provider: The execution provider that runs the model.
        captured: Whether its runs replay a CUDA graph.
    """

    engine = "onnxruntime"

    def __init__(
        self,
        session: VendorSession,
        *,
        version: str,
        device: str,
        load_seconds: float,
        runner: Runner | None = None,
        captured: bool = False,
    ) -> None:
        self._runner: Runner | None = runner or _Plain(session)
        self.engine_version = version
        self.device = device
        self.provider = session.get_providers()[0]
        self.captured = captured
        self.load_seconds = load_seconds
        self.inputs = input_specs(session)
        self.outputs = output_specs(session)
        self.metadata: Mapping[str, str] = MappingProxyType(_metadata(session))
        self.precision = precision_of(self.metadata, self.inputs)

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model once; see ``hot_sdk.engines.Session.run``."""
        # Held here so that a close in another thread does not free it under this run.
        runner = self._runner
        if runner is None:
            raise EngineError("The session is closed.", hint="Open the model again to run it.")
        feeds = check_inputs(arrays, self.inputs)
        try:
            return runner.run(feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own.
            raise EngineError(
                f"ONNX Runtime {self.engine_version} failed on {self.device}: {vendor_text(error)}",
                hint="Check that the model file matches its inputs, and that memory is left.",
            ) from error

    def close(self) -> None:
        """Release the model."""
        self._runner = None


class _Plain:
    def __init__(self, session: VendorSession) -> None:
        self._session = session
        self._names = [value.name for value in session.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        values = self._session.run(self._names, dict(feeds))
        return dict(zip(self._names, values, strict=True))


def input_specs(session: VendorSession) -> tuple[TensorSpec, ...]:
    """The inputs of a session; raises EngineError where one is no dense tensor of numbers."""
    return _specs(session.get_inputs())


def output_specs(session: VendorSession) -> tuple[TensorSpec, ...]:
    """The outputs of a session; raises EngineError where one is no dense tensor of numbers."""
    return _specs(session.get_outputs())


def _specs(values: Sequence[VendorTensor]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        if value.type not in _DTYPES:
            raise EngineError(
                f"The model's '{value.name}' is of type {value.type}; expected a dense tensor of"
                " numbers.",
                hint="Export the model with tensors of float16, float32 or integers.",
            )
        shape = tuple(ANY_SIZE if size is None else size for size in value.shape)
        specs.append(TensorSpec(value.name, shape, _DTYPES[value.type]))
    return tuple(specs)


def _metadata(session: VendorSession) -> dict[str, str]:
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise EngineError(
            f"The model file's metadata is not text ({error}).", hint="Export the model again."
        ) from error


def vendor_text(error: Exception) -> str:
    """The vendor's message as one sentence in one line, without its own prefix."""
    line = " ".join(str(error).split())
    _, separator, rest = line.partition("[ONNXRuntimeError] : ")
    text = rest.split(" : ", 2)[-1] if separator else line
    return text if text.endswith(".") else f"{text}."


class BoundRunner:
    """Runs a session of fixed sizes on a device's memory, one run at a time.

    Args:
        ort: The onnxruntime module.
        session: The session; every size of its inputs and outputs is fixed.
        device: ``cpu`` or ``cuda``, in ONNX Runtime's words.
        index: Which of them.
    """

    def __init__(self, ort: ModuleType, session: VendorSession, device: str, index: int) -> None:
        def allocate(spec: TensorSpec) -> Any:  # noqa: ANN401
            return ort.OrtValue.ortvalue_from_shape_and_type(
                spec.shape, np.dtype(spec.dtype), device, index
            )

        self._session = session
        self._binding = session.io_binding()
        self._inputs = {spec.name: allocate(spec) for spec in input_specs(session)}
        self._outputs = {spec.name: allocate(spec) for spec in output_specs(session)}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        # The memory is shared by all runs, so threads take turns.
        self._turn = threading.Lock()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """From inputs that were checked to outputs that are the caller's."""
        with self._turn:
            for name, array in feeds.items():
                self._inputs[name].update_inplace(array)
            self._binding.synchronize_inputs()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            # On a CPU these are views of the bound memory, which the next run overwrites.
            return {name: np.array(value.numpy()) for name, value in self._outputs.items()}

    def warm_up(self) -> None:
        """Run once on zeros, with which a CUDA graph is captured."""
        self.run(
            {
                spec.name: np.zeros([int(size) for size in spec.shape], spec.dtype)
                for spec in input_specs(self._session)
            }
        )
