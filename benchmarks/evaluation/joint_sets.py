"""Which of Human3.6M's 17 joints a measure looks at."""

from __future__ import annotations

from hot_sdk.errors import UsageError
from hot_sdk.skeleton import H36M17

ROOT = 0
"""The pelvis; every pose is taken relative to it."""

ALL_JOINTS = tuple(range(len(H36M17.joints)))

LIMBS_NECK_AND_HEAD = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints that two rules share. Human3.6M's 14-joint protocol (Bogo et al., ECCV 2016) takes
the joints of LSP. The evaluation code of MPI-INF-3DHP (Mehta et al., 3DV 2017) groups head top,
neck, shoulders, elbows, wrists, hips, knees and ankles for PCK and AUC. Neither takes pelvis,
spine, or what lies between neck and head top."""

JOINT_SETS = {17: ALL_JOINTS, 14: LIMBS_NECK_AND_HEAD}
"""Joints of an evaluation by their number."""

END_JOINTS = (3, 6, 13, 16)
"""Ankles and wrists: the ends of the limbs, where errors along the limbs add up (Cai et al.,
"HTNet", ICASSP 2023)."""

BONES = tuple((parent, joint) for joint, parent in enumerate(H36M17.parents) if parent >= 0)
"""The 16 bones, each from the joint nearer to the pelvis."""

_PLACE = {bone: place for place, bone in enumerate(BONES)}

MIRRORED_BONES = tuple(
    (_PLACE[H36M17.parents[left], left], _PLACE[H36M17.parents[right], right])
    for left, right in zip(H36M17.left, H36M17.right, strict=True)
)
"""Of each left bone and its mirror image, their places in ``BONES``."""


def joint_set(joints: int) -> tuple[int, ...]:
    """Indices of the joints of an evaluation over 17 or 14 joints.

    Raises:
        UsageError: The number is another.
    """
    if joints not in JOINT_SETS:
        raise UsageError(
            f"There is no set of {joints!r} joints.",
            hint=f"Give one of: {', '.join(map(str, JOINT_SETS))}.",
        )
    return JOINT_SETS[joints]
