"""Keep Ctrl-C and the end of the process from cutting calls of CUDA and TensorRT short.

An exception between two calls leaves a context on a thread's stack, or a run under way in memory
that is freed next; either may abort the process. TensorRT's binding swallows what its callbacks
raise, so an exception does not end a build, either.
"""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_LONGEST_WAIT_S = 60.0


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back during a ``with`` statement; the program's own handler gets it afterwards.

    Python's threads other than the main one never get it, so that there is nothing to do in them.

    Yields:
        A function that returns whether it was pressed meanwhile.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main_thread else None
    # Neither ignored, nor ended by the system, nor handled by other code than Python's.
    if not callable(handler):
        yield lambda: False
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, handler)
        if pressed:
            handler(signal.SIGINT, None)


@contextlib.contextmanager
def ended_with_the_process() -> Iterator[Callable[[], bool]]:
    """Let the end of the process wait for what a thread does in a ``with`` statement.

    Yields:
        A function that returns whether the process is ending, so that the thread can stop early; it
        then ends behind the ``with`` statement.
    """
    if threading.current_thread() is threading.main_thread():
        yield lambda: False
        return
    ending, finished = threading.Event(), threading.Event()

    def wait() -> None:
        ending.set()
        finished.wait(_LONGEST_WAIT_S)

    atexit.register(wait)
    try:
        yield ending.is_set
    except KeyboardInterrupt:
        if not ending.is_set():
            raise
    finally:
        atexit.unregister(wait)
        finished.set()
    if ending.is_set():
        raise SystemExit
