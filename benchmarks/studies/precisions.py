"""Measure what each precision changes: kept frames and joints, in every family and in the starter.

    python benchmarks/studies/precisions.py --markdown

Every file is run on the clips that ship, in ONNX Runtime, and compared with PyTorch in float32; a
file with float16 a second time with every value rounded and products summed in float16, as a GPU
may do. ``families`` takes small networks with random weights, ``starter`` the checkpoint that
ships, which also goes through ``hot-eval`` on ``starter-val``. ``float32`` measures on that
checkpoint what each rule of what stays float32 brings, ``int8`` what each block costs in int8.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from starter_model import evaluate
from torch import nn

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_table
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.export import ExportRequest
from hot_sdk.export.enums import Precision, Variant
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import ModelSpec, family, list_models
from hot_sdk.export.pipeline import export_onnx, prepare
from hot_sdk.export.precision.calibration import calibration_windows
from hot_sdk.export.precision.convert import convert
from hot_sdk.export.precision.float16 import to_float16
from hot_sdk.export.precision.half_sums import with_half_sums
from hot_sdk.export.precision.int8 import dequantize_except
from hot_sdk.export.precision.rules import (
    before_selection,
    first_products,
    residual_stream,
)
from hot_sdk.export.verification.clips import stacked, verification_windows
from hot_sdk.export.verification.compare import WindowResult, compare
from hot_sdk.export.verification.neighbors import neighbors_exposed
from hot_sdk.starter import FAMILY

PARTS = ("families", "starter", "float32", "int8")
PRECISIONS = (Precision.FP16, Precision.INT8, Precision.INT8_FP16)
_SIZE = {"width": 48, "depth": 3, "heads": 4, "mlp_hidden": 96}
_OWN = {"nanohtnet": {"coefficients": 5}}
_FRAMES = 27
_RATIO = 0.5
_MILLIMETERS = 1e3
_PAIRS, _WARM_UP = 15, 2


def families() -> Table:
    """Compare every family's small networks with random weights."""
    rows = []
    for name in list_models():
        entry = family(name)
        prunes = Variant.HOT in entry.pruning
        request = ExportRequest(
            name,
            random_weights=True,
            frames=1 if entry.single_frame else _FRAMES,
            config={**_SIZE, **_OWN.get(name, {})},
            ratio=_RATIO if prunes else None,
            prune_at=1 if prunes else None,
        )
        prepared = prepare(request)
        reference = build_lifter(prepared.spec, prepared.state, flip=False)
        model = trace(fold_constants(reference), prepared.spec, batch=1, opset=request.opset)
        calibration = calibration_windows(prepared.spec)
        for precision in PRECISIONS:
            converted = convert(model, prepared.spec, precision, calibration).model
            with neighbors_exposed(converted, reference) as exposed:
                exact = _compared(exposed, prepared.spec, reference)
                emulated = _emulated(exposed, prepared.spec, reference, precision)
            cells = [
                text
                for results in (exact, emulated)
                for text in (_shared(results), _share_of_pose(results))
            ]
            rows.append((entry.title, precision.value, *cells))
    header = ("family", "precision", "frames kept %", "joints %", "as a GPU: frames %", "joints %")
    note = "Joints: mean distance from float32, in percent of the joints' distance from the root."
    return Table("families, random weights", header, tuple(rows), note, text_columns=2)


def _compared(model: onnx.ModelProto, spec: ModelSpec, reference: nn.Module) -> list[WindowResult]:
    with open_session(model.SerializeToString()) as session:
        return compare(reference, session, spec, verification_windows(spec))


def _emulated(
    model: onnx.ModelProto, spec: ModelSpec, reference: nn.Module, precision: Precision
) -> list[WindowResult]:
    """Compare with float16 rounded and summed as on a GPU; return nothing without float16."""
    if precision not in (Precision.FP16, Precision.INT8_FP16):
        return []
    return _compared(with_half_sums(model), spec, reference)


def starter(folder: Path, views: int) -> Table:
    """Compare the starter's precisions on the clips that ship and on ``starter-val``."""
    rows = []
    first = 0.0
    for precision in (Precision.FP32, *PRECISIONS, Precision.INT8_DYNAMIC):
        output = folder / f"{precision.value}.onnx"
        request = ExportRequest(
            FAMILY, ratio=_RATIO, precision=precision.value, output=output, timing=False
        )
        prepared = prepare(request)
        result = export_onnx(prepared, request)
        emulated: list[WindowResult] = []
        if result.reduced is not None:
            reference = build_lifter(prepared.spec, prepared.state, flip=False)
            exposed = onnx.load_from_string(result.reduced.exposed)
            emulated = _emulated(exposed, prepared.spec, reference, precision)
        metrics = evaluate(output, folder, views)
        first = first or metrics["mpjpe_mm"]
        change = 100.0 * (metrics["mpjpe_mm"] / first - 1.0)
        rows.append(
            (
                precision.value,
                *(f"{metrics[key]:.2f}" for key in ("mpjpe_mm", "p_mpjpe_mm")),
                f"{metrics['mpjve_mm_per_frame']:.2f}",
                f"{change:+.2f}",
                *(_shared(result.windows), _millimeters(result.windows)),
                *(_shared(emulated), _millimeters(emulated)),
                f"{result.file_bytes / 1e6:.1f}",
            )
        )
    header = (
        *("precision", "MPJPE", "P-MPJPE", "MPJVE", "MPJPE change %", "frames kept %", "joints mm"),
        *("as a GPU: frames %", "joints mm", "file MB"),
    )
    return Table(f"starter at ratio {_RATIO}, {views} views", header, tuple(rows))


