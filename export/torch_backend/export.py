"""Export to a file that PyTorch runs; see :mod:`hot_sdk.export.torch_backend.file`."""

from __future__ import annotations

from hot_sdk._base.files import replaced_on_success
from hot_sdk.engines import open_session
from hot_sdk.export.graph.flops import count_eager
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.options import ExportRequest, chosen_normalization
from hot_sdk.export.pipeline import (
    ExportResult,
    Prepared,
    export_result,
    make_manifest,
    summarize_parity,
)
from hot_sdk.export.steps import LOGGED, Steps
from hot_sdk.export.torch_backend.file import save_torch_model
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.export.verification.compare import compare, require_parity
from hot_sdk.manifest import Manifest, Parity


def export_torch(prepared: Prepared, request: ExportRequest, steps: Steps = LOGGED) -> ExportResult:
    """Write the file, and verify that what is read from it computes the same poses.

    Args:
        prepared: Returned by :func:`hot_sdk.export.pipeline.prepare`.
        request: The same request.
        steps: Receives the steps.

    Raises:
        VerificationError: The file does not compute the network's poses; none is written.
    """
    spec = prepared.spec
    executed = count_eager(spec, flip=request.flip)
    reference = build_lifter(spec, prepared.state, flip=request.flip)
    windows = verification_windows(spec, chosen_normalization(request))

    def write(parity: Parity) -> Manifest:
        manifest = make_manifest(prepared, request, executed, parity, opset=None)
        save_torch_model(temporary, spec, prepared.state, manifest)
        return manifest

    with replaced_on_success(prepared.target) as temporary:
        steps.begin(f"Verifying on {len(windows)} windows, from the file and before")
        write(Parity("torch", 0, 0.0, 0.0, 0.0, None))
        with open_session(temporary, engine="torch") as session:
            results = compare(
                reference, session, spec, windows, count=steps.count, excuse_ties=True
            )
            engine = f"{session.engine} {session.engine_version}"
        require_parity(results)
        steps.begin("Writing the file")
        manifest = write(summarize_parity(engine, results))
    return export_result(prepared, manifest, results)
