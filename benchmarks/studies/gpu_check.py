"""Check everything that needs a GPU in one call: engines, accuracy by precision, frames per second.

    python benchmarks/studies/gpu_check.py --device cuda --output gpu.json

Its parts, of which ``--parts`` names some: ``self-test``, that of hot-doctor; ``engines``, files in
each precision in each engine, compared with the CPU; ``torch``, networks in PyTorch eagerly,
compiled, and as one CUDA graph; ``tests``, those of the engines on the real driver. The first two
need the installed SDK only, as on a board: the files are then those of the self-test, or those that
``--models`` names. With PyTorch a network is exported for them.

What cannot run is reported with its reason, and the rest goes on. With ``--device cpu`` the same
runs on the CPU, which checks this script and no GPU.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success
from hot_sdk._base.tables import Table, number, print_report
from hot_sdk._base.timing import interleaved_medians
from hot_sdk._base.validation import closest
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.doctor.self_test import MODELS, model_file, report, run_self_test
from hot_sdk.doctor.self_test.models import sample
from hot_sdk.engines import SessionOptions, list_engines, open_session
from hot_sdk.engines.cuda.device import open_device
from hot_sdk.engines.registry import ONNX
from hot_sdk.engines.session import Arrays
from hot_sdk.errors import EngineError, HotSDKError, UsageError
from hot_sdk.host.facts import query_nvidia_smi
from hot_sdk.host.machine import this_machine
from hot_sdk.manifest import POSES, TOKEN_INDEX, read_manifest

PARTS = ("self-test", "engines", "torch", "tests")
MODES = ("eager", "compile", "cuda graph")
_TESTS = (
    "tests/engines/tensorrt/test_tensorrt_gpu.py",
    "tests/engines/onnxruntime/test_onnxruntime_session.py",
)
_TEST_LIMIT_S = 600.0


@dataclass(frozen=True)
class Compared:
    """A file, and what its poses are compared with.

    Attributes:
        file: The file.
        exact: The file that ONNX Runtime runs on the CPU, without optimizations.
        arrays: Inputs of both.
    """

    file: Path
    exact: Path
    arrays: Arrays


@dataclass(frozen=True)
class ParityRow:
    """A file in an engine on the device, compared with the CPU.

    Attributes:
        engine: Name of the engine, with its version if it ran.
        file: Name of the file.
        precision: Precision of the file.
        mean_error: Mean distance of a joint, in the model's unit; None if it did not run, as the
            next two.
        frames_shared: Share of the kept frames that are the same; None also if the file does not
            return them.
        frames_per_s: Frames per second, one run after the other.
        refused: Why it did not run.
    """

    engine: str
    file: str
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
    parts, modes = options.parts.split(","), options.modes.split(",")
    for kind, given, known in (("part", parts, PARTS), ("mode", modes, MODES)):
        for one in given:
            if one not in known:
                raise UsageError(f"There is no {kind} {one!r}.", hint=closest(one, known))
    device, machine = options.device, describe_machine("torch", "onnxruntime", "numpy")
    name = describe_device(device)
    left_out: dict[str, str] = {}
    tested, parity, speeds, tests = None, [], [], "left out"
    if "tests" in parts:
        tests = run_tests(options.checkout)
    if "self-test" in parts and device == "cpu":
        left_out["self-test"] = "it checks GPUs"
    elif "self-test" in parts:
        tested = run_self_test(this_machine())
    torch = None
    if "torch" in parts or (not options.models and "engines" in parts):
        torch = _torch_half(device)
    if isinstance(torch, str):
        left_out["torch"], torch = torch, None
    if "engines" in parts:
        with tempfile.TemporaryDirectory() as folder:
            files = [_alone(path) for path in options.models]
            if not files and torch is not None:
                files = torch.exported_files(options.frames, dict(options.set), Path(folder))
            files = files or [_alone(model_file(model)) for model in MODELS]
            parity = list(compare_engines(files, device, options.rounds, Path(folder) / "cache"))
    if torch is not None and "torch" in parts:
        speeds = torch.time_networks(
            options.frames,
            dict(options.set),
            device,
            rounds=options.rounds,
            batches=options.batches,
            modes=modes,
        )
    ran = any(row.refused is None for row in parity) or bool(speeds)
    if device != "cpu" and not ran and (tested is None or tested.gpu is None):
        reasons = dict.fromkeys([*(row.refused for row in parity if row.refused)])
        raise EngineError(
            f"Nothing ran on a GPU: {' '.join([*reasons, *left_out.values()])}",
            hint="Run hot-doctor, or give --device cpu to check the script.",
        )
    texts = [f"{machine}\n{name}\ntests on the real driver: {tests}"]
    texts += [f"{part}: not run, {reason}" for part, reason in left_out.items()]
    shown: list[str | Table] = ["\n".join(texts)]
    if tested is not None:
        shown += report.tables(tested)
    if parity:
        shown.append(_table("each file in each engine, compared with the CPU", parity))
    if speeds:
        shown.append(_table("PyTorch, each ratio compared with the plain network", speeds))
    print_report(shown)
    if options.output is not None:
        record = {
            "device": name,
            "machine": machine,
            "tests": tests,
            "left_out": left_out,
            "self_test": None if tested is None else json.loads(report.to_json(tested)),
            "parity": [dataclasses.asdict(row) for row in parity],
            "speeds": [dataclasses.asdict(row) for row in speeds],
        }
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + os.linesep, encoding="utf-8")


def _parser() -> CommandParser:
    parser = CommandParser(prog="gpu_check", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--device", default="cuda", choices=("cuda", "cpu"), help="device (default: cuda)")
    add("--parts", default=",".join(PARTS), help=f"comma-separated (default: {','.join(PARTS)})")
    files = "ONNX files for the engines (default: exported with PyTorch, else the self-test's)"
    add("--models", type=Path, nargs="+", default=[], metavar="FILE", help=files)
    add("--frames", type=int, default=243, help="frames of a window (default: 243)")
    size = "size, as in hot-export"
    add("--set", type=_pair, action="append", default=[], metavar="NAME=N", help=size)
    add("--rounds", type=int, default=20, help="timed runs (default: 20)")
    batches = "windows per run, comma-separated (default: 1,32)"
    add("--batches", type=_batches, default=[1, 32], metavar="N[,N...]", help=batches)
    add("--modes", default=",".join(MODES), help="modes of PyTorch, comma-separated")
    add("--checkout", type=Path, default=Path.cwd(), help="folder with tests/ (default: this one)")
    add("--output", "-o", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_shared_arguments()
    return parser


def _pair(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    return name, int(value)


def _batches(text: str) -> list[int]:
    batches = [int(batch) for batch in text.split(",")]
    if min(batches) < 1:
        raise ValueError(text)
    return batches


def describe_device(device: str) -> str:
    """Return what is checked, in words."""
    if device == "cpu":
        return "the CPU: this checks the script, and no GPU"
    try:
        found = open_device(0, purpose="This check")
    except HotSDKError:
        cards, _ = query_nvidia_smi(this_machine(), "name", "driver_version")
        return "; ".join(f"{name}, driver {driver}" for name, driver in cards) or "no GPU is seen"
    found.release()
    return f"{found.model}, driver {found.driver}"


def _torch_half(device: str) -> Any:  # noqa: ANN401
    """Return the module of what needs PyTorch, or why it cannot run."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "onnxscript")):
        return "it needs torch and the extra 'export'"
    import gpu_check_torch
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        return "PyTorch sees no GPU here"
    return gpu_check_torch


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


