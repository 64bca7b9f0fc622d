"""The tables and the figure of the starter model's study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

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
