"""Read what ``trtexec`` prints, NVIDIA's own program that builds and times a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hot_sdk.doctor.probe import death
from hot_sdk.host import one_line
from hot_sdk.host.machine import ProgramResult

TRTEXEC = ("/usr/src/tensorrt/bin/trtexec",)
"""Where JetPack and NVIDIA's packages put it."""

_COMPUTE = re.compile(r"GPU Compute Time:.*?median = ([\d.]+) ms.*?percentile\(99%\) = ([\d.]+) ms")
_ERROR = re.compile(r"^.*\[E\] (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class TrtexecAnswer:
    """How ``trtexec`` ended.

    Attributes:
        passed: Whether it built and ran the file.
        detail: Its times, or its first error.
    """

    passed: bool
    detail: str


def parse_trtexec(result: ProgramResult) -> TrtexecAnswer:
    """Read an answer of ``trtexec``."""
    text = f"{result.stdout}\n{result.stderr}"
    times = _COMPUTE.search(text)
    if result.status == 0 and "&&&& PASSED" in text:
        if times is None:
            return TrtexecAnswer(True, "passed, without times")
        return TrtexecAnswer(True, f"median {times[1]} ms, 99 % in {times[2]} ms on the GPU")
    error = _ERROR.search(text)
    reason = error[1] if error is not None else death(result)
    return TrtexecAnswer(False, one_line(reason))
