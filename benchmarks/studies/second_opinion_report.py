"""The tables and the pictures of a second opinion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from body_checks import BENT_DEGREES
from numpy.typing import NDArray
from second_opinion_figures import Comparison, Opinion

from hot_sdk._base.files import replaced_on_success
from hot_sdk._base.tables import Table
from hot_sdk.drawing import PersonClip, PersonFrame, Style
from hot_sdk.drawing.canvas import Canvas, opencv
from hot_sdk.drawing.scene_3d import Stage, draw_scene
from hot_sdk.drawing.skeleton_2d import draw_skeleton_2d
from hot_sdk.errors import VideoError
from hot_sdk.skeletons import H36M17

_PICTURED, _ON_SHEET = 5, 2
_PANEL = 300
_VIEWS = (("from the camera", 0.0), ("from the side", math.pi / 2))
"""The name of each view, and its rotation about the vertical in radians."""

Image = NDArray[np.uint8]


def tables(rows: Sequence[Comparison]) -> list[Table]:
    """Return the agreement of clips, the checks by themselves, and distances by joint."""
    agreement = [
        {
            "": row.clip,
            "frames with person": str(row.with_person),
            "of": str(row.frames),
            "not guessed %": _number(row.valid_percent),
            "MPJPE mm": _number(row.agreement.mpjpe_mm),
            "N-MPJPE mm": _number(row.agreement.n_mpjpe_mm),
            "P-MPJPE mm": _number(row.agreement.p_mpjpe_mm),
            **{f"{name} °": _number(angle) for name, angle in row.agreement.limb_degrees.items()},
            "shoulders °": _number(row.agreement.turned_degrees),
            "left is left %": _number(row.agreement.left_is_left_percent),
        }
        for row in rows
    ]
    sanity = [
        {
            "": row.clip,
            "poses": name,
            "stands %": _number(found.stands_percent),
            "standing frames": str(row.standing),
            "knees bend rightly %": _number(found.knees_percent),
            "bent knees": str(found.knees),
            "elbows bend rightly %": _number(found.elbows_percent),
            "bent elbows": str(found.elbows),
            "knees bent °": _number(found.knee_degrees),
            "off in image °": _number(found.off_in_image_degrees),
            "lengths vary %": _number(found.length_variation_percent),
            "left, right differ %": _number(found.length_asymmetry_percent),
        }
        for row in rows
        for name, found in (("model", row.model), ("BlazePose", row.blazepose))
    ]
    distances = {row.clip: row.agreement.per_joint_mm for row in rows}
    joints = [
        {"": name, **{clip: "{:.0f} / {:.0f}".format(*mm[name]) for clip, mm in distances.items()}}
        for name in H36M17.joints
    ]
    about = "compared with BlazePose, which is not the truth (medians in °; mm of BlazePose's body)"
    alone = f"each by itself (bent: over {BENT_DEGREES:g}°; lengths of arm and leg bones)"
    return [
        _table(about, agreement),
        _table(alone, sanity, text_columns=2),
        _table("distance from BlazePose's joints, N-MPJPE / P-MPJPE, mm", joints),
    ]


def _table(title: str, rows: Sequence[dict[str, str]], text_columns: int = 1) -> Table:
    cells = tuple(tuple(row.values()) for row in rows)
    return Table(title, tuple(rows[0]), cells, text_columns=text_columns)


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.1f}"


def draw_clip(path: Path, opinion: Opinion, poses_mm: NDArray[np.floating]) -> None:
    """Draw a few frames of a clip, one per row: keypoints, the model's pose and BlazePose's.

    Both poses, in millimeters of BlazePose's body, are seen as the camera saw them, and from the
    side, the camera standing on the left. Left limbs are blue, right ones orange. Frames are spread
    evenly over those with a person.

    Raises:
        MissingDependencyError: OpenCV is not installed.
        VideoError: The picture cannot be encoded.
    """
    poses = {"model": poses_mm, "BlazePose": opinion.poses_mm}
    _write(path, np.concatenate(_rows(opinion, poses, _PICTURED)))


def draw_sheet(
    path: Path, clips: Sequence[tuple[Opinion, Mapping[str, NDArray[np.floating]]]]
) -> None:
    """Draw two frames of each clip as ``draw_clip`` does, in half the size, in one picture.

    Args:
        path: Where to.
        clips: Clips, and the poses of each, (frames, 17, 3), millimeters, by a name.

    Raises:
        MissingDependencyError: OpenCV is not installed.
        VideoError: The picture cannot be encoded.
    """
    rows = [row for opinion, poses in clips for row in _rows(opinion, poses, _ON_SHEET)]
    whole = np.concatenate(rows)
    height, width = whole.shape[:2]
    _write(path, opencv().resize(whole, (width // 2, height // 2), interpolation=3))


def _rows(
    opinion: Opinion, poses_mm: Mapping[str, NDArray[np.floating]], count: int
) -> list[Image]:
    """Return the pictures of frames that are spread evenly over those with a person."""
    frames = np.flatnonzero(opinion.person)
    places = np.linspace(0, len(frames) - 1, 2 * min(count, len(frames)) + 1)[1::2]
    clip, style = PersonClip(opinion.keypoints), Style()
    rows = []
    for frame in frames[places.round().astype(int)].tolist():
        person = clip.frame(frame)
        assert person is not None
        panels = [_keypoints_panel(person, f"{opinion.name}, frame {frame}", style)]
        for view, angle in _VIEWS:
            for name, poses in poses_mm.items():
                pose = PersonFrame(pose=poses[frame].astype(np.float64) / 1000.0)
                panels.append(_pose_panel(pose, angle, f"{name}, {view}", style))
        rows.append(np.concatenate(panels, axis=1))
    return rows


def _write(path: Path, picture: Image) -> None:
    is_made, content = opencv().imencode(".png", picture)
    if not is_made:
        raise VideoError(f"'{path}' cannot be encoded.", hint="Draw no pictures.")
    with replaced_on_success(path) as temporary:
        temporary.write_bytes(content.tobytes())


def _keypoints_panel(person: PersonFrame, caption: str, style: Style) -> Image:
    panel = _panel(caption, style)
    assert person.keypoints_2d is not None
    points = person.keypoints_2d[np.isfinite(person.keypoints_2d).all(axis=1)].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 0.8 * _PANEL / max(float((high - low).max()), 1.0)
    across, down = (_PANEL - scale * (low + high)) / 2.0
    canvas = Canvas(panel, style, size=0.7, letters=0.7)
    draw_skeleton_2d(canvas, person, scale=scale, offset=(across, down))
    return panel


def _pose_panel(person: PersonFrame, angle: float, caption: str, style: Style) -> Image:
    panel = _panel(caption, style)
    (scene,) = Stage().update([person], time_s=0.0)
    draw_scene(Canvas(panel, style, size=0.8), scene, angle)
    return panel


def _panel(caption: str, style: Style) -> Image:
    panel: Image = np.empty((_PANEL, _PANEL, 3), dtype=np.uint8)
    panel[:] = style.panel
    opencv().rectangle(panel, (0, 0), (_PANEL - 1, _PANEL - 1), style.background, 1)
    Canvas(panel, style).text(caption, (8, 18), 0.42, style.text)
    return panel
