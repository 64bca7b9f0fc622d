"""The thread of a live stream, so that no push ever waits for the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hot_sdk.errors import StreamError
from hot_sdk.streams.pose import StreamPose

Poses = tuple[StreamPose, ...]


class Worker:
    """Lifts what is due whenever it is free; older frames are dropped, so no queue builds up.

    Args:
        lift_due: Lifts what is due now and returns the poses.
    """

    def __init__(self, lift_due: Callable[[], Poses]) -> None:
        self._lift_due = lift_due
        self._condition = threading.Condition()
        self._woken = False
        self._busy = False
        self._closing = False
        self._poses: Poses = ()
        self._error: BaseException | None = None
        # A daemon: a robot's program that forgets to close a stream can still end.
        self._thread = threading.Thread(target=self._loop, name="hot-sdk-stream", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Signal that frames may be due."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def finished(self) -> Poses:
        """Return the poses since the last call, or raise an error since then, once."""
        with self._condition:
            error, self._error = self._error, None
            poses, self._poses = self._poses, ()
        if error is not None:
            raise error
        return poses

    def settle(self) -> Poses:
        """Wait until nothing is due any more; return and raise like ``finished``.

        Raises:
            StreamError: This is the worker's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise StreamError(
                "A callback cannot wait for its own stream.",
                hint="Call flush() from the thread that pushes.",
            )
        with self._condition:
            self._condition.wait_for(lambda: not (self._woken or self._busy))
        return self.finished()

    def close(self) -> None:
        """End the thread after its current run; raise an error that was not reported yet."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        # A callback may close its own stream.
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self.finished()

    def _loop(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._woken or self._closing)
                if self._closing:
                    self._woken = False
                    return
                self._woken, self._busy = False, True
            try:
                poses = self._lift_due()
            except BaseException as error:
                with self._condition:
                    self._error = error
            else:
                with self._condition:
                    self._poses += poses
