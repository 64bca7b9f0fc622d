"""Run Ray in a process of its own, which may be lost without the results of a batch.

Ray's native code ends the process that runs it, without an exception, if the node or the cluster
that it is connected to disappears.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from hot_sdk.errors import EngineError, HotSDKError
from hot_sdk.infer.batch_job import Job, Outcome
from hot_sdk.infer.ray_workers import WorkerPool, can_host_a_worker, ray_cluster, require_ray

_READY = "ready"
_END_OF_ATTEMPT = "end of the attempt"
_CLOSING_S = 30.0
_CHECK_S, _PATIENCE_S = 5.0, 60.0
# A node that was started for the batch does not come back.
_LOCAL_PATIENCE_S = 10.0


class RayProcess:
    """The process that runs Ray, as seen from the one that reports; see ``ray_process``."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    def lift(self, names: Sequence[str]) -> Iterator[Outcome]:
        """Lift inputs once each, and yield their outcomes as they arrive.

        Args:
            names: Paths of the inputs in the batch's folder.

        Raises:
            EngineError: Ray ended the run, or its process is lost.
        """
        self._send(list(names))
        while not isinstance(message := self.receive(), str):
            yield message

    def receive(self) -> Outcome | str:
        """Return the process's next message.

        Raises:
            HotSDKError: The process raised it.
            EngineError: The process is lost.
        """
        try:
            message = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(message, HotSDKError):
            raise message
        assert isinstance(message, (Outcome, str))
        return message

    def close(self) -> None:
        """End the process, and with it a Ray that it started."""
        with contextlib.suppress(EngineError):
            self._send(None)
        self._connection.close()
        self._process.join(_CLOSING_S)
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(_CLOSING_S)

    def _send(self, message: list[str] | None) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._lost() from error

    def _lost(self) -> EngineError:
        self._process.join(_CLOSING_S)
        return EngineError(
            f"Ray's process ended with status {self._process.exitcode}, as it does if a node or the"
            " cluster is lost.",
            hint="Run the command with -v to see Ray's messages.",
        )


@contextlib.contextmanager
def ray_process(
    job: Job, workers: int, address: str | None, *, verbose: bool
) -> Iterator[RayProcess]:
    """Start the process, and Ray in it or its connection to a cluster; end it after the block.

    Args:
        job: What is done with each input.
        workers: Largest number of worker processes.
        address: Address of a running cluster; None starts Ray on this machine.
        verbose: Show the messages of Ray and of the workers.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no such cluster, or it has too few CPUs or GPUs.
        EngineError: Ray did not start, or the process is lost.
    """
    # Not forked: threads of this process, such as an engine's, would be copied half alive.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, job, workers, address, verbose)
    process = context.Process(target=_run, args=arguments, name="hot-infer-ray", daemon=True)
    process.start()
    # Only the process holds its end then, so that its death is seen here.
    theirs.close()
    ray = RayProcess(process, ours)
    try:
        ray.receive()
        yield ray
    finally:
        ray.close()


def wait_for_loss(
    is_able: Callable[[], bool], *, patience_s: float, check_s: float = _CHECK_S
) -> None:
    """Return once no worker has found room for a while; Ray itself would wait for ever.

    Args:
        is_able: Returns whether a worker has room; an error counts as False.
        patience_s: Seconds without room, within which a cluster may bring a node back.
        check_s: Seconds between two checks.
    """
    last = time.monotonic()
    while time.monotonic() - last < patience_s:
        time.sleep(check_s)
        with contextlib.suppress(Exception):
            if is_able():
                last = time.monotonic()


def _watch(connection: Connection, job: Job, address: str | None) -> None:
    parent = multiprocessing.parent_process()

    def is_able() -> bool:
        if parent is not None and not parent.is_alive():
            # Killed without a chance to end this process.
            os._exit(1)
        return can_host_a_worker(job)

    patience_s = _LOCAL_PATIENCE_S if address is None else _PATIENCE_S
    wait_for_loss(is_able, patience_s=patience_s)
    connection.send(
        EngineError(
            f"Ray has had no node with room for a worker for {patience_s:g} s.",
            hint="Run it with -v to see Ray's messages."
            if address is None
            else "Start the cluster's nodes again.",
        )
    )
    # The thread that waits for Ray cannot be interrupted.
    os._exit(1)


def _run(
    connection: Connection, job: Job, workers: int, address: str | None, verbose: bool
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="hot-infer: %(message)s"
    )
    # After Ctrl-C, which reaches both processes, and if the other one is gone, nothing is left to
    # say.
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        try:
            # It configures its loggers, which are silenced after that.
            require_ray()
            with ray_cluster(job, workers, address, verbose=verbose):
                connection.send(_READY)
                watched = connection, job, address
                threading.Thread(target=_watch, args=watched, daemon=True).start()
                pool = WorkerPool(job, workers)
                while (names := connection.recv()) is not None:
                    for outcome in pool.lift(names):
                        connection.send(outcome)
                    connection.send(_END_OF_ATTEMPT)
        except HotSDKError as error:
            connection.send(error)
