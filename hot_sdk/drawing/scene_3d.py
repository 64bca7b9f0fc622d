"""3D poses on a ground grid, seen from a viewpoint.

Where people stand in the 3D view: what moves slowly so that the picture does not shake.

Where a pose is looked at from, and the projection that follows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.people import PersonFrame
from hot_sdk.drawing.skeleton_2d import ONE_PIXEL, SHIFT, draw_joint, put_text
from hot_sdk.drawing.style import Colour, Style, link_colours, opencv
from hot_sdk.skeletons import H36M17

MAX_SCENES = 6
"""Most people who have a view of their own; there is no room for more."""

_SMALLEST_HEIGHT = 1.8
_SMALLEST_RADIUS = 0.5
_LARGEST = 200.0
_KEPT_S = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """People on one ground.

    Attributes:
        people: Who is there in this frame; nobody while a person who has just left may return.
        track_id: Of the person whose scene it is; None where people share it.
        centre: (3,), metres along the camera's axes, on the ground.
        height: Metres of the highest joint above the ground.
        radius: Metres of the farthest joint from the vertical through the centre.
    """

    people: tuple[PersonFrame, ...]
    track_id: int | str | None
    centre: NDArray[np.float64]
    height: float
    radius: float


@dataclass
class _Slow:
    values: NDArray[np.float64]
    time_s: float
    seen_s: float
    track_id: int | str | None


class Stage:
    """Gives each frame its scenes, with ground, centre and size eased over time.

    People whose root is known share one scene. The others have one each, for between root-relative
    poses there is no distance to be shown. The ground is at the lowest joint, as a first-order low
    pass over ``time_constant_s`` has it: set by each frame alone it would carry the noise of the
    feet to the whole picture, and a jump would not leave it.
    """

    def __init__(self, time_constant_s: float = 1.0) -> None:
        self._time_constant_s = time_constant_s
        self._slow: dict[Hashable, _Slow] = {}

    def update(self, people: Sequence[PersonFrame], time_s: float) -> tuple[Scene, ...]:
        """The scenes of a frame, in the order in which they first came.

        Args:
            people: Everybody; those without a pose are passed over.
            time_s: Of the frame. A step back begins anew.
        """
        groups: dict[Hashable, list[PersonFrame]] = {}
        for place, person in enumerate(people):
            if person.pose is not None and joints_m(person) is not None:
                own = ("person", place if person.track_id is None else person.track_id)
                groups.setdefault("shared" if person.root is not None else own, []).append(person)
        for key, slow in list(self._slow.items()):
            if not 0.0 <= time_s - slow.seen_s <= _KEPT_S:
                del self._slow[key]
        for key, group in groups.items():
            self._ease(key, group, time_s)
        return tuple(
            Scene(
                people=tuple(groups.get(key, ())),
                track_id=slow.track_id,
                centre=slow.values[:3].copy(),
                height=max(_SMALLEST_HEIGHT, float(slow.values[3])),
                radius=max(_SMALLEST_RADIUS, float(slow.values[4])),
            )
            for key, slow in self._slow.items()
        )

    def _ease(self, key: Hashable, group: list[PersonFrame], time_s: float) -> None:
        fresh = _extent(group)
        slow = self._slow.get(key)
        if slow is None:
            track_id = None if key == "shared" else group[0].track_id
            self._slow[key] = _Slow(fresh, time_s, time_s, track_id)
            return
        share = -math.expm1(-(time_s - slow.time_s) / self._time_constant_s)
        slow.values = slow.values + share * (fresh - slow.values)
        slow.time_s = slow.seen_s = time_s


def joints_m(person: PersonFrame) -> NDArray[np.float64] | None:
    """(17, 3), metres along the camera's axes from the pelvis or, with a root, from the camera.

    NaN where a joint is not finite or absurdly far; None where no joint is left.
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
    """Centre on the ground, height and radius of a group in one frame."""
    found, middles = [], []
    for person in group:
        joints = joints_m(person)
        assert joints is not None
        # Guessed joints too: they are drawn, and of a body that is half hidden the feet are.
        found.append(joints[~np.isnan(joints[:, 0])])
        middles.append(person.root if person.root is not None else np.zeros(3))
    joints = np.concatenate(found)
    centre = np.mean(middles, axis=0)
    centre[1] = joints[:, 1].max()
    height = centre[1] - joints[:, 1].min()
    radius = np.hypot(joints[:, 0] - centre[0], joints[:, 2] - centre[2]).max()
    return np.array([*centre, height, radius])


# Nearer than this share of the distance, points stay at it instead of growing without limit.
_NEAREST = 0.1


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A viewer who walks around a point at a fixed height, looking at it.

    Attributes:
        angle: Radians about the vertical. At 0 the viewer looks as the camera did; at a quarter
            turn the camera's forward direction points to the right.
        elevation: Radians that the viewer looks down.
        target: (3,), what is looked at, metres along the camera's axes.
        distance: Metres from the target; infinite for no perspective.
        pixels_per_metre: At the target.
        centre: Pixel of the target.
    """

    angle: float
    elevation: float
    target: NDArray[np.float64]
    distance: float
    pixels_per_metre: float
    centre: tuple[float, float]

    def turned(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 3) from the target on along the viewer's axes: right, down, forward."""
        x, y, z = np.moveaxis(points - self.target, -1, 0)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        right, away = cos * x + sin * z, cos * z - sin * x
        cos, sin = math.cos(self.elevation), math.sin(self.elevation)
        return np.stack([right, cos * y - sin * away, cos * away + sin * y], axis=-1)

    def project(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (..., 2) of points (..., 3), and how far they are behind the target, metres."""
        seen = self.turned(points)
        depth = seen[..., 2]
        shrink: NDArray[np.float64] | float = 1.0
        if math.isfinite(self.distance):
            shrink = self.distance / np.maximum(self.distance + depth, _NEAREST * self.distance)
            shrink = shrink[..., None]
        pixels = seen[..., :2] * shrink * self.pixels_per_metre + self.centre
        return pixels, depth


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
