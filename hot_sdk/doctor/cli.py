"""``hot-doctor``: what this machine can run, and what to do about what it cannot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk._base.files import require_writable_target
from hot_sdk._base.progress import Progress
from hot_sdk._base.tables import print_report
from hot_sdk.doctor.diagnosis import diagnose
from hot_sdk.doctor.report import as_record, show
from hot_sdk.errors import UsageError
from hot_sdk.host.machine import this_machine

SOMETHING_WRONG = 13
"""Exit status when a finding is ``wrong`` or a check of the self-test failed; no error of
``hot_sdk.errors`` has it."""

_EPILOG = """\
findings:
  ok       usable
  missing  absent; nothing that is installed suffers from it
  wrong    broken, contradictory or too small
  info     a fact, not judged

exit status:
  0 nothing is wrong     2 wrong arguments
  1 internal error      13 something is wrong

--self-test builds three small networks and the starter model on the GPU that is there, runs and
compares them, and checks how sessions begin and end. It takes minutes on a Jetson, needs neither
torch nor onnx, and names what could not run. docs/boards.md says what to do with its report.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_command("hot-doctor", arguments, _run)


def build_parser() -> CommandParser:
    """Return the parser with every option."""
    parser = CommandParser(
        prog="hot-doctor",
        description="Report what this machine can run, what it cannot, and what to do about it. "
        "Engines are tried in child processes; nothing is changed.",
        epilog=_EPILOG,
    )
    parser.add_shared_arguments()
    add = parser.add_argument
    add("--self-test", action="store_true", help="build, run and compare models on this machine")
    add("--output", "-o", type=Path, metavar="FILE", help="write the self-test's report as JSON")
    return parser


def _run(arguments: list[str]) -> int:
    options = build_parser().parse(arguments)
    if options.self_test:
        return _self_test(options)
    if options.output is not None:
        raise UsageError(
            "--output is for the report of a self-test.", hint="Add --self-test, or use --json."
        )
    findings = diagnose(this_machine())
    if options.json:
        sys.stdout.write(json.dumps(as_record(findings)) + "\n")
    else:
        show(findings)
    return SOMETHING_WRONG if any(finding.status == "wrong" for finding in findings) else 0


def _self_test(options: argparse.Namespace) -> int:
    # Needs no numpy itself, but the engines that it names do.
    from hot_sdk.doctor.self_test import run_self_test
    from hot_sdk.doctor.self_test.report import save, tables, to_json

    if options.output is not None:
        require_writable_target(options.output)
    with Progress("self-test", lines_of="hot-doctor") as bar:
        report = run_self_test(
            this_machine(),
            progress=lambda done, total, name: bar.update(done, total, task=f"checking {name}"),
        )
    if options.output is not None:
        save(report, options.output)
    if options.json:
        sys.stdout.write(to_json(report) + "\n")
    else:
        print_report(tables(report))
        if options.output is not None:
            sys.stdout.write(f"Report: {options.output}\n")
    return SOMETHING_WRONG if report.failed else 0
