"""Show on standard error how far a long task is."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from typing import Any

_DELAY_S = 2.0
_LINE_EVERY_S = 10.0


class Progress:
    """A bar with the time left, as a context manager.

    The bar appears after two seconds, on a terminal that ``rich`` can draw on. Elsewhere nothing
    is shown, or, with ``lines_of``, a line when the task changes and every ten seconds.

    Args:
        task: The current task, in words.
        lines_of: Name of the program, to write lines if no bar can be drawn; None for no lines.
        quiet: Show nothing.
    """

    def __init__(self, task: str, *, lines_of: str | None = None, quiet: bool = False) -> None:
        self._task = task
        self._lines_of = None if quiet else lines_of
        self._bar: Any = None
        self._timer: threading.Timer | None = None
        if not quiet and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
            self._lines_of = None
            self._timer = threading.Timer(_DELAY_S, self._show)
            self._timer.daemon = True
        self._lock = threading.Lock()
        self._done = False
        self._state: tuple[float, float | None] = (0.0, None)
        self._kind_written = ""
        self._written_at = 0.0

    def update(
        self, completed: float, total: float | None = None, *, task: str | None = None
    ) -> None:
        """Report how far the task is.

        Args:
            completed: The amount done, in units of the caller.
            total: The whole amount; None if unknown.
            task: The current task; None if it has not changed. A task that differs only after its
                first comma ("measuring, round 2") counts as the same.
        """
        with self._lock:
            kind, before = _kind(task or self._task), _kind(self._task)
            self._task = task or self._task
            self._state = completed, total
            if self._bar is not None:
                if kind != before:
                    self._bar.reset(0)
                self._bar.update(0, description=self._task, **self._shown())
            elif self._lines_of is not None:
                self._write_line(kind)

    def __enter__(self) -> Progress:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._done = True
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        with self._lock:
            if self._done:
                return
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.add_task(self._task, **self._shown())
            self._bar.start()

    def _shown(self) -> dict[str, Any]:
        completed, total = self._state
        return {"completed": completed, "total": total, "amount": _amount(completed, total)}

    def _write_line(self, kind: str) -> None:
        now = time.monotonic()
        if kind == self._kind_written and now - self._written_at < _LINE_EVERY_S:
            return
        amount = _amount(*self._state)
        sys.stderr.write(f"{self._lines_of}: {self._task}{f' ({amount})' if amount else ''}\n")
        self._kind_written, self._written_at = kind, now


def _kind(task: str) -> str:
    return task.partition(",")[0]


def _amount(completed: float, total: float | None) -> str:
    """Return a share for fractions of 1, else a count."""
    if total is None:
        return f"{completed:g}" if completed else ""
    return f"{completed:.0%}" if total == 1.0 else f"{completed:g}/{total:g}"
