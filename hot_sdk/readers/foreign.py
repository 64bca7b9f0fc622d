"""Recognize files that are not read, and say what they are and how their keypoints are given."""

from __future__ import annotations

from pathlib import Path

from hot_sdk.errors import KeypointsError

_ARRAYS = (
    "Load it with the program that wrote it, or with {module}, and give the arrays:"
    " Keypoints(points, scores, skeleton=..., image_size=...)."
)
_DEEPEST = 3
_PICKLE = "a pickle, which runs code when it is loaded"

# The first bytes of a file, what it is, and what to do.
_KINDS = (
    (b"\x89HDF", "an HDF5 file, as DeepLabCut (.h5) and SLEAP write them", "h5py or pandas"),
    (b"MATLAB 5.0", "a MATLAB file", "scipy.io.loadmat"),
    (b"PAR1", "a Parquet table", "pandas"),
    (b"\x1f\x8b", "compressed by gzip", "gzip"),
    (b"BZh", "compressed by bzip2", "bz2"),
    (b"\xfd7zXZ", "compressed by xz", "lzma"),
    (b"SQLite format 3", "an SQLite database", "sqlite3"),
    *((bytes([0x80, version]), _PICKLE, "pickle, if you trust it") for version in range(2, 6)),
)
_HINTS = {
    "HIERARCHY": ("a BVH file, which holds 3D motion", "Give 2D keypoints of a video."),
    "#ROSBAG": ("a bag of ROS 1", "Convert it to ROS 2's MCAP, or read it with rosbags."),
    "\x89MCAP": ("an MCAP bag", "Read its messages with the ROS 2 example, and push them."),
    "\x89PNG": ("an image", "Give the keypoints that a detector found in it."),
    "\xff\xd8\xff": ("an image", "Give the keypoints that a detector found in it."),
}


def error_for(path: Path, content: bytes, data: object = None) -> KeypointsError:
    """Return the error for a file that no reader accepts.

    Args:
        path: The file.
        content: Its bytes.
        data: What was parsed, if it is JSON.
    """
    start = content[:16]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _error(path, "text in UTF-16", "Save it as UTF-8.")
    for magic, kind, module in _KINDS:
        if start.startswith(magic):
            return _error(path, kind, _ARRAYS.format(module=module))
    for text, (kind, hint) in _HINTS.items():
        if start.startswith(text.encode("latin1")):
            return _error(path, kind, hint)
    if content[4:8] == b"ftyp" or start[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        return _error(path, "a video or sound", "Give it to hot-infer as a video.")
    found = _array_in(data, "data")
    if found is not None:
        place, frames, joints, values = found
        scores = ", array[..., 2]" if values == 3 else ""
        return _error(
            path,
            f"JSON that holds a bare array, of {frames} frames of {joints} joints perhaps, and does"
            " not say of which skeleton and image",
            f"Give it as array = np.array({place}) and Keypoints(array[..., :2]{scores},"
            " skeleton=..., image_size=...), with data = json.load(open(path)).",
        )
    return KeypointsError(
        f"'{path}' is not a known keypoint file.",
        hint="Known are JSON of OpenPose, COCO, AlphaPose, MMPose, Ultralytics, MediaPipe and"
        " others, npz, npy, csv and trc; see help(hot_sdk.readers). Of other files, give the"
        " arrays: Keypoints(points, scores, skeleton=..., image_size=...).",
    )


def _array_in(data: object, place: str) -> tuple[str, int, int, int] | None:
    """Return where parsed JSON has an array of (frames, joints, 2 or 3), and its sizes."""
    if isinstance(data, dict) and place.count("[") < _DEEPEST:
        found = (_array_in(value, f"{place}[{key[:40]!r}]") for key, value in data.items())
        return next((one for one in found if one is not None), None)
    sizes: list[int] = []
    inner = data
    while isinstance(inner, list) and inner and len(sizes) < 4:
        sizes.append(len(inner))
        inner = inner[0]
    if len(sizes) != 3 or sizes[2] not in (2, 3) or not isinstance(inner, (int, float)):
        return None
    return place, sizes[0], sizes[1], sizes[2]


def _error(path: Path, kind: str, hint: str) -> KeypointsError:
    return KeypointsError(f"'{path}' is {kind}; it is not read as keypoints.", hint=hint)
