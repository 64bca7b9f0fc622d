"""The tables and the pictures of a second opinion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hot_sdk._base.files import replaced_on_success
from hot_sdk.benchmarks.studies.second_opinion.body_checks import BENT_DEGREES, LIMBS
from hot_sdk.benchmarks.studies.second_opinion.figures import Comparison, Opinion, Sanity
from hot_sdk.drawing import PersonClip, PersonFrame, Style
from hot_sdk.drawing.scene_3d import Stage, draw_scene
from hot_sdk.drawing.skeleton_2d import draw_skeleton_2d, put_text
from hot_sdk.drawing.style import opencv
from hot_sdk.errors import VideoError
from hot_sdk.skeletons import H36M17

_PICTURED = 5
_PANEL = 300
_VIEWS = (("from the camera", 0.0), ("from the side", math.pi / 2))
"""What each is called, and radians about the vertical."""

_LAST_OF_SANITY = ("knees\nbent °", "off in\nimage °", "lengths\nvary %", "left, right\ndiffer %")

Image = NDArray[np.uint8]


def tables(rows: Sequence[Comparison]) -> Iterator[Table]:
    """Agreement of clips, what needs no second opinion, and distances by joint."""
    yield _agreement(rows)
    yield _sanity(rows)
    yield _by_joint(rows)


def _agreement(rows: Sequence[Comparison]) -> Table:
    limbs = [f"{name}\n°" for name in LIMBS]
    table = _table(
        "beside BlazePose, which is not the truth (° are medians; mm of BlazePose's body)",
        ("frames with\na person", "not\nguessed %", "MPJPE\nmm", "N-MPJPE\nmm", "P-MPJPE\nmm"),
        (*limbs, "shoulders\n°", "left is\nleft %"),
    )
    for row in rows:
        found = row.agreement
        figures = (row.valid_percent, found.mpjpe_mm, found.n_mpjpe_mm, found.p_mpjpe_mm)
        angles = (*(found.limb_degrees[name] for name in LIMBS), found.turned_degrees)
        cells = map(_number, (*figures, *angles, found.left_is_left_percent))
        table.add_row(row.clip, f"{row.with_person} of {row.frames}", *cells)
    return table


def _sanity(rows: Sequence[Comparison]) -> Table:
    table = _table(
        f"each by itself (bent: over {BENT_DEGREES:g}°; lengths of arm and leg bones)",
        ("", "stands\n%", "of\nframes", "knees bend\nrightly %", "of\nbent"),
        ("elbows bend\nrightly %", "of\nbent", *_LAST_OF_SANITY),
    )
    for row in rows:
        for who, found in (("model", row.model), ("BlazePose", row.blazepose)):
            table.add_row(row.clip, who, *_sanity_cells(found, row.standing))
    return table


def _sanity_cells(found: Sanity, standing: int) -> tuple[str, ...]:
    return (
        _number(found.stands_percent),
        str(standing),
        _number(found.knees_percent),
        str(found.knees),
        _number(found.elbows_percent),
        str(found.elbows),
        _number(found.knee_degrees),
        _number(found.off_in_image_degrees),
        _number(found.length_variation_percent),
        _number(found.length_asymmetry_percent),
    )


def _by_joint(rows: Sequence[Comparison]) -> Table:
    table = _table(
        "distance from BlazePose's joints, N-MPJPE / P-MPJPE, mm", [row.clip for row in rows], ()
    )
    for name in H36M17.joints:
        pairs = (row.agreement.per_joint_mm[name] for row in rows)
        table.add_row(name, *(f"{scaled:.0f} / {similar:.0f}" for scaled, similar in pairs))
    return table


def _table(title: str, headings: Sequence[str], more: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in (*headings, *more):
        table.add_column(heading, justify="right" if heading else "left")
    return table


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.1f}"


def draw_clip(path: Path, opinion: Opinion, poses_mm: NDArray[np.floating]) -> Path:
    """Draw a few frames of a clip, one a row: keypoints, the model's pose and BlazePose's.

    Both poses are seen as the camera saw them, and from the side, the camera standing on the left.
    Left limbs are blue, right ones orange.

    Args:
        path: A name that ends in ``.png``.
        opinion: The clip; frames are spread evenly over those with a person.
        poses_mm: (frames, 17, 3), the model's, millimetres of BlazePose's body.

    Raises:
        MissingDependencyError: OpenCV is not installed.
        VideoError: The picture cannot be encoded.
    """
    frames = np.flatnonzero(opinion.person)
    places = np.linspace(0, len(frames) - 1, min(_PICTURED, len(frames))).round().astype(int)
    drawn = PersonClip(opinion.keypoints)
    picture = np.concatenate(
        [_row(drawn, number, poses_mm, opinion.poses_mm) for number in frames[places].tolist()]
    )
    is_made, content = opencv().imencode(".png", picture)
    if not is_made:
        raise VideoError(f"'{path}' cannot be encoded.", hint="Leave --pictures out.")
    with replaced_on_success(path) as temporary:
        temporary.write_bytes(content.tobytes())
    return path


def _row(
    clip: PersonClip,
    frame: int,
    ours_mm: NDArray[np.floating],
    theirs_mm: NDArray[np.floating],
) -> Image:
    style = Style()
    person = clip.frame(frame)
    assert person is not None
    panels = [_keypoints_panel(person, f"frame {frame}, keypoints", style)]
    for view, angle in _VIEWS:
        for who, poses in (("model", ours_mm), ("BlazePose", theirs_mm)):
            pose = PersonFrame(pose=poses[frame].astype(np.float64) / 1000.0)
            panels.append(_pose_panel(pose, angle, f"{who}, {view}", style))
    return np.concatenate(panels, axis=1)


def _keypoints_panel(person: PersonFrame, caption: str, style: Style) -> Image:
    panel = _panel(style)
    assert person.keypoints_2d is not None
    points = person.keypoints_2d[np.isfinite(person.keypoints_2d).all(axis=1)].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 0.8 * _PANEL / max(float((high - low).max()), 1.0)
    across, down = (_PANEL - scale * (low + high)) / 2.0
    draw_skeleton_2d(panel, person, scale=scale, offset=(across, down), size=0.7, style=style)
    return _captioned(panel, caption, style)


def _pose_panel(person: PersonFrame, angle: float, caption: str, style: Style) -> Image:
    panel = _panel(style)
    (scene,) = Stage().update([person], time_s=0.0)
    draw_scene(panel, scene, angle, size=0.8, style=style)
    return _captioned(panel, caption, style)


def _panel(style: Style) -> Image:
    panel: Image = np.empty((_PANEL, _PANEL, 3), dtype=np.uint8)
    panel[:] = style.panel
    return panel


def _captioned(panel: Image, caption: str, style: Style) -> Image:
    put_text(panel, caption, (8, 18), 0.42, style.text)
    opencv().rectangle(panel, (0, 0), (_PANEL - 1, _PANEL - 1), style.background, 1)
    return panel
