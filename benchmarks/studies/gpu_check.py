"""Check everything that needs a GPU in one call: tests, accuracy by precision, frames per second.

    python benchmarks/studies/gpu_check.py --device cuda --output gpu.json

What cannot run is reported with its reason, and the rest goes on. With ``--device cpu`` the same
runs on the CPU, which checks this script and no GPU. PyTorch is timed eagerly, compiled, and as one
CUDA graph.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success
from hot_sdk._base.tables import Table, number, print_report
from hot_sdk._base.timing import interleaved_medians
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import SessionOptions, list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import EngineError, HotSDKError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Precision
from hot_sdk.export.graph.flops import count_network
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import ModelSpec, build, resolve
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX

_MODES = ("eager", "compile", "cuda graph")
_RATIOS = (1.0, 0.75, 0.5, 0.33)
_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)
_SIZE = ("width", "depth", "heads", "mlp_hidden")
_TESTS = (
    "tests/engines/tensorrt/test_tensorrt_gpu.py",
    "tests/engines/onnxruntime/test_onnxruntime_session.py",
)
_TEST_LIMIT_S = 600.0
_WARM_UP = 3


@dataclass(frozen=True)
class ParityRow:
    """A file in an engine on the device, compared with ONNX Runtime on the CPU in float32.

    Attributes:
        engine: Name of the engine, with its version if it ran.
        precision: Precision of the file.
        mean_error: Mean distance of a joint, in the model's unit; None if it did not run, as the
            next two.
        frames_shared: Share of the kept frames that are the same.
        frames_per_s: Frames per second, one window per call.
        refused: Why it did not run.
    """

    engine: str
    precision: str
    mean_error: float | None = None
    frames_shared: float | None = None
    frames_per_s: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class SpeedRow:
    """A network in PyTorch.

    Attributes:
        mode: ``eager``, ``compile`` or ``cuda graph``.
        precision: ``fp32``, or ``fp16`` by autocast, which keeps norms and softmax in float32.
        batch: Windows per run.
        ratio: Frames kept over frames.
        frames_per_s: Frames per second of the median run; None if it failed.
        speed_up: Speed-up over the plain network run in the same mode.
        flops_saved: FLOPs of the plain network over its own.
        failed: Why there is no speed.
    """

    mode: str
    precision: str
    batch: int
    ratio: float
    frames_per_s: float | None
    speed_up: float | None
    flops_saved: float
    failed: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("gpu_check", arguments, _run)


def _run(arguments: list[str]) -> None:
    options = _parser().parse(arguments)
    device, rounds = options.device, options.rounds
    if device != "cpu" and not torch.cuda.is_available():
        raise EngineError(
            "PyTorch sees no GPU here.", hint="Give --device cpu to check the script."
        )
    name = "the CPU: this checks the script, and no GPU"
    if device != "cpu":
        name = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    machine, tests = describe_machine("torch", "onnxruntime", "numpy"), run_tests(options.checkout)
    size: dict[str, Any] = dict(options.set)
    plain = functools.partial(resolve, "mixste", frames=options.frames, **size)
    specs = {
        ratio: plain() if ratio == 1.0 else plain(prune_at=1, ratio=ratio) for ratio in _RATIOS
    }
    parity = list(compare_engines(specs[0.5], device, rounds))
    speeds = [
        row
        for batch in map(int, options.batches.split(","))
        for half in (False, True)
        for mode in options.modes.split(",")
        if mode != "cuda graph" or device != "cpu"
        for row in compare_ratios(specs, device, batch, mode, rounds, half=half)
    ]
    head = f"{machine}\n{name}\ntests on the real driver: {tests}"
    accuracy = "each precision in each engine, compared with float32 on the CPU; errors in m"
    speed = "PyTorch, each ratio compared with the plain network"
    print_report([head, _table(accuracy, parity), _table(speed, speeds)])
    if options.output is not None:
        record = {
            "device": name,
            "machine": machine,
            "tests": tests,
            "parity": [dataclasses.asdict(row) for row in parity],
            "speeds": [dataclasses.asdict(row) for row in speeds],
        }
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + os.linesep, encoding="utf-8")


def _parser() -> CommandParser:
    parser = CommandParser(prog="gpu_check", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--device", default="cuda", choices=("cuda", "cpu"), help="device (default: cuda)")
    add("--frames", type=int, default=243, help="frames of a window (default: 243)")
    size = "size, as in hot-export"
    add("--set", type=_pair, action="append", default=[], metavar="NAME=N", help=size)
    add("--rounds", type=int, default=20, help="timed runs (default: 20)")
    add("--batches", default="1,32", help="windows per run, comma-separated (default: 1,32)")
    add("--modes", default=",".join(_MODES), help="modes of PyTorch, comma-separated")
    add("--checkout", type=Path, default=Path.cwd(), help="folder with tests/ (default: this one)")
    add("--output", "-o", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_shared_arguments()
    return parser


def _pair(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    return name, int(value)


def run_tests(checkout: Path) -> str:
    """Run the engines' tests on the real driver; return the last line that pytest prints."""
    tests = [name for name in _TESTS if (checkout / name).is_file()]
    if not tests or importlib.util.find_spec("pytest") is None:
        return "not run: they are in the repository, and need pytest"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *tests]
    run = functools.partial(subprocess.run, cwd=checkout, capture_output=True, text=True)
    try:
        done = run(command, check=False, timeout=_TEST_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"not finished in {_TEST_LIMIT_S:.0f} s"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def compare_engines(spec: ModelSpec, device: str, rounds: int) -> Iterator[ParityRow]:
    """Run each precision in each engine of ONNX files."""
    feeds = {KEYPOINTS: verification_windows(spec)[0].keypoints[np.newaxis]}
    with tempfile.TemporaryDirectory() as folder:
        files = {each.value: _exported(spec, each, Path(folder)) for each in _PRECISIONS}
        with open_session(files[Precision.FP32.value]) as session:
            exact = session.run(feeds)
        options = SessionOptions(device=device, cache_dir=Path(folder) / "cache")
        for name in list_engines(opens=ONNX):
            for precision, file in files.items():
                try:
                    with open_session(file, options, engine=name) as session:
                        found = session.run(feeds)
                        run = functools.partial(session.run, feeds)
                        (taken_ms,) = interleaved_medians([run], rounds)
                except HotSDKError as error:
                    yield ParityRow(name, precision, refused=error.message)
                    continue
                shared = np.intersect1d(found[TOKEN_INDEX], exact[TOKEN_INDEX]).size
                yield ParityRow(
                    engine=f"{session.engine} {session.engine_version}",
                    precision=precision,
                    mean_error=float(np.linalg.norm(found[POSES] - exact[POSES], axis=-1).mean()),
                    frames_shared=shared / exact[TOKEN_INDEX].size,
                    frames_per_s=1e3 * spec.frames / taken_ms,
                )


def _exported(spec: ModelSpec, precision: Precision, folder: Path) -> Path:
    request = ExportRequest(
        spec.family,
        random_weights=True,
        frames=spec.frames,
        tokens=spec.tokens,
        prune_at=spec.stages[0].prune_at,
        config={name: getattr(spec.size, name) for name in _SIZE},
        precision=precision,
        token_index=True,
        output=folder / f"{precision.value}.onnx",
        force=True,
    )
    return export_model(request).path


def compare_ratios(
    specs: dict[float, ModelSpec], device: str, batch: int, mode: str, rounds: int, *, half: bool
) -> Iterator[SpeedRow]:
    """Time each ratio in PyTorch, in turn with the others, in one mode."""
    failed = None
    times: list[float] = []
    try:
        runs = [_network(spec, device, batch, mode, half=half) for spec in specs.values()]
        times = interleaved_medians(runs, rounds)
    except RuntimeError as error:  # Out of memory, no compiler, or a failed capture.
        failed = " ".join(str(error).split())[:200]
    full = count_network(next(iter(specs.values()))).matmuls
    for place, (ratio, spec) in enumerate(specs.items()):
        taken_ms = times[place] if times else None
        yield SpeedRow(
            mode=mode,
            precision="fp16" if half else "fp32",
            batch=batch,
            ratio=ratio,
            frames_per_s=None if taken_ms is None else 1e3 * batch * spec.frames / taken_ms,
            speed_up=None if taken_ms is None else times[0] / taken_ms,
            flops_saved=full / count_network(spec).matmuls,
            failed=failed,
        )


def _network(
    spec: ModelSpec, device: str, batch: int, mode: str, *, half: bool
) -> Callable[[], None]:
    """Return a warm run of a network with random weights, which do not change its time."""
    state = {key: value.float() for key, value in random_state_dict(build(spec)).items()}
    module = build_lifter(spec, state, flip=False).to(device)
    lift = torch.compile(module, dynamic=False) if mode == "compile" else module
    generator = torch.Generator().manual_seed(0)
    shape = (batch, spec.frames, spec.joints, spec.size.channels)
    keypoints = (torch.rand(shape, generator=generator) - 0.5).to(device)

    def once() -> Tensor:
        autocast = torch.autocast(device, dtype=torch.float16, enabled=half)
        with torch.inference_mode(), autocast:
            poses: Tensor = lift(keypoints)[0]
        return poses

    run = _captured(once) if mode == "cuda graph" else once

    def synchronized() -> None:
        run()
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(_WARM_UP):
        synchronized()
    return synchronized


def _captured(run: Callable[[], Tensor]) -> Callable[[], object]:
    """Return the run as a CUDA graph, on its own memory, which every replay overwrites."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        poses = run()

    def replay() -> Tensor:
        graph.replay()
        return poses

    return replay


def _table(title: str, rows: Sequence[ParityRow | SpeedRow]) -> Table:
    """Return the rows, with the reasons of those without figures below."""
    cells, reasons = [], []
    for row in rows:
        *values, reason = dataclasses.astuple(row)
        cells.append(tuple(v if isinstance(v, str) else number(v) for v in values))
        if reason is not None:
            reasons.append(f"{' '.join(cells[-1][:2])}: {reason}")
    header = tuple(field.name.replace("_", " ") for field in dataclasses.fields(rows[0])[:-1])
    return Table(title, header, tuple(cells), "\n".join(reasons), text_columns=2)


if __name__ == "__main__":
    sys.exit(main())
