"""Measure what engines and int8 gain on one thread of this CPU, in processor time of runs in turn.

    python benchmarks/studies/cpu_ratios.py --markdown

``starter`` takes the checkpoint that ships at ratio 0.5, and compares with ONNX Runtime in float32;
``published`` a network of MixSTE's published size with random weights that keeps 81 of 243 frames,
and compares with PyTorch that runs MixSTE without pruning. Processor time is the process's: other
programs make it longer by what they take from the caches, and not by their own. ONNX Runtime also
runs each int8 file without what its engine here does for int8: as the file is, with the setting
that makes sums exact on every CPU.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_table
from hot_sdk.benchmarks.speed.series import paired_ratio
from hot_sdk.engines import SessionOptions, list_engines, open_session
from hot_sdk.export import ExportRequest
from hot_sdk.export.enums import Precision
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.precision.calibration import CalibrationData, calibration_windows
from hot_sdk.export.precision.convert import convert
from hot_sdk.export.verification.clips import stacked, verification_windows
from hot_sdk.starter import FAMILY

PARTS = ("starter", "published")
_RATIOS = {"starter": 0.5, "published": 1 / 3}
_CALIBRATED = (Precision.INT8, Precision.INT8_DYNAMIC)
# Of random weights, whose scales change no time.
_FEW_WINDOWS = 2
_WARM_UP = 2

Run = Callable[[], object]


def ratios_of(runs: Mapping[str, Run], rounds: int) -> Table:
    """Run each in turn, in another order each round; compare processor time with the first."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    shuffled = random.Random(0)
    for number in range(_WARM_UP + rounds):
        for name in shuffled.sample(list(runs), len(runs)):
            start = time.process_time()
            runs[name]()
            if number >= _WARM_UP:
                times[name].append(1e3 * (time.process_time() - start))
    first = next(iter(times.values()))
    rows = []
    for name, taken in times.items():
        speed = paired_ratio(first, taken)
        assert speed is not None
        cells = (
            f"{statistics.median(taken):.4g}",
            f"{speed.value:.2f} ({speed.low:.2f} to {speed.high:.2f})",
        )
        rows.append((name, *cells))
    header = ("one window", "CPU ms", "speed (95 %)")
    return Table(f"processor time, one thread, {rounds} rounds", header, tuple(rows))


def measure(part: str, folder: Path, rounds: int) -> Table:
    """Make the files of a part and compare them."""
    published = part == "published"
    request = ExportRequest(FAMILY, ratio=_RATIOS[part], random_weights=published)
    prepared = prepare(request)
    spec = prepared.spec
    lifter = fold_constants(build_lifter(spec, prepared.state, flip=False))
    model = trace(lifter, spec, batch=1, opset=request.opset)
    arrays = stacked(verification_windows(spec)[:1], spec.size.conditions)
    runs: dict[str, Run] = {}
    if published:
        runs["PyTorch, eager, fp32, MixSTE without pruning"] = _eager(arrays)
    calibration = calibration_windows(spec)
    if published:
        few = calibration.windows[:_FEW_WINDOWS]
        calibration = CalibrationData(few, calibration.source)
    onnx.save(model, folder / "fp32.onnx")
    for precision in _CALIBRATED:
        made = convert(model, spec, precision, calibration).model
        onnx.save(made, folder / f"{precision.value}.onnx")
    for precision in (Precision.FP32, *_CALIBRATED):
        path = folder / f"{precision.value}.onnx"
        for engine in list_engines(opens="onnx", on_cpu=True):
            session = open_session(path, SessionOptions(threads=1), engine=engine)
            runs[f"{engine}, {precision.value}"] = functools.partial(session.run, arrays)
        if precision is not Precision.FP32:
            runs[f"onnxruntime, {precision.value}, the file as it is"] = _plain(path, arrays)
    return ratios_of(runs, rounds)


def _eager(arrays: Mapping[str, NDArray[Any]]) -> Run:
    prepared = prepare(ExportRequest(FAMILY, random_weights=True, ratio=1.0))
    network = build_lifter(prepared.spec, prepared.state, flip=False)
    keypoints = torch.from_numpy(next(iter(arrays.values())))
    torch.set_num_threads(1)

    def run() -> object:
        with torch.inference_mode():
            return network(keypoints)

    return run


def _plain(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Run:
    """Return a run of ONNX Runtime alone, with sums that are exact on every CPU."""
    settings = one_thread()
    settings.add_session_config_entry("session.x64quantprecision", "1")
    session = open_plain(str(path), settings)
    return functools.partial(session.run, None, dict(arrays))


def one_thread() -> onnxruntime.SessionOptions:
    """Return the settings of a session of ONNX Runtime on one thread."""
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = 1
    return made


def open_plain(
    model: str | bytes, settings: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    """Open a model in ONNX Runtime alone, on a CPU."""
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("cpu_ratios", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="cpu_ratios", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--only", choices=PARTS, help="one part (default: both)")
    add("--rounds", type=int, default=20, help="runs of each (default: 20)")
    add("--markdown", action="store_true", help="print the tables for a page")
    parser.add_shared_arguments()
    options: argparse.Namespace = parser.parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        for part in PARTS if options.only is None else (options.only,):
            made = measure(part, Path(name), options.rounds)
            print_table(made, markdown=options.markdown)


if __name__ == "__main__":
    sys.exit(main())
