"""What ``hot-export`` prints: published networks, a plan, a result and the next commands.

Each is available as JSON values, and as paragraphs and tables for :mod:`hot_sdk._base.tables`.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hot_sdk._base.tables import Table
from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.export.enums import MPI_INF_3DHP, Precision
from hot_sdk.export.models import ModelSpec, family
from hot_sdk.export.models.families import Unit
from hot_sdk.export.options import ExportRequest, returns_token_index
from hot_sdk.export.triton.options import model_names
from hot_sdk.export.verification.clips import LIVE_FRAMES
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING
from hot_sdk.step_graph import step_bytes

if TYPE_CHECKING:
    from hot_sdk.export.pipeline import ExportResult, Prepared
    from hot_sdk.export.precision.sensitivity import BlockSensitivity, Speed
    from hot_sdk.export.verification.compare import WindowResult
    from hot_sdk.export.verification.on_device import DeviceResult
    from hot_sdk.manifest import Manifest
    from hot_sdk.step_memory import StepMemory

_FARTHEST_ROOT = 0.1
"""Of the body's size; the starter's, which was trained relative to the root, is at 0.001."""

_KNOWN_TEXT = "what is known of the camera and of the person's height, or that nothing is"
_SPREAD_TEXT = "how far each coordinate may be off (spread)"

_FRAMES_SHARED = 0.95
"""Share of float32's kept frames; with fewer, the user is told what to leave in float32."""

_LARGEST_BODY = 10.0
"""Meters, of the mean distance from the pelvis; half a meter is usual."""


def plan_as_dict(prepared: Prepared, request: ExportRequest) -> dict[str, Any]:
    """Return the plan for JSON."""
    return {
        "file": str(prepared.target),
        "network": dataclasses.asdict(prepared.spec),
        "weights": dataclasses.asdict(prepared.weights),
        "trained_on": prepared.trained_on,
        "notes": list(prepared.notes),
        "batch": request.batch,
        "opset": request.opset,
        "engine": request.engine,
        "flip": request.flip,
        "token_index": returns_token_index(prepared.spec, request),
        "precision": Precision(request.precision).value,
        "triton": None if request.triton is None else str(request.triton.folder),
    }


def plan_parts(prepared: Prepared, request: ExportRequest) -> list[str | Table]:
    """Return the table of what would be exported."""
    spec, weights = prepared.spec, prepared.weights
    rows = [
        ("network", _describe(spec, prepared.training.fps if prepared.training else _fps(spec))),
        ("weights", "random" if weights.random else f"{weights.file}"),
    ]
    if weights.resampled_from is not None:
        rows.append(("", f"rank embedding resampled from {weights.resampled_from} tokens"))
    rows += [("", note) for note in prepared.notes]
    if spec.size.conditions:
        rows.append(("takes", _KNOWN_TEXT))
    if spec.size.spread:
        rows.append(("also returns", _SPREAD_TEXT))
    rows.append(("joints", _joints_text(spec.skeleton.name, prepared.trained_on)))
    rows.append(("root", _root_text(root_relative=spec.root_relative)))
    rows.append(("batch", "any" if request.batch is None else str(request.batch)))
    rows.append(("flip averaging", "in the graph" if request.flip else "no"))
    if request.engine == DEFAULT_ENGINE:
        rows.append(("precision", Precision(request.precision).value))
        rows.append(("opset", str(request.opset)))
    rows.append(("file", str(prepared.target)))
    if request.triton is not None:
        names = ", ".join(model_names(prepared.target))
        rows.append(("for Triton", f"{request.triton.folder}: {names}"))
    return [Table("Plan", ("", ""), tuple(rows), text_columns=2)]


def _describe(spec: ModelSpec, fps: float) -> str:
    size = spec.size
    frames = f"{spec.frames} frames" if spec.live is None else "one frame at a time"
    text = (
        f"{family(spec.family).title} {spec.variant.value}, {frames}, width "
        f"{size.width}, depth {size.depth}, heads {size.heads}"
    )
    if spec.live is not None:
        return f"{text}; {_live_text(spec.live.lookahead, spec.live.memory, fps)}"
    if not spec.stages:
        return text
    stages = ", then ".join(
        f"keeps {stage.tokens} frames (ratio {stage.tokens / spec.frames:.2f}) from block "
        f"{stage.prune_at} on, selector {stage.selector}"
        for stage in spec.stages
    )
    return f"{text}; {stages}; recovery {spec.recovery.value if spec.recovery else 'none'}"


