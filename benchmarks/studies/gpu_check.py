"""Everything that wants a GPU, in one call: tests, parity of each precision, and frames a second.

    python -m hot_sdk.benchmarks.gpu_check --device cuda --output gpu.json

What cannot be brought is told with its reason, and the rest goes on. With ``--device cpu`` the same
runs on the CPU, which checks this script and no GPU.

Frames a second of a network in PyTorch: eager, compiled, and as one CUDA graph.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from hot_sdk._base.files import replaced_on_success
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import Session, SessionOptions, list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import HotSDKError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Precision
from hot_sdk.export.graph.flops import count_network
from hot_sdk.export.graph.wrapper import build_lifting
from hot_sdk.export.models import ModelSpec, build, resolve
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import KEYPOINTS, POSES, TOKEN_INDEX

WAYS = ("eager", "compile", "cuda graph")
_WARM_UP = 3


@dataclass(frozen=True)
class Way:
    """One way of running a network.

    Attributes:
        name: One of ``WAYS``.
        half: Products in float16, by autocast, which leaves norms and softmax in float32.
        run: Runs one batch, and gives its poses.
    """

    name: str
    half: bool
    run: Callable[[], Tensor]


def lifting_of(spec: ModelSpec, device: str) -> nn.Module:
    """A network with reproducible random weights, which change no time."""
    network = build(spec)
    state = {key: value.float() for key, value in random_state_dict(network).items()}
    return build_lifting(spec, state, flip=False).to(device)


def ways_of(
    spec: ModelSpec, device: str, batch: int, *, half: bool, names: tuple[str, ...]
) -> Iterator[Way]:
    """The ways of running one network that a device has.

    Args:
        spec: The network.
        device: ``cpu`` or ``cuda``.
        batch: Windows of a run.
        half: Compute products in float16.
        names: Which of ``WAYS``; a CUDA graph is left out of a CPU.
    """
    lifting = lifting_of(spec, device)
    generator = torch.Generator().manual_seed(0)
    shape = (batch, spec.frames, spec.joints, spec.size.channels)
    keypoints = (torch.rand(shape, generator=generator) - 0.5).to(device)

    def once(module: Callable[[Tensor], tuple[Tensor, ...]]) -> Tensor:
        with torch.inference_mode(), _half(device, on=half):
            return module(keypoints)[0]

    if "eager" in names:
        yield Way("eager", half, lambda: once(lifting))
    if "compile" in names:
        compiled = torch.compile(lifting, dynamic=False)
        yield Way("compile", half, lambda: once(compiled))
    if "cuda graph" in names and device != "cpu":
        yield Way("cuda graph", half, _captured(lambda: once(lifting)))


def seconds_of(ways: list[Way], device: str, rounds: int) -> list[list[float]]:
    """Seconds of each way in each round, in turn, after runs that do not count."""
    taken: list[list[float]] = [[] for _ in ways]
    for number in range(_WARM_UP + rounds):
        for way, times in zip(ways, taken, strict=True):
            start = time.perf_counter()
            way.run()
            _wait(device)
            if number >= _WARM_UP:
                times.append(time.perf_counter() - start)
    return taken


def frames_per_second(spec: ModelSpec, batch: int, seconds: list[float]) -> float:
    """Of the median run."""
    return batch * spec.frames / statistics.median(seconds)


def _captured(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The run as one graph, on memory of its own that every replay writes again."""
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


@contextlib.contextmanager
def _half(device: str, *, on: bool) -> Iterator[None]:
    with torch.autocast(device.partition(":")[0], dtype=torch.float16, enabled=on):
        yield


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


_RATIOS = (1.0, 0.75, 0.5, 0.33)
_BATCHES = (1, 32)
_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)
_TESTS = ("tests/engines/test_tensorrt_gpu.py", "tests/engines/test_onnxruntime.py")
_ROUNDS = 20
_TEST_LIMIT_S = 600.0


