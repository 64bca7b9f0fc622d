"""Skeletons: the joints of a body, their order, their tree and their mirror image."""

from __future__ import annotations

from dataclasses import dataclass


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
        """For each joint, the index of its mirror image (itself for joints in the middle)."""
        order = list(range(len(self.joints)))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)


# Order and parents of the 17-joint Human3.6M convention of VideoPose3D (Pavllo et al., CVPR 2019),
# which every model family here shares.
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
