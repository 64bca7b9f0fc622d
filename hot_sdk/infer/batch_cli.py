"""The batch options of ``hot-infer``, and what they print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hot_sdk._base.files import require_writable_target, sha256_of
from hot_sdk._base.progress import Progress
from hot_sdk.engines import default_engine
from hot_sdk.errors import UsageError
from hot_sdk.infer.inputs import EngineOptions, InputOptions, check_rate, options_from
from hot_sdk.manifest import Manifest, read_manifest
from hot_sdk.starter import resolve_model

# What runs batches is imported with the first one: its processes and tables take as long to import
# as the SDK.
if TYPE_CHECKING:
    from hot_sdk.infer.batch import BatchReport
    from hot_sdk.infer.batch_job import Job

SOME_FAILED = 15
"""Exit status if some inputs of a batch failed; the others were lifted."""

_MOST_WORKERS = 10_000
_MOST_RETRIES = 100
_SHOWN = 50


def add_arguments(add: Callable[..., Any]) -> None:
    """Add the batch options to a parser or group, by its ``add_argument``."""
    add("--archive", metavar="DIR", help="process every input in a folder or quoted glob, on Ray")
    add("--workers", type=int, metavar="N", help="worker processes (default: one per CPU)")
    add("--retries", type=int, metavar="N", help="retries per failed input (default: 1)")
    add("--cluster", metavar="A", help="address of a running Ray cluster, or 'auto'")


def check_arguments(options: argparse.Namespace) -> None:
    """Check what can be checked before anything is read.

    Raises:
        UsageError: An option applies only to batches, or not to batches, or is out of range.
    """
    if options.archive is None:
        for flag in ("workers", "retries", "cluster"):
            if getattr(options, flag) is not None:
                raise UsageError(
                    f"--{flag} applies only with --archive DIR.", hint="Add it, or remove the flag."
                )
        return
    if options.inputs:
        raise UsageError(
            f"--archive was given together with the input '{options.inputs[0]}'.",
            hint="Put a glob in quotes, and give no other inputs.",
        )
    for flag in ("save_video", "save_plot", "save_rerun"):
        if getattr(options, flag) is not None:
            raise UsageError(
                f"--{flag.replace('_', '-')} applies to one input, and --archive was given.",
                hint="Remove it.",
            )
    for flag, least, most in (("workers", 1, _MOST_WORKERS), ("retries", 0, _MOST_RETRIES)):
        value = getattr(options, flag)
        if value is not None and not least <= value <= most:
            raise UsageError(f"--{flag} is {value}.", hint=f"Give a number, {least} to {most}.")
    if options.device.startswith("cuda:"):
        raise UsageError(
            f"The device is '{options.device}', and Ray gives each worker its own GPU.",
            hint="Use --device cuda.",
        )


def require_precision(manifest: Manifest, required: str | None) -> None:
    """Check the precision of a model.

    Raises:
        UsageError: It is not the required one.
    """
    if required not in (None, manifest.precision):
        raise UsageError(
            f"The model is {manifest.precision}, but --require-precision {required} was requested.",
            hint=f"Export it with --precision {required}, or remove the flag.",
        )


def lift_batch(options: argparse.Namespace, inputs: InputOptions) -> int:
    """Lift a batch as the command line says, print the outcome, and return the exit status.

    Raises:
        HotSDKError: The batch could not be started; errors of single inputs are reported instead.
    """
    from hot_sdk.infer.batch import REPORT, find_inputs, run_batch
    from hot_sdk.infer.ray_workers import check_ray

    root, names = find_inputs(options.archive, options.output_dir)
    check_rate((str(root / name) for name in names), inputs.fps)
    check_ray()
    require_writable_target(options.output_dir / REPORT)
    job = _job(options, inputs, root)
    with Progress("lifting the batch") as bar:
        report = run_batch(
            job,
            names,
            workers=options.workers or len(os.sched_getaffinity(0)),
            retries=1 if options.retries is None else options.retries,
            address=options.cluster,
            verbose=options.verbose,
            progress=bar.update,
        )
    if options.json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")
    else:
        _print(report)
    return SOME_FAILED if report.failed else 0


def _job(options: argparse.Namespace, inputs: InputOptions, root: Path) -> Job:
    from hot_sdk.infer.batch_job import Job

    model = resolve_model(options.model).resolve()
    require_precision(read_manifest(model), options.require_precision)
    engine = options_from(EngineOptions, options)
    job = Job(
        root=str(root),
        output=str(options.output_dir.resolve()),
        model=str(model),
        model_sha256=sha256_of(model),
        engine=dataclasses.replace(
            engine,
            # One name for one choice, so that a later run finds its results.
            engine=engine.engine or default_engine(model),
            # With many inputs, more workers lift more than more threads per worker.
            threads=1 if engine.threads is None else engine.threads,
            cache_dir=None if engine.cache_dir is None else engine.cache_dir.resolve(),
        ),
        inputs=inputs,
    )
    if engine.device == "cpu":
        # An error that every input would have is raised once. Only workers may have a GPU.
        job.open_engine().close()
    return job


def _print(report: BatchReport) -> None:
    from hot_sdk._base.tables import Table, print_report
    from hot_sdk.infer.batch import REPORT

    failures, hidden = report.failures[:_SHOWN], len(report.failures) - _SHOWN
    table = Table(
        "Failed",
        ("input", "error", "attempts"),
        tuple((e.outcome.input, e.outcome.message or "", str(e.attempts)) for e in failures),
        note=f"and {hidden} more, in the report" if hidden > 0 else "",
        text_columns=2,
    )
    summary = (
        f"{len(report.inputs)} inputs in {report.seconds:.1f} s: {report.done} lifted,"
        f" {report.skipped} already done, {report.failed} failed\n"
        f"Made: {Path(report.output, REPORT)}"
    )
    print_report([table, summary] if failures else [summary])
