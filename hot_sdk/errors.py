"""Define every error that the SDK raises on purpose: a message, a hint and a stable code.

Command lines print ``str(error)`` as one line and exit with ``exit_status``; both are part of the
public interface.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar


class HotSDKError(Exception):
    """Base of all errors of the SDK.

    Attributes:
        message: What was wrong, and what was expected.
        hint: What to do about it.
        code: Stable identifier for programs.
        exit_status: Exit status of a command line that ends with this error.
    """

    code: ClassVar[str] = "hot-sdk"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes send exceptions by pickle, which would call the class with one argument.
        return functools.partial(type(self), hint=self.hint), (self.message,), self.__dict__


class UsageError(HotSDKError, ValueError):
    """An argument is unknown, out of range, or contradicts another."""

    code = "usage"
    exit_status = 2


class MissingDependencyError(HotSDKError, ImportError):
    """A package that this operation needs is not installed."""

    code = "missing-dependency"
    exit_status = 3


class CheckpointError(HotSDKError):
    """A checkpoint is unreadable, unsafe, or incompatible with the model."""

    code = "checkpoint"
    exit_status = 4


class GraphCheckError(HotSDKError):
    """An exported graph holds something that the target engines do not support."""

    code = "graph-check"
    exit_status = 5


class VerificationError(HotSDKError):
    """The exported file does not compute the poses of the PyTorch model."""

    code = "verification"
    exit_status = 6


class ManifestError(HotSDKError):
    """A model file has no manifest of this SDK, a broken one, or a newer one."""

    code = "manifest"
    exit_status = 7


class EngineError(HotSDKError):
    """A requested engine or device is absent, or rejected the model or its inputs."""

    code = "engine"
    exit_status = 8


class KeypointsError(HotSDKError):
    """Keypoints, or a file of them, are broken, incomplete, or contradict their description."""

    code = "keypoints"
    exit_status = 9


class StreamError(HotSDKError):
    """A stream got a frame out of order, is closed, or does not support the options."""

    code = "stream"
    exit_status = 10


class ResultError(HotSDKError):
    """A result cannot be read, or lacks what a conversion needs."""

    code = "result"
    exit_status = 11


class VideoError(HotSDKError):
    """A video, camera or image cannot be opened, decoded or written."""

    code = "video"
    exit_status = 12


class BatchError(HotSDKError):
    """A batch ended before all of its inputs were tried; its report says which are done."""

    code = "batch"
    exit_status = 17


class DatasetError(HotSDKError):
    """A data set for an evaluation is missing, broken, unsafe to read, or of another layout."""

    code = "dataset"
    exit_status = 14
