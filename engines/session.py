"""The interface of every inference engine: options of a session, tensor specs, the session."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk.engines.caches import Caches, CacheSpec, HostCaches, PreparedRun
from hot_sdk.errors import EngineError, UsageError

if TYPE_CHECKING:
    from hot_sdk.engines.onnx_file import OnnxFile

ANY_SIZE = "?"
"""The name of a dimension that has neither a size nor a name in the model file."""

PRECISION_KEY = "hot_sdk.precision"
"""The metadata key under which a model file declares its precision."""

OPTIMIZATION_LEVELS = ("none", "basic", "extended", "all")

_DEVICE = re.compile(r"cpu|npu|(cuda|gpu)(:(0|[1-9][0-9]{0,2}))?")
_MAX_THREADS = 1024
_MOST_ITEMS = 1_000_000
_FLOATS = {"float16": "fp16", "float32": "fp32", "float64": "fp64"}

Arrays = dict[str, NDArray[Any]]
"""Arrays by the names of a session's inputs or outputs."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a session.

    Attributes:
        name: Its name in the model file.
        shape: One entry for each dimension: its size, or the name of a size that each run chooses.
            Dimensions of one name have one size; ``ANY_SIZE`` stands for any size.
        dtype: Name of its NumPy type, such as ``float32``.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {format_shape(self.shape)}"


@dataclass(frozen=True)
class SessionOptions:
    """Options of a session.

    Attributes:
        device: ``cpu``; ``cuda`` (the first NVIDIA GPU) or ``cuda:N``; ``gpu``, ``gpu:N`` or
            ``npu``, which are Intel's. It is used or refused, never exchanged for another.
        threads: CPU threads that share one operator; None leaves the choice to the engine.
        graph_optimization: How far the engine may rewrite the graph: ``none``, ``basic``,
            ``extended`` or ``all``. Engines without such levels rewrite it as they see fit.
        cache_dir: Folder for what the engine builds from a model file, to be reused by the next
            session; None builds it every time. It is created if it is absent, and may be emptied
            at any time. Sessions run what they find in it, so only trusted users should write to
            it.
        fast_math: Let the engine compute float32 matrix multiplications in a narrower type if the
            device has one (TensorFloat-32, bfloat16), which costs accuracy. Otherwise float32 in
            the file is computed as float32.
        provider: An execution provider of ONNX Runtime by its own name, such as
            ``CoreMLExecutionProvider``; None is the device's default provider.
        largest_batch: Most items in one run of a model with an open batch; TensorRT reserves memory
            for so many. None leaves it to the engine.

    Raises:
        UsageError: A value is unknown or out of range.
    """

    device: str = "cpu"
    threads: int | None = None
    graph_optimization: str = "all"
    cache_dir: Path | None = None
    fast_math: bool = False
    provider: str | None = None
    largest_batch: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.device, str) and self.device.partition(":")[0] == "dla":
            raise UsageError(
                f"The device {self.device!r} is a DLA, which multiplies by constants only: it has"
                " neither attention nor layer normalization, and cannot run these networks.",
                hint="Use the GPU of the same board, 'cuda:0'.",
            )
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise UsageError(
                f"Unknown device {self.device!r}; expected 'cpu', 'cuda', 'cuda:N', 'gpu', 'gpu:N'"
                " or 'npu'.",
                hint="Use 'cpu', 'cuda:0' for the first NVIDIA GPU, or 'gpu' for Intel's.",
            )
        if self.threads is not None and not (
            type(self.threads) is int and 1 <= self.threads <= _MAX_THREADS
        ):
            raise UsageError(
                f"Cannot run on {self.threads!r} threads; expected a whole number from 1 to"
                f" {_MAX_THREADS}.",
                hint="Leave threads out to let the engine choose.",
            )
        if self.graph_optimization not in OPTIMIZATION_LEVELS:
            raise UsageError(
                f"Unknown graph optimization {self.graph_optimization!r}.",
                hint=f"Use one of: {', '.join(OPTIMIZATION_LEVELS)}.",
            )
        if self.cache_dir is not None and not isinstance(self.cache_dir, Path):
            raise UsageError(
                f"The cache folder is {self.cache_dir!r}; expected a pathlib.Path or None.",
                hint="Wrap it in pathlib.Path.",
            )
        if type(self.fast_math) is not bool or not (
            self.provider is None or (isinstance(self.provider, str) and self.provider)
        ):
            raise UsageError(
                f"fast_math is {self.fast_math!r} and provider {self.provider!r}; expected True or"
                " False, and a name or None.",
                hint="Leave them out for the device's default provider and full precision.",
            )
        if self.largest_batch is not None and not (
            type(self.largest_batch) is int and 1 <= self.largest_batch <= _MOST_ITEMS
        ):
            raise UsageError(
                f"largest_batch is {self.largest_batch!r}; expected a whole number from 1 to"
                f" {_MOST_ITEMS}, or None.",
                hint="Leave largest_batch out to let the engine choose.",
            )


