"""What the doctor found, for a terminal, for a file and for programs."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hot_sdk.doctor.diagnosis import Capability, capabilities
from hot_sdk.host.finding import STATUSES, Finding

SCHEMA = 1
"""Version of the JSON record."""

_COLOURS = {"ok": "green", "missing": "yellow", "wrong": "bold red", "info": "cyan"}


def as_record(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as JSON holds them: ``schema``, ``findings`` and ``summary``."""
    counts = Counter(finding.status for finding in findings)
    return {
        "schema": SCHEMA,
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "summary": {
            "counts": {status: counts[status] for status in STATUSES},
            "capabilities": [dataclasses.asdict(able) for able in capabilities(findings)],
        },
    }


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each finding, and one that says what the machine can run."""
    status_width = max(map(len, STATUSES))
    name_width = max((len(finding.name) for finding in findings), default=0)
    lines = [
        f"{finding.status:<{status_width}}  {finding.name:<{name_width}}  {finding.detail}"
        + (f"  Fix: {finding.fix}" if finding.fix else "")
        for finding in findings
    ]
    return "\n".join([*lines, closing_line(capabilities(findings))])


def closing_line(able: Sequence[Capability]) -> str:
    """What the machine can run, and why it cannot run the rest."""
    parts = (
        f"{capability.name}: yes"
        if capability.usable
        else f"{capability.name}: no, because {capability.reason}"
        for capability in able
    )
    return f"{'; '.join(parts)}."


def show(findings: Sequence[Finding]) -> None:
    """Write the findings to standard output: a table on a terminal that ``rich`` can draw on."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is not None:
        _show_table(findings)
    else:
        sys.stdout.write(f"{as_text(findings)}\n")


def _show_table(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        status = Text(finding.status, style=_COLOURS[finding.status])
        table.add_row(status, Text(finding.name), Text(finding.detail))
    Console().print(table)
    # Below and as they are: a table would break a command that is to be copied.
    for finding in findings:
        if finding.fix:
            sys.stdout.write(f"\n{finding.status}: {finding.name}\n  {finding.fix}\n")
    sys.stdout.write(f"\n{closing_line(capabilities(findings))}\n")
