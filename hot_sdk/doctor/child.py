"""Asking a child process what would be unsafe to find out in this one."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any

from hot_sdk.doctor.finding import one_line
from hot_sdk.doctor.machine import Machine, Outcome

SECONDS = 60.0
"""How long a probe may take; the first use of a GPU takes seconds on a small board."""

# Not by 'python -m', which looks into the working directory first: there, a folder that happens to
# be named onnxruntime would be taken for the package.
_PROGRAM = (
    "import sys; sys.path = [folder for folder in sys.path if folder];"
    " from hot_sdk.doctor.probe import main; main()"
)


@dataclass(frozen=True)
class Answer:
    """What a probe found out.

    Attributes:
        values: What it answered; empty where it failed.
        problem: Why it failed; empty where it did not.
        said: What the libraries wrote to standard error.
        not_installed: Whether it failed for want of the very package, rather than of what that
            needs.
    """

    values: dict[str, Any]
    problem: str
    said: str
    not_installed: bool = False


def ask_child(machine: Machine, probe: str, *arguments: str) -> Answer:
    """Run a probe of ``hot_sdk.doctor.probe`` in a child process with the same Python.

    A probe of a package has the package's name.
    """
    command = [machine.interpreter.executable, "-c", _PROGRAM, probe, *arguments]
    outcome = machine.run(command, SECONDS)
    if outcome.status != 0:
        return Answer({}, _death(outcome), outcome.said)
    last = outcome.out.strip().rpartition("\n")[2]
    try:
        values = json.loads(last)
    except ValueError:
        return Answer({}, f"it answered {one_line(last)!r}", outcome.said)
    if "error" in values:
        problem = one_line(values["error"])
        absent = f"ModuleNotFoundError: No module named '{probe}'"
        return Answer({}, problem, outcome.said, not_installed=problem == absent)
    return Answer(values, "", outcome.said)


def _death(outcome: Outcome) -> str:
    last = one_line(outcome.said.strip().rpartition("\n")[2])
    if outcome.status is None:
        return last
    if outcome.status < 0:
        try:
            name = signal.Signals(-outcome.status).name
        except ValueError:
            name = f"signal {-outcome.status}"
        return f"it crashed with {name}"
    return last or f"it ended with status {outcome.status}"