@dataclass(frozen=True)
class Traced:
    """The starter's graph, and what it is compared with."""

    model: onnx.ModelProto
    spec: ModelSpec
    reference: nn.Module


def _traced_starter() -> Traced:
    request = ExportRequest(FAMILY, ratio=_RATIO)
    prepared = prepare(request)
    reference = build_lifter(prepared.spec, prepared.state, flip=False)
    model = trace(fold_constants(reference), prepared.spec, batch=1, opset=request.opset)
    return Traced(model, prepared.spec, reference)


def float32() -> Table:
    """Convert the starter to float16 with some rules of what stays float32, and compare."""
    traced = _traced_starter()
    entry = family(traced.spec.family)
    without_stem = dataclasses.replace(entry, float32=())
    ways = {
        "nothing": (without_stem, ()),
        "first matrix multiplications": (without_stem, (first_products,)),
        "residual stream": (without_stem, (residual_stream,)),
        "stem": (entry, ()),
        "stem and residual stream": (entry, (residual_stream,)),
        "all three": (entry, (first_products, residual_stream)),
        "all that comes before the selection": (entry, (before_selection,)),
    }
    rows = []
    for title, (chosen, rules) in ways.items():
        made = to_float16(traced.model, chosen, rules=rules)
        with neighbors_exposed(made, traced.reference) as exposed:
            results = _emulated(exposed, traced.spec, traced.reference, Precision.FP16)
        rows.append((title, _shared(results), _millimeters(results)))
    header = ("float32 besides choices and poses", "frames kept %", "joints mm")
    return Table(f"starter at ratio {_RATIO} in fp16, as a GPU", header, tuple(rows))


def int8() -> Table:
    """Leave blocks of the starter in float32, all others in int8; compare and time."""
    traced = _traced_starter()
    calibration = calibration_windows(traced.spec)
    converted = convert(traced.model, traced.spec, Precision.INT8, calibration)
    first = before_selection(converted.exact.graph)
    blocks = dict.fromkeys(converted.matmuls.values())
    before = tuple({block for node, block in converted.matmuls.items() if node in first})
    ways: dict[str, Collection[str]] = {
        "nothing": (),
        **{block: (block,) for block in blocks},
        "all before the selection": before,
        "all": tuple(blocks),
    }
    rows = []
    for title, kept in ways.items():
        matmuls = [node for node, block in converted.matmuls.items() if block not in kept]
        made = dequantize_except(converted.model, converted.exact, matmuls)
        with neighbors_exposed(made, traced.reference) as exposed:
            results = _compared(exposed, traced.spec, traced.reference)
        ratio, low, high = _time_ratio(converted.exact, made, traced.spec)
        cells = (_shared(results), _millimeters(results), f"{ratio:.3f} ({low:.3f}-{high:.3f})")
        rows.append((title, str(len(matmuls)), *cells))
    header = ("left in float32", "products in int8", "frames kept %", "joints mm", "time, ratio")
    note = (
        f"Time: of float32's, CPU seconds of one thread, median of {_PAIRS} runs in turn, and the"
        " middle half of their ratios."
    )
    return Table(f"starter at ratio {_RATIO} in int8", header, tuple(rows), note)


def _time_ratio(
    before: onnx.ModelProto, after: onnx.ModelProto, spec: ModelSpec
) -> tuple[float, float, float]:
    """Return the median and the quartiles of ratios of CPU time, of runs in turn."""
    arrays = stacked(verification_windows(spec)[:1], spec.size.conditions)
    options = SessionOptions(threads=1)
    ratios = []
    with (
        open_session(before.SerializeToString(), options) as first,
        open_session(after.SerializeToString(), options) as second,
    ):
        for turn in range(_PAIRS + _WARM_UP):
            # Of this thread: other programs take its time, and not its work.
            times = [time.thread_time()]
            for session in (first, second):
                session.run(arrays)
                times.append(time.thread_time())
            if turn >= _WARM_UP:
                ratios.append((times[2] - times[1]) / (times[1] - times[0]))
    low, median, high = statistics.quantiles(ratios, n=4)
    return median, low, high


def _shared(windows: Sequence[WindowResult]) -> str:
    shares = [window.frames_shared for window in windows if window.frames_shared is not None]
    return f"{100.0 * np.mean(shares):.1f}" if shares else ""


def _share_of_pose(windows: Sequence[WindowResult]) -> str:
    errors = [window.mean_joint_error / window.size for window in windows]
    return f"{100.0 * np.mean(errors):.3f}" if errors else ""


def _millimeters(windows: Sequence[WindowResult]) -> str:
    errors = [window.mean_joint_error for window in windows]
    return f"{_MILLIMETERS * np.mean(errors):.2f}" if errors else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("precisions", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="precisions", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--only", choices=PARTS, help="one part (default: all)")
    add("--views", type=int, default=4, help="cameras per sequence, 1 to 4 (default: 4)")
    add("--markdown", action="store_true", help="print the tables for a page")
    parser.add_shared_arguments()
    options: argparse.Namespace = parser.parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        made_by: dict[str, Callable[[], Table]] = {
            "families": families,
            "starter": functools.partial(starter, Path(name), options.views),
            "float32": float32,
            "int8": int8,
        }
        for part in PARTS if options.only is None else (options.only,):
            print_table(made_by[part](), markdown=options.markdown)


if __name__ == "__main__":
    sys.exit(main())
