"""The name of an exported file if none is requested: all that distinguishes a family's files."""

from __future__ import annotations

from hot_sdk.export.enums import Precision, RecoveryKind, SelectorKind, Variant
from hot_sdk.export.models.families import Family
from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec, as_tuple, published_size
from hot_sdk.export.options import TORCH, ExportRequest


def default_name(spec: ModelSpec, request: ExportRequest) -> str:
    """Return a descriptive file name, as ``mixste_t243_r0.50.onnx`` or ``mixste_live_l5_m48.onnx``.

    It holds the family, the size if that is not the default one, the frames and the share of frames
    kept (of a live network its lookahead and memory), and whatever else was requested that makes
    another file: selectors, the blocks before which frames are pruned, the recovery, normalization,
    flip averaging, precision and batch.

    Args:
        spec: The resolved architecture. It provides the ratio if none was requested.
        request: The request.
    """
    entry = family(spec.family)
    parts = [spec.family, *_size(spec, entry, request)]
    if spec.variant is Variant.TPC:
        parts.append(spec.variant.value)
    if spec.live is not None:
        parts += [spec.variant.value, f"l{spec.live.lookahead}", f"m{spec.live}"]
    else:
        parts.append(f"t{spec.frames}")
    if not entry.single_frame and spec.live is None:
        kept = tuple(stage.tokens / spec.frames for stage in spec.stages)
        ratios = (as_tuple(request.ratio) or kept) if kept else (1.0,)
        parts.append("r" + "-".join(f"{ratio:.2f}" for ratio in ratios))
    if spec.stages and request.prune_at is not None:
        parts.append("at" + "-".join(str(stage.prune_at) for stage in spec.stages))
    selectors = [stage.selector for stage in spec.stages]
    if {*selectors} - {SelectorKind.TPC.value}:
        parts.append("-".join(selectors if len({*selectors}) > 1 else selectors[:1]))
    if spec.recovery is RecoveryKind.INTERPOLATE:
        parts.append(spec.recovery.value)
    if request.normalization not in (None, entry.normalization.value):
        parts.append(str(request.normalization))
    if request.flip:
        parts.append("flip")
    precision = Precision(request.precision)
    if precision is not Precision.FP32:
        parts.append(precision.value)
    if request.batch != 1:
        parts.append("batch" if request.batch is None else f"b{request.batch}")
    return "_".join(parts) + (".safetensors" if request.engine == TORCH else ".onnx")


def _size(spec: ModelSpec, entry: Family, request: ExportRequest) -> list[str]:
    """Return the published size's name, unless it is the default's; else the settings given."""
    if spec.size == entry.size:
        return []
    for name, published in entry.sizes.items():
        if spec.size == published.size:
            return [name]
    size = published_size(entry, request.size).size
    changed = [
        f"{name}{value}" for name, value in request.config.items() if value != getattr(size, name)
    ]
    return ["-".join(changed)] if changed else []
