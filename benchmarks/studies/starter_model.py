"""Measure every figure of the starter model's card: accuracy and speed, pruning, robustness.

    python benchmarks/studies/starter_model.py --figure accuracy_and_speed.png

Exports the starter checkpoint in each variant to be compared, runs each file through ``hot-eval``
on ``starter-val``, and times one window of all files in turn, so that a drifting clock affects all
alike. ``--only`` runs one part. The part that compares trainings needs the weights of the others,
which do not ship: examples/train_starter describes how they are made.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk._base.timing import interleaved_medians
from hot_sdk.benchmarks.evaluation.cli import main as hot_eval
from hot_sdk.benchmarks.evaluation.known import KNOWN
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.models import infer_shape, resolve
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.manifest import read_manifest
from hot_sdk.model_inputs import feeds
from hot_sdk.starter import FAMILY, starter_checkpoint

_COLUMNS = {
    "MPJPE": "mpjpe_mm",
    "P-MPJPE": "p_mpjpe_mm",
    "N-MPJPE": "n_mpjpe_mm",
    "MPJVE": "mpjve_mm_per_frame",
    "accel": "acceleration_error_mm_per_frame2",
    "PCK150": "pck150_percent",
    "AUC": "auc_percent",
    "ends": "end_joint_error_mm",
    "bones": "bone_length_error_mm",
    "symmetry": "symmetry_error_mm",
}
METRICS = tuple(_COLUMNS.values())

PARTS = ("sizes", "ratios", "trainings", "ablation", "robustness", "knowledge")
RATIOS = (0.2, 0.33, 0.5, 0.75, 1.0)
SIZES = ((64, 4), (96, 3), (96, 4), (96, 6), (128, 4), (128, 5), (160, 5))
"""Width and depth of the networks whose cost is compared."""

_HALF = 0.5
_STREAM_HOP = 4
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
_KNOWLEDGE: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((known.about, ("--known", known.name)) for known in KNOWN.values()),
    ("gravity, 3 degrees wrong", ("--known", "gravity", "--up-error", "3")),
    ("noise of 5 px, nothing known", ("--known", "nothing", "--noise", "5")),
    ("noise of 5 px, all known", ("--known", "height", "--noise", "5")),
)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Name of the row.
        metrics: The headline of ``hot-eval``'s report.
        gflops: GFLOPs of one window as the file executes it.
        window_ms: Median time of one window in the engine alone; None if it was not timed.
        frames: Frames of a window.
    """

    name: str
    metrics: dict[str, Any]
    gflops: float
    window_ms: float | None
    frames: int

    @property
    def frames_per_s(self) -> float | None:
        """Frames per second in the engine alone."""
        return None if self.window_ms is None else 1e3 * self.frames / self.window_ms


