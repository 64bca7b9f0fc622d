"""Keep messages of native libraries off the terminal: what goes wrong is in our errors."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType

from hot_sdk._base.optional import OPENCV_WHEELS, is_whole_opencv, opencv_repair, require
from hot_sdk.errors import MissingDependencyError

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET = "-8"  # AV_LOG_QUIET
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT.

_log = logging.getLogger(__name__)
_lock = threading.Lock()


@contextlib.contextmanager
def native_stderr_to_log(chatter: re.Pattern[str]) -> Iterator[None]:
    """Send matching lines that native code writes to standard error to our log instead.

    Native libraries write to file descriptor 2 itself, which belongs to the whole process, so keep
    the block short. Other lines, of other threads for instance, are written to the terminal when
    the block ends.

    Args:
        chatter: Matches the beginning of the lines that are only logged, at level DEBUG.
    """
    with _lock, contextlib.ExitStack() as stack:
        try:
            terminal = os.dup(2)
        except OSError:  # A daemon may have closed it.
            yield
            return
        stack.callback(os.close, terminal)
        held = stack.enter_context(tempfile.TemporaryFile())
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            held.seek(0)
            for line in held.read().splitlines(keepends=True):
                text = line.decode(errors="replace").rstrip()
                if chatter.match(text):
                    _log.debug("%s", text)
                else:
                    os.write(terminal, line)


def require_opencv(purpose: str) -> ModuleType:
    """Import OpenCV.

    Args:
        purpose: The feature that needs it, as the subject of a sentence.

    Raises:
        MissingDependencyError: It is not installed, or only remains of it are: several wheels put
            their files into one folder, and removing one of them removes what the others need.
    """
    try:
        cv2 = require("cv2", extra="video", purpose=purpose)
    except MissingDependencyError as error:
        if not any(map(_is_installed, OPENCV_WHEELS)):
            raise
        # To install the extra would change nothing.
        raise MissingDependencyError(error.message, hint=opencv_repair(error.message)) from error
    except Exception as error:  # What is left of a package fails in any way.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise MissingDependencyError(
            f"{purpose} needs the package 'cv2', which cannot be imported ({reason}).",
            hint=opencv_repair(reason),
        ) from error
    if not is_whole_opencv(cv2):
        raise MissingDependencyError(
            f"{purpose} needs OpenCV, of which only remains are installed: 'import cv2' succeeds,"
            " and the module is empty.",
            hint=opencv_repair(),
        )
    return cv2


def _is_installed(distribution: str) -> bool:
    # Here, because it imports the parser of e-mails, and is for messages alone.
    from importlib import metadata

    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


@contextlib.contextmanager
def quiet_opencv(cv2: ModuleType) -> Iterator[None]:
    """Keep OpenCV and the FFmpeg inside it from writing to the terminal.

    OpenCV's level is restored at the end. FFmpeg's is read from the environment when the process
    opens its first video, and stays; a level that the user set there is left alone. PyAV's FFmpeg
    is another, and silent unless the program turns its log on.
    """
    with _lock:
        set_here = _FFMPEG_LEVEL not in os.environ
        if set_here:
            os.environ[_FFMPEG_LEVEL] = _QUIET
        # In OpenCV 4, the functions are in the module itself.
        levels = getattr(cv2.utils, "logging", cv2)
        level = levels.getLogLevel()
        levels.setLogLevel(_SILENT)
        try:
            yield
        finally:
            levels.setLogLevel(level)
            if set_here:
                os.environ.pop(_FFMPEG_LEVEL, None)
