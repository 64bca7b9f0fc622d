"""Plot a static overview of a result: a few poses, joints over time, latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.optional import require
from hot_sdk.drawing.scene_3d import LINKS
from hot_sdk.drawing.style import Color, Style
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.latency import LatencyReport
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17

_JOINTS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
_POSES = 6
_DOTS_PER_INCH = 110
_STAGES = ("preparation", "inference", "stitching", "total", "per_new_frame", "delay")
_STYLE = Style()


def plot_result(
    result: Pose3DResult, path: str | Path, *, latency_ms: NDArray[np.floating] | None = None
) -> Path:
    """Write one figure of one person: a row of poses, wrists and ankles over time, latency.

    Spans in which a joint is not valid are shaded. Poses are drawn upright, as the camera saw them.

    Args:
        result: What is shown.
        path: A name that ends in ``.png``.
        latency_ms: (frames,), the cost of each frame; its histogram stands next to the stages.

    Returns:
        The path.

    Raises:
        UsageError: The name has another suffix, or cannot be written.
        ResultError: The result contains no frame.
        MissingDependencyError: matplotlib is not installed.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UsageError(f"'{target}' does not end in .png.", hint="Name the plot out.png.")
    require_writable_target(target)
    if not len(result):
        raise ResultError("The result contains no frame to plot.", hint="Lift a longer clip.")
    require("matplotlib", extra="viz", purpose="Plotting")
    figure = require("matplotlib.figure", extra="viz", purpose="Plotting").Figure(figsize=(13, 9))
    agg = require("matplotlib.backends.backend_agg", extra="viz", purpose="Plotting")
    agg.FigureCanvasAgg(figure)
    who = "" if result.track_id is None else f" of person {result.track_id}"
    figure.suptitle(
        f"{len(result)} poses{who}, {result.valid.mean():.1%} of the joints valid, {result.model}",
        parse_math=False,  # A name from a file is not a formula.
    )
    _plot_poses(figure, result)
    _plot_joints(figure, result)
    _plot_latency(figure, result.latency, latency_ms)
    with replaced_on_success(target) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
    return target


def _plot_poses(figure: Any, result: Pose3DResult) -> None:  # noqa: ANN401
    count = min(_POSES, len(result))
    shown = np.unique(np.linspace(0, len(result) - 1, count).round().astype(int)).tolist()
    upright = _upright(result)
    reach = max(float(np.abs(upright[np.isfinite(upright)]).max(initial=0.0)), 1e-6)
    grid = figure.add_gridspec(1, _POSES, left=0.01, right=0.99, bottom=0.70, top=0.92, wspace=0.02)
    for place, frame in enumerate(shown):
        axes = figure.add_subplot(grid[place], projection="3d")
        pose, valid = upright[frame], result.valid[frame]
        for link in LINKS:
            color = _hex(_STYLE.link(link, H36M17.left, H36M17.right))
            line = "-" if valid[list(link)].all() else ":"
            axes.plot(*pose[list(link)].T, line, color=color, linewidth=2)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
        axes.set_box_aspect((1, 1, 1), zoom=1.25)
        axes.view_init(elev=10, azim=-75)
        axes.set_title(f"{result.timestamps[frame]:.2f} s", fontsize=9)


def _plot_joints(figure: Any, result: Pose3DResult) -> None:  # noqa: ANN401
    grid = figure.add_gridspec(3, 1, left=0.08, right=0.98, bottom=0.28, top=0.66)
    panels = grid.subplots(sharex=True)
    axes = [part.strip().split(maxsplit=1) for part in result.axes.split(":")[1].split(",")]
    for axis, (panel, (letter, direction)) in enumerate(zip(panels, axes, strict=True)):
        for name in _JOINTS:
            panel.plot(
                result.timestamps,
                result.joint(name)[:, axis],
                "-" if name.endswith("wrist") else "--",
                color=_hex(_STYLE.left if name.startswith("left") else _STYLE.right),
                linewidth=1.2,
                marker="." if len(result) == 1 else None,
                label=name.replace("_", " "),
            )
        panel.set_ylabel(f"{letter} ({direction}),\n{result.unit}")
        panel.grid(alpha=0.3)
    chosen = [H36M17.joints.index(name) for name in _JOINTS]
    times = result.timestamps
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.5
    label: str | None = "one of them not valid"
    for start, end in invalid_spans(np.asarray(~result.valid[:, chosen].all(axis=1))):
        for panel in panels:
            ends = times[start] - half, times[end] + half
            panel.axvspan(*ends, color="0.5", alpha=0.25, lw=0, label=label)
            label = None
    panels[-1].set_xlabel("time, s")
    panels[0].legend(ncols=5, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0))


def _plot_latency(
    figure: Any,  # noqa: ANN401
    report: LatencyReport | None,
    latency_ms: NDArray[np.floating] | None,
) -> None:
    known = np.empty(0) if latency_ms is None else latency_ms[np.isfinite(latency_ms)]
    columns = 2 if len(known) else 1
    grid = figure.add_gridspec(1, columns, left=0.13, right=0.98, bottom=0.065, top=0.19)
    stages, *others = grid.subplots(squeeze=False)[0]
    rows = [(name, row) for name in _STAGES if (row := getattr(report, name, None))]
    for place, (_, row) in enumerate(rows):
        stages.plot([row.min, row.max], [place, place], color="0.6", linewidth=2)
        stages.plot(row.median, place, "o", color=_hex(_STYLE.left))
        stages.plot(row.p95, place, "|", color=_hex(_STYLE.right), markersize=14, mew=2.5)
    if rows and report is not None:
        labels = [f"{name.replace('_', ' ')} ({row.count})" for name, row in rows]
        stages.set_yticks(range(len(rows)), labels)
        stages.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
        stages.set_xlabel("ms; line: min to max, dot: median, bar: p95; (count)")
        title = f"latency on {report.engine}, {report.device}, {report.precision}"
        stages.set_title(title, fontsize=9, parse_math=False)
        stages.grid(axis="x", alpha=0.3)
    else:
        stages.set_axis_off()
        stages.text(0.5, 0.5, "no latency was recorded", ha="center", va="center")
    for panel in others:
        panel.hist(known, bins=40, color=_hex(_STYLE.bar))
        panel.set(xlabel="ms per frame", ylabel="frames")


def _upright(result: Pose3DResult) -> NDArray[np.float64]:
    """Return poses with z up, as matplotlib draws: right, away from the camera, up."""
    x, y, z = np.moveaxis(result.poses.astype(np.float64), -1, 0)
    return np.stack([x, z, -y] if result.axes == CAMERA_AXES else [-y, x, z], axis=-1)


def invalid_spans(invalid: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of True."""
    steps = np.diff(np.concatenate([[False], invalid, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _hex(color: Color) -> str:
    blue, green, red = color
    return f"#{red:02x}{green:02x}{blue:02x}"
