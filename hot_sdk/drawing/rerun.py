"""Record video, 2D keypoints, 3D poses and latency on one timeline for the Rerun viewer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.optional import require
from hot_sdk.drawing.canvas import opencv
from hot_sdk.drawing.people import PersonClip
from hot_sdk.drawing.scene_3d import LINKS
from hot_sdk.drawing.style import Style, link_colors
from hot_sdk.errors import UsageError
from hot_sdk.skeletons import H36M17

FRAME, SECONDS = "frame", "seconds"
"""Names of the timelines."""

IMAGE_SIDE = 640
"""Pixels of the longer side of recorded images, if nothing else is given."""

# What a recording takes at most but for pictures full of noise.
_BYTES, _BYTES_PER_PERSON, _BYTES_PER_IMAGE = 2_000_000, 4_000, 80_000
_JPEG_QUALITY = 70
_SMALLEST_SIDE = 16
_APART_M = 1.2
_RADIUS_M = 0.025


def write_rerun(
    path: str | Path,
    people: Sequence[PersonClip],
    *,
    timestamps: NDArray[np.floating],
    images: Iterable[NDArray[np.uint8]] | None = None,
    latency_ms: NDArray[np.floating] | None = None,
    image_side: int = IMAGE_SIDE,
) -> Path:
    """Write a file that ``rerun FILE`` shows; no viewer is started.

    Entities: ``video/image`` (JPEG); ``video/person_ID`` and ``video/person_ID/links`` in pixels of
    the recorded images, which are smaller than the video's unless those are small already;
    ``world/person_ID/pose`` and ``.../links`` in meters along the camera's axes (right, down,
    forward), at their roots if these are known and side by side otherwise; joints that are not
    valid are smaller; ``latency/frame`` in milliseconds. Timelines: ``frame`` and ``seconds``.

    Args:
        path: A name that ends in ``.rrd``.
        people: All people, with different ``track_id``s.
        timestamps: (frames,), seconds, of the video's frames.
        images: (height, width, 3), blue, green, red, one for each frame from the first on; read
            one by one.
        latency_ms: (frames,), not finite if unknown.
        image_side: Pixels of the longer side of the recorded images; a video of fewer keeps its
            own. Without ``images``, keypoints are recorded in pixels of their own image.

    Returns:
        The path.

    Raises:
        UsageError: The name has another suffix or cannot be written, ids are not unique, there are
            more frames than timestamps, or the side is below 16.
        MissingDependencyError: rerun-sdk is not installed, or OpenCV although there are images.
    """
    target = Path(path)
    if target.suffix.lower() != ".rrd":
        raise UsageError(f"'{target}' does not end in .rrd.", hint="Name the recording out.rrd.")
    require_writable_target(target)
    names = _names(people)
    _check_lengths(people, timestamps, latency_ms)
    rr = require("rerun", extra="viz", purpose="A Rerun recording")
    size = None
    if images is not None:
        opencv()
        size = _recorded_size(people, image_side)
    _check_room(target, len(timestamps), len(people), has_images=images is not None)
    with replaced_on_success(target) as temporary:
        # Not the default recording of the process or the thread.
        stream = rr.RecordingStream("hot-sdk")
        try:
            stream.save(temporary, default_blueprint=_blueprint(latency_ms is not None))
            recording = _Recording(rr, stream, timestamps, size, image_side)
            stream.log("world", rr.ViewCoordinates.RDF, static=True)
            for place, (name, person) in enumerate(zip(names, people, strict=True)):
                recording.send_keypoints(f"video/{name}", person)
                offset_m = _APART_M * (place - (len(people) - 1) / 2)
                recording.send_poses(f"world/{name}", person, offset_m)
            if latency_ms is not None:
                recording.send_latency(latency_ms)
            if images is not None:
                recording.send_images(images)
            stream.flush()
        except RuntimeError as error:
            # Rerun writes in a thread of its own, which a full disk ends.
            if "writer" not in str(error):
                raise
            raise UsageError(
                f"'{target}' cannot be written: {' '.join(str(error).split())}.",
                hint="Make room on the disk, or choose another folder.",
            ) from error
        finally:
            # Otherwise the file stays open, and is written to, until the stream is collected.
            stream.disconnect()
    return target


def _check_room(target: Path, frames: int, people: int, *, has_images: bool) -> None:
    """Check that a recording fits on the disk: Rerun may wait for ever once it is full."""
    needed = _BYTES + frames * (people * _BYTES_PER_PERSON + has_images * _BYTES_PER_IMAGE)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise UsageError(
            f"'{target}' may take {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.",
            hint="Make room on the disk, or choose another folder.",
        )


def _recorded_size(people: Sequence[PersonClip], side: int) -> tuple[int, int] | None:
    """Return the size of the recorded images; None, for that of the first one, without people."""
    if side < _SMALLEST_SIDE:
        raise UsageError(
            f"image_side is {side}; expected {_SMALLEST_SIDE} pixels or more.",
            hint=f"Leave it out for {IMAGE_SIDE}.",
        )
    return _fitted(people[0].keypoints.image_size, side) if people else None


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def _names(people: Sequence[PersonClip]) -> list[str]:
    names = [
        "person_" + re.sub(r"[^A-Za-z0-9_-]", "_", str(place if p.track_id is None else p.track_id))
        for place, p in enumerate(people)
    ]
    if len(set(names)) != len(names):
        raise UsageError(
            f"The people are called {', '.join(names)}.", hint="Give them different track_ids."
        )
    return names


def _check_lengths(
    people: Sequence[PersonClip],
    timestamps: NDArray[np.floating],
    latency_ms: NDArray[np.floating] | None,
) -> None:
    longest = max((person.start + len(person) for person in people), default=0)
    longest = max(longest, 0 if latency_ms is None else len(latency_ms))
    if longest > len(timestamps):
        raise UsageError(
            f"There are {longest} frames and {len(timestamps)} timestamps.",
            hint="Give the time of each of the video's frames.",
        )


def _blueprint(has_latency: bool) -> object:
    rrb = require("rerun.blueprint", extra="viz", purpose="A Rerun recording")
    views = rrb.Horizontal(
        rrb.Spatial2DView(origin="video", name="Video and keypoints"),
        rrb.Spatial3DView(origin="world", name="3D pose"),
    )
    if not has_latency:
        return rrb.Blueprint(views)
    strip = rrb.TimeSeriesView(origin="latency", name="Latency, ms")
    return rrb.Blueprint(rrb.Vertical(views, strip, row_shares=[4, 1]))


@dataclass(frozen=True, eq=False)
class _Recording:
    rr: ModuleType
    stream: Any
    timestamps: NDArray[np.floating]
    size: tuple[int, int] | None
    image_side: int

    def send_keypoints(self, entity: str, person: PersonClip) -> None:
        rr, skeleton = self.rr, person.keypoints.skeleton_format
        own = person.keypoints.image_size
        scale = np.array(self.size or own) / own
        points = person.keypoints.points * scale.astype(np.float32)
        self._describe(entity, skeleton.joints, *person.sides)
        scores = person.keypoints.scores
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=-1))
        if scores is not None:
            seen &= scores > 0.0
        ids = np.broadcast_to(np.arange(points.shape[1]), seen.shape)[seen]
        certain = np.ones(len(ids)) if scores is None else scores[seen]
        columns = rr.Points2D.columns(
            positions=points[seen],
            radii=-(1.5 + 2.5 * certain),  # Negative: points of the screen.
            class_ids=np.zeros(len(ids), dtype=np.uint16),
            keypoint_ids=ids.astype(np.uint16),
        )
        # A frame without the person has no points, which clears those of the frame before.
        indexes = self._indexes(np.arange(len(person)) + person.start)
        self.stream.send_columns(entity, indexes, columns.partition(seen.sum(axis=1)))
        links = np.array(skeleton.link_indices, dtype=np.intp).reshape(-1, 2)
        there: NDArray[np.bool_] = np.asarray(seen[:, links].all(axis=-1))
        colors = np.array(link_colors(Style(), skeleton.link_indices, *person.sides), np.uint8)
        strips = rr.LineStrips2D.columns(
            strips=points[:, links][there], colors=colors[np.nonzero(there)[1], ::-1]
        )
        self.stream.send_columns(f"{entity}/links", indexes, strips.partition(there.sum(axis=1)))

    def send_poses(self, entity: str, person: PersonClip, offset_m: float) -> None:
        poses, result = person.poses_m, person.result
        if poses is None or result is None:
            return
        rr = self.rr
        there: NDArray[np.bool_] = np.asarray(
            result.valid.any(axis=1) & np.isfinite(poses).all(axis=(1, 2))
        )
        if person.roots_m is None:
            self.stream.log(entity, rr.Transform3D(translation=[offset_m, 0.0, 0.0]), static=True)
        else:
            there &= np.isfinite(person.roots_m).all(axis=1)
            poses = poses + person.roots_m[:, None]
        self._describe(entity, H36M17.joints, H36M17.left, H36M17.right)
        indexes = self._indexes(np.arange(len(person)) + person.start)
        joints, frames = len(H36M17.joints), int(there.sum())
        columns = rr.Points3D.columns(
            positions=poses[there].reshape(-1, 3),
            radii=np.where(result.valid[there], _RADIUS_M, 0.4 * _RADIUS_M).reshape(-1),
            class_ids=np.zeros(joints * frames, dtype=np.uint16),
            keypoint_ids=np.tile(np.arange(joints, dtype=np.uint16), frames),
        )
        self.stream.send_columns(f"{entity}/pose", indexes, columns.partition(joints * there))
        colors = np.array(link_colors(Style(), LINKS, H36M17.left, H36M17.right), np.uint8)
        strips = rr.LineStrips3D.columns(
            strips=poses[there][:, np.array(LINKS)].reshape(-1, 2, 3),
            colors=np.tile(colors[:, ::-1], (frames, 1)),
        )
        self.stream.send_columns(f"{entity}/links", indexes, strips.partition(len(LINKS) * there))

    def send_latency(self, latency_ms: NDArray[np.floating]) -> None:
        rr, entity = self.rr, "latency/frame"
        self.stream.log(entity, rr.SeriesLines(names="ms per frame"), static=True)
        known = np.flatnonzero(np.isfinite(latency_ms))
        columns = rr.Scalars.columns(scalars=latency_ms[known].astype(np.float64))
        self.stream.send_columns(entity, self._indexes(known), columns)

    def send_images(self, images: Iterable[NDArray[np.uint8]]) -> None:
        cv2, size = opencv(), self.size
        for number, image in enumerate(images):
            if number >= len(self.timestamps):
                raise UsageError(
                    f"There are more images than the {len(self.timestamps)} timestamps.",
                    hint="Give the time of each of the video's frames.",
                )
            size = size or _fitted((image.shape[1], image.shape[0]), self.image_side)
            if image.shape[1::-1] != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            columns = self.rr.EncodedImage.columns(
                blob=[encoded.tobytes()], media_type=["image/jpeg"]
            )
            indexes = self._indexes(np.array([number]))
            self.stream.send_columns("video/image", indexes, columns)

    def _indexes(self, frames: NDArray[np.intp]) -> list[Any]:
        seconds = self.timestamps[frames].astype(np.float64)
        return [
            self.rr.TimeColumn(FRAME, sequence=frames),
            self.rr.TimeColumn(SECONDS, duration=seconds),
        ]

    def _describe(
        self, entity: str, joints: Sequence[str], left: Sequence[int], right: Sequence[int]
    ) -> None:
        # Links are lines, because the viewer draws connections of keypoint ids only with both ends.
        rr, style = self.rr, Style()
        described = rr.ClassDescription(
            info=rr.AnnotationInfo(id=0, label="person"),
            keypoint_annotations=[
                rr.AnnotationInfo(id=at, label=name, color=style.side(at, left, right)[::-1])
                for at, name in enumerate(joints)
            ],
        )
        self.stream.log(entity, rr.AnnotationContext([described]), static=True)
