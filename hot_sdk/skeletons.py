"""Human3.6M's 17 joints, and how they are derived from those of data sets and detectors.

Each format is one data file in ``data/skeletons``, which names its joints, says where their order
is documented, and states for each of the 17 joints which of its own it is mixed from, and why.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import records
from hot_sdk._base.validation import closest
from hot_sdk.errors import KeypointsError


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of joints.

    Attributes:
        name: Name used in files and on command lines.
        joints: Joint names, in the order of the arrays.
        parents: Index of each joint's parent; -1 for the root.
        left: Indices of the left joints.
        right: Indices of the right joints, each the mirror image of its partner in ``left``.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def mirror(self) -> tuple[int, ...]:
        """The index of each joint's mirror image (itself for joints in the middle)."""
        order = list(range(len(self.joints)))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)


# Order and parents of the 17-joint Human3.6M convention of VideoPose3D (Pavllo et al., CVPR 2019),
# which every model family here shares unless it was trained on another data set.
H36M17 = Skeleton(
    name="h36m17",
    joints=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck_nose",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)

# Order of MPI-INF-3DHP's 17 relevant joints (Mehta et al., 3DV 2017) in the files of P-STMO (Shan
# et al., ECCV 2022), which the field trains and evaluates with. Its neck is about where Human3.6M
# has the thorax, and its head where the other has neck/nose.
MPI_INF_3DHP17 = Skeleton(
    name="mpi_inf_3dhp17",
    joints=(
        "head_top",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "spine",
        "head",
    ),
    parents=(16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
    left=(5, 6, 7, 11, 12, 13),
    right=(2, 3, 4, 8, 9, 10),
)

NETWORK_SKELETONS = {skeleton.name: skeleton for skeleton in (H36M17, MPI_INF_3DHP17)}
"""The orders of joints that networks are trained in."""

TO_H36M17 = {
    H36M17.name: tuple(range(len(H36M17.joints))),
    MPI_INF_3DHP17.name: (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4),
}
"""For each of these orders, the index in it of what stands for each joint of ``H36M17``; each index
occurs once. Of MPI-INF-3DHP, the neck stands for the thorax, the head for what is between neck and
nose, and the head's top for the head; its annotators put these at slightly other places."""


def in_network_order(values: NDArray[np.float32], skeleton: str) -> NDArray[np.float32]:
    """Reorder joints from the order of ``H36M17`` to that of a network.

    Args:
        values: (..., 17, channels).
        skeleton: Name of the order, of ``NETWORK_SKELETONS``.

    Returns:
        The same array if there is nothing to reorder.
    """
    if skeleton == H36M17.name:
        return values
    return np.ascontiguousarray(values[..., np.argsort(TO_H36M17[skeleton]), :])


def in_h36m17_order(values: NDArray[np.float32], skeleton: str) -> NDArray[np.float32]:
    """Reorder joints from a network's order to that of ``H36M17``; see ``in_network_order``."""
    return values if skeleton == H36M17.name else values[..., TO_H36M17[skeleton], :]


_NAMES = (
    "h36m17",
    "coco17",
    "coco_wholebody133",
    "halpe26",
    "openpose18",
    "openpose25",
    "openpose25b",
    "mediapipe33",
    "mpii16",
    "aic14",
    "crowdpose14",
    "posetrack17",
    "mpi_inf_3dhp17",
)

_FOLDER = Path(__file__).resolve().parent / "data" / "skeletons"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Term:
    """One joint of a mixture: its name and its weight, which may be negative."""

    joint: str
    weight: float


@dataclass(frozen=True)
class Recipe:
    """A point as a mixture of joints.

    Attributes:
        why: Why it approximates the joint.
        terms: The joints; their weights sum to 1.
    """

    why: str
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class DerivedJoint:
    """How one of the 17 joints is derived.

    Attributes:
        joint: Its name in ``H36M17``.
        recipes: In each frame, the first applies whose joints are all present.
    """

    joint: str
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class SkeletonFormat:
    """The joints of a data set or detector.

    Attributes:
        name: Name used in files and on command lines.
        source: Where the order of the joints is documented.
        joints: Joint names, in the order of the arrays.
        left: Names of the left joints.
        right: Names of the right joints, each the mirror image of its partner in ``left``.
        links: Pairs of joint names to draw as lines.
        derived: How each of the 17 joints of ``H36M17`` is derived, in their order.
    """

    name: str
    source: str
    joints: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    derived: tuple[DerivedJoint, ...]

    @property
    def link_indices(self) -> tuple[tuple[int, int], ...]:
        """The links as pairs of indices."""
        return tuple((self.joints.index(a), self.joints.index(b)) for a, b in self.links)

    def to_h36m17(self, points: Floats, scores: Floats | None) -> tuple[Floats, Floats | None]:
        """Derive Human3.6M's joints.

        Args:
            points: (frames, joints, 2), pixels, NaN if a joint is missing.
            scores: (frames, joints), in which 0 also marks a missing joint; or None.

        Returns:
            Points (frames, 17, 2), NaN if a joint's sources are missing; and scores (frames, 17),
            the lowest of a joint's sources, or None.
        """
        present = ~np.isnan(points[..., 0])
        if scores is not None:
            present &= scores > 0.0
        mixed = np.full((len(points), len(H36M17.joints), 2), np.nan, dtype=np.float32)
        lowest = None if scores is None else np.zeros(mixed.shape[:2], dtype=np.float32)
        open_ = np.ones(mixed.shape[:2], dtype=np.bool_)
        for level in _levels(self.name):
            usable = present[:, level.sources].all(axis=2) & open_[:, level.joints]
            if not usable.any():
                continue
            # Not a matrix multiplication, which would spread NaN to every joint.
            made = (points[:, level.sources] * level.weights[..., None]).sum(axis=2)
            mixed[:, level.joints] = np.where(usable[..., None], made, mixed[:, level.joints])
            if lowest is not None and scores is not None:
                least = scores[:, level.sources].min(axis=2)
                lowest[:, level.joints] = np.where(usable, least, lowest[:, level.joints])
            open_[:, level.joints] &= ~usable
            if not open_.any():
                break
        return mixed, lowest


def in_h36m17(points: Floats, scores: Floats | None, skeleton: str) -> tuple[Floats, Floats | None]:
    """Return what ``to_h36m17`` does of a skeleton by its name; Human3.6M's own as it is."""
    if skeleton == H36M17.name:
        return points, scores
    return skeleton_format(skeleton).to_h36m17(points, scores)


@dataclass(frozen=True, eq=False)
class _Level:
    """The nth recipe of each joint that has one, as arrays padded to one width."""

    joints: NDArray[np.intp]
    sources: NDArray[np.intp]
    weights: Floats


@functools.cache
def _levels(name: str) -> tuple[_Level, ...]:
    skeleton = skeleton_format(name)
    levels = []
    for number in range(max(len(derived.recipes) for derived in skeleton.derived)):
        chosen = [
            (place, derived.recipes[number].terms)
            for place, derived in enumerate(skeleton.derived)
            if len(derived.recipes) > number
        ]
        width = max(len(terms) for _, terms in chosen)
        sources = np.zeros((len(chosen), width), dtype=np.intp)
        weights = np.zeros((len(chosen), width), dtype=np.float32)
        for row, (_, terms) in enumerate(chosen):
            # Padded with the first term's joint at weight 0, so no other joint is needed.
            sources[row] = skeleton.joints.index(terms[0].joint)
            for column, term in enumerate(terms):
                sources[row, column] = skeleton.joints.index(term.joint)
                weights[row, column] = term.weight
        levels.append(_Level(np.array([place for place, _ in chosen]), sources, weights))
    return tuple(levels)


def list_skeletons() -> tuple[str, ...]:
    """Return the names of all formats."""
    return _NAMES


def find_skeleton(joints: Collection[str]) -> str | None:
    """Return the first format that has exactly these joints, in any order, or None."""
    wanted = set(joints)
    return next((name for name in _NAMES if set(skeleton_format(name).joints) == wanted), None)


def skeleton_format(name: str) -> SkeletonFormat:
    """Return the description of a format.

    Raises:
        KeypointsError: No format has this name.
    """
    if not isinstance(name, str) or name not in _NAMES:
        plain = str(name).lower().replace("-", "").replace("_", "").replace(" ", "")
        raise KeypointsError(f"Unknown skeleton {str(name)[:80]!r}.", hint=closest(plain, _NAMES))
    return _read(name)


@functools.cache
def _read(name: str) -> SkeletonFormat:
    text = (_FOLDER / f"{name}.json").read_text(encoding="utf-8")
    return records.build(SkeletonFormat, records.parse_object(text))
