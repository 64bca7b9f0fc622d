"""The steps of an export: read the weights, trace, check, verify, reduce precision, write."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from hot_sdk._base.files import (
    replaced_on_success,
    require_new_target,
    require_writable_target,
)
from hot_sdk.engines import Session, open_session
from hot_sdk.errors import CheckpointError, GraphCheckError, VerificationError
from hot_sdk.export.checkpoints.containers import name_some
from hot_sdk.export.checkpoints.loading import (
    adapt_checkpoint,
    load_strict,
    name_assumed,
    random_state_dict,
    resolve_spec_for_checkpoint,
)
from hot_sdk.export.checkpoints.reader import TrainingRecord, read_checkpoint
from hot_sdk.export.checkpoints.training import decide_data_set, decide_root, joint_order
from hot_sdk.export.enums import Precision, Variant
from hot_sdk.export.file_names import default_name
from hot_sdk.export.graph.check import require_clean
from hot_sdk.export.graph.flops import NetworkFlops, count_graph, count_network, count_parameters
from hot_sdk.export.graph.older_parsers import TENSORRT_8_6, older_parser, require_readable
from hot_sdk.export.graph.trace import trace, without_output
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import ModelSpec, build, family, infer_shape
from hot_sdk.export.options import (
    ExportRequest,
    chosen_normalization,
    resolve_request,
    returns_token_index,
)
from hot_sdk.export.precision import ReducedPrecision, reduce_precision
from hot_sdk.export.steps import LOGGED, Steps
from hot_sdk.export.triton.options import check_models
from hot_sdk.export.triton.repository import write_triton
from hot_sdk.export.verification.clips import LIVE_FRAMES, Window, verification_windows
from hot_sdk.export.verification.compare import (
    FP32,
    Tolerances,
    WindowResult,
    compare,
    require_parity,
)
from hot_sdk.export.verification.neighbors import neighbors_exposed
from hot_sdk.export.verification.on_device import DeviceResult, verify_on_device
from hot_sdk.export.verification.step_runs import require_same_both_ways
from hot_sdk.manifest import (
    CONDITION_NAMES,
    SCHEMA,
    TOKEN_INDEX,
    Flops,
    Joints,
    Manifest,
    Parity,
    Quantization,
    Versions,
    Weights,
)
from hot_sdk.starter import starter_checkpoint, starter_live_checkpoint
from hot_sdk.version import __version__

_LOG = logging.getLogger(__name__)

# Protocol buffers hold no more, and weights in a second file are easily separated from it.
_LARGEST_FILE = 2 * 1024**3 - 1


@dataclass(frozen=True)
class Prepared:
    """The network to export.

    Attributes:
        spec: The architecture.
        state: Its weights, float32.
        weights: The origin of the weights.
        target: The file to write.
        training: The checkpoint's record of its training; None if it has none.
        trained_on: The data set that it was trained on; None if that is not known.
        notes: What was done to find the weights in the file, and what of it was left out, in words.
    """

    spec: ModelSpec
    state: dict[str, Tensor]
    weights: Weights
    target: Path
    training: TrainingRecord | None = None
    trained_on: str | None = None
    notes: tuple[str, ...] = ()


def prepare(request: ExportRequest) -> Prepared:
    """Read the weights and resolve the architecture.

    Args:
        request: Already checked by :func:`hot_sdk.export.options.check_request`.

    Raises:
        CheckpointError: The checkpoint cannot be read, or does not fit the request.
        UsageError: Options contradict each other, or the file cannot be written.
    """
    training, trained_on = None, request.trained_on
    notes: tuple[str, ...] = ()
    entry = family(request.model)
    if request.random_weights:
        relative = request.root_relative in (None, True)
        spec = resolve_request(request)
        network = build(spec)
        network.load_state_dict(random_state_dict(network))
        weights = Weights(random=True, file=None, sha256=None, resampled_from=None)
    else:
        checkpoint = read_checkpoint(
            request.checkpoint or _default_checkpoint(request),
            weights=request.weights,
            allow_extra=request.allow_extra,
        )
        if checkpoint.exported:
            raise CheckpointError(
                f"{checkpoint.path.name!r} is a file that hot-export made, which is lifted with as"
                " it is.",
                hint="Give the checkpoint that it was made from.",
            )
        training = checkpoint.training
        shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
        found = infer_shape(request.model, shapes)
        spec = resolve_spec_for_checkpoint(request, found, training)
        trained_on = decide_data_set(
            entry,
            found.frames,
            request.trained_on,
            recorded=None if training is None else training.trained_on,
            has_record=training is not None,
        )
        relative = decide_root(
            entry,
            request.root_relative,
            recorded=None if training is None else training.root_relative,
        )
        resample = bool(
            request.resample_tokens and spec.stages and spec.stages[0].tokens != found.tokens
        )
        checkpoint = adapt_checkpoint(checkpoint, found, spec, resample=resample)
        network = build(spec)
        left_out = load_strict(network, checkpoint, allow_extra=request.allow_extra)
        notes = checkpoint.notes
        if training is None:
            notes += name_assumed(spec, found, request.config)
        if left_out:
            notes += (f"left out, as allowed: {name_some(left_out)}",)
        weights = Weights(
            random=False,
            file=checkpoint.path.name,
            sha256=checkpoint.sha256,
            resampled_from=found.tokens if resample else None,
            credit=None if training is None else training.credit,
            limits=None if training is None else training.limits,
        )
    target = request.output or Path(default_name(spec, request))
    require_writable_target(target)
    if not request.force:
        require_new_target(target)
    if request.triton is not None:
        check_models(request.triton, target)
    spec = replace(
        spec,
        root_relative=relative,
        joint_order=joint_order(trained_on),
        millimeters=request.predicts == "mm",
    )
    state = dict(network.state_dict())
    return Prepared(spec, state, weights, target, training, trained_on, notes)


def _default_checkpoint(request: ExportRequest) -> Path:
    live = request.variant == Variant.LIVE
    return starter_live_checkpoint() if live else starter_checkpoint()


@dataclass(frozen=True)
class ExportResult:
    """An exported file and what is known about it.

    Attributes:
        path: The file.
        file_bytes: Its size.
        manifest: Its manifest.
        plain_parameters: Number of trained numbers of the same network without pruning.
        plain_flops: Operations of that network for one window.
        windows: The verification, window by window.
        reduced: What a reduced precision costs and gains; None in float32.
        triton: Folders of the models for Triton Inference Server, if requested.
        on_device: The verification of TensorRT's plan on this device, if requested.
        notes: What was done to find the weights in the checkpoint, and what of it was left out.
    """

    path: Path
    file_bytes: int
    manifest: Manifest
    plain_parameters: int
    plain_flops: NetworkFlops
    windows: tuple[WindowResult, ...]
    reduced: ReducedPrecision | None = None
    triton: tuple[Path, ...] = ()
    on_device: DeviceResult | None = None
    notes: tuple[str, ...] = ()


def export_onnx(prepared: Prepared, request: ExportRequest, steps: Steps = LOGGED) -> ExportResult:
    """Trace, check, verify and write an ONNX file.

    Args:
        prepared: Returned by :func:`prepare`.
        request: The same request.
        steps: Receives the steps.

    Raises:
        GraphCheckError: The graph holds what the target engines cannot run.
        VerificationError: The file does not compute the PyTorch model's poses; none is written.
        EngineError: The requested engine does not build or run on this device; none is written.
    """
    spec = prepared.spec
    reference = build_lifter(spec, prepared.state, flip=request.flip)
    steps.begin("Tracing the network")
    model = trace(fold_constants(reference), spec, batch=request.batch, opset=request.opset)
    if model.ByteSize() > _LARGEST_FILE:
        raise GraphCheckError(
            f"The model takes {model.ByteSize()} bytes; one file holds {_LARGEST_FILE}.",
            hint="Choose a smaller network.",
        )
    steps.begin("Checking the graph")
    require_clean(model, dynamic_batch=request.batch is None)
    # What this opset is for.
    if request.opset <= older_parser(TENSORRT_8_6).opset:
        require_readable(model, TENSORRT_8_6)

    windows = verification_windows(spec, chosen_normalization(request))
    if spec.live is not None:
        steps.begin("Comparing the network frame by frame with itself at once")
        require_same_both_ways(reference, spec, windows)
    steps.begin(f"Verifying on {len(windows)} {_kind(spec)}, in PyTorch and in ONNX Runtime")
    with neighbors_exposed(model, reference) as exposed:
        content = exposed.SerializeToString()
    with open_session(content) as session:
        results = compare(reference, session, spec, windows, count=steps.count, excuse_ties=True)
        engine = f"{session.engine} {session.engine_version}"
    keep_failed = prepared.target if request.keep_failed else None
    with _kept_if_failed(model, keep_failed):
        require_parity(results)
    executed = count_graph(model)
    tolerances, reduced = FP32, None
    if request.precision != Precision.FP32.value:
        reduced = reduce_precision(model, spec, request, reference, windows, steps)
        model, tolerances, results = reduced.model, reduced.tolerances, list(reduced.results)
        content = reduced.exposed
    steps.begin("Writing the file")
    manifest = make_manifest(
        prepared,
        request,
        executed,
        summarize_parity(engine, results),
        opset=request.opset,
        quantization=None if reduced is None else reduced.quantization,
    )
    returned = returns_token_index(spec, request)
    final = model if returned else without_output(model, TOKEN_INDEX)
    onnx.helper.set_model_props(final, manifest.to_metadata())
    # In a window of ties, the frames of the written file need not be those of the comparison.
    number = min(range(len(windows)), key=lambda place: results[place].mean_joint_error)
    clearest, certain = windows[number], [not result.tied for result in results]
    with replaced_on_success(prepared.target) as temporary:
        onnx.save(final, temporary)
        with open_session(temporary) as session:
            _require_same_file(session, manifest, reference, spec, clearest, tolerances)
        on_device = None
        if request.cache_dir is not None:
            with _kept_if_failed(model, keep_failed):
                on_device = verify_on_device(
                    temporary,
                    content,
                    cache_dir=request.cache_dir,
                    reference=reference,
                    spec=spec,
                    windows=list(itertools.compress(windows, certain)) or windows,
                    steps=steps,
                    tolerances=tolerances,
                )
    folders: tuple[Path, ...] = ()
    if request.triton is not None:
        steps.begin("Writing the models for Triton")
        folders = write_triton(prepared.target, request.triton)
    result = export_result(prepared, manifest, results)
    return replace(result, reduced=reduced, triton=folders, on_device=on_device)


def _kind(spec: ModelSpec) -> str:
    """Return what the verification runs, in words."""
    return "windows" if spec.live is None else f"recordings of {LIVE_FRAMES:,} frames"


def export_result(
    prepared: Prepared, manifest: Manifest, results: Sequence[WindowResult]
) -> ExportResult:
    """Describe a file that was written and verified."""
    plain = prepared.spec.plain()
    return ExportResult(
        path=prepared.target,
        file_bytes=prepared.target.stat().st_size,
        manifest=manifest,
        plain_parameters=count_parameters(plain),
        plain_flops=count_network(plain),
        windows=tuple(results),
        notes=prepared.notes,
    )


def summarize_parity(engine: str, results: Sequence[WindowResult]) -> Parity:
    """Combine the results of a verification over all its windows."""
    shared = [result.frames_shared for result in results if result.frames_shared is not None]
    return Parity(
        engine=engine,
        clips=len(results),
        max_difference=max(result.max_difference for result in results),
        mean_joint_error=float(np.mean([result.mean_joint_error for result in results])),
        max_joint_error=max(result.max_joint_error for result in results),
        frames_shared=float(np.mean(shared)) if shared else None,
    )


def make_manifest(
    prepared: Prepared,
    request: ExportRequest,
    executed: int,
    parity: Parity,
    *,
    opset: int | None,
    quantization: Quantization | None = None,
) -> Manifest:
    """Make the manifest of a file.

    Args:
        prepared: The exported network.
        request: The request.
        executed: Operations of the matrix multiplications of one window in this file.
        parity: The result of its verification.
        opset: The opset of an ONNX file.
        quantization: What is in int8; None if nothing is.
    """
    spec = prepared.spec
    entry = family(spec.family)
    flops = count_network(spec)
    skeleton, normalization = spec.skeleton, chosen_normalization(request)
    training = prepared.training
    return Manifest(
        schema=SCHEMA,
        family=spec.family,
        variant=spec.variant.value,
        paper=entry.paper,
        license=entry.license if training is None else training.license,
        frames=spec.frames,
        output_frames=spec.output_frames,
        ratio=spec.ratio,
        tokens=spec.tokens,
        stages=spec.stages,
        recovery=None if spec.recovery is None else spec.recovery.value,
        channels=spec.size.channels,
        conditions=CONDITION_NAMES[: spec.size.conditions],
        batch=request.batch,
        flip=request.flip,
        token_index=returns_token_index(spec, request),
        spread=spec.size.spread > 0,
        joints=Joints(
            skeleton=skeleton.name,
            names=skeleton.joints,
            parents=skeleton.parents,
            flip_pairs=tuple(zip(skeleton.left, skeleton.right, strict=True)),
        ),
        normalization=normalization.value,
        unit=entry.unit_for(normalization).value,
        axes=entry.axes,
        root_relative=spec.root_relative,
        training_fps=entry.training_fps if training is None else training.fps,
        trained_on=prepared.trained_on,
        precision=Precision(request.precision).value,
        opset=opset,
        parameters=count_parameters(spec),
        weights=prepared.weights,
        versions=Versions(sdk=__version__, torch=torch.__version__, onnx=onnx.__version__),
        flops=Flops(papers=flops.papers, matmuls=flops.matmuls, executed=executed),
        parity=parity,
        quantization=quantization,
        step=spec.step,
    )


@contextlib.contextmanager
def _kept_if_failed(model: onnx.ModelProto, target: Path | None) -> Iterator[None]:
    """Keep a model that fails verification, without a manifest, so that no tool accepts it.

    Args:
        model: The model.
        target: The file that would be written; None to keep nothing.
    """
    try:
        yield
    except VerificationError:
        if target is not None:
            kept = target.with_name(f"{target.stem}.failed{target.suffix}")
            with replaced_on_success(kept) as temporary:
                onnx.save(model, temporary)
            _LOG.warning("Kept the file that failed verification as '%s'.", kept)
        raise


def _require_same_file(
    session: Session,
    manifest: Manifest,
    reference: nn.Module,
    spec: ModelSpec,
    window: Window,
    tolerances: Tolerances,
) -> None:
    """Check the manifest and the poses of the file on disk."""
    if Manifest.from_metadata(session.metadata) != manifest:
        raise VerificationError(
            "The written file's manifest is not the one that was written.",
            hint="Check the disk, and export again.",
        )
    (written,) = compare(reference, session, spec, [window])
    error = written.mean_joint_error
    if not error <= tolerances.mean_joint_error:
        raise VerificationError(
            f"The written file's poses are off by {error:.3g} on average in '{window.name}'.",
            hint="Check the disk, and export again.",
        )
