"""``export_model``, the Python call behind ``hot-export``; importing it imports nothing heavy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from hot_sdk._base.optional import require
from hot_sdk.export.options import TENSORRT, TORCH, ExportRequest, check_request
from hot_sdk.export.steps import Count, Steps, uncounted

if TYPE_CHECKING:
    from hot_sdk.export.pipeline import ExportResult

_LOG = logging.getLogger(__name__)


def export_model(
    request: ExportRequest,
    progress: Callable[[str], None] = _LOG.info,
    count: Count = uncounted,
) -> ExportResult:
    """Export a network to a verified file: ONNX, or weights for PyTorch if that is the engine.

    An ONNX file has static shapes, the input ``keypoints_2d`` (batch, frames, joints, 2 or 3), the
    output ``poses_3d`` (batch, frames, joints, 3), and its manifest inside; see
    :class:`hot_sdk.manifest.Manifest` for units, axes and the rest.

    Args:
        request: The options of the export.
        progress: Called with each step.
        count: Called within a step with how much of it is done, and how much there is.

    Raises:
        UsageError: An option is unknown, out of range or contradicts another.
        MissingDependencyError: torch, onnx, onnxscript or safetensors is not installed, or a
            package that the requested engine needs.
        CheckpointError: The checkpoint cannot be read, is unsafe, or does not fit.
        GraphCheckError: The graph holds what the target engines cannot run.
        VerificationError: The file does not compute the PyTorch model's poses; none is written.
        EngineError: The requested engine or its device is absent, or refuses the file.
    """
    check_request(request)
    require_export_packages()
    if request.engine == TENSORRT:
        # Before minutes of export, of which nothing would be kept.
        from hot_sdk.engines.tensorrt import require_tensorrt

        require_tensorrt("cuda")
    from hot_sdk.export.pipeline import export_onnx, prepare
    from hot_sdk.export.torch_backend.export import export_torch

    steps = Steps(progress, count)
    steps.begin("Reading the weights")
    export = export_torch if request.engine == TORCH else export_onnx
    return export(prepare(request), request, steps)


def require_export_packages() -> None:
    """Check that everything an export needs is installed.

    Raises:
        MissingDependencyError: Names the first package that is missing.
    """
    for package in ("torch", "onnx", "onnxscript", "safetensors"):
        require(package, extra="export", purpose="Exporting a model")
