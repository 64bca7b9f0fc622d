"""How far a run is, on a terminal's standard error, with the time that is left."""

from __future__ import annotations

import importlib.util
import sys
import time
from types import TracebackType
from typing import Any

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
