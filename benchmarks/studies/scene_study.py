"""The command line of a study whose scenes are those of ``root_scenes``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import replaced_on_success, require_writable_target
from hot_sdk._base.tables import Table, print_report
from hot_sdk.benchmarks.machine import describe_machine

Measured = tuple[list[Table], Any]
"""What is printed, and the same figures for JSON."""


def run_scene_study(
    program: str,
    about: str | None,
    arguments: Sequence[str] | None,
    measure: Callable[[int], Measured],
) -> int:
    """Run the command line; return its exit status.

    Args:
        program: Name of the study.
        about: Its docstring.
        arguments: Its arguments; None for those of the process.
        measure: Measures a number of scenes of each kind.
    """
    return run_command(program, arguments, functools.partial(_run, program, about, measure))


def _run(
    program: str, about: str | None, measure: Callable[[int], Measured], arguments: list[str]
) -> None:
    parser = CommandParser(prog=program, description=(about or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=4, help="scenes of each kind (default: 4)")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="write figures as JSON")
    options = parser.parse(arguments)
    if options.output is not None:
        require_writable_target(options.output)
    tables, figures = measure(options.seeds)
    print_report([describe_machine("numpy"), *tables])
    if options.output is not None:
        with replaced_on_success(options.output) as path:
            path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
