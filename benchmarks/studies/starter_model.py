"""Every figure of the starter model's card: accuracy against speed, what pruning costs, robustness.

    python -m hot_sdk.benchmarks.starter_study --figure accuracy_and_speed.png

Exports the starter checkpoint in each way that is compared, runs each file through ``hot-eval``
on ``starter-val``, and times one window of all files in turn, so that a drifting clock hits all
alike. ``--only`` takes one part. The part that compares trainings needs the weights of the others,
which do not ship: examples/train_starter says how they are made.

The tables and the figure of the starter model's study.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hot_sdk.benchmarks.evaluation.cli import main as hot_eval
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import HotSDKError, VerificationError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.models import ModelSpec, infer_shape, resolve
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import KEYPOINTS, read_manifest
from hot_sdk.starter import FAMILY, starter_checkpoint, starter_model

KINDS = (
    "mpjpe_mm",
    "p_mpjpe_mm",
    "n_mpjpe_mm",
    "mpjve_mm_per_frame",
    "acceleration_error_mm_per_frame2",
    "pck150_percent",
    "auc_percent",
    "end_joint_error_mm",
    "bone_length_error_mm",
    "symmetry_error_mm",
)


@dataclass(frozen=True)
class Measured:
    """One row.

    Attributes:
        name: Of the row.
        metrics: The headline of ``hot-eval``'s report.
        gflops: Of one window as the file executes it.
        window_ms: Median time of one window in the engine alone; None where it was not timed.
    """

    name: str
    metrics: dict[str, Any]
    gflops: float
    window_ms: float | None = None


def show(title: str, rows: Sequence[Measured], frames: int) -> Table:
    """A table of rows."""
    table = Table(title=title)
    headings = ("", "MPJPE", "P-MPJPE", "N-MPJPE", "MPJVE", "accel", "PCK150", "AUC", "ends")
    for heading in (*headings, "bones", "symmetry", "GFLOPs", "ms", "frames/s"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    for row in rows:
        cells = [f"{row.metrics[kind]:.2f}" for kind in KINDS]
        timed = ["", ""]
        if row.window_ms is not None:
            timed = [f"{row.window_ms:.1f}", f"{1e3 * frames / row.window_ms:.0f}"]
        table.add_row(row.name, *cells, f"{row.gflops:.2f}", *timed)
    return table


def draw(rows: Sequence[Measured], frames: int, path: Path) -> None:
    """Accuracy against speed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    speeds = [1e3 * frames / row.window_ms for row in rows if row.window_ms is not None]
    for kind, name in (("mpjpe_mm", "MPJPE"), ("p_mpjpe_mm", "P-MPJPE")):
        axes.plot(speeds, [row.metrics[kind] for row in rows], "o-", label=f"{name}, by ratio")
    for row, speed in zip(rows, speeds, strict=True):
        place = (speed, row.metrics["mpjpe_mm"])
        axes.annotate(row.name, place, (0, 6), textcoords="offset points", ha="center")
    axes.set_ylim(0.0, 1.15 * max(row.metrics["mpjpe_mm"] for row in rows))
    axes.margins(x=0.12)
    axes.set_xlabel("frames a second, engine alone")
    axes.set_ylabel("mm on starter-val")
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


RATIOS = (0.2, 0.33, 0.5, 0.75, 1.0)
PARTS = ("sizes", "ratios", "trainings", "ablation", "robustness")
SIZES = ((64, 4), (96, 3), (96, 4), (96, 6), (128, 4), (128, 5), (160, 5))
"""Width and depth of the networks whose cost is compared."""
_HALF = 0.5

_ABLATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("TPC, TRA", {}),
    ("uniform, TRA", {"selector": "uniform"}),
    ("motion, TRA", {"selector": "motion"}),
    ("TPC, interpolation", {"recovery": "interpolate"}),
    ("uniform, interpolation", {"selector": "uniform", "recovery": "interpolate"}),
)
_CONDITIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("as it is", ()),
    *((f"{share} % of joints missing", ("--missing", str(share / 100))) for share in (5, 10, 20)),
    *((f"noise of {pixels} px", ("--noise", str(pixels))) for pixels in (1, 2, 5, 10)),
    *((f"{rate} frames/s", ("--resample-fps", str(rate))) for rate in (15, 25, 60)),
    *((f"lookahead {frames}", ("--lookahead", str(frames))) for frames in (0, 5, 20, 40)),
)
_STREAM_HOP = 4


def export(folder: Path, name: str, **options: Any) -> Path:  # noqa: ANN401
    """Export the starter checkpoint, or what the options say, into a folder."""
    target = folder / f"{name}.onnx"
    return export_model(ExportRequest(FAMILY, output=target, **options)).path


def evaluate(model: Path, folder: Path, views: int, extra: Sequence[str] = ()) -> dict[str, Any]:
    """The headline of ``hot-eval`` on ``starter-val``."""
    report = folder / "report.json"
    data = ("--data", "starter-val", "--views", str(views))
    arguments = [str(model), *data, "--output", str(report)]
    with contextlib.redirect_stdout(io.StringIO()):
        status = hot_eval([*arguments, *extra])
    if status != 0:
        raise VerificationError(f"hot-eval ended with {status}.", hint="Its message is above.")
    data = json.loads(report.read_text(encoding="utf-8"))
    headline: dict[str, Any] = data[data["headline"]]
    return headline


