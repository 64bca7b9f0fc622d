"""A progress bar for whatever takes longer than a user waits without a word.

How far a run is, on a terminal's standard error, with the time that is left.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from types import TracebackType
from typing import Any

_PATIENCE_S = 2.0


class ProgressBar:
    """A bar on standard error that appears after two seconds; a context manager.

    It is for eyes alone: where standard error is no terminal, or rich (extras video and viz) is
    not installed, nothing is drawn. ``update`` may be called from the thread that made it.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._bar: Any = None
        self._timer: threading.Timer | None = None
        if sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
            self._timer = threading.Timer(_PATIENCE_S, self._show)
            self._timer.daemon = True
        self._lock = threading.Lock()
        self._done = False
        self._at: tuple[int, int | None] = (0, None)

    def update(self, completed: int, total: int | None = None) -> None:
        """Say how far it is.

        Args:
            completed: What is done.
            total: All there is to do; None where that is not known.
        """
        with self._lock:
            self._at = completed, total
            if self._bar is not None:
                self._bar.update(0, completed=completed, total=total)

    def __enter__(self) -> ProgressBar:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._done = True
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        with self._lock:
            if self._done:
                return
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                Remaining(),
                console=Console(stderr=True),
                transient=True,
            )
            completed, total = self._at
            self._bar.add_task(self._task, completed=completed, total=total)
            self._bar.start()


_EVERY_S = 10.0


class Progress:
    """A bar with the time left; where there is no terminal, a line now and then.

    A context manager. ``tell`` may be called as often as one likes.
    """

    def __init__(self, program: str, *, quiet: bool) -> None:
        self._program = program
        self._quiet = quiet
        self._bar: Any = None
        self._task = ""
        self._said = 0.0

    def tell(self, task: str, share: float | None = None) -> None:
        """Say what is going on.

        Args:
            task: What.
            share: How much of it is done, 0 to 1; None where that is not known.
        """
        if self._bar is not None:
            if _kind(task) != _kind(self._task):
                self._bar.reset(0)
            self._bar.update(0, description=task, completed=share or 0.0, total=1.0)
        elif not self._quiet:
            now = time.monotonic()
            if _kind(task) != _kind(self._task) or now - self._said >= _EVERY_S:
                done = "" if share is None else f" ({share:.0%})"
                sys.stderr.write(f"{self._program}: {task}{done}\n")
                self._said = now
        self._task = task

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty() and importlib.util.find_spec("rich"):
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.add_task("starting", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _kind(task: str) -> str:
    """What is going on without its number: rounds are one task."""
    return task.partition(",")[0]
