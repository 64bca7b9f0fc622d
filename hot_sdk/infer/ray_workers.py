"""Lift the inputs of a batch on Ray: a pool of worker processes with one engine each."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from hot_sdk._base import quiet_imports
from hot_sdk._base.optional import require
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.infer.batch_job import FAILED, Job, Outcome, lift_one
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.video.quiet import native_stderr_to_log

_DIED = (
    "The worker process died, out of memory or in a decoder. Lift the input alone, with"
    " 'hot-infer INPUT', to see why."
)
# For each worker, one after the other, before the batch is given up.
_FAILED_STARTS = 3
_CONNECT_TIMEOUT_S = 5.0
# The object store of a local Ray holds next to nothing; Ray refuses less than 75 MiB.
_STORE_BYTES = 100 * 1024**2
_ENVIRONMENT = {
    # Ray hides the GPUs from workers that requested none, and warns that it will stop doing so.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
_CHATTER = re.compile(r".*Set ray log level from environment variable")


class BatchWorker:
    """Ray actor: one worker process; loads the model on first use."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine: Pose3DEngine | None = None

    def start(self) -> None:
        """Do nothing; that it returns says that the worker can be given inputs."""

    def lift(self, name: str) -> Outcome:
        """Lift one input, and return its outcome."""
        return lift_one(self._job, name, self._get_engine)

    def _get_engine(self) -> Pose3DEngine:
        if self._engine is None:
            self._engine = self._job.open_engine()
        return self._engine


def require_ray() -> ModuleType:
    """Import Ray.

    Raises:
        MissingDependencyError: It is not installed.
    """
    return require("ray", extra="cluster", purpose="Lifting a batch")


