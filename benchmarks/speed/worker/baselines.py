"""What an exported file is compared with: the same network in PyTorch, and a plain export of it.

Only the run of the engine is measured; these are not served through ``Pose3DEngine``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hot_sdk.benchmarks.speed.messages import ModelInfo, WorkerTask
from hot_sdk.benchmarks.speed.worker.served_model import MeasuredModel
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.options import DEFAULT_OPSET
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.torch_backend.session import torch_device
from hot_sdk.export.verification.clips import stacked, verification_windows
from hot_sdk.manifest import KEYPOINTS

_OPSET = max(18, DEFAULT_OPSET)


def open_baseline(task: WorkerTask) -> MeasuredModel:
    """Open a network as PyTorch runs it, or as ``torch.onnx`` exports it.

    Raises:
        HotSDKError: The weights cannot be read, or PyTorch has no such device.
    """
    if task.network is None:
        raise UsageError(
            f"The baseline '{task.baseline}' applies only to a model family.",
            hint="Name a family, such as mixste.",
        )
    options = SessionOptions(device=task.device, threads=task.threads)
    device = torch_device(options)
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    start = time.perf_counter()
    prepared = prepare(task.network.export_request(task.batch))
    lifter = build_lifter(prepared.spec, prepared.state, flip=False)
    before = time.perf_counter()
    clips = verification_windows(prepared.spec)
    # Nothing is known, as in the other measurements.
    arrays = stacked(clips[:1] * task.batch, prepared.spec.size.conditions)
    measuring_seconds = time.perf_counter() - before
    if task.baseline == "torch-onnx":
        engine = "onnxruntime"
        run, version = _exported(lifter, arrays, options)
    else:
        engine, version = "torch", torch.__version__
        run = _in_torch(lifter, arrays, device, compiled=task.baseline == "compile")

    def timed() -> tuple[float, float]:
        start = time.perf_counter()
        run()
        taken = time.perf_counter() - start
        return taken, taken

    info = ModelInfo(
        engine=engine,
        engine_version=version,
        device=device,
        precision="fp32",
        windows=task.batch,
        frames=task.batch * prepared.spec.output_frames,
        hop=None,
        lookahead=None,
        load_ms=1e3 * (time.perf_counter() - start - measuring_seconds),
        build_ms=None,
    )
    return MeasuredModel(info, {"engine": timed}, measuring_seconds)


def _in_torch(
    lifter: nn.Module, arrays: Arrays, device: str, *, compiled: bool
) -> Callable[[], object]:
    keypoints = torch.from_numpy(arrays[KEYPOINTS])
    known = {name: torch.from_numpy(arrays[name]) for name in arrays if name != KEYPOINTS}
    lifter = lifter.to(device)
    function: Callable[..., Any] = torch.compile(lifter) if compiled else lifter

    def run() -> object:
        # From the host and back to it, as the engines take and return arrays.
        with torch.inference_mode():
            given = {name: tensor.to(device) for name, tensor in known.items()}
            return function(keypoints.to(device), **given)[0].cpu()

    return run


def _exported(
    lifter: nn.Module, arrays: Arrays, options: SessionOptions
) -> tuple[Callable[[], object], str]:
    """Export with the defaults of ``torch.onnx.export``; return a run in ONNX Runtime."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        torch.inference_mode(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            lifter,
            (torch.from_numpy(arrays[KEYPOINTS]),),
            kwargs={name: torch.from_numpy(arrays[name]) for name in arrays if name != KEYPOINTS},
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(arrays),
            verbose=False,
        )
    if program is None:
        raise EngineError("torch.onnx exported nothing.", hint="Remove --baseline.")
    content = program.model_proto.SerializeToString()
    session = open_session(content, options)
    return lambda: session.run(arrays), session.engine_version
