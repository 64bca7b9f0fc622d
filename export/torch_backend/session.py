"""Run exported weights in PyTorch: the reference that the other engines are compared with.

It is not for deployment, as it needs torch on the robot. The inference engines ``torch``,
``torch-compile`` and ``torch-cuda-graph`` are the entry points ``ENGINE``, ``COMPILED_ENGINE`` and
``GRAPH_ENGINE``.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk._base.optional import require
from hot_sdk.engines import Engine, Session, SessionOptions, TensorSpec
from hot_sdk.engines.registry import TORCH
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, POSES, SPREAD, TOKEN_INDEX

Lifter = Callable[..., tuple[Any, ...]]

COMPILED, GRAPH = "torch-compile", "torch-cuda-graph"

# Threads and the precision of matrix multiplications are settings of the whole process.
_SETTINGS = threading.Lock()


class TorchSession(Session):
    """A session of PyTorch; see ``hot_sdk.engines.Session``. Threads take turns."""

    def __init__(
        self,
        lifter: Lifter,
        *,
        engine: str,
        device: str,
        options: SessionOptions,
        returned: tuple[str, ...],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        metadata: Mapping[str, str],
    ) -> None:
        import torch

        super().__init__(
            lifter,
            engine=engine,
            version=str(torch.__version__),
            device=device,
            inputs=inputs,
            outputs=outputs,
            metadata=metadata,
            load_seconds=0.0,
        )
        self._options = options
        # What the lifter returns, in its order; of these the outputs are given.
        self._returned = returned

    def capture(self) -> None:
        """Run as one CUDA graph from now on.

        Raises:
            EngineError: PyTorch cannot record it, or it computes something else.
        """
        import torch

        from hot_sdk.export.torch_backend.cuda_graph import CapturedLifter

        chance = torch.Generator().manual_seed(0)
        with self._working(), torch.cuda.device(self.device):
            given = {
                each.name: torch.rand(_sizes(each), generator=chance).to(self.device) - 0.5
                for each in self.inputs
            }
            self._handle = CapturedLifter(self._handle, given)

    def _run(self, handle: Lifter, feeds: Arrays) -> Arrays:
        import torch

        with self._working():
            given = {name: torch.tensor(array, device=self.device) for name, array in feeds.items()}
            values = handle(given[KEYPOINTS], None, given.get(CONDITIONS))
            named = dict(zip(self._returned, values, strict=True))
            return {spec.name: named[spec.name].cpu().numpy() for spec in self.outputs}

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Give PyTorch to this thread, with the options applied."""
        import torch

        try:
            with _settings(self._options), torch.inference_mode():
                yield
        except RuntimeError as error:  # Includes the compiler's errors.
            raise EngineError(
                f"PyTorch {self.engine_version} failed on {self.device}: {_text(error)}",
                hint="Check that memory is free, and for torch-compile that a C++ compiler is"
                " installed; engine='torch' needs none.",
            ) from error


def open_torch(
    model: Path | bytes, options: SessionOptions, *, engine: str = "torch"
) -> TorchSession:
    """Load a file of ``hot-export --engine torch``; nothing is cached.

    Args:
        model: The file.
        options: How to open it. Threads and precision are set for each run and restored after it.
        engine: ``torch``; ``torch-compile`` to run through ``torch.compile``, which takes up to
            minutes to open; or ``torch-cuda-graph`` to run as one CUDA graph.

    Raises:
        MissingDependencyError: torch or safetensors is not installed.
        EngineError: The file, the device or a provider is refused, or the compiler fails.
        ManifestError: The file's manifest is broken, or a newer version's.
    """
    for package in ("torch", "safetensors"):
        require(package, extra="export", purpose=f"The engine '{engine}'")
    import torch

    from hot_sdk.export.graph.wrapper import output_names
    from hot_sdk.export.torch_backend.file import load_torch_model

    start = time.perf_counter()
    path = _path(model)
    device = torch_device(options)
    held = load_torch_model(path)
    spec, manifest = held.spec, held.manifest
    if engine == GRAPH:
        _require_graph(device, manifest.batch)
    lifter: Lifter = held.lifter.to(device)
    if engine == COMPILED:
        lifter = torch.compile(lifter, fullgraph=True, dynamic=manifest.batch is None)
    batch = "batch" if manifest.batch is None else manifest.batch
    joints = len(manifest.joints.names)
    outputs = [TensorSpec(POSES, (batch, spec.output_frames, joints, 3), "float32")]
    if manifest.token_index:
        passes = (2,) if manifest.flip else ()
        chosen = sum(stage.tokens for stage in spec.stages)
        outputs.append(TensorSpec(TOKEN_INDEX, (batch, *passes, chosen), "int64"))
    if spec.size.spread:
        outputs.append(TensorSpec(SPREAD, outputs[0].shape, "float32"))
    inputs = [TensorSpec(KEYPOINTS, (batch, spec.frames, joints, spec.size.channels), "float32")]
    if spec.size.conditions:
        shape = (batch, spec.frames, spec.size.conditions)
        inputs.append(TensorSpec(CONDITIONS, shape, "float32"))
    session = TorchSession(
        lifter,
        engine=engine,
        device=device,
        options=options,
        returned=output_names(spec),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        metadata=held.metadata,
    )
    if engine == COMPILED:
        # It compiles in the first run.
        session.run({each.name: np.zeros(_sizes(each), np.float32) for each in inputs})
    elif engine == GRAPH:
        session.capture()
    session.load_seconds = time.perf_counter() - start
    return session


