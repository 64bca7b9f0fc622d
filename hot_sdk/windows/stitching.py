"""The poses of windows put together again to those of the clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hot_sdk.errors import UsageError
from hot_sdk.seams import SeamReport, measure_seams, steps_at_seams
from hot_sdk.windows.planning import Plan, Window

Floats = NDArray[np.float32]


class Stitcher:
    """Puts the poses of windows together, one window after the other.

    Where several windows give a frame, their poses are averaged with weights that rise from a
    window's ends over the overlap, so that no window begins or ends with a step; not at the clip's
    own ends. Memory is that of the clip, however many windows there are.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sum: Floats | None = None
        self._weight = np.zeros((plan.frames, 1, 1), dtype=np.float32)
        self._next = 0
        self._before: Floats | None = None
        self._disagreements: list[Floats] = []

    def add(self, poses: Floats) -> None:
        """Add the next window's poses, (length, joints, channels).

        Raises:
            UsageError: The plan has no more windows, or this one is of another length or of other
                joints than those before.
        """
        windows = self.plan.windows
        if self._next == len(windows):
            raise UsageError(
                f"More windows were given than the {len(windows)} of the plan.",
                hint="Give the poses of every window once, in order.",
            )
        window = windows[self._next]
        expected = (window.length, *(poses.shape[1:] if self._sum is None else self._sum.shape[1:]))
        if poses.ndim != 3 or poses.shape != expected:
            raise UsageError(
                f"Window {self._next} has shape {poses.shape}; expected {window.length} frames, in"
                " an array (frames, joints, channels) with the joints and channels of the others.",
                hint="Give the poses of every position of the window.",
            )
        if self._sum is None:
            self._sum = np.zeros((self.plan.frames, *poses.shape[1:]), dtype=np.float32)
        first, end = window.gives
        # A copy, for an engine may write its next run into the same buffer.
        given = poses[window.at()]
        if self._before is not None:
            apart = given[: len(self._before)] - self._before
            self._disagreements.append(np.linalg.norm(apart, axis=-1).mean(axis=-1))
        self._next += 1
        following = windows[self._next].gives[0] if self._next < len(windows) else end
        self._before = given[following - first :] if following < end else None
        if self.plan.overlap == 0:
            self._sum[first:end] = given
            return
        weight = _weights(self.plan, window)[:, None, None]
        self._sum[first:end] += weight * given
        self._weight[first:end] += weight

    def result(self) -> Floats:
        """The clip's poses, (frames, joints, channels), float32.

        Raises:
            UsageError: Not all windows were added.
        """
        if self._sum is None or self._next < len(self.plan.windows):
            raise UsageError(
                f"{self._next} of the plan's {len(self.plan.windows)} windows were given.",
                hint="Give the poses of every window once, in order.",
            )
        return self._sum if self.plan.overlap == 0 else self._sum / self._weight

    def seams(self, poses: Floats, unit: str) -> SeamReport | None:
        """How even ``poses``, the result, are where windows meet; None where there is one."""
        if len(self.plan.windows) < 2:
            return None
        apart = np.concatenate(self._disagreements) if self._disagreements else None
        return measure_seams(
            poses, _seam_steps(self.plan), apart, seams=len(self.plan.windows) - 1, unit=unit
        )


def _weights(plan: Plan, window: Window) -> Floats:
    """Weight of each frame that a window of blended ones gives, before they are made to sum to 1.

    Whole numbers, so that their sums are exact. The first window does not rise and the last does
    not fall: a window that begins or ends a frame away from the clip's end would else take a third
    of the weight at once. As it is, all weights of a frame sum to more than the overlap, and those
    of two windows move by at most one part in ``overlap + 1`` from a frame to the next.
    """
    first, end = window.gives
    place = np.arange(1, end - first + 1)
    weight = np.full(end - first, plan.overlap + 1)
    if first > 0:
        weight = np.minimum(weight, place)
    if end < plan.frames:
        weight = np.minimum(weight, place[::-1])
    return weight.astype(np.float32)


def _seam_steps(plan: Plan) -> NDArray[np.bool_]:
    """Whether each step, from a frame to the next, is at a seam, (frames - 1,)."""
    if plan.overlap == 0:
        at_seam = np.zeros(plan.frames - 1, dtype=np.bool_)
        at_seam[[window.gives[0] - 1 for window in plan.windows[1:]]] = True
        return at_seam
    weights = [(window.gives[0], _weights(plan, window)) for window in plan.windows]
    return steps_at_seams(plan.frames, weights)


def stitch(plan: Plan, outputs: Floats | Sequence[Floats]) -> Floats:
    """Put the poses of all windows together.

    Args:
        plan: How the clip was cut.
        outputs: (windows, length, joints, channels), or a sequence of such windows.

    Returns:
        (frames, joints, channels), float32.

    Raises:
        UsageError: There are more or fewer windows than the plan has, or of another length.
    """
    if len(outputs) != len(plan.windows):
        raise UsageError(
            f"{len(outputs)} windows were given to a plan of {len(plan.windows)}.",
            hint="Give the poses of every window, in order.",
        )
    stitcher = Stitcher(plan)
    for poses in outputs:
        stitcher.add(poses)
    return stitcher.result()
