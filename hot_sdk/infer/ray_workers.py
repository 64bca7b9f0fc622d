"""An archive's inputs on Ray Data: a pool of worker processes, each with an engine of its own."""

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

from hot_sdk._base import records
from hot_sdk._base.optional import require
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.infer.batch_job import Job, Outcome, lift_one
from hot_sdk.pose_engine import Pose3DEngine
from hot_sdk.video.quiet import native_stderr_to_log

_PURPOSE = "Lifting an archive"
_PATIENCE_S = 5.0
_STORE_BYTES = 100 * 1024**2
"""Of the object store of a local Ray, which holds names and outcomes and nothing larger; Ray takes
no fewer than 75 MiB."""

_ENVIRONMENT = {
    # Nothing is told to anybody about this run.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray hides the GPUs from workers that asked for none, and warns that it will stop doing so.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
_CHATTER = re.compile(r".*Set ray log level from environment variable")


class ArchiveWorker:
    """The class that each process of the pool makes one of; the model is loaded when needed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._engine: Pose3DEngine | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Lift the inputs of a batch, by name; gives their outcomes as JSON."""
        outcomes = [lift_one(self._job, str(name), self._opened) for name in batch["name"]]
        return {"outcome": np.array([records.to_json(outcome) for outcome in outcomes])}

    def _opened(self) -> Pose3DEngine:
        if self._engine is None:
            self._engine = self._job.open_engine()
        return self._engine


def require_ray() -> None:
    """Check that Ray Data and rich are installed.

    Raises:
        MissingDependencyError: One is not.
    """
    _ray()
    require("ray.data", extra="cluster", purpose=_PURPOSE)
    require("rich", extra="cluster", purpose=_PURPOSE)


@contextlib.contextmanager
def ray_cluster(job: Job, workers: int, address: str | None, *, verbose: bool) -> Iterator[None]:
    """Start a local Ray, or join a running one, and leave it again.

    Args:
        job: The archive's task, which says what each worker needs.
        workers: How many.
        address: Of a running cluster, as ``ray.init`` takes it; None starts one on this machine.
        verbose: Let Ray and the workers say what they do.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no such cluster, or it has too few CPUs or GPUs.
    """
    wanted = _ENVIRONMENT if verbose else _ENVIRONMENT | _QUIET
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    ray = _ray()
    local = {
        "num_cpus": workers * job.threads,
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    with contextlib.ExitStack() as stack:
        stack.callback(_restore, before)
        # Ray prints the deaths of workers to standard output, which is for results.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if not verbose:
            stack.enter_context(_quiet())
        try:
            _check_listening(address)
            with native_stderr_to_log(_CHATTER):
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
        stack.callback(ray.shutdown)
        _check_resources(ray, job, workers)
        yield


def lift_all(job: Job, names: Sequence[str], workers: int) -> Iterator[Outcome]:
    """Lift inputs once each, in a pool of workers, and give their outcomes as they come.

    An input that Ray could give to no worker has none.

    Args:
        job: The archive's task.
        names: Paths of the inputs in the archive.
        workers: Processes at a time.

    Raises:
        EngineError: Ray ended the run, as where workers cannot import the SDK.
    """
    data = require("ray.data", extra="cluster", purpose=_PURPOSE)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    pool = data.ActorPoolStrategy(
        size=min(workers, len(names)),
        # None should wait behind a long video while other workers have nothing to do.
        max_tasks_in_flight_per_actor=1,
    )
    rows = data.from_items([{"name": name} for name in names], override_num_blocks=len(names))
    outcomes = rows.map_batches(
        ArchiveWorker,
        fn_constructor_kwargs={"job": job},
        batch_size=1,
        batch_format="numpy",
        compute=pool,
        num_cpus=job.threads,
        num_gpus=_gpus(job),
    )
    exceptions = require("ray.exceptions", extra="cluster", purpose=_PURPOSE)
    try:
        for row in outcomes.iter_rows():
            yield records.build(Outcome, records.parse_object(row["outcome"]))
    except exceptions.RayError as error:
        reason = " ".join(str(error).split())
        raise EngineError(
            f"Ray ended the run: {type(error).__name__}: …{reason[-300:]}",
            hint="All machines of a cluster need this version of hot-sdk.",
        ) from error


def _ray() -> ModuleType:
    return require("ray", extra="cluster", purpose=_PURPOSE)


def _check_listening(address: str | None) -> None:
    """Ray itself waits for minutes for an address where nobody is; raises OSError instead."""
    found = re.fullmatch(r"(?:ray://)?([^/:]+):(\d{1,5})", address or "")
    if found:
        socket.create_connection((found[1], int(found[2])), timeout=_PATIENCE_S).close()


def _gpus(job: Job) -> int:
    return 1 if job.device.startswith("cuda") else 0


def _check_resources(ray: ModuleType, job: Job, workers: int) -> None:
    """A worker that fits nowhere would be waited for until the end of days."""
    there = ray.cluster_resources()
    for what, each in (("CPU", job.threads), ("GPU", _gpus(job))):
        if workers * each > there.get(what, 0):
            raise UsageError(
                f"{workers} workers need {workers * each} {what}s, and Ray has"
                f" {there.get(what, 0):g}.",
                hint="Give fewer with --workers.",
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back Ray's log on this process's streams; its files are in /tmp/ray."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.data")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
