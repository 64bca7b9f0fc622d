"""Choose the joint that a pose is relative to, and say which joints are then valid.

Poses are lifted relative to the pelvis. Of someone behind a table, whose hips are not seen, the
part above can be relative to the thorax; what hangs on a joint that is not seen is not valid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk.skeletons import H36M17

Mask = NDArray[np.bool_]

PELVIS, THORAX = H36M17.joints.index("pelvis"), H36M17.joints.index("thorax")
ROOTS = ("pelvis", "thorax", "auto")


def _path(joint: int, origin: int) -> list[int]:
    """Return the joints from one to another along the bones, both counted."""

    def ancestors(one: int) -> list[int]:
        found = [one]
        while H36M17.parents[found[-1]] >= 0:
            found.append(H36M17.parents[found[-1]])
        return found

    there, back = ancestors(joint), ancestors(origin)
    shared = next(one for one in there if one in back)
    return there[: there.index(shared) + 1] + back[: back.index(shared)]


def _between() -> Mask:
    count = len(H36M17.joints)
    table = np.zeros((count, count), dtype=np.bool_)
    for joint in range(count):
        table[joint, _path(joint, THORAX)] = True
    return table


_HANGS_ON = _between()
"""(17, 17), which joints, in the columns, each one hangs on, seen from the thorax."""


def chosen_origins(valid: Mask, root: str) -> NDArray[np.int64]:
    """Return the joint that each frame's pose is relative to, (frames,).

    Args:
        valid: (frames, 17), joints that were seen, or not long ago.
        root: One of ``ROOTS``; ``auto`` is the thorax where it is known and the pelvis is not.
    """
    if root == "thorax":
        return np.full(len(valid), THORAX)
    if root == "pelvis":
        return np.full(len(valid), PELVIS)
    return np.where(valid[:, PELVIS] | ~valid[:, THORAX], PELVIS, THORAX)


def validity(valid: Mask, origins: NDArray[np.int64]) -> Mask:
    """Return which joints are valid relative to the origins, (frames, 17).

    Relative to the pelvis, all that were seen are, if it was. Relative to the thorax, a joint is if
    it and all joints between them were seen.
    """
    known = valid & valid[np.arange(len(valid)), origins][:, None]
    above = origins == THORAX
    if above.any():
        known[above] &= ~(_HANGS_ON & ~valid[above][:, None]).any(axis=-1)
    return known
