"""A static overview of a result: joints over time, a few poses, latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.optional import require
from hot_sdk.drawing.style import Colour, Style
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.results.result import CAMERA_AXES, Pose3DResult
from hot_sdk.skeletons import H36M17

_JOINTS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
_POSES = 6
_DOTS_PER_INCH = 110
_STAGES = ("preparation", "inference", "stitching", "total", "per_new_frame", "delay")


def plot_result(
    result: Pose3DResult, path: str | Path, *, latency_ms: NDArray[np.floating] | None = None
) -> Path:
    """Write one figure of one person: a row of poses, wrists and ankles over time, latency.

    Spans in which a joint is not valid are shaded. Poses are drawn upright, seen as the camera saw
    them.

    Args:
        result: What is shown.
        path: A name that ends in ``.png``.
        latency_ms: (frames,), what each frame cost; a histogram of it stands beside the stages.

    Returns:
        The path.

    Raises:
        UsageError: The name has another suffix, or cannot be written.
        ResultError: The result holds no frame.
        MissingDependencyError: matplotlib is not installed.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UsageError(f"'{target}' does not end in .png.", hint="Name the plot out.png.")
    require_writable_target(target)
    if not len(result):
        raise ResultError("The result holds no frame to be plotted.", hint="Lift a longer clip.")
    require("matplotlib", extra="viz", purpose="Plotting")
    figure = require("matplotlib.figure", extra="viz", purpose="Plotting").Figure(figsize=(13, 9))
    agg = require("matplotlib.backends.backend_agg", extra="viz", purpose="Plotting")
    agg.FigureCanvasAgg(figure)
    who = "" if result.track_id is None else f" of person {result.track_id}"
    figure.suptitle(
        f"{len(result)} poses{who}, {result.valid.mean():.1%} of the joints valid, {result.model}",
        parse_math=False,  # A name from a file is no formula, whatever signs it has.
    )
    overview = _Overview(figure, result)
    overview.poses()
    overview.joints()
    overview.latency(latency_ms)
    with replaced_on_success(target) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
    return target


@dataclass(frozen=True, eq=False)
class _Overview:
    """The figure, and what it shows; each part has its own share of the height."""

    figure: Any
    result: Pose3DResult

    def poses(self) -> None:
        result = self.result
        style = Style()
        shown = np.unique(
            np.linspace(0, len(result) - 1, min(_POSES, len(result))).round().astype(int)
        )
        upright = _upright(result)
        usable = upright[np.isfinite(upright).all(axis=(1, 2))]
        reach = float(np.abs(usable).max()) if usable.size else 1.0
        reach = max(reach, 1e-6)
        grid = self.figure.add_gridspec(
            1, _POSES, left=0.01, right=0.99, bottom=0.70, top=0.92, wspace=0.02
        )
        for place, frame in enumerate(shown.tolist()):
            axes = self.figure.add_subplot(grid[place], projection="3d")
            pose, valid = upright[frame], result.valid[frame]
            for joint, parent in enumerate(H36M17.parents):
                if parent < 0:
                    continue
                ends = pose[[joint, parent]]
                colour = style.link((joint, parent), H36M17.left, H36M17.right)
                line = "-" if valid[joint] and valid[parent] else ":"
                axes.plot(*ends.T, line, color=_hex(colour), linewidth=2)
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
            axes.set_box_aspect((1, 1, 1), zoom=1.25)
            axes.view_init(elev=10, azim=-75)
            axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
            axes.set_title(f"{result.timestamps[frame]:.2f} s", fontsize=9)

    def joints(self) -> None:
        result = self.result
        grid = self.figure.add_gridspec(3, 1, left=0.08, right=0.98, bottom=0.28, top=0.66)
        panels = grid.subplots(sharex=True)
        style = Style()
        names = [part.strip().split(maxsplit=1) for part in result.axes.split(":")[1].split(",")]
        for axis, panel in enumerate(panels):
            for name in _JOINTS:
                colour = style.left if name.startswith("left") else style.right
                line = "-" if name.endswith("wrist") else "--"
                panel.plot(
                    result.timestamps,
                    result.joint(name)[:, axis],
                    line,
                    color=_hex(colour),
                    linewidth=1.2,
                    marker="." if len(result) == 1 else None,
                    label=name.replace("_", " "),
                )
            letter, direction = names[axis]
            panel.set_ylabel(f"{letter} ({direction}),\n{result.unit}")
            panel.grid(alpha=0.3)
        self._shade_invalid(list(panels))
        panels[-1].set_xlabel("time, s")
        panels[0].legend(ncols=5, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0))

    def _shade_invalid(self, panels: list[Any]) -> None:
        result = self.result
        chosen = [H36M17.joints.index(name) for name in _JOINTS]
        broken: NDArray[np.bool_] = np.asarray(~result.valid[:, chosen].all(axis=1))
        times = result.timestamps
        half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.5
        label: str | None = "one of them not valid"
        for start, end in invalid_spans(broken):
            for panel in panels:
                panel.axvspan(
                    times[start] - half,
                    times[end] + half,
                    color="0.5",
                    alpha=0.25,
                    lw=0,
                    label=label,
                )
                label = None

    def latency(self, latency_ms: NDArray[np.floating] | None) -> None:
        report = self.result.latency
        known = np.empty(0) if latency_ms is None else latency_ms[np.isfinite(latency_ms)]
        grid = self.figure.add_gridspec(
            1, 2 if len(known) else 1, left=0.13, right=0.98, bottom=0.065, top=0.19
        )
        panels = grid.subplots(squeeze=False)[0]
        stages = panels[0]
        rows = [(name, getattr(report, name)) for name in _STAGES if getattr(report, name, None)]
        for place, (_, row) in enumerate(rows):
            stages.plot([row.min, row.max], [place, place], color="0.6", linewidth=2)
            stages.plot(row.median, place, "o", color=_hex(Style().left))
            stages.plot(row.p95, place, "|", color=_hex(Style().right), markersize=14, mew=2.5)
        if rows and report is not None:
            stages.set_yticks(
                range(len(rows)), [f"{name.replace('_', ' ')} ({row.count})" for name, row in rows]
            )
            stages.set_xscale("log")
            stages.set_ylim(len(rows) - 0.5, -0.5)
            stages.set_xlabel("ms; line: min to max, dot: median, bar: p95; (count)")
            title = f"latency on {report.engine}, {report.device}, {report.precision}"
            stages.set_title(title, fontsize=9, parse_math=False)
            stages.grid(axis="x", alpha=0.3)
        else:
            stages.set_axis_off()
            stages.text(0.5, 0.5, "no latency was recorded", ha="center", va="center")
        if len(known):
            panels[1].hist(known, bins=40, color=_hex(Style().bar))
            panels[1].set(xlabel="ms per frame", ylabel="frames")


def _upright(result: Pose3DResult) -> NDArray[np.float64]:
    """Poses with z up, which is how matplotlib draws: right, away from the camera, up."""
    if result.axes == CAMERA_AXES:
        x, y, z = np.moveaxis(result.poses.astype(np.float64), -1, 0)
        return np.stack([x, z, -y], axis=-1)
    x, y, z = np.moveaxis(result.poses.astype(np.float64), -1, 0)
    return np.stack([-y, x, z], axis=-1)


def invalid_spans(broken: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    steps = np.diff(np.concatenate([[False], broken, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _hex(colour: Colour) -> str:
    blue, green, red = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