@dataclass(frozen=True)
class ParityRow:
    """A file in an engine on the device, beside ONNX Runtime on the CPU in float32.

    Attributes:
        engine: Its name, and version where it ran.
        precision: Of the file.
        mean_error: Mean distance of a joint, in the model's unit; None where it did not run, as
            the next two.
        frames_shared: Share of the kept frames that both chose.
        frames_per_s: Of one window at a time, all of Python's work with it.
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
        ratio: Frames kept over frames.
        batch: Windows of a run.
        precision: ``fp32``, or ``fp16`` by autocast.
        way: ``eager``, ``compile`` or ``cuda graph``.
        frames_per_s: Of the median run; None where it failed.
        speed_up: Over the plain network run the same way.
        flops_saved: Over the plain network, as a factor.
        failed: Why it has no figure.
    """

    ratio: float
    batch: int
    precision: str
    way: str
    frames_per_s: float | None
    speed_up: float | None
    flops_saved: float
    failed: str | None = None


def run_tests(checkout: Path) -> str:
    """Run the tests of the engines on the real driver; the last line that pytest prints."""
    tests = [name for name in _TESTS if (checkout / name).is_file()]
    if not tests or importlib.util.find_spec("pytest") is None:
        return "not run: they are in the repository, and need pytest"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=checkout, capture_output=True, text=True, check=False,
            timeout=_TEST_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not finished in {_TEST_LIMIT_S:.0f} s"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def compare_engines(spec: ModelSpec, device: str, rounds: int) -> Iterator[ParityRow]:
    """Each precision in each engine of ONNX files."""
    keypoints = verification_windows(spec)[0].keypoints[np.newaxis]
    with tempfile.TemporaryDirectory() as folder:
        files = {
            precision.value: _exported(spec, precision, Path(folder)) for precision in _PRECISIONS
        }
        with open_session(files[Precision.FP32.value]) as session:
            exact = session.run({KEYPOINTS: keypoints})
        for name in list_engines(opens=ONNX):
            for precision, file in files.items():
                options = SessionOptions(device=device, cache_dir=Path(folder) / "cache")
                try:
                    with open_session(file, options, engine=name) as session:
                        yield _parity(session, precision, exact, keypoints, rounds)
                except HotSDKError as error:
                    yield ParityRow(name, precision, refused=error.message)


def _exported(spec: ModelSpec, precision: Precision, folder: Path) -> Path:
    size = {name: getattr(spec.size, name) for name in ("width", "depth", "heads", "mlp_hidden")}
    request = ExportRequest(
        spec.family, random_weights=True, frames=spec.frames, tokens=spec.tokens,
        prune_at=spec.stages[0].prune_at, config=size, precision=precision, token_index=True,
        output=folder / f"{precision.value}.onnx",
    )  # fmt: skip
    return export_model(request).path


def _parity(
    session: Session,
    precision: str,
    exact: dict[str, NDArray[Any]],
    keypoints: NDArray[np.float32],
    rounds: int,
) -> ParityRow:
    found = session.run({KEYPOINTS: keypoints})
    runs = [_timed(lambda: session.run({KEYPOINTS: keypoints})) for _ in range(rounds)]
    kept = np.intersect1d(found[TOKEN_INDEX], exact[TOKEN_INDEX]).size
    return ParityRow(
        engine=f"{session.engine} {session.engine_version}",
        precision=precision,
        mean_error=float(np.linalg.norm(found[POSES] - exact[POSES], axis=-1).mean()),
        frames_shared=kept / exact[TOKEN_INDEX].size,
        frames_per_s=keypoints.shape[1] / float(np.median(runs)),
    )


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare_ratios(
    plain: ModelSpec, specs: dict[float, ModelSpec], device: str, batches: tuple[int, ...],
    names: tuple[str, ...], rounds: int,
) -> Iterator[SpeedRow]:  # fmt: skip
    """Each ratio in PyTorch, in turn with the others of the same batch and precision."""
    full = count_network(plain).products
    for batch in batches:
        for half in (False, True):
            for name in names:
                yield from _ratios(specs, device, batch, name, rounds, half=half, full=full)


