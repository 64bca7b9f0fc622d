"""The part of ``hot-infer`` that is about archives: its options, and what it prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from hot_sdk._base.files import require_writable_target, sha256_of
from hot_sdk._base.progress import Progress
from hot_sdk.errors import UsageError
from hot_sdk.infer.batch import REPORT, ArchiveReport, find_inputs, run_archive
from hot_sdk.infer.batch_job import Job
from hot_sdk.infer.inputs import InputOptions
from hot_sdk.infer.ray_workers import require_ray
from hot_sdk.manifest import read_manifest
from hot_sdk.starter import starter_model

SOME_FAILED = 15
"""Exit status where inputs of an archive failed; the others were lifted."""

_MOST_WORKERS = 10_000
_MOST_RETRIES = 100
_SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of archives."""
    add = parser.add_argument
    add("--archive", metavar="DIR", help="lift all of a folder, or of a pattern in quotes, on Ray")
    add("--workers", type=int, metavar="N", help="processes of an archive (default: one a CPU)")
    add("--retries", type=int, metavar="N", help="times that what failed is tried again (1)")
    add("--cluster", metavar="A", help="address of a running Ray cluster, or 'auto'")


def check_arguments(options: argparse.Namespace) -> None:
    """Check what can be told before anything is read.

    Raises:
        UsageError: An option is of archives only, or not of archives, or out of range.
    """
    if options.archive is None:
        for flag in ("workers", "retries", "cluster"):
            if getattr(options, flag) is not None:
                raise UsageError(f"--{flag} is of an archive.", hint="Give --archive DIR too.")
        return
    if options.inputs:
        raise UsageError(
            f"An archive was given, and the input '{options.inputs[0]}' too.",
            hint="Put a pattern in quotes, and give no other inputs.",
        )
    for flag in ("video", "plot", "viewer"):
        if getattr(options, flag) is not None:
            raise UsageError(
                f"--{flag} is of one input, and an archive was given.", hint="Leave it out."
            )
    for flag, least, most in (("workers", 1, _MOST_WORKERS), ("retries", 0, _MOST_RETRIES)):
        value = getattr(options, flag)
        if value is not None and not least <= value <= most:
            raise UsageError(f"--{flag} is {value}.", hint=f"Give a number, {least} to {most}.")
    if options.device.startswith("cuda:"):
        raise UsageError(
            f"The device is '{options.device}', and Ray gives each worker a GPU of its own.",
            hint="Use --device cuda.",
        )


def lift_archive(options: argparse.Namespace, inputs: InputOptions) -> int:
    """Lift an archive as the command line says, and print what came of it.

    Args:
        options: Of the command line, checked.
        inputs: Of every input.

    Returns:
        The exit status.

    Raises:
        HotSDKError: Nothing could be begun; what goes wrong with an input is reported instead.
    """
    root, names = find_inputs(options.archive, options.output)
    require_ray()
    require_writable_target(options.output / REPORT)
    job = _job(options, inputs, root)
    workers = options.workers or len(os.sched_getaffinity(0))
    with Progress("lifting the archive") as bar:
        report = run_archive(
            job,
            names,
            workers=workers,
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
    model = (starter_model() if options.model is None else options.model).resolve()
    precision = read_manifest(model).precision
    if options.precision not in (None, precision):
        raise UsageError(
            f"The model computes in {precision}, and {options.precision} was asked for.",
            hint="Give a model that was exported so.",
        )
    job = Job(
        root=str(root),
        output=str(options.output.resolve()),
        model=str(model),
        model_sha256=sha256_of(model),
        engine=options.engine,
        device=options.device,
        # More workers lift more than more threads of each do, where inputs are many.
        threads=1 if options.threads is None else options.threads,
        windows=options.windows,
        overlap=options.overlap,
        flip=options.flip,
        options=inputs,
        cache_dir=None if options.cache_dir is None else str(options.cache_dir.resolve()),
        fast_math=options.fast_math,
        provider=options.provider,
    )
    if job.device == "cpu":
        # What is wrong for every input is told once. A GPU may be on other machines only.
        job.open_engine().close()
    return job


def _print(report: ArchiveReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if report.failures:
        table = Table(title="Failed")
        for column in ("input", "attempts", "error"):
            table.add_column(column, overflow="fold")
        for entry in report.failures[:_SHOWN]:
            table.add_row(entry.outcome.input, str(entry.attempts), entry.outcome.message)
        if len(report.failures) > _SHOWN:
            table.caption = f"and {len(report.failures) - _SHOWN} more, in the report"
        console.print(table)
    sys.stdout.write(
        f"{len(report.inputs)} inputs in {report.seconds:.1f} s: {report.done} lifted,"
        f" {report.skipped} done before, {report.failed} failed\n"
        f"Made: {Path(report.output, REPORT)}\n"
    )
