"""A 2D skeleton on a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.style import Colour, Style, link_colours, opencv, score_colours

# Eighths of a pixel: joints that move slowly glide instead of hopping from pixel to pixel.
SHIFT = 3
ONE_PIXEL = 1 << SHIFT

# OpenCV holds coordinates in 32 bits and steps along each line; what lies this far outside of any
# picture is left out.
_FARTHEST = 20_000.0


def draw_skeleton_2d(
    picture: NDArray[np.uint8],
    person: PersonFrame,
    *,
    scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    size: float = 1.0,
    style: Style,
) -> None:
    """Draw joints and links into a picture; what is missing or far outside is left out.

    Joints are filled by score, and hollow below ``style.min_score``; links are coloured by side,
    and thin where an end is hollow.

    Args:
        picture: (height, width, 3), blue, green, red; changed.
        person: Whose keypoints.
        scale: Pixels of ``picture`` per pixel of the keypoints' image.
        offset: Where that image's upper left corner lies in ``picture``.
        size: Of joints and lines, times the style's.
        style: Colours and sizes.
    """
    if person.keypoints_2d is None or not len(person.keypoints_2d):
        return
    cv2 = opencv()
    with np.errstate(over="ignore", invalid="ignore"):
        points = person.keypoints_2d.astype(np.float64) * scale + offset
        seen: NDArray[np.bool_] = np.asarray((np.abs(points) < _FARTHEST).all(axis=1))
    scores = np.ones(len(points))
    if person.scores is not None:
        seen &= person.scores > 0.0
        scores = np.clip(np.where(seen, person.scores, 0.0), 0.0, 1.0)
    sure = scores >= style.min_score
    at = np.rint(np.where(seen[:, None], points, 0.0) * ONE_PIXEL).astype(int).tolist()
    width = max(1, round(style.link_width * size))
    colours = link_colours(style, person.links, person.left, person.right)
    for (one, other), colour in zip(person.links, colours, strict=True):
        if seen[one] and seen[other]:
            thick = width if sure[one] and sure[other] else 1
            cv2.line(picture, at[one], at[other], colour, thick, cv2.LINE_AA, SHIFT)
    radius = (size * style.joint_radius * (0.55 + 0.45 * scores)).tolist()
    shrink = _shrinkage(points[seen], size, len(points))
    ramp = score_colours(style)
    steps = np.rint(100 * scores).astype(int).tolist()
    for joint in np.flatnonzero(seen).tolist():
        colour = ramp[steps[joint]]
        draw_joint(picture, at[joint], shrink * radius[joint], colour, bool(sure[joint]), style)
    _draw_name(picture, person, points[seen & sure], size, style)


def draw_joint(
    picture: NDArray[np.uint8],
    at: list[int],
    radius: float,
    colour: Colour,
    is_filled: bool,
    style: Style,
) -> None:
    """Draw one joint, ``at`` in eighths of a pixel: a disc with an outline, or a ring."""
    cv2 = opencv()
    if is_filled:
        outer, inner = round((radius + 1.0) * ONE_PIXEL), round(radius * ONE_PIXEL)
        cv2.circle(picture, at, outer, style.outline, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, at, inner, colour, -1, cv2.LINE_AA, SHIFT)
    else:
        # Smaller, its rim would close it.
        ring = round(max(radius + 0.5, 4.0) * ONE_PIXEL)
        cv2.circle(picture, at, ring, style.outline, 3, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, at, ring, colour, 1, cv2.LINE_AA, SHIFT)


def _shrinkage(points: NDArray[np.float64], size: float, joints: int) -> float:
    """Joints of a small person, and of faces and fingers, would be one blot."""
    if not len(points):
        return 1.0
    tall = float(np.ptp(points, axis=0).max())
    crowd = 0.5 if joints > 40 else 0.8 if joints > 25 else 1.0
    return crowd * min(1.0, max(0.6, tall / (180.0 * size)))


def _draw_name(
    picture: NDArray[np.uint8],
    person: PersonFrame,
    points: NDArray[np.float64],
    size: float,
    style: Style,
) -> None:
    if person.track_id is None or not len(points):
        return
    cv2 = opencv()
    text = name_of(person)
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * size, 1)
    # Above the highest joint, but inside the picture as long as the person is.
    x, y = points[points[:, 1].argmin()]
    margin = round(12 * size)
    if not (-margin < x < picture.shape[1] + margin and -margin < y < picture.shape[0] + margin):
        return
    left = int(np.clip(x - wide / 2, 2, max(2, picture.shape[1] - wide - 2)))
    base = int(np.clip(y - margin, high + 3, picture.shape[0] - below))
    corner = (left - 2, base - high - 2), (left + wide + 2, base + below)
    cv2.rectangle(picture, *corner, style.outline, -1)
    put_text(picture, text, (left, base), 0.45 * size, style.text)


def name_of(person: PersonFrame) -> str:
    """What a person is called in pictures; OpenCV's letters are ASCII."""
    name = f"#{person.track_id}".encode("ascii", "replace").decode("ascii")
    return name if len(name) <= 12 else name[:11] + "~"


def put_text(
    picture: NDArray[np.uint8], text: str, at: tuple[int, int], scale: float, colour: Colour
) -> None:
    """Write one line; ``at`` is where its base begins."""
    cv2 = opencv()
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
