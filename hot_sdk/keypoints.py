"""2D keypoints of one person over time: what goes into every lifter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hot_sdk.errors import KeypointsError
from hot_sdk.skeletons import SkeletonFormat, list_skeletons, skeleton_format

if TYPE_CHECKING:
    # In typing from Python 3.11 on; annotations are not evaluated here.
    from typing_extensions import Unpack

MAX_FRAMES = 1_000_000
"""Most frames of one clip: over five hours at 50 frames a second."""

_Float = TypeVar("_Float", np.float32, np.float64)

_MAX_PIXELS = 100_000
_FARTHEST = 1e7
_RATE_TOLERANCE = 0.1


class Known(TypedDict, total=False):
    """What the caller of a reader knows and the file may not say; see ``Keypoints.from_file``."""

    skeleton: str | None
    image_size: tuple[int, int] | None
    fps: float | None
    track_id: int | str | None


@dataclass(frozen=True, eq=False)
class Keypoints:
    """2D keypoints of one person.

    What is missing is NaN in ``points``, both coordinates together; what a detector marks with
    a score is left to the engine, which compares scores with its own limit. Arrays are copied and
    read-only.

    Attributes:
        points: (frames, joints, 2), pixels, x right and y down from the image's upper left corner;
            NaN where a joint is missing.
        scores: (frames, joints), the detector's confidence, 0 to 1 (larger or smaller values are
            cut off there); 0 where a joint is missing. None where the detector gives none.
        skeleton: Name of the joints' order, one of ``list_skeletons()``. Never guessed: the
            17 joints of COCO and of Human3.6M are other joints.
        image_size: Width and height of the image in pixels.
        fps: Frames a second; None where unknown.
        timestamps: (frames,), seconds, strictly increasing; None where frames are evenly spaced.
        track_id: Whose keypoints these are, where there are several people.

    Raises:
        KeypointsError: No skeleton is named, or a value does not fit the others.
    """

    points: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    _: dataclasses.KW_ONLY
    skeleton: str = ""
    image_size: tuple[int, int] = (0, 0)
    fps: float | None = None
    timestamps: NDArray[np.float64] | None = None
    track_id: int | str | None = None

    def __post_init__(self) -> None:
        points = _numbers(self.points, "points", np.float32)
        joints = _checked_skeleton(self.skeleton, points)
        _check_points(points, joints, self.skeleton)
        size = checked_size(self.image_size)
        missing = np.isnan(points).any(axis=-1)
        points[missing] = np.nan
        scores = self.scores
        if scores is not None:
            scores = _checked_scores(scores, points.shape[:2])
            scores[missing] = 0.0
            scores.setflags(write=False)
        points.setflags(write=False)
        timestamps = self.timestamps
        if timestamps is not None:
            timestamps = _checked_timestamps(timestamps, len(points))
            timestamps.setflags(write=False)
        fps = None if self.fps is None else _checked_fps(self.fps, timestamps)
        if not (self.track_id is None or isinstance(self.track_id, (int, str))):
            raise KeypointsError(
                f"track_id is a {type(self.track_id).__name__}.",
                hint="Give a whole number, a text or None.",
            )
        for name, value in (
            ("points", points),
            ("scores", scores),
            ("image_size", size),
            ("fps", fps),
            ("timestamps", timestamps),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.points)

    @property
    def format(self) -> SkeletonFormat:
        """The description of the skeleton."""
        return skeleton_format(self.skeleton)

    @property
    def rate(self) -> float | None:
        """Frames a second: ``fps``, else as the timestamps' median interval says, else None."""
        if self.fps is not None or self.timestamps is None or len(self.timestamps) < 2:
            return self.fps
        with np.errstate(over="ignore"):
            return float(1.0 / np.median(np.diff(self.timestamps)))

    def to_h36m17(self) -> Keypoints:
        """The same person in the 17 joints of Human3.6M, as ``SkeletonFormat`` derives them."""
        if self.skeleton == "h36m17":
            return self
        points, scores = self.h36m17_arrays()
        return dataclasses.replace(self, points=points, scores=scores, skeleton="h36m17")

    def h36m17_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Points (frames, 17, 2) and scores (frames, 17) of ``to_h36m17``, without checking."""
        if self.skeleton == "h36m17":
            return self.points, self.scores
        return self.format.to_h36m17(self.points, self.scores)

    @classmethod
    def from_file(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """Read a keypoint file of any supported kind; see ``hot_sdk.readers``.

        Args:
            path: The file, or a folder of OpenPose's one-frame files.
            **known: What the file does not say: ``skeleton``, ``image_size`` (width and height,
                pixels), ``fps``; and ``track_id``, the person to take where there are several
                (``largest``: the one with the largest box of each frame).

        Raises:
            KeypointsError: The file is none that is known, broken, or holds several people and
                none of them was chosen; or something is needed that it does not say.
        """
        return _read(path, None, **known)

    @classmethod
    def from_openpose(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for OpenPose's JSON only."""
        return _read(path, "openpose", **known)

    @classmethod
    def from_coco(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for COCO's keypoint results or annotations only."""
        return _read(path, "coco", **known)

    @classmethod
    def from_alphapose(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for AlphaPose's JSON only."""
        return _read(path, "alphapose", **known)

    @classmethod
    def from_mediapipe(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for MediaPipe's 33 landmarks, JSON or npz only."""
        return _read(path, "mediapipe", **known)

    @classmethod
    def from_mmpose(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for MMPose's predictions only."""
        return _read(path, "mmpose", **known)

    @classmethod
    def from_npz(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for NumPy archives only; see ``hot_sdk.readers.npz``."""
        return _read(path, "npz", **known)

    @classmethod
    def from_csv(cls, path: str | Path, **known: Unpack[Known]) -> Keypoints:
        """As ``from_file``, for tables only; see ``hot_sdk.readers.csv_table``."""
        return _read(path, "csv", **known)


def _read(path: str | Path, expected: str | None, **known: Unpack[Known]) -> Keypoints:
    from hot_sdk.readers import read_keypoints

    return read_keypoints(path, expected=expected, **known)


def _checked_skeleton(name: str, points: NDArray[np.float32]) -> int:
    if name is None or (isinstance(name, str) and not name):
        joints = points.shape[1] if points.ndim == 3 else "?"
        raise KeypointsError(
            f"No skeleton is named for an array of {joints} joints. It is not guessed, for equal"
            " numbers of joints do not mean equal joints: COCO's 17 and Human3.6M's 17 differ in"
            " order and in place.",
            hint=f"Give skeleton=, one of: {', '.join(list_skeletons())}.",
        )
    return len(skeleton_format(name).joints)


def _numbers(values: object, name: str, dtype: type[_Float]) -> NDArray[_Float]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise KeypointsError(f"{name} is no array: {error}.", hint="Give an array.") from error
    if array.dtype.kind not in "fiu":
        raise KeypointsError(
            f"{name} holds {array.dtype} values; expected numbers.",
            hint="Convert it to a floating-point array, with NaN for what is missing.",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(array, dtype=dtype, order="C")


def _check_points(points: NDArray[np.float32], joints: int, skeleton: object) -> None:
    if points.ndim != 3 or points.shape[1:] != (joints, 2):
        hint = "Give one row of x and y for each joint of each frame."
        if points.ndim == 3 and points.shape[2] == 3:
            hint = "Give the third column as scores: Keypoints(a[..., :2], a[..., 2], ...)."
        raise KeypointsError(
            f"points has shape {points.shape}; expected (frames, {joints}, 2) for the skeleton"
            f" '{skeleton}'.",
            hint=hint,
        )
    if not 1 <= len(points) <= MAX_FRAMES:
        raise KeypointsError(
            f"points has {len(points)} frames; expected 1 to {MAX_FRAMES}.",
            hint="Give a clip with frames in it, or cut it in parts.",
        )
    wild = np.abs(points) > _FARTHEST
    if wild.any():
        frame, joint, _ = (int(index) for index in np.argwhere(wild)[0])
        raise KeypointsError(
            f"The point of joint {joint} in frame {frame} is infinite or over {_FARTHEST:.0e}"
            " pixels away.",
            hint="Mark missing joints with NaN.",
        )


def checked_size(size: object) -> tuple[int, int]:
    """An image's width and height as two integers.

    Raises:
        KeypointsError: They are none, or not from 1 to 100000.
    """
    if (
        isinstance(size, Sequence)
        and len(size) == 2
        and all(isinstance(side, (int, np.integer)) for side in size)
        and all(1 <= side <= _MAX_PIXELS for side in size)
    ):
        return int(size[0]), int(size[1])
    raise KeypointsError(
        f"image_size is {size!r}; expected width and height in whole pixels, 1 to {_MAX_PIXELS}.",
        hint="Give the size of the image in which the keypoints were found: (width, height).",
    )


def _checked_scores(values: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    scores = _numbers(values, "scores", np.float32)
    if scores.shape != shape:
        raise KeypointsError(
            f"scores has shape {scores.shape}; expected {shape}, as points has.",
            hint="Give one score for each joint of each frame, or leave scores out.",
        )
    # The larger of NaN and 0 is 0 here; this runs for every pushed frame.
    cut: NDArray[np.float32] = np.fmin(np.fmax(scores, np.float32(0.0)), np.float32(1.0))
    return cut


def _checked_timestamps(values: ArrayLike, frames: int) -> NDArray[np.float64]:
    times = _numbers(values, "timestamps", np.float64)
    if times.shape != (frames,):
        raise KeypointsError(
            f"timestamps has shape {times.shape}; expected ({frames},), one for each frame.",
            hint="Give the seconds at which each frame was taken.",
        )
    if not np.isfinite(times).all():
        raise KeypointsError("timestamps holds NaN or infinity.", hint="Give seconds.")
    back = np.flatnonzero(times[1:] <= times[:-1])
    if len(back):
        at = int(back[0])
        raise KeypointsError(
            f"timestamps go from {times[at]:.6f} s at frame {at} to {times[at + 1]:.6f} s at the"
            " next; expected strictly increasing ones.",
            hint="Sort the frames by time and leave out repeated ones.",
        )
    return times


def _checked_fps(fps: object, timestamps: NDArray[np.float64] | None) -> float:
    if not isinstance(fps, (int, float, np.integer, np.floating)) or not 0.01 <= fps <= 10_000.0:
        raise KeypointsError(
            f"fps is {fps!r}; expected frames a second, 0.01 to 10000.",
            hint="Leave it out where it is unknown.",
        )
    rate = float(fps)
    if timestamps is not None and len(timestamps) > 1:
        with np.errstate(over="ignore"):
            measured = float(1.0 / np.median(np.diff(timestamps)))
        if abs(measured / rate - 1.0) > _RATE_TOLERANCE:
            raise KeypointsError(
                f"fps is {rate:g}, but the timestamps say {measured:.4g}.",
                hint="Give the timestamps in seconds, and leave fps out.",
            )
    return rate
