"""Report what the doctor found, for a terminal, for a file and for programs."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hot_sdk._base.tables import Table, print_report
from hot_sdk.doctor.diagnosis import capabilities
from hot_sdk.host import STATUSES, Finding

SCHEMA = 1
"""Version of the JSON record."""

_STYLES = {"ok": "green", "missing": "yellow", "wrong": "bold red", "info": "cyan"}


def as_record(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings for JSON: ``schema``, ``findings`` and ``summary``."""
    counts = Counter(finding.status for finding in findings)
    return {
        "schema": SCHEMA,
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "summary": {
            "counts": {status: counts[status] for status in STATUSES},
            "capabilities": [dataclasses.asdict(able) for able in capabilities(findings)],
        },
    }


def show(findings: Sequence[Finding]) -> None:
    """Write the findings to standard output: a table, what to do, and what the machine can run."""
    rows = tuple((finding.status, finding.name, finding.detail) for finding in findings)
    print_report([Table("", ("status", "check", "found"), rows, text_columns=3, styles=_STYLES)])
    # As they are: a table would break a command that is to be copied.
    for finding in findings:
        if finding.fix:
            sys.stdout.write(f"\n{finding.status}: {finding.name}\n  {finding.fix}\n")
    sys.stdout.write(f"\n{closing_line(findings)}\n")


def closing_line(findings: Sequence[Finding]) -> str:
    """Return what the machine can run, and why it cannot run the rest."""
    parts = (
        f"{able.name}: yes" if able.usable else f"{able.name}: no, because {able.reason}"
        for able in capabilities(findings)
    )
    return f"{'; '.join(parts)}."