def _ratios(
    specs: dict[float, ModelSpec], device: str, batch: int, name: str, rounds: int, *, half: bool,
    full: int,
) -> Iterator[SpeedRow]:  # fmt: skip
    ways, failed = [], None
    try:
        for spec in specs.values():
            ways += list(ways_of(spec, device, batch, half=half, names=(name,)))
        seconds = seconds_of(ways, device, rounds)
    except RuntimeError as error:  # Of memory, of a compiler that is not there, of a capture.
        failed, seconds = " ".join(str(error).split())[:200], [[] for _ in specs]
    if not ways and failed is None:
        return
    speeds = [
        frames_per_second(spec, batch, times) if times else None
        for spec, times in zip(specs.values(), seconds, strict=True)
    ]
    for (ratio, spec), speed in zip(specs.items(), speeds, strict=True):
        yield SpeedRow(
            ratio=ratio,
            batch=batch,
            precision="fp16" if half else "fp32",
            way=name,
            frames_per_s=speed,
            speed_up=None if speed is None or speeds[0] is None else speed / speeds[0],
            flops_saved=full / count_network(spec).products,
            failed=failed,
        )


def _tables(parity: list[ParityRow], speeds: list[SpeedRow], unit: str) -> list[Table]:
    first = Table(title="each precision in each engine, beside float32 on the CPU")
    for heading in ("engine", "file", f"mean error, {unit}", "frames shared", "frames/s", ""):
        first.add_column(heading, overflow="fold")
    for row in parity:
        figures = [
            "" if value is None else f"{value:{form}}"
            for value, form in (
                (row.mean_error, ".2e"),
                (row.frames_shared, ".1%"),
                (row.frames_per_s, ",.0f"),
            )
        ]
        first.add_row(row.engine, row.precision, *figures, row.refused or "")
    second = Table(title="PyTorch, each ratio beside the plain network")
    for heading in ("batch", "precision", "way", "ratio", "frames/s", "speed-up", "FLOPs saved"):
        second.add_column(heading, justify="right")
    for speed in speeds:
        second.add_row(
            str(speed.batch),
            speed.precision,
            speed.way,
            f"{speed.ratio:.2f}",
            speed.failed if speed.frames_per_s is None else f"{speed.frames_per_s:,.0f}",
            "" if speed.speed_up is None else f"{speed.speed_up:.2f}",
            f"{speed.flops_saved:.2f}",
        )
    return [first, second]


def _device_name(device: str) -> str:
    if device == "cpu":
        return "the CPU: this checks the script, and no GPU"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def main() -> int:
    """Check and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--frames", type=int, default=243, help="frames of a window")
    parser.add_argument("--set", action="append", default=[], help="NAME=N, as in hot-export")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="runs that count")
    parser.add_argument("--batches", default=",".join(map(str, _BATCHES)), help="windows of a run")
    parser.add_argument("--ways", default=",".join(WAYS), help="of PyTorch")
    parser.add_argument("--checkout", type=Path, default=Path.cwd(), help="folder with tests/")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    config: dict[str, Any] = {
        name: int(value) for name, value in (text.split("=") for text in options.set)
    }
    console = Console()
    if options.device != "cpu" and not torch.cuda.is_available():
        sys.stderr.write(
            "error: PyTorch sees no GPU here. Give --device cpu to check the script.\n"
        )
        return 8
    console.print(describe_machine("torch", "onnxruntime", "numpy"), soft_wrap=True)
    console.print(_device_name(options.device))
    tests = run_tests(options.checkout)
    console.print(f"tests on the real driver: {tests}", soft_wrap=True)
    specs = {
        ratio: resolve(
            "mixste", frames=options.frames, prune_at=None if ratio == 1.0 else 1,
            ratio=None if ratio == 1.0 else ratio, **config,
        )
        for ratio in _RATIOS
    }  # fmt: skip
    parity = list(compare_engines(specs[0.5], options.device, options.rounds))
    batches = tuple(int(text) for text in options.batches.split(","))
    names = tuple(options.ways.split(","))
    speeds = list(compare_ratios(specs[1.0], specs, options.device, batches, names, options.rounds))
    for table in _tables(parity, speeds, "m"):
        console.print(table)
    if options.output is not None:
        record = {
            "device": _device_name(options.device),
            "machine": describe_machine("torch", "onnxruntime", "numpy"),
            "tests": tests,
            "parity": [dataclasses.asdict(row) for row in parity],
            "speeds": [dataclasses.asdict(row) for row in speeds],
        }
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + os.linesep, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
