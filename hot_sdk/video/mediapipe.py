"""Detect several people with MediaPipe, using the weights in its wheel.

MediaPipe finds several people with its task API (Grishchenko et al., "BlazePose GHUM Holistic",
2022), which requires a downloaded bundle of two networks. The wheel of version 0.10.14 contains the
same two networks for its older API, which finds one person; they lack only the metadata on how
pixel values are scaled. So the bundle is assembled here, in memory, without a download.
"""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base.optional import require
from hot_sdk.errors import MissingDependencyError, StreamError, UsageError, VideoError
from hot_sdk.keypoints import Keypoints
from hot_sdk.video.detector import DEFAULT_MAX_PEOPLE, check_image
from hot_sdk.video.quiet import native_stderr_to_log, require_opencv

_PURPOSE = "The detector 'mediapipe'"
# File in the wheel, name in the bundle, mean and deviation of the pixels: the detector expects -1
# to 1, the landmark network 0 to 1, as the wheel's own graphs scale them.
_NETWORKS = (
    ("modules/pose_detection/pose_detection.tflite", "pose_detector.tflite", 127.5, 127.5),
    ("modules/pose_landmark/pose_landmark_full.tflite", "pose_landmarks_detector.tflite", 0, 255.0),
)
# The first Python that 0.10.14 has no wheel for.
_NO_WHEEL = (3, 13)
_SCHEMAS = "mediapipe.tasks.metadata"
_CHATTER = re.compile(
    r"[IW]\d{4} |INFO: Created TensorFlow Lite|WARNING: All log messages before absl"
)
# MediaPipe reads every result through a function of protobuf 4 that warns. The filter stays, as to
# set and reset it around each frame would disturb other threads.
_DEPRECATED = r"SymbolDatabase\.GetPrototype\(\) is deprecated"
# Two detections are one person if their joints differ, on average, by less than this share of the
# body's diagonal.
_SAME_PERSON = 0.15


class _Landmarker(Protocol):
    """The used part of MediaPipe's ``PoseLandmarker``."""

    def detect_for_video(self, image: object, timestamp_ms: int) -> Any: ...  # noqa: ANN401

    def close(self) -> None: ...


def create_mediapipe_detector(
    *,
    max_people: int = DEFAULT_MAX_PEOPLE,
    min_detection_confidence: float = 0.5,
    min_presence_confidence: float = 0.5,
    min_tracking_confidence: float = 0.5,
) -> MediaPipeDetector:
    """Load MediaPipe's pose landmarker.

    Args:
        max_people: Maximum people per image.
        min_detection_confidence: Confidence, 0 to 1, from which a new person is accepted.
        min_presence_confidence: Confidence below which a person is lost and detected again.
        min_tracking_confidence: Overlap of a person's boxes in two frames, 0 to 1, from which the
            person is tracked without being detected again.

    Raises:
        MissingDependencyError: MediaPipe is not installed, or a version without weights.
        UsageError: A confidence is out of range.
        VideoError: MediaPipe cannot load its networks.
    """
    confidences = {
        "min_pose_detection_confidence": min_detection_confidence,
        "min_pose_presence_confidence": min_presence_confidence,
        "min_tracking_confidence": min_tracking_confidence,
    }
    for name, value in confidences.items():
        if not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
            raise UsageError(
                f"{name.replace('_pose', '')} is {value!r}; expected 0 to 1.",
                hint="Leave it out for the default.",
            )
    if sys.version_info >= _NO_WHEEL and importlib.util.find_spec("mediapipe") is None:
        raise MissingDependencyError(
            f"{_PURPOSE} needs mediapipe 0.10.14, which does not exist for Python"
            f" {sys.version_info[0]}.{sys.version_info[1]}.",
            hint="Use Python 3.12 or older, or the detector rtmlib.",
        )
    require_opencv(_PURPOSE)  # Which MediaPipe imports.
    with native_stderr_to_log(_CHATTER):
        mediapipe = require("mediapipe", extra="video", purpose=_PURPOSE)
        _ignore_protobuf_warning()
        bundle = _bundle(Path(str(mediapipe.__file__)).parent)
        tasks = require("mediapipe.tasks.python", extra="video", purpose=_PURPOSE)
        options = tasks.vision.PoseLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=bundle),
            running_mode=tasks.vision.RunningMode.VIDEO,
            num_poses=max_people,
            **confidences,
        )
        try:
            landmarker = tasks.vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise VideoError(
                f"MediaPipe cannot load its networks: {' '.join(str(error).split())}.",
                hint='Run: pip install --force-reinstall "mediapipe==0.10.14"',
            ) from error
        detector = MediaPipeDetector(mediapipe, landmarker)
        # The networks write their messages when they get their first image.
        detector.warm_up()
    return detector