def time_windows(models: Sequence[Path], spec: ModelSpec, rounds: int, threads: int) -> list[float]:
    """Median milliseconds of one window of each file, all files in turn in each round."""
    window = verification_windows(spec)[0].keypoints[None]
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(open_session(model, SessionOptions(threads=threads)))
            for model in models
        ]
        times: list[list[float]] = [[] for _ in sessions]
        for number in range(rounds + 2):
            for session, taken in zip(sessions, times, strict=True):
                # Does not count: threads of the session before still look out for work.
                session.run({KEYPOINTS: window})
                start = time.perf_counter()
                session.run({KEYPOINTS: window})
                if number > 1:
                    taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def measure(
    name: str,
    model: Path,
    folder: Path,
    options: argparse.Namespace,
    window_ms: float | None = None,
) -> Measured:
    """One row: a file's accuracy on ``starter-val`` and what it executes."""
    metrics = evaluate(model, folder, options.views)
    return Measured(name, metrics, read_manifest(model).flops.executed / 1e9, window_ms)


def study_sizes(folder: Path, options: argparse.Namespace) -> Table:
    """What networks of other sizes would cost, at ratio 0.5; random weights."""
    shipped = read_checkpoint(starter_checkpoint())
    found = infer_shape(FAMILY, {key: tuple(value.shape) for key, value in shipped.tensors.items()})
    models = []
    for width, depth in SIZES:
        config = {**found.config, "width": width, "depth": depth, "heads": 4}
        config["mlp_hidden"] = 2 * width
        name = f"s{width}_{depth}"
        asked = {"frames": found.frames, "ratio": _HALF, "prune_at": 1, "random_weights": True}
        models.append(export(folder, name, config=config, **asked))
    spec = resolve(FAMILY, frames=found.frames)
    times = time_windows(models, spec, options.rounds, options.threads)
    table = Table(title=f"sizes, at ratio {_HALF}")
    for heading in ("width", "depth", "parameters M", "file MB", "GFLOPs", "ms a window"):
        table.add_column(heading, justify="right")
    for (width, depth), model, taken in zip(SIZES, models, times, strict=True):
        manifest = read_manifest(model)
        counts = (manifest.parameters / 1e6, model.stat().st_size / 1e6)
        figures = (*counts, manifest.flops.executed / 1e9, taken)
        table.add_row(str(width), str(depth), *(f"{figure:.2f}" for figure in figures))
    return table


def study_trainings(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """What pruning costs in training, and what a network that sees single frames reaches."""
    rows: list[tuple[str, Path]] = [
        (f"trained with pruning, ratio {ratio}", export(folder, f"t{ratio}", ratio=ratio))
        for ratio in (1.0, 0.5, 0.33)
    ]
    if options.plain is not None:
        made = {"checkpoint": options.plain, "recovery": "interpolate"}
        whole = export(folder, "p1", checkpoint=options.plain, ratio=1.0)
        rows.append(("trained without pruning, ratio 1", whole))
        rows += [
            (
                f"trained without pruning, pruned to {ratio}, interpolated",
                export(folder, f"p{ratio}", ratio=ratio, **made),
            )
            for ratio in (0.5, 0.33)
        ]
    if options.frame_wise is not None:
        alone = export(folder, "frames", checkpoint=options.frame_wise, ratio=1.0)
        rows.append(("the stem alone, single frames", alone))
    return [measure(name, model, folder, options) for name, model in rows]


def study_ratios(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """The same checkpoint at every ratio."""
    models = [export(folder, f"r{ratio}", ratio=ratio) for ratio in RATIOS]
    manifest = read_manifest(models[-1])
    spec = resolve(FAMILY, frames=manifest.frames)
    times = time_windows(models, spec, options.rounds, options.threads)
    return [
        measure(f"{ratio:.2f}", model, folder, options, taken)
        for ratio, model, taken in zip(RATIOS, models, times, strict=True)
    ]


def study_ablation(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """Other choices of frames and other ways of bringing them back."""
    rows = []
    for ratio in (0.33, 0.2):
        for number, (name, chosen) in enumerate(_ABLATIONS):
            model = export(folder, f"a{ratio}_{number}", ratio=ratio, **chosen)
            rows.append(measure(f"{ratio:.2f}, {name}", model, folder, options))
    return rows


def study_robustness(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """Worse keypoints, other frame rates, less delay."""
    model = export(folder, "robustness", ratio=0.5)
    gflops = read_manifest(model).flops.executed / 1e9
    rows = []
    for name, extra in _CONDITIONS:
        streamed = ("--hop", str(_STREAM_HOP)) if "--lookahead" in extra else ()
        views = 1 if streamed else options.views
        metrics = evaluate(model, folder, views, (*extra, *streamed))
        rows.append(Measured(name, metrics, gflops))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--views", type=int, default=4, help="cameras of each sequence, 1 to 4")
    parser.add_argument("--rounds", type=int, default=50, help="timed runs of each file")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the engine")
    parser.add_argument("--plain", type=Path, metavar="FILE", help="weights of a --plain training")
    parser.add_argument(
        "--frame-wise", type=Path, metavar="FILE", help="weights of a training of the stem alone"
    )
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw accuracy against speed")
    options = parser.parse_args(arguments)
    console = Console(width=160)
    parts = {
        "ratios": study_ratios,
        "trainings": study_trainings,
        "ablation": study_ablation,
        "robustness": study_robustness,
    }
    console.print(describe_machine("torch", "onnxruntime", "numpy"), soft_wrap=True)
    console.print(f"{options.threads} threads, {options.views} views of each sequence")
    frames = read_manifest(starter_model()).frames
    try:
        with tempfile.TemporaryDirectory() as folder:
            if options.only in (None, "sizes"):
                console.print(study_sizes(Path(folder), options))
            for name, study in parts.items():
                if options.only in (None, name):
                    rows = study(Path(folder), options)
                    console.print(show(name, rows, frames))
                    if name == "ratios" and options.figure is not None:
                        draw(rows, frames, options.figure)
    except HotSDKError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
