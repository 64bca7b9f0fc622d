"""The export itself: graph, check, verification, file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from hot_sdk.engines import Session, open_session
from hot_sdk.errors import GraphCheckError, VerificationError
from hot_sdk.export.clips import Window, verification_windows
from hot_sdk.export.flops import NetworkFlops, count_graph, count_network, count_parameters
from hot_sdk.export.graph_check import require_clean
from hot_sdk.export.lifting import build_lifting, folded
from hot_sdk.export.lowering import Lowered, lower_precision
from hot_sdk.export.manifests import make_manifest, parity_of
from hot_sdk.export.neighbours import neighbours_exposed
from hot_sdk.export.on_device import DeviceResult, verify_on_device
from hot_sdk.export.options import Precision
from hot_sdk.export.preparing import Prepared
from hot_sdk.export.request import ExportRequest
from hot_sdk.export.trace import trace, without_output
from hot_sdk.export.triton import write_triton
from hot_sdk.export.verify import FP32, Tolerances, WindowResult, compare, require_parity
from hot_sdk.files import replaced_on_success
from hot_sdk.graph_io import KEYPOINTS, POSES, TOKEN_INDEX
from hot_sdk.manifest import Manifest

_LOG = logging.getLogger(__name__)

# Protocol buffers hold no more, and a file with its weights beside it is easily torn apart.
_LARGEST_FILE = 2 * 1024**3 - 1

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ExportResult:
    """What an export made.

    Attributes:
        path: The file.
        file_bytes: Its size.
        manifest: What it says about itself.
        plain_parameters: Trained numbers of the same network without pruning.
        plain_flops: Its operations for one window.
        windows: The verification, window by window.
        lowered: What a lower precision cost and gained; None in float32.
        triton: Folders of the models for Triton Inference Server, where they were asked for.
        on_device: That of the engine on this device; None where none was asked for.
    """

    path: Path
    file_bytes: int
    manifest: Manifest
    plain_parameters: int
    plain_flops: NetworkFlops
    windows: tuple[WindowResult, ...]
    lowered: Lowered | None = None
    triton: tuple[Path, ...] = ()
    on_device: DeviceResult | None = None


def export_prepared(
    prepared: Prepared, request: ExportRequest, progress: Progress = _LOG.info
) -> ExportResult:
    """Export, check, verify and write.

    Args:
        prepared: Of :func:`hot_sdk.export.preparing.prepare`.
        request: The same request.
        progress: Is told what begins.

    Raises:
        GraphCheckError: The graph holds what the target engines cannot run.
        VerificationError: The file does not compute the PyTorch model's poses; none is written.
        EngineError: The engine asked for does not build or run on this device; none is written.
    """
    spec = prepared.spec
    reference = build_lifting(spec, prepared.state, flip=request.flip)
    progress("Tracing the network")
    model = trace(folded(reference), spec, batch=request.batch, opset=request.opset)
    if model.ByteSize() > _LARGEST_FILE:
        raise GraphCheckError(
            f"The model takes {model.ByteSize()} bytes; one file holds {_LARGEST_FILE}.",
            hint="Choose a smaller network.",
        )
    progress("Checking the graph")
    require_clean(model, dynamic_batch=request.batch is None)

    windows = verification_windows(spec)
    progress(f"Verifying on {len(windows)} windows, in PyTorch and in ONNX Runtime")
    with neighbours_exposed(model, reference) as exposed:
        content = exposed.SerializeToString()
    with open_session(content) as session:
        results = compare(reference, session, spec, windows)
        engine = f"{session.engine} {session.engine_version}"
    try:
        require_parity(results)
    except VerificationError:
        if request.keep_failed:
            _keep_failed(model, prepared.target)
        raise
    executed = count_graph(model)
    tolerances, lowered = FP32, None
    if request.precision != Precision.FP32.value:
        lowered = lower_precision(model, spec, request, reference, windows, progress)
        model, tolerances, results = lowered.model, lowered.tolerances, list(lowered.results)
        content = lowered.exposed
    progress("Writing the file")
    parity = parity_of(engine, results)
    quantisation = None if lowered is None else lowered.quantisation
    manifest = make_manifest(
        prepared, request, executed, parity, opset=request.opset, quantisation=quantisation
    )
    final = model if request.token_index else without_output(model, TOKEN_INDEX)
    onnx.helper.set_model_props(final, manifest.to_metadata())
    with replaced_on_success(prepared.target) as temporary:
        onnx.save(final, temporary)
        with open_session(temporary) as session:
            _require_same_file(session, manifest, reference, windows[0], tolerances)
        on_device = None
        if request.cache_dir is not None:
            try:
                on_device = verify_on_device(
                    temporary,
                    content,
                    cache_dir=request.cache_dir,
                    reference=reference,
                    spec=spec,
                    windows=windows,
                    progress=progress,
                    tolerances=tolerances,
                )
            except VerificationError:
                if request.keep_failed:
                    _keep_failed(model, prepared.target)
                raise
    served: tuple[Path, ...] = ()
    if request.triton is not None:
        progress("Writing the models for Triton")
        served = write_triton(prepared.target, request.triton)
    plain = spec.plain()
    return ExportResult(
        path=prepared.target,
        file_bytes=prepared.target.stat().st_size,
        manifest=manifest,
        plain_parameters=count_parameters(plain),
        plain_flops=count_network(plain),
        windows=tuple(results),
        lowered=lowered,
        triton=served,
        on_device=on_device,
    )


def _keep_failed(model: onnx.ModelProto, target: Path) -> None:
    """Keep the file without a manifest, so that no tool takes it for a good one."""
    kept = target.with_name(f"{target.stem}.failed{target.suffix}")
    with replaced_on_success(kept) as temporary:
        onnx.save(model, temporary)
    _LOG.warning("Kept the file that failed verification as '%s'.", kept)


def _require_same_file(
    session: Session,
    manifest: Manifest,
    reference: nn.Module,
    window: Window,
    tolerances: Tolerances,
) -> None:
    """Check the file as it lies on disk: its manifest, and once more its poses."""
    if Manifest.from_metadata(session.metadata) != manifest:
        raise VerificationError(
            "The written file's manifest is not the one that was written.",
            hint="Check the disk, and export again.",
        )
    size = session.inputs[0].shape[0]
    keypoints = np.stack([window.keypoints] * (size if isinstance(size, int) else 1))
    written = session.run({KEYPOINTS: keypoints})[POSES]
    with torch.inference_mode():
        expected = reference(torch.from_numpy(keypoints))[0].numpy()
    error = float(np.linalg.norm(written - expected, axis=-1).mean())
    if not error <= tolerances.mean_joint_error:
        raise VerificationError(
            f"The written file's poses are off by {error:.3g} on average in '{window.name}'.",
            hint="Check the disk, and export again.",
        )
