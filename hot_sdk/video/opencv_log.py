"""OpenCV without its own lines on the terminal: what goes wrong is in our errors."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from types import ModuleType

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_QUIET = "-8"  # AV_LOG_QUIET
_lock = threading.Lock()


@contextlib.contextmanager
def quiet_opencv(cv2: ModuleType) -> Iterator[None]:
    """Keep OpenCV and the FFmpeg in it from writing to the terminal.

    OpenCV's level is put back at the end. FFmpeg's is read from the environment when the process
    opens its first video, and stays; a level that the user set there is left alone.
    """
    with _lock:
        set_here = _FFMPEG_LEVEL not in os.environ
        if set_here:
            os.environ[_FFMPEG_LEVEL] = _QUIET
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)
            if set_here:
                os.environ.pop(_FFMPEG_LEVEL, None)