def _alone(path: Path) -> Compared:
    """Return a file that is compared with itself."""
    return Compared(path, path, sample(path))


def compare_engines(
    files: Sequence[Compared], device: str, rounds: int, cache: Path
) -> Iterator[ParityRow]:
    """Run each file in each engine of ONNX files."""
    options = SessionOptions(device=device, cache_dir=cache)
    exact_options = SessionOptions(graph_optimization="none")
    exact: dict[Path, Arrays] = {}
    for one in files:
        if one.exact not in exact:
            with open_session(one.exact, exact_options) as session:
                exact[one.exact] = session.run(one.arrays)
    for name in list_engines(opens=ONNX):
        for one in files:
            manifest = read_manifest(one.file)
            try:
                with open_session(one.file, options, engine=name) as session:
                    found = session.run(one.arrays)
                    run = functools.partial(session.run, one.arrays)
                    (taken_ms,) = interleaved_medians([run], rounds)
            except HotSDKError as error:
                refused = error.message
                yield ParityRow(name, one.file.stem, manifest.precision, refused=refused)
                continue
            expected, shared = exact[one.exact], None
            if TOKEN_INDEX in expected:
                same = np.intersect1d(found[TOKEN_INDEX], expected[TOKEN_INDEX])
                shared = same.size / np.unique(expected[TOKEN_INDEX]).size
            windows = found[POSES].shape[0]
            distance = np.linalg.norm(found[POSES] - expected[POSES], axis=-1)
            yield ParityRow(
                engine=f"{session.engine} {session.engine_version}",
                file=one.file.stem,
                precision=manifest.precision,
                mean_error=float(distance.mean()),
                frames_shared=shared,
                frames_per_s=1e3 * windows * manifest.frames / taken_ms,
            )


def _table(title: str, rows: Sequence[ParityRow] | Sequence[SpeedRow]) -> Table:
    """Return the rows, with the reasons of those without figures below."""
    cells, reasons = [], []
    for row in rows:
        *values, reason = dataclasses.astuple(row)
        cells.append(tuple(v if isinstance(v, str) else number(v) for v in values))
        if reason is not None:
            reasons.append(f"{' '.join(cells[-1][:2])}: {reason}")
    fields = dataclasses.fields(rows[0])[:-1]
    texts = sum(field.type == "str" for field in fields)
    header = tuple(field.name.replace("_", " ") for field in fields)
    return Table(title, header, tuple(cells), "\n".join(reasons), text_columns=texts)


if __name__ == "__main__":
    sys.exit(main())