class Session(Closing):
    """A model that is loaded on a device and ready to run.

    ``run`` may be called from several threads at once. A session cannot be used in a process
    forked after it was opened.

    An engine derives its session and implements ``_run``, in which ``_lock`` makes threads take
    turns if they have to.

    Attributes:
        engine: Name of the engine that runs the model, as in ``list_engines()``.
        engine_version: Version of the vendor's library.
        device: The device that is in use, with its index: ``cpu``, ``cuda:0``, ``gpu:0``. For an
            execution provider that chooses among devices by itself, the provider's name.
        precision: Precision of the loaded model; see ``precision_of``.
        inputs: The inputs, in the order of the model file.
        outputs: The outputs, in the order of the model file.
        metadata: The metadata of the model file; read-only.
        largest_batch: Most items in one run of an open batch, as requested or as the engine has
            memory for; None if any number runs, or if the batch is fixed.
        load_seconds: Seconds from the model file to a ready session, without importing the library.
        file: The model as ``check_onnx`` returned it, so that nobody has to check it again; None if
            the engine did not.
    """

    file: OnnxFile | None = None

    def __init__(
        self,
        handle: Any,  # noqa: ANN401
        *,
        engine: str,
        version: str,
        device: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        metadata: Mapping[str, str],
        load_seconds: float,
    ) -> None:
        # What ``_run`` gets to run the model; None once closed.
        self._handle = handle
        self._lock = threading.Lock()
        self.engine = engine
        self.engine_version = version
        self.device = device
        self.inputs = inputs
        self.outputs = outputs
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata))
        self.precision = precision_of(self.metadata, inputs)
        self.largest_batch: int | None = None
        self.load_seconds = load_seconds

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the model once.

        Args:
            arrays: One array for each input, of exactly its type and shape. Arrays that are not
                contiguous are copied.

        Returns:
            One array for each output, owned by the caller.

        Raises:
            EngineError: An array is missing, unknown, or of another type or shape; the session is
                closed; or the engine failed.
        """
        # Held here so that a close in another thread does not free it during this run.
        handle = self._open_handle()
        return self._run(handle, check_inputs(arrays, self.inputs))

    def caches(self, specs: Sequence[CacheSpec], rows: int, batch: int | None) -> Caches:
        """Return caches, filled with zeros, in the memory that suits the engine.

        They may be used until the session is closed, by one thread at a time.

        Args:
            specs: The inputs that stay from run to run.
            rows: Number of rows.
            batch: Items of each run; None if that differs.

        Raises:
            EngineError: There is not enough memory, or the session is closed.
        """
        return HostCaches(specs, rows)

    def prepare(
        self, arrays: Arrays, caches: Caches | None = None, rows: slice | None = None
    ) -> PreparedRun:
        """Return what runs the model on arrays as they are at each call.

        They are checked once, and handed over once by engines that can: what is left of a small
        model's run is little else.

        Args:
            arrays: See ``run``, without what the caches hold; in C order, and neither moved nor
                resized later.
            caches: Made by this session.
            rows: The rows of the caches that are the items; with a fixed batch from a multiple of
                it on.

        Returns:
            A function. One call at a time is allowed.

        Raises:
            EngineError: See ``run``.
        """
        if caches is None or rows is None:
            return PreparedRun(self._prepare(self._checked(arrays, self.inputs)))
        given = self._checked({**arrays, **caches.inputs(rows)}, self.inputs)
        return PreparedRun(self._prepare(given), caches, rows.start)

    def _checked(self, arrays: Arrays, inputs: Sequence[TensorSpec]) -> Arrays:
        """Return the arrays of a prepared run, which stay the same ones."""
        checked = check_inputs(arrays, inputs)
        moved = [name for name, array in checked.items() if array is not arrays[name]]
        if moved:
            raise EngineError(
                f"The arrays are not in C order: {', '.join(moved)}.",
                hint="Prepare a run with numpy.ascontiguousarray of each.",
            )
        return checked

    def close(self) -> None:
        """Release the model and its memory; closing twice is allowed."""
        self._handle = None

    def _open_handle(self) -> Any:  # noqa: ANN401
        if self._handle is None:
            raise EngineError("The session is closed.", hint="Open the model again to run it.")
        return self._handle

    def _run(self, handle: Any, feeds: Arrays) -> Arrays:  # noqa: ANN401
        """Compute the outputs, owned by the caller, from checked inputs."""
        raise NotImplementedError

    def _prepare(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return what computes outputs from inputs that were checked; see ``prepare``."""
        return lambda: self._run(self._open_handle(), feeds)


