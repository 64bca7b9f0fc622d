"""Trace a model with OpenVINO's performance counters: each node that it ran, with its time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hot_sdk.benchmarks.speed.profilers.onnxruntime import NodeRun, Trace
from hot_sdk.engines import SessionOptions
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.engines.openvino import compile_settings, import_openvino, name_device
from hot_sdk.errors import EngineError


def trace_openvino(
    model: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    runs: int,
    warm_up: int,
    device: str,
    threads: int | None,
) -> Trace:
    """Run a model with OpenVINO's counters on.

    OpenVINO keeps the ONNX names of most nodes, and makes up names for those that it fused. It
    reports no shapes, and of each node's time only the mean of all runs since it was compiled.

    Args:
        model: The file.
        arrays: Its inputs, by name.
        runs: Number of profiled runs.
        warm_up: Runs before them.
        device: Device, as in ``SessionOptions``.
        threads: CPU threads; None leaves it to OpenVINO.

    Returns:
        A single run, the mean of the profiled ones.

    Raises:
        MissingDependencyError: OpenVINO cannot be imported.
        EngineError: OpenVINO refuses the device or the model.
    """
    ov = import_openvino()
    file = check_onnx(model)
    core = ov.Core()
    name = name_device(core, device, ov.__version__.partition("-")[0])
    settings = compile_settings(name, SessionOptions(threads=threads)) | {"PERF_COUNT": "YES"}
    try:
        compiled = core.compile_model(core.read_model(str(file.content)), name, settings)
        request = compiled.create_infer_request()
        for _ in range(warm_up):
            request.infer(dict(arrays))
        # A node whose mean is under a microsecond is not among them.
        before = {node: mean for node, _, mean in _means_us(ov, request)}
        start = time.perf_counter()
        for _ in range(runs):
            request.infer(dict(arrays))
        run_us = 1e6 * (time.perf_counter() - start) / runs
        after = _means_us(ov, request)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot profile '{file.name}': {' '.join(str(error).split())}",
            hint="Remove --profile.",
        ) from error
    nodes = [
        NodeRun(
            node, operator, max(0.0, mean + warm_up / runs * (mean - before.get(node, 0.0))), (), ()
        )
        for node, operator, mean in after
    ]
    return Trace(tuple(nodes), (run_us,))


def _means_us(ov: Any, request: Any) -> list[tuple[str, str, float]]:  # noqa: ANN401
    """Return name, operator and mean time of each node since the model was compiled."""
    executed = ov.ProfilingInfo.Status.EXECUTED
    return [
        (info.node_name, info.node_type, 1e6 * info.real_time.total_seconds())
        for info in request.profiling_info
        if info.status == executed
    ]
