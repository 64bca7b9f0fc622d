"""From the poses of one frame to ROS 2 messages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk.cameras import CameraPose
from hot_sdk.errors import UsageError
from hot_sdk.results.result import CAMERA_AXES
from hot_sdk.results.rotations import from_axes
from hot_sdk.ros import names
from hot_sdk.ros.kinematics import body_rotation, joint_angles
from hot_sdk.ros.network import messages
from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose
from hot_sdk.streams.observations import TrackId

Floats = NDArray[np.float64]

SECOND = 1_000_000_000

JOINT_STATES, POSES, JOINTS = "joint_states", "poses", "joints"
"""Topics of a body: angles, positions, and positions with velocities and covariances."""

CLOUD_FIELDS = (
    *("x", "y", "z", "vx", "vy", "vz"),
    *("cov_xx", "cov_xy", "cov_xz", "cov_yy", "cov_yz", "cov_zz"),
)
"""Of each joint in ``joints``: meters, m/s and m², float32; NaN where it is not known."""

_BONES = [(child, parent) for child, parent in enumerate(H36M17.parents) if parent >= 0]
_UPPER = np.triu_indices(3)
_PELVIS, _THORAX = H36M17.joints.index("pelvis"), H36M17.joints.index("thorax")

_ADD, _DELETE = 0, 2
_LINE_LIST, _SPHERE_LIST, _TEXT = 5, 7, 9
_LIFETIME_NS = SECOND // 2  # A marker that is not renewed disappears.
_COLORS = ((0.1, 0.6, 1.0), (1.0, 0.5, 0.1), (0.3, 0.8, 0.3), (0.9, 0.3, 0.6))


@dataclass(frozen=True, eq=False)
class Outgoing:
    """A message and its topic.

    Attributes:
        topic: Name in ROS.
        build: Returns the message, one of ``hot_sdk.ros.messages``; not called if nobody wants it.
        body: The one body that the topic is about; empty if it is about all.
    """

    topic: str
    build: Callable[[], Any]
    body: str = ""


def messages_of(
    poses: Sequence[StreamPose],
    stamp_ns: int,
    *,
    bodies: Mapping[TrackId, str],
    is_relative: bool,
    frame_id: str,
    gone: Sequence[str] = (),
    announces: bool = True,
) -> Iterator[Outgoing]:
    """Yield the messages about one frame.

    Args:
        poses: Of all people of the frame.
        stamp_ns: When the image was taken, nanoseconds since 1970.
        bodies: The id of each person's body.
        is_relative: Positions are relative to the person's root, in a frame named after it and the
            body, which no transform leads to.
        frame_id: Frame of positions that are absolute.
        gone: Bodies that were in an earlier frame and are to disappear.
        announces: Say which bodies there are.

    Raises:
        UsageError: The poses are relative, and the model's unit is not meters.
    """
    types = messages()
    header = _header(stamp_ns, frame_id)
    people = []
    for pose in poses:
        body = bodies[pose.track_id]
        own = _header(stamp_ns, f"{pose.root_joint}_{body}") if is_relative else header
        people.append(_Person(body, own, pose, known_points(pose, is_relative=is_relative)))
    for one in people:
        for name, build in (
            (JOINT_STATES, one.joint_state),
            (POSES, one.pose_array),
            (JOINTS, functools.partial(one.cloud, is_relative=is_relative)),
        ):
            yield Outgoing(names.body_topic(one.body, name), build, one.body)
    if people or gone:

        def markers() -> Any:  # noqa: ANN401
            deleted = [_deleted(body, number) for body in gone for number in range(3)]
            return types.MarkerArray(deleted + [one for who in people for one in who.markers()])

        yield Outgoing(names.MARKERS, markers)
    if not is_relative and any(one.rotation is not None for one in people):

        def transforms() -> Any:  # noqa: ANN401
            return types.TFMessage([one for who in people for one in who.transforms()])

        yield Outgoing(names.TF, transforms)
    if announces:
        ids = types.IdsList(header, [one.body for one in people])
        yield Outgoing(names.TRACKED, lambda: ids)


def kind_of(topic: str) -> type:
    """Return the type of a topic's messages.

    Raises:
        UsageError: It is none of those that are published.
    """
    types = messages()
    last = topic.rpartition("/")[2] if topic.startswith(f"{names.BODIES}/") else topic
    kinds: dict[str, type] = {
        JOINT_STATES: types.JointState,
        POSES: types.PoseArray,
        JOINTS: types.PointCloud2,
        "tracked": types.IdsList,
        names.MARKERS: types.MarkerArray,
        names.TF: types.TFMessage,
        names.TF_STATIC: types.TFMessage,
    }
    if last not in kinds:
        raise UsageError(
            f"'{topic}' is none of the topics that are published.",
            hint=f"Expected one such as {names.MARKERS} or {names.body_topic('p1', POSES)}.",
        )
    return kinds[last]


def optical_frame(stamp_ns: int, parent: str, frame_id: str) -> Outgoing:
    """Return the transform from a camera's body frame (x forward) to its optical frame (z forward).

    It is that of REP-103 for every camera, and makes people upright in a viewer.
    """
    types = messages()
    turn = types.Transform(rotation=types.Quaternion(-0.5, 0.5, -0.5, 0.5))
    stamped = types.TransformStamped(_header(stamp_ns, parent), frame_id, turn)
    return Outgoing(names.TF_STATIC, lambda: types.TFMessage([stamped]))


def known_points(pose: StreamPose, *, is_relative: bool) -> Floats:
    """Return joints in meters, (17, 3), along the axes of the message's frame; NaN if not valid.

    Raises:
        UsageError: They are relative, and the model's unit is not meters.
    """
    if is_relative and pose.unit != "m":
        raise UsageError(
            f"The model's poses are in {pose.unit}, and ROS's messages are in meters.",
            hint="Use a model that returns meters.",
        )
    points = np.asarray(pose.pose if is_relative else pose.joints, dtype=np.float64)
    known = pose.valid[:, None] & np.isfinite(points).all(axis=1, keepdims=True)
    found: Floats = np.where(known, points, np.nan) @ _turn(pose, is_relative=is_relative).T
    return found


def _turn(pose: StreamPose, *, is_relative: bool) -> Floats:
    """Return the rotation of the pose's axes to those of the message's frame, (3, 3)."""
    # A frame of our own has x forward and z up, as a viewer draws it; an optical frame has not.
    level = is_relative and pose.axes == CAMERA_AXES
    return CameraPose.mounted().rotation if level else np.eye(3)


def _header(stamp_ns: int, frame_id: str) -> Any:  # noqa: ANN401
    types = messages()
    return types.Header(types.Time(stamp_ns // SECOND, stamp_ns % SECOND), frame_id)


@dataclass(frozen=True, eq=False)
class _Person:
    body: str
    header: Any
    pose: StreamPose
    points: Floats

    @functools.cached_property
    def rotation(self) -> Floats | None:
        return body_rotation(self.points)

    def joint_state(self) -> Any:  # noqa: ANN401
        angles = joint_angles(self.points)
        named = [f"{name}_{self.body}" for name in angles]
        return messages().JointState(self.header, named, list(angles.values()))

    def pose_array(self) -> Any:  # noqa: ANN401
        types = messages()
        placed = [types.Pose(types.Point(*point)) for point in self.points.tolist()]
        return types.PoseArray(self.header, placed)

    def cloud(self, *, is_relative: bool) -> Any:  # noqa: ANN401
        types, pose = messages(), self.pose
        known: NDArray[np.bool_] = np.asarray(np.isfinite(self.points).all(axis=1))
        covariance = pose.covariance if is_relative else pose.joints_covariance
        values = np.full((len(known), len(CLOUD_FIELDS)), np.nan, dtype="<f4")
        values[:, :3] = self.points
        if not is_relative:
            values[:, 3:6] = pose.velocity
        if covariance is not None:
            turn = _turn(pose, is_relative=is_relative)
            values[:, 6:] = (turn @ covariance @ turn.T)[:, _UPPER[0], _UPPER[1]]
        values[~known] = np.nan
        fields = [types.PointField(name, 4 * at) for at, name in enumerate(CLOUD_FIELDS)]
        step = values.itemsize * values.shape[1]
        return types.PointCloud2(
            header=self.header,
            height=1,
            width=len(values),
            fields=fields,
            point_step=step,
            row_step=step * len(values),
            data=values.tobytes(),
            is_dense=bool(known.all()),
        )

    def transforms(self) -> list[Any]:
        """Return where the body is, and its valid joints in it; none if that is not known."""
        rotation, types, points = self.rotation, messages(), self.points
        if rotation is None:
            return []
        frame = f"body_{self.body}"
        turn = from_axes(rotation[None, :, 0], rotation[None, :, 1])[0]
        transform = types.Transform(
            types.Vector3(*points[_PELVIS].tolist()), types.Quaternion(*turn.tolist())
        )
        found = [types.TransformStamped(self.header, frame, transform)]
        own = types.Header(self.header.stamp, frame)
        inside = (points - points[_PELVIS]) @ rotation
        for at, name in enumerate(H36M17.joints):
            if at != _PELVIS and np.isfinite(inside[at]).all():
                place = types.Transform(types.Vector3(*inside[at].tolist()))
                found.append(types.TransformStamped(own, f"{name}_{self.body}", place))
        return found

    def markers(self) -> list[Any]:
        types, points = messages(), self.points
        color = _COLORS[sum(self.body.encode()) % len(_COLORS)]
        lines = points[_BONES]
        lines = lines[np.isfinite(lines).all(axis=(1, 2))].reshape(-1, 3)
        joints = points[np.isfinite(points).all(axis=1)]
        found = []
        for number, shape, size, drawn in (
            (0, _LINE_LIST, 0.03, lines),
            (1, _SPHERE_LIST, 0.06, joints),
        ):
            if not len(drawn):  # Viewers report an empty list as an error.
                found.append(_deleted(self.body, number))
                continue
            marker = self._marker(number, shape, color)
            marker.scale = types.Vector3(size, size, size)
            marker.points = [types.Point(*point) for point in drawn.tolist()]
            found.append(marker)
        if not np.isfinite(points[_THORAX]).all():
            return [*found, _deleted(self.body, 2)]
        marker = self._marker(2, _TEXT, (1.0, 1.0, 1.0))
        marker.scale.z, marker.text = 0.15, self.body
        marker.pose.position = types.Point(*points[_THORAX].tolist())
        return [*found, marker]

    def _marker(self, number: int, shape: int, color: tuple[float, float, float]) -> Any:  # noqa: ANN401
        types = messages()
        return types.Marker(
            header=self.header,
            ns=self.body,
            id=number,
            type=shape,
            action=_ADD,
            color=types.ColorRGBA(*color, 1.0),
            lifetime=types.Duration(0, _LIFETIME_NS),
        )


def _deleted(body: str, number: int) -> Any:  # noqa: ANN401
    return messages().Marker(ns=body, id=number, action=_DELETE)
