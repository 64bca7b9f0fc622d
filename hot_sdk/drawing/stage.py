"""Where people stand in the 3D view: what moves slowly so that the picture does not shake."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot_sdk.drawing.person import PersonFrame

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