def check_ray() -> None:
    """Check that Ray is installed, without importing it, which takes longer than a short clip.

    Raises:
        MissingDependencyError: It is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        require_ray()


@contextlib.contextmanager
def ray_cluster(job: Job, workers: int, address: str | None, *, verbose: bool) -> Iterator[None]:
    """Start a local Ray, or join a running one, and leave it again.

    Args:
        job: What is done with each input, which determines what a worker needs.
        workers: Number of worker processes.
        address: Address of a running cluster, for ``ray.init``; None starts one on this machine.
        verbose: Show the messages of Ray and of the workers.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no such cluster, or it has too few CPUs or GPUs.
        EngineError: Ray's own processes did not start.
    """
    variables = _ENVIRONMENT if verbose else _ENVIRONMENT | _QUIET
    if not quiet_imports.is_allowed():
        variables = variables | quiet_imports.VARIABLES
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    local = {
        "num_cpus": workers * _threads(job),
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    with contextlib.ExitStack() as stack:
        stack.callback(_restore_environment, before)
        ray = require_ray()
        # Ray prints the deaths of workers to standard output, which is for results.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if not verbose:
            stack.enter_context(_silent_logger("ray"))
        try:
            _check_listening(address)
            with native_stderr_to_log(_CHATTER), _no_api_server(ray):
                ray.init(
                    address="local" if address is None else address,
                    log_to_driver=verbose,
                    logging_level=logging.INFO if verbose else logging.CRITICAL,
                    **(local if address is None else {}),
                )
        except (OSError, OverflowError, ValueError) as error:
            raise UsageError(
                f"Ray cannot be reached: {' '.join(str(error).split())[:300]}",
                hint="Check --cluster, or leave it out to use this machine alone.",
            ) from error
        except Exception as error:  # What Ray raises if its own processes are late.
            raise EngineError(
                f"Ray did not start: {' '.join(str(error).split())[:300]}",
                hint="Run it again when the machine is less busy; -v shows the messages of Ray.",
            ) from error
        stack.callback(ray.shutdown)
        _check_resources(ray, job, workers)
        yield


@contextlib.contextmanager
def _no_api_server(ray: ModuleType) -> Iterator[None]:
    """Keep Ray from starting its API server, which looks for the metadata hosts of clouds.

    Ray starts it without a dashboard too, for its reports of use, even if these are off, and has no
    option for it. A release that names it differently starts it.
    """
    services = getattr(getattr(ray, "_private", None), "services", None)
    start = getattr(services, "start_api_server", None)
    if services is None or start is None or quiet_imports.is_allowed():
        yield
        return
    services.start_api_server = lambda *_arguments, **_options: (None, None)
    try:
        yield
    finally:
        services.start_api_server = start


class WorkerPool:
    """Workers on the Ray that this process is connected to.

    Each has one input at a time. If it dies, that input has failed, and another worker takes its
    place: Ray would give a worker that it restarts the next input before the worker can take it.

    Args:
        job: What is done with each input.
        size: Largest number of workers.
    """

    def __init__(self, job: Job, size: int) -> None:
        self._ray = require_ray()
        self._class = self._ray.remote(BatchWorker).options(
            num_cpus=_threads(job), num_gpus=_gpus(job), max_restarts=0, max_task_retries=0
        )
        self._job = job
        self._size = size
        self._idle: list[Any] = []
        # By the reference to what each of them does.
        self._starting: dict[Any, Any] = {}
        self._lifting: dict[Any, tuple[Any, str, float]] = {}
        self._failed_starts = 0

    def lift(self, names: Sequence[str]) -> Iterator[Outcome]:
        """Lift inputs once each, and yield their outcomes as they arrive.

        Args:
            names: Paths of the inputs in the batch's folder.

        Raises:
            EngineError: Ray ended the run, or no worker starts, for example because workers cannot
                import the SDK.
        """
        pending = deque(names)
        try:
            # One that died while it had nothing to do should not be given an input.
            while self._idle:
                self._await_start(self._idle.pop())
            while pending or self._lifting:
                self._assign(pending)
                (done,), _ = self._ray.wait([*self._lifting, *self._starting])
                if done in self._starting:
                    self._finish_start(done)
                else:
                    yield self._outcome_of(done)
        except (self._ray.exceptions.RayError, OSError) as error:
            reason = " ".join(str(error).split())
            raise EngineError(
                f"Ray ended the run: {type(error).__name__}: …{reason[-300:]}",
                hint="All machines of a cluster need this version of hot-sdk.",
            ) from error

    def _assign(self, pending: deque[str]) -> None:
        """Give inputs to idle workers, and start as many workers as the others need."""
        while pending and self._idle:
            worker, name = self._idle.pop(), pending.popleft()
            self._lifting[worker.lift.remote(name)] = worker, name, time.perf_counter()
        alive = len(self._lifting) + len(self._starting) + len(self._idle)
        for _ in range(min(self._size - alive, len(pending) - len(self._starting))):
            self._await_start(self._class.remote(self._job))

    def _await_start(self, worker: Any) -> None:  # noqa: ANN401
        self._starting[worker.start.remote()] = worker

    def _finish_start(self, done: Any) -> None:  # noqa: ANN401
        worker = self._starting.pop(done)
        try:
            self._ray.get(done)
        except self._ray.exceptions.RayActorError as error:
            self._failed_starts += 1
            if error.actor_init_failed or self._failed_starts > _FAILED_STARTS * self._size:
                raise
            self._ray.kill(worker)
        else:
            self._failed_starts = 0
            self._idle.append(worker)

    def _outcome_of(self, done: Any) -> Outcome:  # noqa: ANN401
        worker, name, start = self._lifting.pop(done)
        exceptions = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(done)
        except (exceptions.RayActorError, exceptions.OutOfMemoryError):
            # It may live on if only the connection to it is lost.
            self._ray.kill(worker)
            seconds = time.perf_counter() - start
            return Outcome(name, FAILED, seconds=seconds, code="worker", message=_DIED)
        self._idle.append(worker)
        return outcome


def can_host_a_worker(job: Job) -> bool:
    """Return whether the cluster, as it is now, has the CPUs and GPUs that one worker takes."""
    ray = require_ray()
    available = ray.cluster_resources()
    needed = (("CPU", _threads(job)), ("GPU", _gpus(job)))
    return all(each <= available.get(kind, 0) for kind, each in needed)


def _threads(job: Job) -> int:
    return job.engine.threads or 1


def _gpus(job: Job) -> int:
    return 1 if job.engine.device.startswith("cuda") else 0


def _check_listening(address: str | None) -> None:
    """Raise OSError if nothing listens at an address, for which Ray itself waits minutes."""
    found = re.fullmatch(r"(?:ray://)?([^/:]+):(\d{1,5})", address or "")
    if found:
        socket.create_connection((found[1], int(found[2])), timeout=_CONNECT_TIMEOUT_S).close()


def _check_resources(ray: ModuleType, job: Job, workers: int) -> None:
    """Fail fast if the cluster cannot host all workers, for which Ray would wait forever."""
    available = ray.cluster_resources()
    for kind, each in (("CPU", _threads(job)), ("GPU", _gpus(job))):
        if workers * each > available.get(kind, 0):
            raise UsageError(
                f"{workers} workers need {workers * each} {kind}s, and Ray has"
                f" {available.get(kind, 0):g}.",
                hint="Give fewer with --workers.",
            )


@contextlib.contextmanager
def _silent_logger(name: str) -> Iterator[None]:
    """Hold back Ray's log on this process's streams; its files are in /tmp/ray."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _restore_environment(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
