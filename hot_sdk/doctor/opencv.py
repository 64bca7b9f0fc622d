"""Check that OpenCV is whole: its wheels share one folder, and removing one breaks the others."""

from __future__ import annotations

from hot_sdk._base.optional import OPENCV_WHEELS, opencv_repair
from hot_sdk.doctor.probe import ask_child
from hot_sdk.host import Finding
from hot_sdk.host.machine import Machine


def check_opencv(machine: Machine) -> Finding | None:
    """Check that the module has what a wheel puts there, if one is or was installed."""
    wheels = [name for name in OPENCV_WHEELS if name in machine.distributions]
    shown = " and ".join(f"{name} {machine.distributions[name]}" for name in wheels)
    answer = ask_child(machine, "cv2")
    if answer.not_installed and not wheels:
        # The finding on the extra says so.
        return None
    if answer.problem:
        detail = f"'import cv2' fails: {answer.problem}"
    elif not answer.values["whole"]:
        detail = "only remains are installed: 'import cv2' succeeds, and the module is empty"
    elif len(wheels) > 1:
        return Finding(
            "opencv",
            "info",
            f"{shown} share one folder: removing one of them breaks the others",
        )
    else:
        return Finding("opencv", "ok", str(answer.values["version"]))
    if shown:
        detail += f"; {shown} {'is' if len(wheels) == 1 else 'are'} installed"
    return Finding("opencv", "wrong", detail, opencv_repair(answer.problem))
