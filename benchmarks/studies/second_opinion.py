"""Compare a model's poses on real clips with BlazePose's 3D landmarks: a second opinion, not truth.

    python benchmarks/studies/second_opinion.py CLIP.npz ... [--model FILE] [--pictures DIR]

If the true poses were never measured, another method's guess still distinguishes a body that faces
the wrong way from one that is a few degrees off. BlazePose saw the images, the model sees only the
keypoints, and either may be the one that is wrong: no figure here is an accuracy. Keypoints that
miss the person mislead both.

A clip is an npz of ``kp`` (frames, 33, 3), MediaPipe's landmarks, x and y in pixels and visibility;
``world`` (frames, 33, 3), its world landmarks of the same frames, meters about the middle of the
hips, x right, y down, z away from the camera; ``wh``, width and height in pixels; and ``fps``.
Frames with no detection are NaN. Both opinions become the 17 joints of ``H36M17`` by the same
recipes. Neither knows how large the person is, so the model's body is brought to the size of
BlazePose's first, and millimeters are of that body. BlazePose looks along the ray to the person,
the model along the camera's axis: off the image's center they differ by a rotation, which P-MPJPE
removes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from second_opinion_figures import Opinion, compare, read_opinion
from second_opinion_report import draw_clip, draw_sheet, tables

from hot_sdk import Pose3DEngine
from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.tables import print_report
from hot_sdk.benchmarks.evaluation.metrics import to_json_values
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.errors import UsageError
from hot_sdk.starter import STARTER

CAVEAT = "BlazePose is a second opinion, not the truth: no figure here is an accuracy."

_PROGRAM = "second_opinion"

Pictured = tuple[Opinion, dict[str, NDArray[np.floating]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    return run_command(_PROGRAM, arguments, _run)


def _run(arguments: list[str]) -> None:
    parser = CommandParser(prog=_PROGRAM, description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("clips", nargs="+", type=Path, metavar="CLIP.npz", help="keypoints and world landmarks")
    add("--model", default=STARTER, metavar="FILE", help="exported model (default: starter)")
    add("--output", "-o", type=Path, metavar="FILE", help="write all figures as JSON")
    add("--pictures", type=Path, metavar="DIR", help="draw a few frames of each clip, as png")
    add("--sheet", type=Path, metavar="PNG", help="draw two frames of each clip in one picture")
    add("--beside", metavar="FILE", help="another model, whose poses are on the sheet, too")
    add("--verbose", "-v", action="store_true", help="say more on standard error")
    options = parser.parse(arguments)
    targets = [] if options.output is None else [options.output]
    if options.sheet is not None:
        targets.append(options.sheet)
    if options.beside is not None and options.sheet is None:
        raise UsageError("--beside names a model for the sheet.", hint="Add --sheet PNG.")
    if options.pictures is not None:
        targets += [options.pictures / f"{clip.stem}.png" for clip in options.clips]
    if len({*targets}) != len(targets):
        raise UsageError("Two clips have the same name.", hint="Give them one after the other.")
    for target in targets:
        require_writable_target(target)
    opinions = [read_opinion(clip) for clip in options.clips]
    rows, sheet = [], []
    with Pose3DEngine(options.model) as engine:
        for opinion in opinions:
            result = engine(opinion.keypoints)
            row = compare(opinion, result.poses, result.valid)
            rows.append(row)
            poses_mm = row.agreement.scale * result.poses
            sheet.append(
                (opinion, {Path(options.model).stem: poses_mm, "BlazePose": opinion.poses_mm})
            )
            if options.pictures is not None:
                draw_clip(options.pictures / f"{opinion.name}.png", opinion, poses_mm)
        name, warnings = engine.model_name, engine.warnings
    if options.sheet is not None:
        if options.beside is not None:
            sheet = _with_other_poses(sheet, options.beside)
        draw_sheet(options.sheet, sheet)
    about = f"{name} compared with BlazePose. {CAVEAT}"
    head = (describe_machine("onnxruntime", "numpy"), about, *(f"Warning: {w}" for w in warnings))
    print_report(["\n".join(head), *tables(rows)])
    if options.output is not None:
        clips = [to_json_values(dataclasses.asdict(row)) for row in rows]
        record = {"model": name, "caveat": CAVEAT, "clips": clips}
        with replaced_on_success(options.output) as temporary:
            temporary.write_text(json.dumps(record, allow_nan=False) + "\n", encoding="utf-8")


def _with_other_poses(sheet: Sequence[Pictured], model: str) -> list[Pictured]:
    """Return the clips with another model's poses before those that they have."""
    clips = []
    with Pose3DEngine(model) as engine:
        for opinion, poses in sheet:
            result = engine(opinion.keypoints)
            scale = compare(opinion, result.poses, result.valid).agreement.scale
            clips.append((opinion, {Path(model).stem: scale * result.poses, **poses}))
    return clips


if __name__ == "__main__":
    sys.exit(main())