def format_shape(shape: Iterable[int | str]) -> str:
    """Return a shape for messages, such as ``(1, frames, 17, 2)``."""
    return "(" + ", ".join(str(size) for size in shape) + ")"


def as_sentence(text: str) -> str:
    """Return a vendor's message in one line, with a period at its end."""
    line = " ".join(text.split())
    return line if line.endswith(".") else f"{line}."


def precision_of(metadata: Mapping[str, str], inputs: Iterable[TensorSpec]) -> str:
    """Return the precision of a model: what its file declares, else what its inputs' types imply.

    An engine may still compute parts of the graph in a wider type, as ONNX Runtime does on a CPU
    that lacks half-precision kernels.

    Args:
        metadata: The metadata of the model file.
        inputs: The inputs of the model.

    Returns:
        The declared name, else ``fp16``, ``fp32`` or ``fp64``, ``mixed`` if floating-point inputs
        differ, or ``unknown`` if no input is floating-point.
    """
    declared = metadata.get(PRECISION_KEY)
    if declared:
        return declared
    floats = {_FLOATS[spec.dtype] for spec in inputs if spec.dtype in _FLOATS}
    if len(floats) > 1:
        return "mixed"
    return floats.pop() if floats else "unknown"


def require_open_batch(inputs: Iterable[TensorSpec], largest: int) -> None:
    """Refuse a largest batch for a model whose batch is fixed.

    Raises:
        UsageError: The first dimension of every input has a size.
    """
    if not any(isinstance(size, str) for spec in inputs for size in spec.shape[:1]):
        raise UsageError(
            f"largest_batch is {largest}, but the model has a fixed batch.",
            hint="Leave largest_batch (--largest-batch) out, or export the model with --batch"
            " dynamic.",
        )


def check_inputs(arrays: Mapping[str, NDArray[Any]], inputs: Sequence[TensorSpec]) -> Arrays:
    """Check the arrays of one run, without changing type or shape.

    Args:
        arrays: One array for each input, by name.
        inputs: The inputs of the session.

    Returns:
        The arrays in C order, copied only if they were not.

    Raises:
        EngineError: An array is missing, unknown, or of another type or shape.
    """
    expected = [spec.name for spec in inputs]
    problems = [f"{name!r} is missing" for name in expected if name not in arrays]
    problems += [f"{name!r} is not one of them" for name in arrays if name not in expected]
    if problems:
        raise EngineError(
            f"The arrays do not match the model's inputs: {', '.join(problems)}.",
            hint=f"Pass exactly: {'; '.join(str(spec) for spec in inputs)}.",
        )
    sizes: dict[str, int] = {}
    checked = {}
    for spec in inputs:
        array = arrays[spec.name]
        _check_type(array, spec)
        _check_shape(array.shape, spec, sizes)
        # Not numpy.ascontiguousarray, which turns a scalar into an array of one element.
        checked[spec.name] = array if array.flags.c_contiguous else np.array(array, order="C")
    return checked


def _check_type(array: NDArray[Any], spec: TensorSpec) -> None:
    if not isinstance(array, np.ndarray):
        raise EngineError(
            f"Input {spec.name!r} is a {type(array).__name__}; expected a NumPy array.",
            hint=f"Use numpy.asarray(..., dtype=numpy.{spec.dtype}).",
        )
    if array.dtype != np.dtype(spec.dtype):
        raise EngineError(
            f"Input {spec.name!r} holds {array.dtype}; expected {spec.dtype}.",
            hint=f"Convert it with .astype(numpy.{spec.dtype}); engines never convert it for you.",
        )


def _check_shape(shape: tuple[int, ...], spec: TensorSpec, sizes: dict[str, int]) -> None:
    """Check one shape, and record the named dimensions of this run in ``sizes``."""
    fits = len(shape) == len(spec.shape)
    for size, expected in zip(shape, spec.shape, strict=False):
        if isinstance(expected, int):
            fits = fits and size == expected
        elif expected != ANY_SIZE:
            fits = fits and size == sizes.setdefault(expected, size)
    if not fits:
        named = {name: size for name, size in sizes.items() if name in spec.shape}
        raise EngineError(
            f"Input {spec.name!r} has shape {format_shape(shape)};"
            f" expected {format_shape(spec.shape)}"
            + "".join(f", where {name} is {size}" for name, size in named.items())
            + ".",
            hint="Give it that shape, or export the model for the shape that you have.",
        )
