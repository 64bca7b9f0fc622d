"""How much faster a window is when pruned, when exported, and when both.

Runs the plain and the pruned network in PyTorch and as exported graphs in ONNX Runtime, in one
process and in turn, round after round, so that a change of the machine's speed hits all alike.
Weights are random: they change no time. Ratios between rows are what to quote.

    python -m hot_sdk.benchmarks.pytorch_against_onnxruntime --model mixste --tokens 81
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import HotSDKError
from hot_sdk.export.clips import verification_windows
from hot_sdk.export.flops import count_graph
from hot_sdk.export.lifting import build_lifting, folded
from hot_sdk.export.models import ModelSpec, build, resolve
from hot_sdk.export.random_weights import random_state_dict
from hot_sdk.export.report import describe
from hot_sdk.export.request import DEFAULT_OPSET
from hot_sdk.export.trace import trace
from hot_sdk.graph_io import KEYPOINTS


@dataclass(frozen=True)
class Candidate:
    """Something that turns one window into poses, or a yardstick for it.

    Attributes:
        name: Name in the table.
        flops: Operations of its matrix products, those left out that were folded.
        run: Runs it once.
        is_window: Whether a run is one window, so that its time compares with the others'.
    """

    name: str
    flops: int
    run: Callable[[], object]
    is_window: bool = True


def candidates(spec: ModelSpec, threads: int) -> list[Candidate]:
    """The network of a specification in PyTorch and in ONNX Runtime."""
    network = build(spec)
    state = {key: value.float() for key, value in random_state_dict(network).items()}
    lifting = build_lifting(spec, state, flip=False)
    model = trace(folded(lifting), spec, batch=1, opset=DEFAULT_OPSET)
    session = open_session(model.SerializeToString(), SessionOptions(threads=threads))
    keypoints = verification_windows(spec)[0].keypoints[np.newaxis]
    tensor = torch.from_numpy(keypoints)
    flops = count_graph(model)
    kept = "every frame" if spec.tokens is None else f"{spec.tokens} of {spec.frames} frames"
    return [
        Candidate(f"PyTorch eager, {kept}", flops, lambda: lifting(tensor)),
        Candidate(f"ONNX Runtime, {kept}", flops, lambda: session.run({KEYPOINTS: keypoints})),
    ]


def ceiling(spec: ModelSpec) -> Candidate:
    """The machine's own rate: one MLP's matrix product alone, as often as there are blocks."""
    rows = spec.frames * spec.joints
    tokens = torch.rand(rows, spec.size.width)
    weights = torch.rand(spec.size.width, spec.size.mlp_hidden)
    repeats = 2 * spec.size.depth
    flops = 2 * rows * spec.size.width * spec.size.mlp_hidden * repeats

    def run() -> None:
        for _ in range(repeats):
            tokens @ weights

    return Candidate("yardstick: matrix products, PyTorch", flops, run, is_window=False)


def measure(runs: list[Candidate], rounds: int) -> list[list[float]]:
    """Seconds of each candidate in each round, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in runs]
    with torch.inference_mode():
        for number in range(rounds + 1):
            for candidate, times in zip(runs, seconds, strict=True):
                start = time.perf_counter()
                candidate.run()
                if number:
                    times.append(time.perf_counter() - start)
    return seconds


def _table(runs: list[Candidate], seconds: list[list[float]]) -> Table:
    table = Table(title="one window, and the machine's rate")
    for heading in ("", "median", "min", "max", "speed-up", "rate"):
        table.add_column(heading, justify="right" if heading else "left")
    for candidate, times in zip(runs, seconds, strict=True):
        median = statistics.median(times)
        # Pairs from the same round, since the machine's speed drifts between rounds.
        speed_up = statistics.median(a / b for a, b in zip(seconds[0], times, strict=True))
        table.add_row(
            candidate.name,
            f"{median:.3f} s",
            f"{min(times):.3f} s",
            f"{max(times):.3f} s",
            f"{speed_up:.2f}" if candidate.is_window else "",
            f"{candidate.flops / median / 1e9:.0f} GFLOP/s",
        )
    return table


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mixste", help="model family")
    parser.add_argument("--tokens", type=int, help="frames kept (default: as published)")
    parser.add_argument("--frames", type=int, help="frames of a window (default: as published)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of both")
    options = parser.parse_args()
    console = Console()
    try:
        spec = resolve(options.model, frames=options.frames, tokens=options.tokens, variant="hot")
        torch.set_num_threads(options.threads)
        runs = [
            *candidates(spec.plain(), options.threads),
            *candidates(spec, options.threads),
            ceiling(spec),
        ]
    except HotSDKError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    console.print(describe_machine("torch", "onnxruntime", "numpy"), soft_wrap=True)
    console.print(f"{describe(spec)}; {options.threads} threads", soft_wrap=True)
    console.print(_table(runs, measure(runs, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
