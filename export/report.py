"""What an export prints: its plan, its result and what to run next."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hot_sdk.export.models.registry import family
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.request import ExportRequest
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING

if TYPE_CHECKING:
    from hot_sdk.export.pipeline import ExportResult, Prepared


def plan_as_dict(prepared: Prepared, request: ExportRequest) -> dict[str, Any]:
    """The plan as JSON holds it."""
    return {
        "file": str(prepared.target),
        "network": dataclasses.asdict(prepared.spec),
        "weights": dataclasses.asdict(prepared.weights),
        "batch": request.batch,
        "opset": request.opset,
        "flip": request.flip,
        "token_index": request.token_index,
    }


def result_as_dict(result: ExportResult) -> dict[str, Any]:
    """The result as JSON holds it."""
    return {
        "file": str(result.path),
        "file_bytes": result.file_bytes,
        "manifest": dataclasses.asdict(result.manifest),
        "plain": {
            "parameters": result.plain_parameters,
            "flops": dataclasses.asdict(result.plain_flops),
        },
        "windows": [dataclasses.asdict(window) for window in result.windows],
    }


def render_plan(prepared: Prepared, request: ExportRequest) -> RenderableType:
    """What would be exported."""
    spec, weights = prepared.spec, prepared.weights
    table = Table(title="Plan", show_header=False)
    table.add_row("network", describe(spec))
    table.add_row("weights", "random" if weights.random else f"{weights.file}")
    if weights.resampled_from is not None:
        table.add_row("", f"rank embedding resampled from {weights.resampled_from} tokens")
    table.add_row("batch", "any" if request.batch is None else str(request.batch))
    table.add_row("flip averaging", "in the graph" if request.flip else "no")
    table.add_row("opset", str(request.opset))
    table.add_row("file", str(prepared.target))
    return table


def describe(spec: ModelSpec) -> str:
    """A network in words."""
    size = spec.size
    text = (
        f"{family(spec.family).title} {spec.variant.value}, {spec.frames} frames, width "
        f"{size.width}, depth {size.depth}, heads {size.heads}"
    )
    if not spec.stages:
        return text
    stages = ", then ".join(
        f"keeps {stage.tokens} frames (ratio {stage.tokens / spec.frames:.2f}) from block "
        f"{stage.prune_at} on, selector {stage.selector.value}"
        for stage in spec.stages
    )
    return f"{text}; {stages}; recovery {spec.recovery.value if spec.recovery else 'none'}"


def render_result(result: ExportResult) -> RenderableType:
    """The table, warnings, and the commands to run next."""
    manifest, plain = result.manifest, result.plain_flops
    pruned = manifest.tokens is not None
    table = Table(title=f"{result.path} ({result.file_bytes / 1e6:.1f} MB)")
    table.add_column("one window")
    table.add_column("plain network", justify="right")
    if pruned:
        table.add_column(f"keeping {manifest.tokens} of {manifest.frames}", justify="right")
        table.add_column("change", justify="right")

    def row(name: str, before: float, after: float, unit: str, scale: float) -> None:
        cells = [f"{before / scale:,.3f} {unit}"]
        if pruned:
            cells += [f"{after / scale:,.3f} {unit}", f"{after / before - 1:+.1%}"]
        table.add_row(name, *cells)

    row("parameters", result.plain_parameters, manifest.parameters, "M", 1e6)
    row("FLOPs, as the papers count", plain.papers, manifest.flops.papers, "G", 1e9)
    row("FLOPs, all matrix products", plain.products, manifest.flops.products, "G", 1e9)

    lines = [
        f"This file executes {manifest.flops.executed / 1e9:,.3f} GFLOPs a window in its matrix "
        f"products{' (flip averaging doubles them)' if manifest.flip else ''}.",
        _parity_text(result),
    ]
    if manifest.weights.resampled_from is not None:
        lines.append(
            f"The rank embedding was trained for {manifest.weights.resampled_from} tokens and "
            "resampled: measure the accuracy before you trust it."
        )
    parts: list[RenderableType] = [table, *lines]
    if manifest.weights.random:
        parts.append(Text(f"Warning: {RANDOM_WEIGHTS_WARNING}.", style="bold yellow"))
    return Group(*parts)


def _parity_text(result: ExportResult) -> str:
    parity, unit = result.manifest.parity, result.manifest.unit
    scale, shown = (1e3, "mm") if unit == "m" else (1.0, unit)
    text = (
        f"Same poses as PyTorch in {parity.engine}, on {parity.clips} windows: given the frames, "
        f"coordinates within {parity.max_difference * scale:.2g} {shown}; end to end, mean joint "
        f"error {parity.mean_joint_error * scale:.2g} {shown}, largest "
        f"{parity.max_joint_error * scale:.2g} {shown}"
    )
    if parity.frames_shared is not None:
        text += f", {parity.frames_shared:.1%} of the kept frames shared"
    return text + "."


def next_commands(result: ExportResult) -> str:
    """What to run next, a line each, ready to be copied."""
    commands = [
        f"python -c \"from hot_sdk.engines import open_session as o; s = o('{result.path}'); "
        'print(*s.inputs, *s.outputs)"',
        f"hot-benchmark {shlex.quote(str(result.path))}",
    ]
    return "\n".join(["", "Next:", *(f"  {command}" for command in commands)])


def stderr_console() -> Console:
    """Where progress goes, so that standard output holds results alone."""
    return Console(stderr=True)
