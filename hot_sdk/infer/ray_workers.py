"""Lift the inputs of a batch on Ray Data: a pool of worker processes with one engine each."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot_sdk._base import quiet_imports, records
from hot_sdk._base.optional import require
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.infer.batch_job import Job, Outcome, lift_one
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.video.quiet import native_stderr_to_log

_CONNECT_TIMEOUT_S = 5.0
# The object store of a local Ray holds only names and outcomes; Ray refuses less than 75 MiB.
_STORE_BYTES = 100 * 1024**2
_ENVIRONMENT = {
    # Ray hides the GPUs from workers that requested none, and warns that it will stop doing so.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
_CHATTER = re.compile(r".*Set ray log level from environment variable")


class BatchWorker:
    """Ray actor: one per pool process; loads the model on first use."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine: Pose3DEngine | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Lift the inputs of a batch, by name, and return their outcomes as JSON."""
        outcomes = [lift_one(self._job, str(name), self._get_engine) for name in batch["name"]]
        return {"outcome": np.array([records.to_json(outcome) for outcome in outcomes])}

    def _get_engine(self) -> Pose3DEngine:
        if self._engine is None:
            self._engine = self._job.open_engine()
        return self._engine


def require_ray(module: str = "ray.data") -> ModuleType:
    """Import Ray Data, or another module of Ray.

    Raises:
        MissingDependencyError: It is not installed.
    """
    return require(module, extra="cluster", purpose="Lifting a batch")


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
        ray = require_ray("ray")
        # Ray prints the deaths of workers to standard output, which is for results.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if not verbose:
            stack.enter_context(_silent_loggers("ray", "ray.data"))
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


def lift_all(job: Job, names: Sequence[str], workers: int) -> Iterator[Outcome]:
    """Lift inputs once each, in a pool of workers, and yield their outcomes as they arrive.

    An input that Ray could assign to no worker has none.

    Args:
        job: What is done with each input.
        names: Paths of the inputs in the batch's folder.
        workers: Number of worker processes.

    Raises:
        EngineError: Ray ended the run, for example because workers cannot import the SDK.
    """
    data, exceptions = require_ray(), require_ray("ray.exceptions")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    pool = data.ActorPoolStrategy(
        size=min(workers, len(names)),
        # No part should wait behind a long video while other workers are idle.
        max_tasks_in_flight_per_actor=1,
    )
    rows = data.from_items(
        [{"name": name} for name in names], override_num_blocks=parts_of(len(names), workers)
    )
    outcomes = rows.map_batches(
        BatchWorker,
        fn_constructor_kwargs={"job": job},
        batch_size=1,
        batch_format="numpy",
        compute=pool,
        num_cpus=_threads(job),
        num_gpus=_gpus(job),
    )
    try:
        for row in outcomes.iter_rows():
            yield records.build(Outcome, records.parse_object(row["outcome"]))
    except (exceptions.RayError, OSError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(
            f"Ray ended the run: {type(error).__name__}: …{reason[-300:]}",
            hint="All machines of a cluster need this version of hot-sdk.",
        ) from error


def parts_of(names: int, workers: int) -> int:
    """Return in how many parts Ray assigns inputs to workers.

    Each costs Ray as much time as a short clip, and memory. With this many, a worker that has the
    last one is alone for a hundredth of the run.
    """
    return min(names, max(100 * workers, names // 100))


def can_host_a_worker(job: Job) -> bool:
    """Return whether the cluster, as it is now, has the CPUs and GPUs that one worker takes."""
    ray = require_ray("ray")
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
def _silent_loggers(*names: str) -> Iterator[None]:
    """Hold back Ray's log on this process's streams; its files are in /tmp/ray."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _restore_environment(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