ENGINE = Engine(open_torch, packages=("torch",), opens=TORCH)
COMPILED_ENGINE = Engine(
    functools.partial(open_torch, engine=COMPILED), packages=("torch",), opens=TORCH
)
GRAPH_ENGINE = Engine(
    functools.partial(open_torch, engine=GRAPH), packages=("torch",), opens=TORCH, on_cpu=False
)


def _require_graph(device: str, batch: int | None) -> None:
    """Refuse what no CUDA graph can be of.

    Raises:
        EngineError: The device is no GPU, or the batch is open.
    """
    if device == "cpu":
        raise EngineError(
            f"The engine '{GRAPH}' runs on NVIDIA's GPUs only; 'cpu' was requested.",
            hint="Use device='cuda:0', or engine='torch'.",
        )
    if batch is None:
        raise EngineError(
            "A CUDA graph has fixed shapes, and the file's batch is open.",
            hint="Export it with --batch N, or use engine='torch'.",
        )


def _sizes(spec: TensorSpec) -> list[int]:
    return [size if isinstance(size, int) else 2 for size in spec.shape]


def _path(model: Path | bytes) -> Path:
    if isinstance(model, bytes):
        raise EngineError(
            "PyTorch opens a model from its file, but bytes were passed.",
            hint="Pass the path of a file that hot-export --engine torch wrote.",
        )
    if not isinstance(model, Path):
        raise UsageError(
            f"The model is a {type(model).__name__}; expected a pathlib.Path.",
            hint="Wrap a file name in pathlib.Path.",
        )
    return model


def torch_device(options: SessionOptions) -> str:
    """Return PyTorch's name of a device.

    Raises:
        EngineError: PyTorch does not have the device, or a provider was requested.
    """
    import torch

    if options.provider is not None:
        raise EngineError(
            f"PyTorch has no execution provider '{options.provider}': providers are ONNX"
            " Runtime's.",
            hint="Remove the provider, or use engine='onnxruntime'.",
        )
    kind, _, index = options.device.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind != "cuda":
        raise EngineError(
            f"PyTorch does not run on '{options.device}' here.",
            hint="Use device='cpu' or 'cuda', or engine='openvino' for Intel's GPUs and NPUs.",
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(index or 0)
    if number >= count:
        raise EngineError(
            f"There is no device 'cuda:{number}' for PyTorch {torch.__version__}; it sees {count}"
            " GPUs.",
            hint="Check with nvidia-smi that the driver sees the GPU, and that torch was built for"
            " CUDA; or use device='cpu'.",
        )
    return f"cuda:{number}"


@contextlib.contextmanager
def _settings(options: SessionOptions) -> Iterator[None]:
    """Apply the options to PyTorch's settings, and restore them afterwards."""
    import torch

    precision = "highest"
    if options.fast_math:
        # TensorFloat-32 on NVIDIA's GPUs, bfloat16 on CPUs that have it.
        precision = "medium" if options.device == "cpu" else "high"
    with _SETTINGS:
        before = torch.get_num_threads(), torch.get_float32_matmul_precision()
        try:
            if options.threads is not None:
                torch.set_num_threads(options.threads)
            torch.set_float32_matmul_precision(precision)
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_float32_matmul_precision(before[1])


def _text(error: Exception) -> str:
    """Return the vendor's message as one sentence in one line, cut before it becomes a log."""
    text = " ".join(str(error).split())[:300]
    return text if text.endswith(".") else f"{text}."