class Study:
    """The parts of the study, with their options and a folder for exported files."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options

    def sizes(self) -> Table:
        """Compare the cost of networks of other sizes at ratio 0.5, with random weights."""
        tensors = read_checkpoint(starter_checkpoint()).tensors
        shape = infer_shape(FAMILY, {key: tuple(value.shape) for key, value in tensors.items()})
        models = []
        for width, depth in SIZES:
            changed = {"width": width, "depth": depth, "heads": 4, "mlp_hidden": 2 * width}
            model = self._export(
                f"s{width}_{depth}",
                config={**shape.config, **changed},
                frames=shape.frames,
                ratio=_HALF,
                prune_at=1,
                random_weights=True,
            )
            models.append(model)
        rows = []
        for size, model, taken in zip(SIZES, models, self._window_ms(models), strict=True):
            manifest = read_manifest(model)
            counts = (manifest.parameters / 1e6, model.stat().st_size / 1e6)
            figures = (*counts, manifest.flops.executed / 1e9, taken)
            rows.append((*map(str, size), *(f"{figure:.2f}" for figure in figures)))
        header = ("width", "depth", "parameters M", "file MB", "GFLOPs", "ms per window")
        return Table(f"sizes, at ratio {_HALF}", header, tuple(rows))

    def ratios(self) -> Table:
        """Compare the ratios of the one checkpoint."""
        models = [self._export(f"r{ratio}", ratio=ratio) for ratio in RATIOS]
        rows = [
            self._row(f"{ratio:.2f}", model, taken)
            for ratio, model, taken in zip(RATIOS, models, self._window_ms(models), strict=True)
        ]
        if self.options.figure is not None:
            draw(rows, self.options.figure)
        return table("ratios", rows)

    def trainings(self) -> Table:
        """Compare trainings with and without pruning, and a network that sees single frames."""
        plain, frame_wise = self.options.plain, self.options.frame_wise
        models = {
            f"trained with pruning, ratio {ratio}": self._export(f"t{ratio}", ratio=ratio)
            for ratio in (1.0, 0.5, 0.33)
        }
        if plain is not None:
            whole = self._export("p1", checkpoint=plain, ratio=1.0)
            models["trained without pruning, ratio 1"] = whole
            for ratio in (0.5, 0.33):
                name = f"trained without pruning, pruned to {ratio}, interpolated"
                models[name] = self._export(
                    f"p{ratio}", checkpoint=plain, ratio=ratio, recovery="interpolate"
                )
        if frame_wise is not None:
            stem = self._export("frames", checkpoint=frame_wise, ratio=1.0)
            models["the stem alone, single frames"] = stem
        return table("trainings", [self._row(name, model) for name, model in models.items()])

    def ablation(self) -> Table:
        """Compare frame selections and ways to recover frames."""
        models = {
            f"{ratio:.2f}, {name}": self._export(f"a{ratio}_{number}", ratio=ratio, **chosen)
            for ratio in (0.33, 0.2)
            for number, (name, chosen) in enumerate(_ABLATIONS)
        }
        return table("ablation", [self._row(name, model) for name, model in models.items()])

    def robustness(self) -> Table:
        """Compare worse keypoints, other frame rates, and less delay."""
        model = self._export("robustness", ratio=_HALF)
        rows = [self._row(name, model, None, *extra) for name, extra in _CONDITIONS]
        return table("robustness", rows)

    def knowledge(self) -> Table:
        """Compare what the network is told of camera and person."""
        model = self._export("knowledge", ratio=_HALF)
        rows = [self._row(name, model, None, *extra) for name, extra in _KNOWLEDGE]
        return table("knowledge", rows)

    def _export(self, name: str, **options: Any) -> Path:  # noqa: ANN401
        """Export the starter checkpoint, or the one in the options."""
        output = self.folder / f"{name}.onnx"
        return export_model(ExportRequest(FAMILY, output=output, force=True, **options)).path

    def _window_ms(self, models: Sequence[Path]) -> list[float]:
        """Return the median milliseconds of one window of each file, timed in turn."""
        manifest = read_manifest(models[0])
        spec = resolve(FAMILY, frames=manifest.frames)
        arrays = feeds(manifest, verification_windows(spec)[0].keypoints[None])
        options = SessionOptions(threads=self.options.threads)
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(open_session(model, options)) for model in models]
            runs = [functools.partial(session.run, arrays) for session in sessions]
            return interleaved_medians(runs, self.options.rounds)

    def _row(self, name: str, model: Path, window_ms: float | None = None, *extra: str) -> Row:
        """Evaluate a file, with extra arguments of ``hot-eval``."""
        views = self.options.views
        if "--lookahead" in extra:
            views, extra = 1, (*extra, "--hop", str(_STREAM_HOP))
        manifest = read_manifest(model)
        metrics = evaluate(model, self.folder, views, extra)
        return Row(name, metrics, manifest.flops.executed / 1e9, window_ms, manifest.frames)


def evaluate(model: Path, folder: Path, views: int, extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return the headline of ``hot-eval`` on ``starter-val``."""
    output = folder / "report.json"
    data = ("--data", "starter-val", "--views", str(views))
    with contextlib.redirect_stdout(io.StringIO()):
        status = hot_eval([str(model), *data, "--output", str(output), *extra])
    if status != 0:
        raise VerificationError(f"hot-eval ended with {status}.", hint="Its message is above.")
    report = json.loads(output.read_text(encoding="utf-8"))
    headline: dict[str, Any] = report[report["headline"]]
    return headline


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return the metrics and the cost of rows."""
    cells = []
    for row in rows:
        metrics = (f"{row.metrics[metric]:.2f}" for metric in METRICS)
        ms = "" if row.window_ms is None else f"{row.window_ms:.1f}"
        speed = "" if row.frames_per_s is None else f"{row.frames_per_s:.0f}"
        cells.append((row.name, *metrics, f"{row.gflops:.2f}", ms, speed))
    return Table(title, ("", *_COLUMNS, "GFLOPs", "ms", "frames/s"), tuple(cells))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Plot accuracy against speed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    speeds = [speed for row in rows if (speed := row.frames_per_s) is not None]
    for name in ("MPJPE", "P-MPJPE"):
        errors = [row.metrics[_COLUMNS[name]] for row in rows]
        axes.plot(speeds, errors, "o-", label=f"{name}, by ratio")
    for row, speed in zip(rows, speeds, strict=True):
        place = (speed, row.metrics["mpjpe_mm"])
        axes.annotate(row.name, place, (0, 6), textcoords="offset points", ha="center")
    axes.set_ylim(0.0, 1.15 * max(row.metrics["mpjpe_mm"] for row in rows))
    axes.margins(x=0.12)
    axes.set_xlabel("frames per second, engine alone")
    axes.set_ylabel("mm on starter-val")
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("starter_model", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="starter_model", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--only", choices=PARTS, help="one part (default: all)")
    add("--views", type=int, default=4, help="cameras per sequence, 1 to 4 (default: 4)")
    add("--rounds", type=int, default=50, help="timed runs of each file (default: 50)")
    add("--threads", type=int, default=2, help="CPU threads of the engine (default: 2)")
    add("--plain", type=Path, metavar="FILE", help="weights of a --plain training")
    stem = "weights of a training of the stem alone"
    add("--frame-wise", type=Path, metavar="FILE", help=stem)
    add("--figure", type=Path, metavar="PNG", help="plot accuracy against speed")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    threads = f"{options.threads} threads, {options.views} views of each sequence"
    print_report([f"{describe_machine('torch', 'onnxruntime', 'numpy')}\n{threads}"])
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), options)
        for part in PARTS if options.only is None else (options.only,):
            sys.stdout.write("\n")
            print_report([getattr(study, part)()])


if __name__ == "__main__":
    sys.exit(main())