def _fps(spec: ModelSpec) -> float:
    return family(spec.family).training_fps


def _live_text(lookahead: int, memory: StepMemory, fps: float) -> str:
    """Return what a live network waits for and remembers, in words."""
    waits = "waits for no later frame"
    if lookahead:
        frames = f"{lookahead} frame{'s' * (lookahead > 1)}"
        waits = f"waits for {frames} ({1e3 * lookahead / fps:.0f} ms at {fps:g} fps)"
    remembers = f"remembers the newest {memory.recent} frames"
    if memory.anchors:
        remembers += f" and {memory.anchors} before them, {memory.stride} apart"
    return f"{waits}, {remembers}"


def _joints_text(skeleton: str, trained_on: str | None) -> str:
    return skeleton if trained_on is None else f"{skeleton}, trained on {trained_on}"


def _root_text(*, root_relative: bool) -> str:
    if root_relative:
        return "the network predicts joints relative to it"
    return "the network predicts where joints are; the root's prediction is subtracted"


def result_as_dict(result: ExportResult) -> dict[str, Any]:
    """Return the result for JSON."""
    reduced, on_device = result.reduced, None
    speed = None if reduced is None else reduced.speed
    if result.on_device is not None:
        plan = result.on_device.plan
        on_device = dataclasses.asdict(result.on_device)
        on_device["plan"] = None if plan is None else str(plan)
    return {
        "file": str(result.path),
        "file_bytes": result.file_bytes,
        "manifest": dataclasses.asdict(result.manifest),
        "plain": {
            "parameters": result.plain_parameters,
            "flops": dataclasses.asdict(result.plain_flops),
        },
        "windows": [dataclasses.asdict(window) for window in result.windows],
        "half_sums": [
            dataclasses.asdict(window) for window in (reduced.half_sums if reduced else ())
        ],
        "speed": None if speed is None else dataclasses.asdict(speed),
        "sensitivity": [
            dataclasses.asdict(block) for block in (reduced.sensitivity if reduced else ())
        ],
        "triton": [str(folder) for folder in result.triton],
        "notes": list(result.notes),
        "root_is_far": root_is_far(result.windows),
        "on_device": on_device,
    }


def result_parts(result: ExportResult) -> list[str | Table]:
    """Return the tables and notes about an exported file."""
    manifest, reduced, step = result.manifest, result.reduced, result.manifest.step
    unit = "window" if step is None else "frame"
    notes = [
        f"This file executes {manifest.flops.executed / 1e9:,.3f} GFLOPs per {unit} in its matrix "
        f"multiplications{' (flip averaging doubles them)' if manifest.flip else ''}.",
        _parity_text(result),
    ]
    if reduced is not None and reduced.choosing and _chooses_others(result):
        notes.append(_choosing_text(reduced.choosing))
    if reduced is not None and reduced.half_sums:
        notes.append(_half_sums_text(reduced.half_sums, manifest.unit))
    if step is not None:
        held = step_bytes(step, len(manifest.joints.names)) / 1e6
        waits = _live_text(step.lookahead, step.memory, manifest.training_fps)
        notes.append(f"It {waits}: {held:.1f} MB for each person.")
    if result.on_device is not None:
        notes.append(_device_text(result.on_device, manifest.unit))
    if manifest.weights.resampled_from is not None:
        notes.append(
            f"The rank embedding was trained for {manifest.weights.resampled_from} tokens and "
            "resampled: measure the accuracy before you trust it."
        )
    if result.notes:
        notes.append(f"Weights of {manifest.weights.file}: {'; '.join(result.notes)}.")
    if manifest.conditions:
        notes.append(f"Takes: {_KNOWN_TEXT}.")
    if manifest.spread:
        notes.append(_spread_text(result.windows, manifest.unit))
    if not manifest.root_relative:
        notes.append(f"Root: {_root_text(root_relative=False)}.")
    if manifest.trained_on is not None:
        notes.append(f"Joints: {_joints_text(manifest.joints.skeleton, manifest.trained_on)}.")
    if reduced is not None and reduced.speed is not None:
        notes.append(_speed_text(manifest.precision, reduced.speed))
    notes += [f"For Triton: {folder}" for folder in result.triton]
    parts: list[str | Table] = [_cost_table(result), "\n".join(notes)]
    if reduced is not None and reduced.sensitivity:
        parts.append(_sensitivity_table(reduced.sensitivity, manifest.unit))
    if manifest.weights.random:
        parts.append(f"Warning: {RANDOM_WEIGHTS_WARNING}.")
    elif manifest.unit == Unit.METER.value and is_too_large(result.windows):
        parts.append(
            "Warning: the poses are larger than people by far. If the network predicts "
            "millimeters, export it again with --predicts mm."
        )
    elif root_is_far(result.windows):
        parts.append(
            "Warning: the network predicts its root far from 0, as networks do that predict where "
            "joints are. If it is one of them, export it again with --root-relative no; otherwise "
            "its poses are torn at the pelvis."
        )
    return parts


