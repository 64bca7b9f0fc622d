"""The parent's side of a child process that measures."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from typing import IO, Any, TypeVar

from hot_sdk import errors
from hot_sdk._base.closing import Closing
from hot_sdk._base.records import TypedJSONError, build
from hot_sdk.benchmarks.speed.messages import Batch, WorkerReady, WorkerTask
from hot_sdk.errors import EngineError, HotSDKError

# Not by 'python -m', which looks into the working directory first.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.benchmarks.speed.worker.server import main; main()"
)
_PATIENCE_S = 5.0
_Answer = TypeVar("_Answer")


class WorkerProcess(Closing):
    """A child process that measures one model.

    It has its own session, so that Ctrl-C reaches the parent alone, which can then still report
    what was measured.
    """

    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._spawned = time.monotonic()
        self._is_busy = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def open(self, task: WorkerTask) -> WorkerReady:
        """Open a model.

        Raises:
            HotSDKError: The child raised it, or died.
        """
        question = {"do": "open", "task": dataclasses.asdict(task), "spawned": self._spawned}
        return self._build(WorkerReady, self.ask(question))

    def measure(
        self, measure: str, seconds: float, *, group: int = 1, most: int = 100_000
    ) -> Batch:
        """Let the child measure for a while.

        Args:
            measure: Name of what it runs.
            seconds: How long, at least.
            group: Runs that belong together.
            most: Runs after which it stops in any case.

        Raises:
            HotSDKError: The child raised it, or died.
        """
        question = {"do": "measure", "measure": measure, "seconds": seconds}
        return self._build(Batch, self.ask({**question, "group": group, "most": most}))

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask anything.

        Raises:
            HotSDKError: The child raised it, or died.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._is_busy = True
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._death()
        self._is_busy = False
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            name, message, hint = answer["error"]
            kind = getattr(errors, name, EngineError)
            error: HotSDKError = kind(message, hint=hint)
            raise error
        return answer

    def close(self) -> None:
        """End the child, by force if it still works on an answer or does not end by itself."""
        process = self._process
        if self._is_busy:
            process.kill()
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._stderr.close()

    def _build(self, kind: type[_Answer], answer: dict[str, Any]) -> _Answer:
        try:
            return build(kind, answer)
        except TypedJSONError as error:
            raise EngineError(
                f"A measuring process answered: {error}.", hint="Report it."
            ) from None

    def _death(self) -> EngineError:
        status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
        return EngineError(
            f"The measuring process died with status {status}: {last.strip()}.",
            hint="Check that memory is left, and that the engine works: hot-doctor",
        )
