"""A session of ONNX Runtime, on arrays of each run or on memory that is bound once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hot_sdk.engines.onnx_file import DTYPES
from hot_sdk.engines.onnxruntime.providers import CPU_PROVIDER
from hot_sdk.engines.session import ANY_SIZE, Arrays, Session, TensorSpec, as_sentence
from hot_sdk.errors import EngineError

if TYPE_CHECKING:
    import onnxruntime

_FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64"}
_DTYPES = _FLOATS | {
    f"tensor({name})": name for name in DTYPES.values() if name not in _FLOATS.values()
}


class _Handle(NamedTuple):
    """What runs a model: the vendor's session, and a run of it on arrays."""

    session: onnxruntime.InferenceSession
    run: Callable[[Arrays], Arrays]


class OnnxRuntimeSession(Session):
    """A session of ONNX Runtime; see ``hot_sdk.engines.Session``.

    It runs on the arrays of each run, or on bound memory by ``bound``. On a CPU a prepared run is
    bound to the arrays themselves.

    Attributes:
        provider: The execution provider that runs the model.
        captured: Whether its runs replay a CUDA graph.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        version: str,
        device: str,
        load_seconds: float,
        bound: BoundRunner | None = None,
    ) -> None:
        names = [value.name for value in session.get_outputs()]

        def run(feeds: Arrays) -> Arrays:
            return dict(zip(names, session.run(names, feeds), strict=True))

        super().__init__(
            _Handle(session, run if bound is None else bound.run),
            engine="onnxruntime",
            version=version,
            device=device,
            inputs=tensor_specs(session.get_inputs()),
            outputs=tensor_specs(session.get_outputs()),
            metadata=_metadata(session),
            load_seconds=load_seconds,
        )
        self.provider = session.get_providers()[0]
        self.captured = bound is not None and bound.captured

    def _run(self, handle: _Handle, feeds: Arrays) -> Arrays:
        try:
            return handle.run(feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base class.
            raise self._failure(error) from error

    def _prepare(self, feeds: Arrays) -> Callable[[], Arrays]:
        outputs = self._outputs_of(feeds) if self.provider == CPU_PROVIDER else None
        if outputs is None:
            return super()._prepare(feeds)
        binding = self._open_handle().session.io_binding()
        for arrays, bind in ((feeds, binding.bind_input), (outputs, binding.bind_output)):
            for name, array in arrays.items():
                # Their addresses: the function below keeps the arrays.
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        bound = feeds, outputs

        def run() -> Arrays:
            # A session that was closed is not kept by what was bound to it.
            session = self._open_handle().session
            try:
                session.run_with_iobinding(binding)
            except Exception as error:  # ONNX Runtime's exceptions share no base class.
                raise self._failure(error) from error
            return bound[1]

        return run

    def _outputs_of(self, feeds: Arrays) -> Arrays | None:
        """Return arrays for the outputs of these inputs; None if their shapes are not known."""
        sizes = {
            name: size
            for spec in self.inputs
            for name, size in zip(spec.shape, feeds[spec.name].shape, strict=True)
            if name != ANY_SIZE
        }
        shapes = [tuple(sizes.get(size, size) for size in spec.shape) for spec in self.outputs]
        if any(isinstance(size, str) for shape in shapes for size in shape):
            return None
        return {
            spec.name: np.empty(shape, spec.dtype)
            for spec, shape in zip(self.outputs, shapes, strict=True)
        }

    def _failure(self, error: Exception) -> EngineError:
        return EngineError(
            f"ONNX Runtime {self.engine_version} failed on {self.device}: {vendor_text(error)}",
            hint="Check that the model file matches its inputs, and that memory is left.",
        )


class BoundRunner:
    """Run a session of fixed sizes with inputs and outputs bound once, one run at a time.

    No run allocates memory of the device (``cpu`` or ``cuda``, and an index), so that it can be
    captured in a CUDA graph.

    Attributes:
        captured: Whether its runs replay a CUDA graph; set after a capture.
    """

    captured = False

    def __init__(
        self, ort: ModuleType, session: onnxruntime.InferenceSession, device: str, index: int
    ) -> None:
        def allocate(specs: tuple[TensorSpec, ...]) -> dict[str, Any]:
            create = ort.OrtValue.ortvalue_from_shape_and_type
            return {
                spec.name: create(spec.shape, np.dtype(spec.dtype), device, index) for spec in specs
            }

        self._session = session
        self._binding = session.io_binding()
        self._specs = tensor_specs(session.get_inputs())
        self._inputs = allocate(self._specs)
        self._outputs = allocate(tensor_specs(session.get_outputs()))
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        # All runs share the memory, so threads take turns.
        self._turn = threading.Lock()

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Compute outputs that the caller owns from checked inputs."""
        with self._turn:
            for name, array in feeds.items():
                self._inputs[name].update_inplace(array)
            self._binding.synchronize_inputs()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            # On a CPU these are views of the bound memory, which the next run overwrites.
            return {name: np.array(value.numpy()) for name, value in self._outputs.items()}

    def warm_up(self) -> None:
        """Run once on zeros, which captures the CUDA graph."""
        self.run(
            {
                spec.name: np.zeros([int(size) for size in spec.shape], spec.dtype)
                for spec in self._specs
            }
        )


def tensor_specs(values: Sequence[onnxruntime.NodeArg]) -> tuple[TensorSpec, ...]:
    """Return the specs of inputs or outputs.

    Raises:
        EngineError: One is not a dense tensor of numbers.
    """
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


def vendor_text(error: Exception) -> str:
    """Return the vendor's message as one sentence in one line, without its prefix."""
    line = as_sentence(str(error))
    _, separator, rest = line.partition("[ONNXRuntimeError] : ")
    return rest.split(" : ", 2)[-1] if separator else line


def _metadata(session: onnxruntime.InferenceSession) -> dict[str, str]:
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise EngineError(
            f"The model file's metadata is not text ({error}).", hint="Export the model again."
        ) from error
