"""What an exported file is compared with: the same network in PyTorch, and a plain export of it.

Only the run of the engine is measured of these; nobody serves them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hot_sdk.benchmarks.speed.messages import Assignment, Network, Streaming
from hot_sdk.benchmarks.speed.worker.subject import Run
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.export.graph.wrapper import build_lifting
from hot_sdk.export.options import DEFAULT_OPSET, ExportRequest
from hot_sdk.export.pipeline import Prepared, prepare
from hot_sdk.export.torch_backend.session import torch_device
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import KEYPOINTS

_OPSET = max(18, DEFAULT_OPSET)

Windows = NDArray[np.float32]


class Baseline:
    """A network as PyTorch runs it, or as ``torch.onnx`` exports it.

    Args:
        assignment: What to open.

    Raises:
        HotSDKError: The weights cannot be read, or PyTorch has no such device.
    """

    precision = "fp32"
    build_seconds = None
    streaming: Streaming | None = None

    def __init__(self, assignment: Assignment) -> None:
        network = assignment.network
        if network is None:
            raise UsageError(
                f"The baseline '{assignment.baseline}' is of a family.",
                hint="Name a family, such as mixste.",
            )
        options = SessionOptions(device=assignment.device, threads=assignment.threads)
        self.device = torch_device(options)
        if assignment.threads is not None:
            torch.set_num_threads(assignment.threads)
        start = time.perf_counter()
        prepared = _prepared(network)
        lifting = build_lifting(prepared.spec, prepared.state, flip=False)
        before = time.perf_counter()
        clips = verification_windows(prepared.spec)
        windows = np.stack([clips[0].keypoints] * network.batch).astype(np.float32)
        self.measuring_seconds = time.perf_counter() - before
        if assignment.baseline == "torch-onnx":
            self.engine = "onnxruntime"
            self._run, self.engine_version = _exported(lifting, windows, options)
        else:
            self.engine, self.engine_version = "torch", torch.__version__
            compiled = assignment.baseline == "compile"
            self._run = _in_torch(lifting, windows, self.device, compiled=compiled)
        self.load_seconds = time.perf_counter() - start - self.measuring_seconds
        self.windows = network.batch
        self.frames = network.batch * prepared.spec.output_frames

    @property
    def runs(self) -> dict[str, Run]:
        """One run of the network."""
        return {"engine": self._timed}

    def _timed(self) -> tuple[float, float]:
        start = time.perf_counter()
        self._run()
        taken = time.perf_counter() - start
        return taken, taken


def _prepared(network: Network) -> Prepared:
    return prepare(
        ExportRequest(
            model=network.family,
            checkpoint=None if network.checkpoint is None else Path(network.checkpoint),
            random_weights=network.random_weights,
            ratio=network.ratio,
            frames=network.frames,
            batch=network.batch,
        )
    )


def _in_torch(
    lifting: nn.Module, windows: Windows, device: str, *, compiled: bool
) -> Callable[[], object]:
    tensor = torch.from_numpy(windows)
    lifting = lifting.to(device)
    function: Callable[..., Any] = torch.compile(lifting) if compiled else lifting

    def run() -> object:
        # From the host and back to it, as the engines take and give arrays.
        with torch.inference_mode():
            return function(tensor.to(device))[0].cpu()

    return run


def _exported(
    lifting: nn.Module, windows: Windows, options: SessionOptions
) -> tuple[Callable[[], object], str]:
    """The network through ``torch.onnx.export`` with its defaults, in ONNX Runtime."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        torch.inference_mode(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            lifting,
            (torch.from_numpy(windows),),
            dynamo=True,
            opset_version=_OPSET,
            input_names=[KEYPOINTS],
            verbose=False,
        )
    if program is None:
        raise EngineError("torch.onnx exported nothing.", hint="Leave --baseline out.")
    content = program.model_proto.SerializeToString()
    session = open_session(content, options)
    return lambda: session.run({KEYPOINTS: windows}), session.engine_version
