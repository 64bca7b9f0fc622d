"""Compare virtual cameras that turn in every frame with ones that stand still for a window.

    python benchmarks/studies/view_turning.py starter --views 2

A window's camera that looks at the person's mean place keeps the ray of a joint that does not move
where it is, but two windows have two cameras, and poses may step where they meet. A camera that
turns with the person in each frame is the same in all windows. Both are tried with the same
weights, side by side and overlapping, and steps at seams are compared with those inside windows.
The shipped weights were trained with cameras that turn in every frame.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.evaluation import EvaluationClip, load_starter_val
from hot_sdk.benchmarks.evaluation.clip_errors import ClipErrors, measure_clip
from hot_sdk.benchmarks.evaluation.metrics import summarize
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.session import Session
from hot_sdk.manifest import POSES, Manifest, read_manifest
from hot_sdk.model_inputs import feeds
from hot_sdk.preprocessing.virtual_view import VirtualViews, conditions, virtual_views
from hot_sdk.starter import resolve_model
from hot_sdk.windows import SeamReport, Stitcher, plan

HEADER = (
    "camera", "known", "overlap", "MPJPE", "P-MPJPE", "MPJVE",
    "step at seams mm", "inside mm", "largest at seams", "windows disagree mm",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How windows are lifted.

    Attributes:
        turns: The camera turns in every frame; if not, it looks at the window's mean place.
        gravity: The direction of gravity is known.
        overlap: Frames that windows share.
    """

    turns: bool
    gravity: bool
    overlap: int

    def views(self, slopes: NDArray[np.float64], up: NDArray[np.float64]) -> VirtualViews:
        """Return the virtual cameras of a window's frames."""
        centers = slopes.mean(axis=1)
        if not self.turns:
            centers = np.broadcast_to(centers.mean(axis=0), centers.shape)
        return virtual_views(centers, up if self.gravity else None)


def lift(
    session: Session, manifest: Manifest, clip: EvaluationClip, way: Way
) -> tuple[ClipErrors, SeamReport | None]:
    """Lift a clip, and return the errors of its poses and how even they are at seams."""
    assert clip.intrinsics is not None
    assert clip.up is not None
    slopes = clip.intrinsics.slopes(clip.keypoints.points)
    ups = np.broadcast_to(clip.up, (len(clip), 3))
    cut = plan(len(clip), manifest.frames, overlap=way.overlap)
    stitcher = Stitcher(cut)
    for window in cut.windows:
        places = window.source_frames(len(clip))
        views = way.views(slopes[places], ups[places])
        told = conditions(manifest.conditions, len(places), views, None)
        arrays = feeds(manifest, views.turned(slopes[places])[None], told[None])
        back = views.turned_back(session.run(arrays)[POSES][0])
        stitcher.add(1000.0 * back.astype(np.float32))
    poses = stitcher.result()
    errors = measure_clip(poses, clip.truth_mm, valid=clip.valid, fps=clip.keypoints.effective_fps)
    return errors, stitcher.seams(poses, "mm")


def row(way: Way, found: Sequence[tuple[ClipErrors, SeamReport | None]]) -> tuple[str, ...]:
    """Return the row of the table."""
    metrics = summarize([errors for errors, _ in found])
    seams = [seam for _, seam in found if seam is not None and seam.mean_step_inside is not None]
    weights = [seam.seams for seam in seams]
    inside = [each for seam in seams if (each := seam.mean_step_inside) is not None]
    apart = [each for seam in seams if (each := seam.mean_disagreement) is not None]
    figures = (
        metrics.mpjpe_mm,
        metrics.p_mpjpe_mm,
        metrics.mpjve_mm_per_frame,
        np.average([seam.mean_step for seam in seams], weights=weights),
        np.average(inside, weights=weights),
        max(seam.max_step for seam in seams),
    )
    disagree = f"{np.average(apart, weights=weights):.2f}" if apart else "none"
    return (
        "of each frame" if way.turns else "of each window",
        "gravity" if way.gravity else "intrinsics",
        str(way.overlap),
        *(f"{figure:.2f}" for figure in figures),
        disagree,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command("view_turning", arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog="view_turning", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("model", help="a model that can be told the camera's intrinsics and gravity")
    add("--views", type=int, default=4, help="cameras per sequence, 1 to 4 (default: 4)")
    add("--threads", type=int, metavar="N", help="CPU threads of the engine")
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    model, clips = resolve_model(options.model), load_starter_val(views=options.views)
    manifest = read_manifest(model)
    ways = [
        Way(turns, gravity, overlap)
        for gravity in (True, False)
        for overlap in (0, manifest.frames // 3)
        for turns in (True, False)
    ]
    with open_session(model, SessionOptions(threads=options.threads)) as session:
        rows = [row(way, [lift(session, manifest, clip, way) for clip in clips]) for way in ways]
    print_report([Table(f"{model.name} on starter-val", HEADER, tuple(rows), text_columns=3)])


if __name__ == "__main__":
    sys.exit(main())
