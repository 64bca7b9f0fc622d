"""What an export prints: its plan, its result and what to run next.

The families that can be exported, with what their published networks cost.
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hot_sdk.engines import DEFAULT_ENGINE
from hot_sdk.engines.registry import TORCH, model_format
from hot_sdk.export.enums import Precision, Variant
from hot_sdk.export.graph.flops import count_network, count_parameters
from hot_sdk.export.models import family, list_models, resolve
from hot_sdk.export.models.spec import ModelSpec
from hot_sdk.export.options import ExportRequest
from hot_sdk.export.triton.options import model_names
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING

if TYPE_CHECKING:
    from hot_sdk.export.pipeline import ExportResult, Prepared
    from hot_sdk.export.precision.sensitivity import Speed
    from hot_sdk.export.verification.on_device import DeviceResult


def plan_as_dict(prepared: Prepared, request: ExportRequest) -> dict[str, Any]:
    """The plan as JSON holds it."""
    return {
        "file": str(prepared.target),
        "network": dataclasses.asdict(prepared.spec),
        "weights": dataclasses.asdict(prepared.weights),
        "batch": request.batch,
        "opset": request.opset,
        "engine": request.engine,
        "flip": request.flip,
        "token_index": request.token_index,
        "precision": Precision(request.precision).value,
        "triton": None if request.triton is None else str(request.triton.folder),
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
        "speed": None if result.reduced is None else dataclasses.asdict(result.reduced.speed),
        "sensitivity": (
            []
            if result.reduced is None
            else [dataclasses.asdict(block) for block in result.reduced.sensitivity]
        ),
        "triton": [str(folder) for folder in result.triton],
        "on_device": _device_as_dict(result),
    }


def _device_as_dict(result: ExportResult) -> dict[str, Any] | None:
    if result.on_device is None:
        return None
    plan = result.on_device.plan
    return dataclasses.asdict(result.on_device) | {"plan": None if plan is None else str(plan)}


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
    if request.engine == DEFAULT_ENGINE:
        table.add_row("precision", Precision(request.precision).value)
        table.add_row("opset", str(request.opset))
    table.add_row("file", str(prepared.target))
    if request.triton is not None:
        names = dataclasses.astuple(model_names(prepared.target))
        table.add_row("for Triton", f"{request.triton.folder}: {', '.join(names)}")
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
        f"{stage.prune_at} on, selector {stage.selector}"
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
    row("FLOPs, all matrix products", plain.matmuls, manifest.flops.matmuls, "G", 1e9)

    lines = [
        f"This file executes {manifest.flops.executed / 1e9:,.3f} GFLOPs a window in its matrix "
        f"products{' (flip averaging doubles them)' if manifest.flip else ''}.",
        _parity_text(result),
    ]
    if result.on_device is not None:
        lines.append(_device_text(result.on_device, manifest.unit))
    if manifest.weights.resampled_from is not None:
        lines.append(
            f"The rank embedding was trained for {manifest.weights.resampled_from} tokens and "
            "resampled: measure the accuracy before you trust it."
        )
    if result.reduced is not None:
        lines.append(_speed_text(manifest.precision, result.reduced.speed))
    lines += [f"For Triton: {folder}" for folder in result.triton]
    parts: list[RenderableType] = [table, *lines]
    if result.reduced is not None and result.reduced.sensitivity:
        parts.append(_render_sensitivity(result))
    if manifest.weights.random:
        parts.append(Text(f"Warning: {RANDOM_WEIGHTS_WARNING}.", style="bold yellow"))
    return Group(*parts)


def _parity_text(result: ExportResult) -> str:
    manifest, parity = result.manifest, result.manifest.parity
    scale, shown = _shown_unit(manifest.unit)
    if result.reduced is None:
        text = (
            f"Same poses as PyTorch in {parity.engine}, on {parity.clips} windows: given the "
            f"frames, coordinates within {parity.max_difference * scale:.2g} {shown}; end to end, "
        )
    else:
        quantized = manifest.quantization
        text = f"{manifest.precision}"
        if quantized is not None:
            text += f", {quantized.matmuls} products quantized"
            if quantized.windows:
                text += f" by {quantized.windows} windows of {quantized.source}"
        text += (
            f". Against PyTorch in float32, in {parity.engine}, on {parity.clips} windows: end to "
            "end, "
        )
    text += (
        f"mean joint error {parity.mean_joint_error * scale:.2g} {shown}, largest "
        f"{parity.max_joint_error * scale:.2g} {shown}"
    )
    if parity.frames_shared is not None:
        text += f", {parity.frames_shared:.1%} of the kept frames shared"
    return text + "."


def _speed_text(precision: str, speed: Speed) -> str:
    text = (
        f"On this machine's CPU, {speed.engine}, {precision} takes {speed.after_ms:.1f} ms a run "
        f"where float32 takes {speed.before_ms:.1f}: {speed.ratio:.2f} times as fast (medians of "
        f"{speed.runs} runs each, in turn)."
    )
    if speed.ratio >= 1.0:
        return text
    return f"{text} It does not pay here; measure on the device that it is for."


def _render_sensitivity(result: ExportResult) -> RenderableType:
    assert result.reduced is not None
    scale, shown = _shown_unit(result.manifest.unit)
    table = Table(title="One block in int8, the others in float32")
    for name in ("block", "MatMuls", f"mean joint error, {shown}", "gained, ms"):
        table.add_column(name, justify="left" if name == "block" else "right")
    for block in sorted(result.reduced.sensitivity, key=lambda each: -each.error):
        table.add_row(
            block.block,
            str(block.matmuls),
            f"{block.error * scale:.3f}",
            f"{block.gained_ms:+.2f}",
        )
    return table


def _shown_unit(unit: str) -> tuple[float, str]:
    """Factor and name of the unit that lengths are shown in."""
    return (1e3, "mm") if unit == "m" else (1.0, unit)


def _device_text(device: DeviceResult, unit: str) -> str:
    scale, shown = (1e3, "mm") if unit == "m" else (1.0, unit)
    mean = sum(window.mean_joint_error for window in device.windows) / len(device.windows)
    graph = "one CUDA graph a run" if device.cuda_graph else "no CUDA graph"
    return (
        f"Same poses in {device.engine} on {device.device}: mean joint error {mean * scale:.2g} "
        f"{shown}; ready in {device.load_seconds:.1f} s, {graph}, kept as '{device.plan}'."
    )


def next_commands(result: ExportResult) -> str:
    """What to run next, a line each, ready to be copied."""
    engine = ", engine='torch'" if model_format(result.path) == TORCH else ""
    commands = [
        'python -c "from hot_sdk.engines import open_session as o; '
        f"s = o('{result.path}'{engine}); print(*s.inputs, *s.outputs)\"",
        f"hot-benchmark {shlex.quote(str(result.path))}",
    ]
    if result.triton:
        repository = shlex.quote(str(result.triton[0].parent.resolve()))
        commands.append(f"tritonserver --model-repository={repository}")
    return "\n".join(["", "Next:", *(f"  {command}" for command in commands)])


def stderr_console() -> Console:
    """Where progress goes, so that standard output holds results alone."""
    return Console(stderr=True)


@dataclass(frozen=True)
class Listed:
    """One published network.

    Attributes:
        family: Name of its family.
        size: Name of its size.
        variant: ``plain``, ``hot`` or ``tpc``.
        frames: Of a window.
        tokens: Frames kept; None where none is pruned.
        parameters: Trained numbers.
        flops_papers: Operations of one window, twice the multiply-accumulates of linear layers.
        flops_matmuls: Of all matrix products.
        unit: Of the output.
        license: Of code and weights.
        paper: The publication.
    """

    family: str
    size: str
    variant: str
    frames: int
    tokens: int | None
    parameters: int
    flops_papers: int
    flops_matmuls: int
    unit: str
    license: str
    paper: str


def list_networks() -> list[Listed]:
    """Every family in every published size, and in its default size with what it can prune."""
    found = []
    for name in list_models():
        entry = family(name)
        for number, size in enumerate(entry.sizes):
            variants = [Variant.PLAIN, *(entry.pruning if number == 0 else ())]
            for variant in variants:
                spec = resolve(name, size=size, variant=variant)
                flops = count_network(spec)
                found.append(
                    Listed(
                        family=name,
                        size=size,
                        variant=variant.value,
                        frames=spec.frames,
                        tokens=spec.tokens,
                        parameters=count_parameters(spec),
                        flops_papers=flops.papers,
                        flops_matmuls=flops.matmuls,
                        unit=entry.unit.value,
                        license=entry.license,
                        paper=entry.paper,
                    )
                )
    return found


def render(networks: list[Listed]) -> RenderableType:
    """As a table of figures and a list of sources."""
    table = Table(title="Published networks, one window")
    for name in ("family", "size", "variant"):
        table.add_column(name, no_wrap=True)
    for name in ("frames", "kept", "params M", "GFLOPs, papers", "GFLOPs, products"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for listed in networks:
        table.add_row(
            listed.family,
            listed.size,
            listed.variant,
            str(listed.frames),
            "" if listed.tokens is None else str(listed.tokens),
            f"{listed.parameters / 1e6:.2f}",
            f"{listed.flops_papers / 1e9:.3f}",
            f"{listed.flops_matmuls / 1e9:.3f}",
            listed.unit,
        )
    sources = {listed.family: f"{listed.paper}; {listed.license}" for listed in networks}
    return Group(table, *(f"{name}: {source}" for name, source in sources.items()))


def as_dict(networks: list[Listed]) -> dict[str, object]:
    """As JSON holds it."""
    return {"networks": [dataclasses.asdict(listed) for listed in networks]}
