"""Check what a result holds, and that keypoints are those that it was lifted from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.disk_arrays import parts
from hot_sdk.cameras import Intrinsics
from hot_sdk.errors import ResultError, UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.skeletons import H36M17

_JOINTS = len(H36M17.joints)
_EACH_JOINT, _COVARIANCES = (_JOINTS, 3), (_JOINTS, 3, 3)

ARRAYS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "poses": (_EACH_JOINT, np.float32),
    "valid": ((_JOINTS,), np.bool_),
    "timestamps": ((), np.float64),
    "root": ((3,), np.float32),
    "root_error": ((), np.float32),
    "spread": (_EACH_JOINT, np.float32),
    "velocity": (_EACH_JOINT, np.float32),
    "joints_covariance": (_COVARIANCES, np.float32),
    "velocity_covariance": (_COVARIANCES, np.float32),
    "covariance": (_COVARIANCES, np.float32),
    "contacts": ((2,), np.float32),
}
"""Shape of one frame, and type, of each array of a result."""


def require_same(
    keypoints: Keypoints,
    frames: int,
    first_frame: int,
    track_id: int | str | None,
    root_joint: str,
) -> None:
    """Check that keypoints are those that poses were lifted from, which are as they were lifted.

    Raises:
        ResultError: They have another number of frames, begin elsewhere, or are someone else's; or
            the poses are relative to another joint than the pelvis.
    """
    if root_joint != H36M17.joints[0]:
        raise ResultError(
            f"The poses are relative to the {root_joint}.",
            hint="Place the result as the engine returned it.",
        )
    own = "Give the keypoints that these poses were lifted from."
    if len(keypoints) != frames:
        raise ResultError(
            f"The keypoints have {len(keypoints)} frames, the poses {frames}.", hint=own
        )
    if keypoints.first_frame != first_frame:
        raise ResultError(
            f"The keypoints begin at frame {keypoints.first_frame}, the poses at {first_frame}.",
            hint=own,
        )
    if None not in (keypoints.track_id, track_id) and keypoints.track_id != track_id:
        raise ResultError(
            f"The keypoints are of {keypoints.track_id!r}, the poses of {track_id!r}.", hint=own
        )


def intrinsics_of(keypoints: Keypoints, given: Intrinsics | None) -> Intrinsics:
    """Return the camera's intrinsics: those given, or those of the keypoints.

    Raises:
        UsageError: Neither are known.
    """
    intrinsics = keypoints.camera if given is None else given
    if intrinsics is None:
        raise UsageError(
            "The camera's intrinsics are not known.",
            hint="Give Intrinsics(fx, fy, cx, cy), or keypoints with camera=.",
        )
    return intrinsics


def check_array(
    name: str, values: NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    """Check the shape and type of an array, and that nothing in it is infinite.

    Raises:
        ResultError: They are others, or something is.
    """
    if values.shape != shape:
        raise ResultError(
            f"{name} has shape {values.shape}; expected {shape}.",
            hint="A result holds the same frames in all its parts.",
        )
    if values.dtype != dtype:
        raise ResultError(
            f"{name} holds {values.dtype} values; expected {np.dtype(dtype)}.",
            hint=f"Convert it: {name}.astype('{np.dtype(dtype)}').",
        )
    if any(np.isinf(values[part]).any() for part in parts(values)):
        raise ResultError(
            f"{name} holds infinity.",
            hint="Check the model's weights and precision; NaN marks unknown values.",
        )