def _spread_text(windows: Sequence[WindowResult], unit: str) -> str:
    scale, shown = _shown_unit(unit)
    difference = max(window.spread_difference or 0.0 for window in windows)
    return (
        f"Also returns: {_SPREAD_TEXT}, with the same frames within {difference * scale:.2g}"
        f" {shown} of PyTorch's."
    )


def _chooses_others(result: ExportResult) -> bool:
    shared = result.manifest.parity.frames_shared
    return shared is not None and shared < _FRAMES_SHARED


def _choosing_text(blocks: Sequence[str]) -> str:
    flags = " ".join(f"--keep-float {shlex.quote(block)}" for block in blocks)
    return (
        "Frames are chosen by what quantized blocks compute. To choose those of float32, leave"
        f" these in float32: {flags}."
    )


def _half_sums_text(windows: Sequence[WindowResult], unit: str) -> str:
    scale, shown = _shown_unit(unit)
    error = sum(window.mean_joint_error for window in windows) / len(windows)
    text = (
        f"With float16 rounded and summed as a GPU may, on {len(windows)} windows: mean joint"
        f" error {error * scale:.2g} {shown}"
    )
    shares = [window.frames_shared for window in windows if window.frames_shared is not None]
    if shares:
        text += f", kept frames identical: {sum(shares) / len(shares):.1%}"
    return f"{text}."


def root_is_far(windows: Sequence[WindowResult]) -> bool:
    """Return True if a network's root is farther from 0 than training relative to it leaves it."""
    return any(window.root_share > _FARTHEST_ROOT for window in windows)


def is_too_large(windows: Sequence[WindowResult]) -> bool:
    """Return True if no one is as large as a network's poses are in meters."""
    return all(window.size > _LARGEST_BODY for window in windows)


def _cost_table(result: ExportResult) -> Table:
    manifest, plain = result.manifest, result.plain_flops
    pruned = manifest.tokens is not None
    header = ["one window", "plain network"]
    if manifest.step is not None:
        header = ["one frame", "live network"]
    if pruned:
        header += [f"keeping {manifest.tokens} of {manifest.frames}", "change"]

    def row(name: str, before: float, after: float, unit: str, scale: float) -> tuple[str, ...]:
        cells = [name, f"{before / scale:,.3f} {unit}"]
        if pruned:
            cells += [f"{after / scale:,.3f} {unit}", f"{after / before - 1:+.1%}"]
        return tuple(cells)

    flops = manifest.flops
    rows = (
        row("parameters", result.plain_parameters, manifest.parameters, "M", 1e6),
        row("FLOPs, as the papers count", plain.papers, flops.papers, "G", 1e9),
        row("FLOPs, all matrix multiplications", plain.matmuls, flops.matmuls, "G", 1e9),
    )
    return Table(f"{result.path} ({result.file_bytes / 1e6:.1f} MB)", tuple(header), rows)


