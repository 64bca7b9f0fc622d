"""Keeps the chatter of native libraries off the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_log = logging.getLogger(__name__)
_lock = threading.Lock()


@contextlib.contextmanager
def native_stderr_to_log(chatter: re.Pattern[str]) -> Iterator[None]:
    """Send what native code writes to the terminal as errors to our log, where it is chatter.

    Native libraries write to file descriptor 2 itself, which belongs to the whole process; so keep
    the block short. Lines that are no chatter, of other threads for instance, are written to the
    terminal when the block ends.

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
