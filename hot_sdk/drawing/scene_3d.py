"""Draw 3D poses on a ground grid, seen from a viewpoint."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.canvas import Canvas, to_points
from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.style import Color, Style, link_colors
from hot_sdk.skeletons import H36M17

MAX_SCENES = 6
"""Maximum number of scenes side by side; there is no room for more."""

LINKS = tuple((joint, parent) for joint, parent in enumerate(H36M17.parents) if parent >= 0)
"""Pairs of joints that are drawn as bones."""

_SMALLEST_HEIGHT = 1.8
_SMALLEST_RADIUS = 0.5
_LARGEST = 200.0
_KEPT_S = 1.0
# The viewer's distance in sizes of the scene: near limbs are not swollen, and depth is visible.
_DISTANCE = 3.0
# Nearer than this share of the distance, points stay there instead of growing without limit.
_NEAREST = 0.1
_DARKEST = 0.45
_AXES: tuple[tuple[str, Color], ...] = (
    ("x", (80, 80, 240)),
    ("y", (90, 210, 90)),
    ("z", (250, 150, 90)),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """People on one ground.

    Attributes:
        people: The people in this frame; none while a person who has just left may return.
        track_id: Id of the person whose scene it is; None if people share it.
        center: (3,), meters along the camera's axes, on the ground.
        height: Meters of the highest joint above the ground.
        radius: Meters of the farthest joint from the vertical through the center.
    """

    people: tuple[PersonFrame, ...]
    track_id: int | str | None
    center: NDArray[np.float64]
    height: float
    radius: float


@dataclass
class _Eased:
    values: NDArray[np.float64]
    time_s: float
    track_id: int | str | None


class Stage:
    """Gives each frame its scenes, with ground, center and size eased over time.

    People whose root is known share one scene. The others have one each, because root-relative
    poses have no distance between them. The ground is at the lowest joint, after a first-order low
    pass with ``time_constant_s``: without it, the noise of the feet would move the whole picture,
    and a jump would not leave the ground.
    """

    def __init__(self, time_constant_s: float = 1.0) -> None:
        self._time_constant_s = time_constant_s
        self._eased: dict[Hashable, _Eased] = {}

    def update(self, people: Sequence[PersonFrame], time_s: float) -> tuple[Scene, ...]:
        """Return the scenes of a frame, in the order in which they first appeared.

        Args:
            people: All people; those without a pose are ignored.
            time_s: Time of the frame. A step back starts again.
        """
        groups: dict[Hashable, list[PersonFrame]] = {}
        for place, person in enumerate(people):
            if joints_m(person) is not None:
                own = ("person", place if person.track_id is None else person.track_id)
                groups.setdefault("shared" if person.root is not None else own, []).append(person)
        self._eased = {
            key: eased
            for key, eased in self._eased.items()
            if 0.0 <= time_s - eased.time_s <= _KEPT_S
        }
        for key, group in groups.items():
            track_id = None if key == "shared" else group[0].track_id
            now = _Eased(_extent(group), time_s, track_id)
            eased = self._eased.setdefault(key, now)
            share = -math.expm1(-(time_s - eased.time_s) / self._time_constant_s)
            eased.values = eased.values + share * (now.values - eased.values)
            eased.time_s = time_s
        return tuple(
            Scene(
                people=tuple(groups.get(key, ())),
                track_id=eased.track_id,
                center=eased.values[:3],
                height=max(_SMALLEST_HEIGHT, float(eased.values[3])),
                radius=max(_SMALLEST_RADIUS, float(eased.values[4])),
            )
            for key, eased in self._eased.items()
        )


def joints_m(person: PersonFrame) -> NDArray[np.float64] | None:
    """Return joints (17, 3) in meters along the camera's axes.

    The origin is the pelvis or, with a root, the camera. Joints that are not finite or absurdly far
    are NaN; None if no joint is left.
    """
    if person.pose is None:
        return None
    joints = person.pose.astype(np.float64)
    if person.root is not None:
        joints = joints + person.root
    with np.errstate(invalid="ignore"):
        usable = (np.abs(joints) < _LARGEST).all(axis=1)
    joints[~usable] = np.nan
    return joints if usable.any() else None


def _extent(group: list[PersonFrame]) -> NDArray[np.float64]:
    """Return center on the ground (3), height and radius of a group in one frame."""
    # Guessed joints count, too: they are drawn, and the feet of a half hidden body are guesses.
    found = np.concatenate([joints for p in group if (joints := joints_m(p)) is not None])
    joints = found[~np.isnan(found[:, 0])]
    center = np.mean([np.zeros(3) if p.root is None else p.root for p in group], axis=0)
    center[1] = joints[:, 1].max()
    height = center[1] - joints[:, 1].min()
    radius = np.hypot(joints[:, 0] - center[0], joints[:, 2] - center[2]).max()
    return np.array([*center, height, radius])


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A viewer who walks around a point at a fixed height, looking at it.

    Attributes:
        angle: Radians about the vertical. At 0 the viewer looks as the camera did; at a quarter
            turn the camera's forward direction points to the right.
        elevation: Radians that the viewer looks down.
        target: (3,), the point in meters along the camera's axes.
        distance: Meters from the target; infinite for no perspective.
        pixels_per_meter: Scale at the target.
        center: Pixel of the target.
    """

    angle: float
    elevation: float
    target: NDArray[np.float64]
    distance: float
    pixels_per_meter: float
    center: tuple[float, float]

    def turned(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return points (..., 3) from the target along the viewer's axes: right, down, forward."""
        x, y, z = np.moveaxis(points - self.target, -1, 0)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        right, away = cos * x + sin * z, cos * z - sin * x
        cos, sin = math.cos(self.elevation), math.sin(self.elevation)
        return np.stack([right, cos * y - sin * away, cos * away + sin * y], axis=-1)

    def project(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return pixels (..., 2) of points (..., 3), and their meters (...) behind the target."""
        seen = self.turned(points)
        depth = seen[..., 2]
        shrink: NDArray[np.float64] | float = 1.0
        if math.isfinite(self.distance):
            shrink = self.distance / np.maximum(self.distance + depth, _NEAREST * self.distance)
            shrink = shrink[..., None]
        pixels = seen[..., :2] * shrink * self.pixels_per_meter + self.center
        return pixels, depth


def viewpoint_of(scene: Scene, size: tuple[int, int], angle: float, style: Style) -> Viewpoint:
    """Return the viewpoint that shows a scene as a whole from every side.

    Args:
        scene: What is shown.
        size: Width and height of the picture, pixels.
        angle: Radians about the vertical.
        style: Contains the elevation.
    """
    width, height = size
    elevation = math.radians(style.elevation_degrees)
    # Perspective makes what is near larger, by a third at this distance.
    tall = scene.height + 3.0 * scene.radius * math.sin(elevation)
    scale = min(0.88 * height / tall, 0.36 * width / scene.radius)
    middle = scene.center - [0.0, 0.5 * scene.height, 0.0]
    distance = _DISTANCE * max(scene.height, 1.5 * scene.radius)
    return Viewpoint(angle, elevation, middle, distance, scale, (width / 2, 0.47 * height))


def grid_step(scene: Scene) -> float:
    """Return the meters between the lines of a scene's grid."""
    return 0.5 if scene.radius < 2.5 else 1.0 if scene.radius < 6.0 else 5.0


def draw_scene(canvas: Canvas, scene: Scene, angle: float) -> None:
    """Draw ground, shadows and poses, from far to near, seen at an angle in radians."""
    view = viewpoint_of(scene, (canvas.width, canvas.height), angle, canvas.style)
    _draw_ground(canvas, scene, view)
    bodies = [(person, joints_m(person)) for person in scene.people]
    for _, joints in bodies:
        if joints is not None:
            _draw_shadow(canvas, joints, scene, view)
    strokes = [
        stroke
        for person, joints in bodies
        if joints is not None
        for stroke in _strokes(canvas, joints, person.valid, scene, view)
    ]
    # One list, so that people overlap correctly.
    for stroke in sorted(strokes, key=lambda stroke: -stroke.depth):
        if stroke.end is None:
            radius = 0.8 * canvas.style.joint_radius * canvas.size
            canvas.joint(stroke.start, radius, stroke.color, is_filled=stroke.is_valid)
        else:
            width = 1.5 * canvas.style.link_width if stroke.is_valid else 0.0
            canvas.line(stroke.start, stroke.end, stroke.color, width)


@dataclass(frozen=True, eq=False)
class _Stroke:
    """A joint, or a bone with its end."""

    depth: float
    color: Color
    is_valid: bool
    start: list[int]
    end: list[int] | None = None


def _strokes(
    canvas: Canvas,
    joints: NDArray[np.float64],
    valid: NDArray[np.bool_],
    scene: Scene,
    view: Viewpoint,
) -> list[_Stroke]:
    style, left, right = canvas.style, H36M17.left, H36M17.right
    pixels, depths = view.project(joints)
    at, seen = to_points(pixels)
    # What is far is darker.
    far = np.clip(0.5 + depths / (2.5 * max(scene.radius, 0.4)), 0.0, 1.0)
    light = (1.0 - _DARKEST * np.where(seen, far, 0.0)).tolist()
    depth, is_valid, is_seen = depths.tolist(), valid.tolist(), seen.tolist()
    strokes = []
    for joint in range(len(H36M17.joints)):
        if is_seen[joint]:
            color = _darker(style.side(joint, left, right), light[joint])
            # A joint lies on the ends of its bones, hence a little in front of them.
            strokes.append(_Stroke(depth[joint] - 0.02, color, is_valid[joint], at[joint]))
    for (one, other), side in zip(LINKS, link_colors(style, LINKS, left, right), strict=True):
        if is_seen[one] and is_seen[other]:
            color = _darker(side, (light[one] + light[other]) / 2)
            both_valid = is_valid[one] and is_valid[other]
            middle = (depth[one] + depth[other]) / 2
            strokes.append(_Stroke(middle, color, both_valid, at[one], at[other]))
    return strokes


def _draw_ground(canvas: Canvas, scene: Scene, view: Viewpoint) -> None:
    step = grid_step(scene)
    reach = step * math.ceil((scene.radius + 0.1) / step)
    # Lines stay in place on the ground while the center moves.
    x, z = (step * round(scene.center[axis] / step) for axis in (0, 2))
    along = np.arange(-reach, reach + step / 2, step)
    edges = np.array([-reach, reach])
    lines = np.empty((2, len(along), 2, 3))
    lines[..., 1] = scene.center[1]
    lines[0, ..., 0], lines[0, ..., 2] = x + along[:, None], z + edges
    lines[1, ..., 0], lines[1, ..., 2] = x + edges, z + along[:, None]
    canvas.polylines(view.project(lines.reshape(-1, 2, 3))[0], canvas.style.grid)


def _draw_shadow(
    canvas: Canvas, joints: NDArray[np.float64], scene: Scene, view: Viewpoint
) -> None:
    flat = joints.copy()
    flat[:, 1] = np.where(np.isnan(flat[:, 1]), np.nan, scene.center[1])
    at, seen = to_points(view.project(flat)[0])
    for one, other in LINKS:
        if seen[one] and seen[other]:
            canvas.line(at[one], at[other], canvas.style.shadow, 2 * canvas.style.link_width)


def draw_axes(canvas: Canvas, angle: float, *, center: tuple[int, int], length: float) -> None:
    """Draw the camera's axes as seen from the viewpoint, without perspective.

    Args:
        canvas: What is drawn on.
        angle: Angle of the viewpoint about the vertical, radians.
        center: Pixel of their origin.
        length: Length of an axis, pixels.
    """
    elevation = math.radians(canvas.style.elevation_degrees)
    view = Viewpoint(angle, elevation, np.zeros(3), math.inf, length, center)
    tips, depth = view.project(np.eye(3))
    names, _ = view.project(1.35 * np.eye(3))
    (origin, *ends), _ = to_points(np.concatenate([[center], tips]))
    for axis in np.argsort(-depth).tolist():
        name, color = _AXES[axis]
        canvas.line(origin, ends[axis], color, 2 / canvas.size)
        x, y = names[axis]
        at = round(x - 4 * canvas.letters), round(y + 4 * canvas.letters)
        canvas.text(name, at, 0.4, color)


def _darker(color: Color, light: float) -> Color:
    return round(color[0] * light), round(color[1] * light), round(color[2] * light)
