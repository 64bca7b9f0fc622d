"""Read the keypoint files of other tools, recognized by their content."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypedDict

from hot_sdk._base.validation import closest
from hot_sdk.errors import KeypointsError
from hot_sdk.readers.detections import Detection, KeypointFrames, checked_image_size

__all__ = ["FORMATS", "Detection", "KeypointFrames", "ReadOptions", "read_frames", "sniff"]

FORMATS = (
    "openpose",
    "coco",
    "alphapose",
    "mediapipe",
    "mmpose",
    "ultralytics",
    "openpifpaf",
    "vitpose",
    "named",
    "npz",
    "npy",
    "csv",
    "deeplabcut",
    "trc",
)

_LOG = logging.getLogger(__name__)


class ReadOptions(TypedDict, total=False):
    """What the caller of a reader knows and the file may not say; see ``read_frames``."""

    skeleton: str | None
    image_size: tuple[int, int] | None
    fps: float | None


def read_frames(
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    skeleton: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> KeypointFrames:
    """Read all people of a keypoint file, frame by frame.

    Accepts OpenPose's JSON (a folder of frames, or one), COCO's results and annotations, the JSON
    of AlphaPose, MMPose (or a folder of images' predictions) and Ultralytics (or a folder of
    labels), MediaPipe's landmarks (JSON and npz), points by joint names (JSON), the JSON of
    OpenPifPaf and ViTPose, JSON lines, the keypoints of the demos of HoT and MotionAGFormer and of
    VideoPose3D (npz), arrays (npz, npy), archives of ``Keypoints``' own fields (npz), and tables
    (csv, DeepLabCut's, .trc in pixels); each is described in the module of this package that reads
    it. What a file was recognized as is logged, and named in ``kind``.

    Args:
        path: The file or folder.
        format: One of ``FORMATS``, to refuse a file of another; None accepts any.
        skeleton: Name of the joints' order, if the file does not name it. It wins over an order
            that only follows from the number of joints, which is then reported in ``notes``.
        image_size: Width and height in pixels, if the file does not say.
        fps: Frames per second, if the file does not say.

    Raises:
        KeypointsError: The file is not recognized, broken or too large, contradicts an argument,
            or does not say what is needed.
    """
    if format is not None and format not in FORMATS:
        raise KeypointsError(f"Unknown format {format!r}.", hint=closest(str(format), FORMATS))
    if image_size is not None:
        image_size = checked_image_size(image_size)
    # Here and below, because a clip that comes from a camera needs no reader of files.
    from hot_sdk.readers.recognition import read_any

    found, source = read_any(Path(path))
    landmarks = format == "mediapipe" and source.skeleton == "mediapipe33"
    if format not in (None, found) and not landmarks:
        raise KeypointsError(
            f"'{path}' was read as {source.kind}, but {format} was expected.",
            hint="Leave the format out to accept any.",
        )
    _LOG.info("'%s' was read as %s", path, source.kind)
    source = source.with_defaults(skeleton=skeleton, image_size=image_size, fps=fps)
    for note in source.notes:
        _LOG.warning("'%s': %s", path, note)
    return source


def sniff(path: str | Path) -> str:
    """Return what a file is recognized as by its content, in words.

    Raises:
        KeypointsError: The file is not recognized, broken or too large.
    """
    from hot_sdk.readers.recognition import read_any

    return read_any(Path(path))[1].kind
