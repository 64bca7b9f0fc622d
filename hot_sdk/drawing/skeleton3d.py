"""3D poses on a ground grid, seen from a viewpoint."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.person import PersonFrame
from hot_sdk.drawing.skeleton2d import ONE_PIXEL, SHIFT, draw_joint, put_text
from hot_sdk.drawing.stage import Scene, joints_m
from hot_sdk.drawing.style import Colour, Style, link_colours, opencv
from hot_sdk.drawing.viewpoint import Viewpoint
from hot_sdk.skeleton import H36M17

_LEFT, _RIGHT = frozenset(H36M17.left), frozenset(H36M17.right)
_LINKS = tuple((joint, parent) for joint, parent in enumerate(H36M17.parents) if parent >= 0)
_AXES: tuple[tuple[str, Colour], ...] = (
    ("x", (80, 80, 240)),
    ("y", (90, 210, 90)),
    ("z", (250, 150, 90)),
)

# Of the scene's size: far enough that near limbs are not swollen, near enough to tell depth.
_DISTANCE = 3.0
_DARKEST = 0.45
_FARTHEST_PIXELS = 10_000.0


def viewpoint_of(scene: Scene, size: tuple[int, int], angle: float, style: Style) -> Viewpoint:
    """The viewpoint that shows a scene whole from every side.

    Args:
        scene: What is shown.
        size: Width and height of the picture, pixels.
        angle: Radians about the vertical.
        style: Gives the elevation.
    """
    width, height = size
    elevation = math.radians(style.elevation_degrees)
    # Perspective makes what is near larger, by a third at this distance.
    tall = scene.height + 3.0 * scene.radius * math.sin(elevation)
    scale = min(0.88 * height / tall, 0.36 * width / scene.radius)
    middle = scene.centre - [0.0, 0.5 * scene.height, 0.0]
    distance = _DISTANCE * max(scene.height, 1.5 * scene.radius)
    return Viewpoint(angle, elevation, middle, distance, scale, (width / 2, 0.47 * height))


def grid_step(scene: Scene) -> float:
    """Metres between the lines of a scene's grid."""
    return 0.5 if scene.radius < 2.5 else 1.0 if scene.radius < 6.0 else 5.0


def draw_scene(
    picture: NDArray[np.uint8], scene: Scene, angle: float, *, size: float, style: Style
) -> None:
    """Draw ground, shadows and poses, from far to near.

    Args:
        picture: (height, width, 3), blue, green, red; changed.
        scene: What is shown.
        angle: Of the viewpoint about the vertical, radians.
        size: Of joints and lines, times the style's.
        style: Colours and sizes.
    """
    height, width = picture.shape[:2]
    view = viewpoint_of(scene, (width, height), angle, style)
    _draw_ground(picture, scene, view, style)
    bodies = [(person, joints_m(person)) for person in scene.people]
    for _, joints in bodies:
        if joints is not None:
            _draw_shadow(picture, joints, scene, view, size, style)
    strokes: list[tuple[float, int, int]] = []
    projected: list[_Body] = []
    for person, joints in bodies:
        if joints is not None:
            body = _Body(person, joints, view, scene, size, style)
            strokes += body.strokes(len(projected))
            projected.append(body)
    for _, which, part in sorted(strokes, key=lambda stroke: -stroke[0]):
        projected[which].draw(picture, part)


class _Body:
    """One pose, projected; its parts are drawn one by one, so that people can overlap rightly."""

    def __init__(
        self,
        person: PersonFrame,
        joints: NDArray[np.float64],
        view: Viewpoint,
        scene: Scene,
        size: float,
        style: Style,
    ) -> None:
        pixels, depth = view.project(joints)
        self._at, self._seen = _whole(pixels)
        self._depth = depth
        # What is far is darker.
        far = np.clip(0.5 + depth / (2.5 * max(scene.radius, 0.4)), 0.0, 1.0)
        self._light = 1.0 - _DARKEST * np.where(self._seen, far, 0.0)
        self._valid = person.valid
        self._size = size
        self._style = style

    def strokes(self, which: int) -> list[tuple[float, int, int]]:
        """(depth, which body, part): parts below 17 are joints, the others links."""
        depth, seen = self._depth.tolist(), self._seen.tolist()
        # A joint lies on the ends of its links, hence a little before them.
        parts = [(depth[joint] - 0.02, which, joint) for joint in range(17) if seen[joint]]
        parts += [
            ((depth[one] + depth[other]) / 2, which, 17 + number)
            for number, (one, other) in enumerate(_LINKS)
            if seen[one] and seen[other]
        ]
        return parts

    def draw(self, picture: NDArray[np.uint8], part: int) -> None:
        style = self._style
        if part < 17:
            colour = _darker(style.side(part, _LEFT, _RIGHT), float(self._light[part]))
            radius = 0.8 * style.joint_radius * self._size
            draw_joint(picture, self._at[part], radius, colour, bool(self._valid[part]), style)
            return
        one, other = _LINKS[part - 17]
        light = float(self._light[one] + self._light[other]) / 2
        colours = link_colours(style, _LINKS, H36M17.left, H36M17.right)
        colour = _darker(colours[part - 17], light)
        sure = self._valid[one] and self._valid[other]
        width = max(1, round(1.5 * style.link_width * self._size)) if sure else 1
        cv2 = opencv()
        cv2.line(picture, self._at[one], self._at[other], colour, width, cv2.LINE_AA, SHIFT)


