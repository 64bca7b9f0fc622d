"""What a stream returns: the pose of one person in one frame, and where it is."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.results.result import CAMERA_AXES
from hot_sdk.root.placement import CAMERA_FRAME
from hot_sdk.skeletons import H36M17


def unknown(*shape: int) -> NDArray[Any]:
    """Return NaN of a shape, read-only."""
    values = np.full(shape, np.nan)
    values.setflags(write=False)
    return values


@functools.cache
def _unknown(*shape: int) -> NDArray[Any]:
    """Return NaN of a shape, which all poses share: read-only."""
    return unknown(*shape)


_NOWHERE, _NO_JOINTS, _NO_COVARIANCES = (
    functools.partial(_unknown, *shape) for shape in ((3,), (17, 3), (17, 3, 3))
)


@dataclass(frozen=True, eq=False)
class StreamPose:
    """The pose of one person in one frame, and where it is.

    All positions, velocities and covariances are along ``axes``, those of the frame ``frame_id``:
    the camera's, or the robot's if the stream knows where the camera is. What is not known is NaN.

    Attributes:
        timestamp: Time of the frame, seconds, as it was pushed.
        track_id: The person's id.
        pose: (17, 3), in ``unit`` relative to the joint ``root_joint``, at the person's size as far
            as it is known: what the network returned times ``scale``.
        valid: (17,), False if the joint is only the network's guess.
        unit: Unit of ``pose`` and ``spread``; what is absolute is in meters.
        delay_s: How late the pose is: seconds of stream from its frame to the newest that it
            needed, and of computing from the push of that one until now.
        spread: (17, 3), as in ``Pose3DResult``; None if the network does not judge it.
        axes: ``CAMERA_AXES`` or ``ROBOT_AXES`` of ``hot_sdk.results.result``.
        frame_id: Name of the frame, as in ROS's headers.
        root_joint: ``pelvis``, or ``thorax`` of someone whose hips are not seen.
        root: (3,), where that joint is, meters.
        joints: (17, 3), where the joints are, meters: ``root`` plus ``pose``; NaN if not valid.
        velocity: (17, 3), of ``joints``, m/s; of the root alone while the others' is not known.
        covariance: (17, 3, 3), of ``pose`` in meters; None if the network judges no spread.
        joints_covariance: (17, 3, 3), of ``joints``, m²; NaN without a spread.
        velocity_covariance: (17, 3, 3), of ``velocity``, m²/s²; likewise.
        scale: Size of the person over that of the network's poses; 1 while nothing tells it.
        scale_spread: Standard deviation of its logarithm: that of adults' statures while nothing
            tells it.
        root_error: Root mean square distance between keypoints and projected joints, pixels.
        keypoints: (17, 3), x and y in pixels and score of the joints of ``H36M17`` as they were
            pushed.
        contacts: (2,), how likely the right and the left foot stands; None if not asked for.
    """

    timestamp: float
    track_id: int | str | None
    pose: NDArray[np.float32]
    valid: NDArray[np.bool_]
    unit: str
    delay_s: float
    spread: NDArray[np.float32] | None = None
    axes: str = CAMERA_AXES
    frame_id: str = CAMERA_FRAME
    root_joint: str = H36M17.joints[0]
    root: NDArray[np.float64] = field(default_factory=_NOWHERE)
    joints: NDArray[np.float64] = field(default_factory=_NO_JOINTS)
    velocity: NDArray[np.float64] = field(default_factory=_NO_JOINTS)
    covariance: NDArray[np.float64] | None = None
    joints_covariance: NDArray[np.float64] = field(default_factory=_NO_COVARIANCES)
    velocity_covariance: NDArray[np.float64] = field(default_factory=_NO_COVARIANCES)
    scale: float = 1.0
    scale_spread: float = np.nan
    root_error: float = np.nan
    keypoints: NDArray[np.floating] = field(default_factory=_NO_JOINTS)
    contacts: NDArray[np.float64] | None = None

    @property
    def root_index(self) -> int:
        """Number of ``root_joint`` among the joints."""
        return H36M17.joints.index(self.root_joint)

    @property
    def root_velocity(self) -> NDArray[np.float64]:
        """(3,), of the root, m/s."""
        own: NDArray[np.float64] = self.velocity[self.root_index]
        return own

    @property
    def root_covariance(self) -> NDArray[np.float64]:
        """(3, 3), of the root, m²."""
        own: NDArray[np.float64] = self.joints_covariance[self.root_index]
        return own
