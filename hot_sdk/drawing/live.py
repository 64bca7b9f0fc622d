"""Show images, 2D keypoints, 3D poses and latency in the Rerun viewer while they are made."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.closing import Closing
from hot_sdk._base.files import require_writable_target
from hot_sdk._base.optional import require
from hot_sdk.drawing.canvas import opencv
from hot_sdk.drawing.rerun import FRAME, IMAGE_SIDE, SECONDS
from hot_sdk.drawing.scene_3d import LINKS
from hot_sdk.drawing.style import Style, link_colors
from hot_sdk.errors import UsageError
from hot_sdk.keypoints import Keypoints
from hot_sdk.results.result import ROBOT_AXES
from hot_sdk.results.rotations import from_axes
from hot_sdk.skeletons import H36M17
from hot_sdk.streams import StreamPose

LIVE = "live"
"""The target that starts a viewer on this computer."""

_PURPOSE = "The live viewer"
_URL = re.compile(r"rerun\+https?://[^\s]+")
_JPEG_QUALITY = 70
_RADIUS_M = 0.025

# The square root of the 95 % quantile of the chi-squared distribution of three variables.
_WITHIN_95 = 2.7955
_SHORTEST_M = 1e-4


class LiveViewer(Closing):
    """A live view of a stream in Rerun; as a context manager, flushes and disconnects.

    Entities: ``video/image`` (JPEG); ``video/ID`` and ``video/ID/links`` in pixels of the images,
    which are made smaller; ``world/ID/pose`` and ``world/ID/links``, the valid joints in meters in
    the frame of the poses, which is the robot's if the stream knows where the camera is;
    ``world/ID/covariance``, ellipsoids that hold a joint with 95 %; ``latency/delay``, how late
    poses are, and ``latency/frame``, the cost of a frame, milliseconds. Timelines: ``frame`` and
    ``seconds``. Of someone whose place is unknown, the pose is drawn about the origin.

    Args:
        target: ``live`` starts a viewer here; ``rerun+http://HOST:9876/proxy`` connects to one that
            runs; a name that ends in .rrd records a file.
        image_side: Pixels of the longer side of the images that are sent.

    Raises:
        UsageError: The target is none of these, there is no screen for a viewer, or the file cannot
            be written.
        MissingDependencyError: rerun-sdk is not installed.
    """

    def __init__(self, target: str | Path = LIVE, *, image_side: int = IMAGE_SIDE) -> None:
        name = check_viewer(target)
        self._rr: ModuleType = require("rerun", extra="viz", purpose=_PURPOSE)
        self._side = image_side
        self._frames = 0
        self._shown: set[str] = set()
        self._axes: str | None = None
        self._stream: Any = self._rr.RecordingStream("hot-sdk")
        blueprint = _blueprint()
        self._is_file = not (name == LIVE or _URL.fullmatch(name))
        if name == LIVE:
            self._stream.spawn(default_blueprint=blueprint, hide_welcome_screen=True)
        elif self._is_file:
            self._stream.save(name, default_blueprint=blueprint)
        else:
            self._stream.connect_grpc(name, default_blueprint=blueprint)

    def show(
        self,
        timestamp: float,
        *,
        image: NDArray[np.uint8] | None = None,
        people: Sequence[Keypoints] = (),
        poses: Sequence[StreamPose] = (),
        latency_ms: float | None = None,
    ) -> None:
        """Show the next frame of a stream.

        Args:
            timestamp: Time of the frame, seconds.
            image: (height, width, 3), blue, green, red.
            people: Keypoints of one frame each, which were found in the image.
            poses: What the stream returned with it, of this frame and of earlier ones.
            latency_ms: What the frame cost.
        """
        rr, stream = self._rr, self._stream
        for pose in poses:  # First, since they are older.
            self._at(pose.timestamp)
            self._show_pose(pose)
            stream.log("latency/delay", rr.Scalars(1e3 * pose.delay_s))
        self._at(timestamp)
        stream.set_time(FRAME, sequence=self._frames)
        self._frames += 1
        scale = 1.0
        if image is not None:
            scale = min(1.0, self._side / max(image.shape[:2]))
            stream.log("video/image", _encoded(rr, image, scale))
        if latency_ms is not None:
            stream.log("latency/frame", rr.Scalars(latency_ms))
        names = set()
        for person in people:
            names.add(entity := f"video/{_name(person.track_id)}")
            self._show_keypoints(entity, person, scale)
        for gone in self._shown - names:
            stream.log(gone, rr.Clear(recursive=True))
            stream.log(f"world/{gone.partition('/')[2]}", rr.Clear(recursive=True))
        self._shown = names

    def close(self) -> None:
        """Send what is left, and disconnect; closing twice is allowed."""
        stream, self._stream = self._stream, None
        if stream is not None:
            if self._is_file:
                stream.flush()  # A viewer that is gone would be waited for.
            stream.disconnect()

    def _at(self, timestamp: float) -> None:
        self._stream.set_time(SECONDS, duration=timestamp)

    def _show_keypoints(self, entity: str, person: Keypoints, scale: float) -> None:
        rr, skeleton = self._rr, person.skeleton_format
        points = person.points[0] * np.float32(scale)
        seen: NDArray[np.bool_] = np.isfinite(points).all(axis=-1)
        if person.scores is not None:
            seen = seen & (person.scores[0] > 0.0)
        joints = skeleton.joints
        left = tuple(joints.index(name) for name in skeleton.left)
        right = tuple(joints.index(name) for name in skeleton.right)
        colors = [Style().side(at, left, right)[::-1] for at in np.flatnonzero(seen).tolist()]
        radii = -3.0  # Negative: points of the screen.
        self._stream.log(entity, rr.Points2D(points[seen], radii=radii, colors=colors))
        links = np.array(skeleton.link_indices, dtype=np.intp).reshape(-1, 2)
        there = seen[links].all(axis=-1)
        shades = np.array(link_colors(Style(), skeleton.link_indices, left, right), np.uint8)
        lines = rr.LineStrips2D(points[links][there], colors=shades[there, ::-1])
        self._stream.log(f"{entity}/links", lines)

    def _show_pose(self, pose: StreamPose) -> None:
        rr, stream, entity = self._rr, self._stream, f"world/{_name(pose.track_id)}"
        if pose.axes != self._axes:
            self._axes = pose.axes
            axes = rr.ViewCoordinates.FLU if pose.axes == ROBOT_AXES else rr.ViewCoordinates.RDF
            stream.log("world", axes, static=True)
        placed = bool(np.isfinite(pose.root).all())
        points = np.asarray(pose.joints if placed else pose.pose, dtype=np.float64)
        known: NDArray[np.bool_] = np.isfinite(points).all(axis=-1) & pose.valid
        colors = [
            Style().side(at, H36M17.left, H36M17.right)[::-1]
            for at in np.flatnonzero(known).tolist()
        ]
        joints = rr.Points3D(points[known], radii=_RADIUS_M, colors=colors)
        stream.log(f"{entity}/pose", joints)
        links = np.array(LINKS)
        there = known[links].all(axis=-1)
        shades = np.array(link_colors(Style(), LINKS, H36M17.left, H36M17.right), np.uint8)
        lines = rr.LineStrips3D(points[links][there], colors=shades[there, ::-1])
        stream.log(f"{entity}/links", lines)
        covariance = pose.joints_covariance if placed else pose.covariance
        if covariance is None:
            return
        sure = known & np.isfinite(covariance).all(axis=(-2, -1))
        half_sizes, turns = ellipsoids(covariance[sure])
        stream.log(
            f"{entity}/covariance",
            rr.Ellipsoids3D(centers=points[sure], half_sizes=half_sizes, quaternions=turns),
        )


def check_viewer(target: str | Path) -> str:
    """Check that a viewer can be shown, before any heavy work.

    Returns:
        The target as text.

    Raises:
        UsageError: See ``LiveViewer``.
    """
    name = str(target)
    if name == LIVE:
        # Wayland's socket or X's display; macOS and Windows need neither.
        known = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
        if not known:
            raise UsageError(
                "There is no screen here for a viewer.",
                hint="Start 'rerun' on a computer with one, and give its address, such as"
                " rerun+http://192.0.2.5:9876/proxy; or the name of a recording, as out.rrd.",
            )
    elif name.lower().endswith(".rrd"):
        require_writable_target(Path(name))
    elif not _URL.fullmatch(name):
        raise UsageError(
            f"The viewer is '{name:.200}'.",
            hint=f"Give {LIVE}, rerun+http://HOST:9876/proxy, or a name that ends in .rrd.",
        )
    return name


def ellipsoids(
    covariances: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ellipsoids that hold a point with 95 %: half sizes and rotations.

    Args:
        covariances: (points, 3, 3), m².

    Returns:
        Half sizes (points, 3), meters, and quaternions (points, 4), x, y, z, w, that turn the axes
        of the frame to those of the ellipsoids.
    """
    values, vectors = np.linalg.eigh(np.asarray(covariances, dtype=np.float64))
    half_sizes = _WITHIN_95 * np.sqrt(np.maximum(values, 0.0))
    return np.maximum(half_sizes, _SHORTEST_M), from_axes(vectors[..., 0], vectors[..., 1])


def _encoded(rr: ModuleType, image: NDArray[np.uint8], scale: float) -> Any:  # noqa: ANN401
    cv2 = opencv()
    if scale < 1.0:
        size = (round(scale * image.shape[1]), round(scale * image.shape[0]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return rr.EncodedImage(contents=encoded.tobytes(), media_type="image/jpeg")


def _blueprint() -> object:
    rrb = require("rerun.blueprint", extra="viz", purpose=_PURPOSE)
    views = rrb.Horizontal(
        rrb.Spatial2DView(origin="video", name="Video and keypoints"),
        rrb.Spatial3DView(origin="world", name="3D poses"),
    )
    strip = rrb.TimeSeriesView(origin="latency", name="Latency, ms")
    return rrb.Blueprint(rrb.Vertical(views, strip, row_shares=[4, 1]))


def _name(track_id: object) -> str:
    return "person_" + re.sub(r"[^A-Za-z0-9_-]", "_", str(track_id))
