"""Detect several people with rtmlib: a person detector, and RTMPose on each person.

rtmlib downloads its networks at first use, unless files are given.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import require
from hot_sdk.errors import UsageError, VideoError
from hot_sdk.keypoints import Keypoints
from hot_sdk.skeletons import skeleton_format
from hot_sdk.video.detector import DEFAULT_MAX_PEOPLE, check_image
from hot_sdk.video.quiet import require_opencv

_PURPOSE = "The detector 'rtmlib'"
_MODES = ("lightweight", "balanced", "performance")

_Finder = Callable[..., NDArray[np.floating]]
_Poser = Callable[..., tuple[NDArray[np.floating], NDArray[np.floating]]]

_log = logging.getLogger(__name__)


def create_rtmlib_detector(
    *,
    max_people: int = DEFAULT_MAX_PEOPLE,
    mode: str = "balanced",
    device: str = "cpu",
    detector_file: str | Path | None = None,
    detector_size: tuple[int, int] = (640, 640),
    pose_file: str | Path | None = None,
    pose_size: tuple[int, int] = (192, 256),
) -> RtmlibDetector:
    """Load rtmlib's networks for bodies.

    Args:
        max_people: Maximum people per image; those of highest score are kept.
        mode: ``lightweight``, ``balanced`` or ``performance``: which networks rtmlib downloads.
        device: As rtmlib names it: ``cpu``, ``cuda`` or ``cuda:1``.
        detector_file: An ONNX file of YOLOX that finds people, instead of a download; requires
            ``pose_file``.
        detector_size: Height and width of its input, in pixels.
        pose_file: An ONNX file of RTMPose with the 17 joints of COCO, instead of a download.
        pose_size: Width and height of its input, in pixels.

    Raises:
        MissingDependencyError: rtmlib is not installed.
        UsageError: The mode is unknown, or one of the two files is missing.
        VideoError: The networks can be neither downloaded nor loaded.
    """
    if mode not in _MODES:
        raise UsageError(f"Unknown mode {mode!r}.", hint=f"Use one of: {', '.join(_MODES)}.")
    if (detector_file is None) != (pose_file is None):
        raise UsageError(
            "Only one of detector_file and pose_file is given.", hint="Give both, or neither."
        )
    for path in (detector_file, pose_file):
        # rtmlib would read the name of a missing file as an address.
        if path is not None and not Path(path).is_file():
            raise UsageError(f"There is no file '{path}'.", hint="Check the name.")
    require_opencv(_PURPOSE)  # Which rtmlib imports, and fails without a hint.
    rtmlib = require("rtmlib", extra="rtmlib", purpose=_PURPOSE)
    runs_on = {"backend": "onnxruntime", "device": device}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            if detector_file is not None:
                finder = rtmlib.YOLOX(str(detector_file), detector_size, **runs_on)
                poser = rtmlib.RTMPose(str(pose_file), pose_size, **runs_on)
            else:
                body = rtmlib.Body(mode=mode, **runs_on)
                finder, poser = body.det_model, body.pose_model
    except Exception as error:  # Of the network, of zip files and of ONNX Runtime.
        raise VideoError(
            f"rtmlib cannot load its networks: {' '.join(str(error).split())[:500]}.",
            hint="It downloads them at first use: check the network, or give files.",
        ) from error
    finally:
        for line in printed.getvalue().splitlines():
            _log.debug("%s", line)
    return RtmlibDetector(finder, poser, max_people)


class RtmlibDetector:
    """A person detector and RTMPose on each person; a ``Detector`` without memory."""

    name = "rtmlib"
    skeleton = "coco17"

    def __init__(self, finder: _Finder, poser: _Poser, max_people: int) -> None:
        self.version = metadata.version("rtmlib")
        self._finder: _Finder | None = finder
        self._poser: _Poser | None = poser
        self._max_people = max_people

    def __call__(self, image: NDArray[np.uint8], timestamp: float) -> tuple[Keypoints, ...]:
        """Find people; see ``Detector``.

        Raises:
            VideoError: The image is not one, the detector is closed, or a network fails or is not
                one for bodies.
        """
        width, height = check_image(image)
        if self._finder is None or self._poser is None:
            raise VideoError("The detector is closed.", hint="Create another.")
        try:
            boxes = self._finder(image)
            # Without a box, rtmlib would use the whole image as a person.
            if not len(boxes):
                return ()
            points, scores = self._poser(image, bboxes=boxes)
        except Exception as error:
            raise VideoError(
                f"rtmlib failed: {' '.join(str(error).split())[:500]}.",
                hint="Check that the files are those of YOLOX and RTMPose, and their sizes.",
            ) from error
        joints = len(skeleton_format(self.skeleton).joints)
        if points.shape[1:] != (joints, 2):
            raise VideoError(
                f"The pose network gives {points.shape[1]} joints; expected COCO's {joints}.",
                hint="Give an RTMPose for bodies.",
            )
        best = np.argsort(-scores.mean(axis=1), kind="stable")[: self._max_people]
        return tuple(
            Keypoints(
                points[person][None],
                scores[person][None],
                skeleton=self.skeleton,
                image_size=(width, height),
            )
            for person in best
        )

    def close(self) -> None:
        """Release the networks; harmless if it is closed."""
        self._finder = self._poser = None
