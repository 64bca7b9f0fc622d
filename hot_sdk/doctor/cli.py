"""``hot-doctor``: what this machine can run, and what to do about what it cannot."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from hot_sdk._base.cli import CommandParser, run_command
from hot_sdk.doctor.diagnosis import diagnose
from hot_sdk.doctor.report import as_record, show
from hot_sdk.host.machine import this_machine

SOMETHING_WRONG = 13
"""Exit status when a finding is ``wrong``; no error of ``hot_sdk.errors`` has it."""

_EPILOG = """\
findings:
  ok       usable
  missing  absent; nothing that is installed suffers from it
  wrong    broken, contradictory or too small
  info     a fact, not judged

exit status:
  0 nothing is wrong     2 wrong arguments
  1 internal error      13 something is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    return run_command("hot-doctor", arguments, _run)


def _run(arguments: list[str]) -> int:
    parser = CommandParser(
        prog="hot-doctor",
        description="Report what this machine can run, what it cannot, and what to do about it. "
        "Engines are tried in child processes; nothing is changed.",
        epilog=_EPILOG,
    )
    parser.add_shared_arguments()
    options = parser.parse(arguments)
    findings = diagnose(this_machine())
    if options.json:
        sys.stdout.write(json.dumps(as_record(findings)) + "\n")
    else:
        show(findings)
    return SOMETHING_WRONG if any(finding.status == "wrong" for finding in findings) else 0