def _draw_ground(picture: NDArray[np.uint8], scene: Scene, view: Viewpoint, style: Style) -> None:
    cv2 = opencv()
    step = grid_step(scene)
    reach = step * math.ceil((scene.radius + 0.1) / step)
    # Lines stay where they are on the ground while the centre moves on.
    x, z = (step * round(scene.centre[axis] / step) for axis in (0, 2))
    along = np.arange(-reach, reach + step / 2, step)
    edge = np.full_like(along, reach)
    low = np.concatenate([np.stack([along, -edge], axis=-1), np.stack([-edge, along], axis=-1)])
    high = np.concatenate([np.stack([along, edge], axis=-1), np.stack([edge, along], axis=-1)])
    flat = np.stack([low, high], axis=1)
    points = np.stack(
        [flat[..., 0] + x, np.full(flat.shape[:2], scene.centre[1]), flat[..., 1] + z], axis=-1
    )
    pixels, _ = view.project(points)
    lines = list(np.rint(pixels * ONE_PIXEL).astype(np.int32))
    cv2.polylines(picture, lines, False, style.grid, 1, cv2.LINE_AA, SHIFT)


def _draw_shadow(
    picture: NDArray[np.uint8],
    joints: NDArray[np.float64],
    scene: Scene,
    view: Viewpoint,
    size: float,
    style: Style,
) -> None:
    cv2 = opencv()
    flat = joints.copy()
    flat[:, 1] = np.where(np.isnan(flat[:, 1]), np.nan, scene.centre[1])
    pixels, _ = view.project(flat)
    at, seen = _whole(pixels)
    width = max(1, round(2 * style.link_width * size))
    for one, other in _LINKS:
        if seen[one] and seen[other]:
            cv2.line(picture, at[one], at[other], style.shadow, width, cv2.LINE_AA, SHIFT)


def draw_axes(
    picture: NDArray[np.uint8],
    angle: float,
    *,
    centre: tuple[int, int],
    length: float,
    size: float,
    style: Style,
) -> None:
    """Draw the camera's axes as seen from the viewpoint, without perspective.

    Args:
        picture: (height, width, 3); changed.
        angle: Of the viewpoint about the vertical, radians.
        centre: Pixel of their origin.
        length: Of an axis, pixels.
        size: Of letters, times the style's.
        style: Gives the elevation.
    """
    cv2 = opencv()
    elevation = math.radians(style.elevation_degrees)
    view = Viewpoint(angle, elevation, np.zeros(3), math.inf, length, centre)
    tips, depth = view.project(np.eye(3))
    names, _ = view.project(1.35 * np.eye(3))
    for axis in np.argsort(-depth).tolist():
        name, colour = _AXES[axis]
        tip = np.rint(tips[axis] * ONE_PIXEL).astype(int).tolist()
        origin = [centre[0] * ONE_PIXEL, centre[1] * ONE_PIXEL]
        cv2.line(picture, origin, tip, colour, 2, cv2.LINE_AA, SHIFT)
        at = round(names[axis, 0] - 4 * size), round(names[axis, 1] + 4 * size)
        put_text(picture, name, at, 0.4 * size, colour)


def _whole(pixels: NDArray[np.float64]) -> tuple[list[list[int]], NDArray[np.bool_]]:
    with np.errstate(invalid="ignore"):
        seen: NDArray[np.bool_] = np.asarray((np.abs(pixels) < _FARTHEST_PIXELS).all(axis=1))
    return np.rint(np.where(seen[:, None], pixels, 0.0) * ONE_PIXEL).astype(int).tolist(), seen


def _darker(colour: Colour, light: float) -> Colour:
    return round(colour[0] * light), round(colour[1] * light), round(colour[2] * light)
