"""Draw a 2D skeleton on a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.canvas import Canvas, opencv, text_size, to_points
from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.style import link_colors, score_colors


def draw_skeleton_2d(
    canvas: Canvas,
    person: PersonFrame,
    *,
    scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draw the joints and links of a person; missing and far joints are left out.

    Joints are colored by score, and hollow below the style's ``min_score``; links are colored by
    side, and thin if an end is hollow.

    Args:
        canvas: What is drawn on.
        person: Whose keypoints.
        scale: Pixels of the canvas per pixel of the keypoints' image.
        offset: Upper left corner of that image on the canvas.
    """
    if person.keypoints_2d is None or not len(person.keypoints_2d):
        return
    style = canvas.style
    with np.errstate(over="ignore", invalid="ignore"):
        points = person.keypoints_2d.astype(np.float64) * scale + offset
    at, seen = to_points(points)
    scores = np.ones(len(points))
    if person.scores is not None:
        seen &= person.scores > 0.0
        scores = np.clip(np.where(seen, person.scores, 0.0), 0.0, 1.0)
    certain = scores >= style.min_score
    colors = link_colors(style, person.links, person.left, person.right)
    for (one, other), color in zip(person.links, colors, strict=True):
        if seen[one] and seen[other]:
            width = style.link_width if certain[one] and certain[other] else 0
            canvas.line(at[one], at[other], color, width)
    shrinkage = _shrinkage(points[seen], canvas.size, len(points))
    radii = shrinkage * canvas.size * style.joint_radius * (0.55 + 0.45 * scores)
    shades = np.rint(100 * scores).astype(int)
    ramp = score_colors(style)
    for joint in np.flatnonzero(seen).tolist():
        color, is_filled = ramp[shades[joint]], bool(certain[joint])
        canvas.joint(at[joint], float(radii[joint]), color, is_filled=is_filled)
    _draw_name(canvas, person, points[seen & certain])


def name_of(track_id: int | str) -> str:
    """Return the name of a person in drawings; OpenCV's letters are ASCII."""
    name = f"#{track_id}".encode("ascii", "replace").decode("ascii")
    return name if len(name) <= 12 else name[:11] + "~"


def _shrinkage(points: NDArray[np.float64], size: float, joints: int) -> float:
    """Shrink the joints of small people, and of faces and fingers, which would be one blot."""
    if not len(points):
        return 1.0
    height = float(np.ptp(points, axis=0).max())
    crowd = 0.5 if joints > 40 else 0.8 if joints > 25 else 1.0
    return crowd * min(1.0, max(0.6, height / (180.0 * size)))


def _draw_name(canvas: Canvas, person: PersonFrame, points: NDArray[np.float64]) -> None:
    """Write the name above the highest joint, but inside the picture while the person is."""
    if person.track_id is None or not len(points):
        return
    text = name_of(person.track_id)
    width, height, below = text_size(text, 0.45 * canvas.letters)
    x, y = points[points[:, 1].argmin()]
    margin = canvas.scaled(12)
    if not (-margin < x < canvas.width + margin and -margin < y < canvas.height + margin):
        return
    left = int(np.clip(x - width / 2, 2, max(2, canvas.width - width - 2)))
    base = int(np.clip(y - margin, height + 3, canvas.height - below))
    corners = (left - 2, base - height - 2), (left + width + 2, base + below)
    opencv().rectangle(canvas.pixels, *corners, canvas.style.outline, -1)
    canvas.text(text, (left, base), 0.45, canvas.style.text)