def _parity_text(result: ExportResult) -> str:
    manifest, parity = result.manifest, result.manifest.parity
    scale, shown = _shown_unit(manifest.unit)
    if result.reduced is None:
        text = (
            f"Same poses as PyTorch in {parity.engine}, on {parity.clips} {_runs(manifest)}: with "
            f"the same frames, coordinates differ by at most {parity.max_difference * scale:.2g} "
            f"{shown}; end to end, "
        )
    else:
        quantized = manifest.quantization
        text = f"{manifest.precision}"
        if quantized is not None:
            text += f", {quantized.matmuls} matrix multiplications quantized"
            if quantized.windows:
                text += f" by {quantized.windows} {_runs(manifest)} of {quantized.source}"
        text += (
            f". Compared with PyTorch in float32, in {parity.engine}, on {parity.clips} "
            f"{_runs(manifest)}: end to end, "
        )
    text += (
        f"mean joint error {parity.mean_joint_error * scale:.2g} {shown}, largest "
        f"{parity.max_joint_error * scale:.2g} {shown}"
    )
    if parity.frames_shared is not None:
        text += f", kept frames identical: {parity.frames_shared:.1%}"
    return f"{text}.{''.join(_tie_text(window) for window in result.windows if window.tied)}"


def _runs(manifest: Manifest) -> str:
    return "windows" if manifest.step is None else f"recordings of {LIVE_FRAMES:,} frames"


def _tie_text(window: WindowResult) -> str:
    return (
        f" Frames of '{window.window}' tie: {window.frames_shared:.1%} are identical, and"
        f" {window.own_frames_shared:.1%} in PyTorch's own float32 and float64; which are kept is"
        " left to rounding there, and the poses of the same frames agree."
    )


def _device_text(device: DeviceResult, unit: str) -> str:
    scale, shown = _shown_unit(unit)
    mean = sum(window.mean_joint_error for window in device.windows) / len(device.windows)
    graph = "one CUDA graph per run" if device.cuda_graph else "no CUDA graph"
    return (
        f"Same poses in {device.engine} on {device.device}: mean joint error {mean * scale:.2g} "
        f"{shown}; ready in {device.load_seconds:.1f} s, {graph}, kept as '{device.plan}'."
    )


def _speed_text(precision: str, speed: Speed) -> str:
    text = (
        f"On this machine's CPU, {speed.engine}, {precision} takes {speed.after_ms:.1f} ms per run "
        f"and float32 {speed.before_ms:.1f} ms: {speed.ratio:.2f} times as fast (medians of "
        f"{speed.runs} runs each, in turn)."
    )
    if speed.ratio >= 1.0:
        return text
    return f"{text} It is slower here; measure on the target device."


def _sensitivity_table(blocks: Sequence[BlockSensitivity], unit: str) -> Table:
    scale, shown = _shown_unit(unit)
    return Table(
        "One block in int8, the others in float32",
        ("block", "MatMuls", f"mean joint error, {shown}", "gained, ms"),
        tuple(
            (
                block.block,
                str(block.matmuls),
                f"{block.error * scale:.3f}",
                f"{block.gained_ms:+.2f}",
            )
            for block in sorted(blocks, key=lambda each: -each.error)
        ),
    )


def _shown_unit(unit: str) -> tuple[float, str]:
    """Return factor and name of the unit that lengths are shown in."""
    return (1e3, "mm") if unit == "m" else (1.0, unit)


def next_commands(result: ExportResult) -> str:
    """Return commands to run next, one per line; words in capitals stand for the user's own."""
    path = shlex.quote(str(result.path))
    data = "starter-val"
    if result.manifest.trained_on == MPI_INF_3DHP:
        data = "mpi-inf-3dhp --protocol center --data-root FOLDER"
    elif result.manifest.unit != Unit.METER.value:
        data = "h36m-motionbert --protocol motionbert --data-root FOLDER"
    there = several = ""
    if result.on_device is not None:
        device, plan = result.on_device.device, result.on_device.plan
        cache = "" if plan is None else f" --cache-dir {shlex.quote(str(plan.parent))}"
        there = f" --engine tensorrt --device {device}{cache}"
        several = f" --engines tensorrt --devices {device}{cache}"
    commands = [
        f"hot-infer KEYPOINTS_OR_VIDEO --model {path}{there}",
        f"hot-eval {path} --data {data}{there}",
        f"hot-benchmark {path}{several}",
    ]
    if result.triton:
        repository = shlex.quote(str(result.triton[0].parent.resolve()))
        commands.append(f"tritonserver --model-repository={repository}")
    return "\n".join(["", "Next:", *(f"  {command}" for command in commands)])