class MediaPipeDetector:
    """MediaPipe's pose landmarker for several people; a ``Detector``.

    It tracks the people it has found, and detects again only while they are fewer than allowed:
    for people who are small in the image, much more reliable than detection in every frame. Scores
    are the landmarks' visibilities.
    """

    name = "mediapipe"
    skeleton = "mediapipe33"

    def __init__(self, mediapipe: ModuleType, landmarker: _Landmarker) -> None:
        self.version = metadata.version("mediapipe")
        self._mediapipe = mediapipe
        self._landmarker: _Landmarker | None = landmarker
        self._start: float | None = None
        self._last = 0.0
        self._last_ms = -1

    def __call__(self, image: NDArray[np.uint8], timestamp: float) -> tuple[Keypoints, ...]:
        """Find people; see ``Detector``.

        Raises:
            VideoError: The image is not one, the detector is closed, or MediaPipe fails.
            StreamError: The timestamp is not after the one before.
        """
        width, height = check_image(image)
        if self._start is None:
            self._start = timestamp
        elif not timestamp > self._last:
            raise StreamError(
                f"The image of {timestamp:.6f} s was given after that of {self._last:.6f} s.",
                hint="Give images in order, and each video its own detector.",
            )
        self._last = timestamp
        # MediaPipe's times are whole milliseconds, and must increase at over 1000 frames a second.
        milliseconds = round((timestamp - self._start) * 1000.0)
        people = self._detect(image, max(milliseconds, self._last_ms + 1))
        scale = np.array([width, height], dtype=np.float32)
        return _without_duplicates(
            [
                Keypoints(
                    person[None, :, :2] * scale,
                    person[None, :, 2],
                    skeleton=self.skeleton,
                    image_size=(width, height),
                )
                for person in people
            ]
        )

    def warm_up(self) -> None:
        """Run once on an empty image, which leaves no trace."""
        self._detect(np.zeros((64, 64, 3), dtype=np.uint8), 0)

    def close(self) -> None:
        """Release the networks; harmless if it is closed."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def _detect(self, image: NDArray[np.uint8], milliseconds: int) -> list[NDArray[np.float32]]:
        if self._landmarker is None:
            raise VideoError("The detector is closed.", hint="Create another.")
        self._last_ms = milliseconds
        _ignore_protobuf_warning()
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=rgb)
        try:
            result = self._landmarker.detect_for_video(picture, milliseconds)
        except (RuntimeError, ValueError) as error:
            raise VideoError(
                f"MediaPipe failed: {' '.join(str(error).split())}.",
                hint="Create the detector again.",
            ) from error
        return [
            np.array([(mark.x, mark.y, mark.visibility) for mark in person], dtype=np.float32)
            for person in result.pose_landmarks
        ]


def _bundle(package: Path) -> bytes:
    missing = [name for name, _, _, _ in _NETWORKS if not (package / name).is_file()]
    if missing:
        raise MissingDependencyError(
            f"{_PURPOSE} needs the weights in the wheel of mediapipe 0.10.14; the installed"
            f" {metadata.version('mediapipe')} has no {missing[0]}.",
            hint='Run: pip install "mediapipe==0.10.14" (Python 3.8 to 3.12)',
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as bundle:
        for source, name, mean, deviation in _NETWORKS:
            network = _with_scaling((package / source).read_bytes(), mean, deviation)
            bundle.writestr(name, network)
    return content.getvalue()


def _with_scaling(network: bytes, mean: float, deviation: float) -> bytes:
    """Add metadata to a TensorFlow Lite file: pixels become (value - mean) / deviation."""
    model_schema = require(f"{_SCHEMAS}.schema_py_generated", extra="video", purpose=_PURPOSE)
    schema = require(f"{_SCHEMAS}.metadata_schema_py_generated", extra="video", purpose=_PURPOSE)
    flatbuffers = require("flatbuffers", extra="video", purpose=_PURPOSE)

    scaling = schema.ProcessUnitT()
    scaling.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    scaling.options = schema.NormalizationOptionsT()
    scaling.options.mean = [mean]
    scaling.options.std = [deviation]
    image = schema.TensorMetadataT()
    image.processUnits = [scaling]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    note = schema.ModelMetadataT()
    note.subgraphMetadata = [graph]
    note.minParserVersion = "1.0.0"
    builder = flatbuffers.Builder(0)
    builder.Finish(note.Pack(builder), b"M001")

    model = model_schema.ModelT.InitFromObj(model_schema.Model.GetRootAsModel(network, 0))
    content = model_schema.BufferT()
    content.data = np.frombuffer(bytes(builder.Output()), dtype=np.uint8)
    entry = model_schema.MetadataT()
    entry.name = "TFLITE_METADATA"
    entry.buffer = len(model.buffers)
    model.buffers.append(content)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _without_duplicates(people: list[Keypoints]) -> tuple[Keypoints, ...]:
    """Return the detection of highest score of each person, in the order of the scores."""
    kept: list[Keypoints] = []
    for person in sorted(people, key=_mean_score, reverse=True):
        points = person.points[0]
        size = float(np.hypot(*np.ptp(points, axis=0)))
        distances = (float(np.linalg.norm(points - k.points[0], axis=-1).mean()) for k in kept)
        if all(distance > _SAME_PERSON * size for distance in distances):
            kept.append(person)
    return tuple(kept)


def _mean_score(person: Keypoints) -> float:
    return 0.0 if person.scores is None else float(person.scores.mean())


def _ignore_protobuf_warning() -> None:
    if not any(
        action == "ignore" and message is not None and message.pattern == _DEPRECATED
        for action, message, _, _, _ in warnings.filters
        if not isinstance(message, str)
    ):
        warnings.filterwarnings("ignore", message=_DEPRECATED, category=UserWarning)
