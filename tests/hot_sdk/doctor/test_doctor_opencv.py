"""OpenCV that is whole, of several wheels, half removed, or absent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faked_machines import absent, answers, faked, found, only, programs

from hot_sdk._base.optional import OPENCV_WHEELS
from hot_sdk.doctor.opencv import check_opencv
from hot_sdk.doctor.probe import cv2 as probe_opencv

WHOLE, EMPTY = {"version": "4.11.0", "whole": True}, {"version": None, "whole": False}


def machine(answer, *wheels):
    return faked(distributions=dict.fromkeys(wheels, "4.11.0"), run=programs(cv2=answer))


@pytest.mark.parametrize("wheel", OPENCV_WHEELS)
def test_one_wheel_is_ok(wheel):
    finding = only(machine(answers(WHOLE), wheel), check_opencv)
    assert (finding.status, finding.detail) == ("ok", "4.11.0")


def test_absent_is_no_finding_of_its_own():
    assert found(machine(absent("cv2")), check_opencv) == {}


def test_two_wheels_that_work_are_named():
    finding = only(machine(answers(WHOLE), *OPENCV_WHEELS[::2]), check_opencv)
    assert finding.status == "info"
    assert "share one folder" in finding.detail


@pytest.mark.parametrize(
    ("answer", "wheels", "said"),
    [
        (answers(EMPTY), ["opencv-contrib-python"], "only remains are installed"),
        (answers(EMPTY), [], "only remains are installed"),
        (absent("cv2"), ["opencv-python"], "'import cv2' fails: ModuleNotFoundError"),
    ],
)
def test_remains_are_wrong_and_have_a_repair(answer, wheels, said):
    finding = only(machine(answer, *wheels), check_opencv)
    assert finding.status == "wrong"
    assert said in finding.detail
    assert all(wheel in finding.detail for wheel in wheels)
    assert finding.fix.startswith("Run: pip uninstall -y")


def test_library_of_the_system_that_is_missing_is_not_mended_by_the_same_wheel():
    problem = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    finding = only(machine(answers({"error": problem}), "opencv-python"), check_opencv)
    assert finding.status == "wrong"
    assert "apt-get install libgl1" in finding.fix
    assert "pip install opencv-contrib-python-headless" in finding.fix


def test_opencv_of_this_installation_is_whole():
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra video)")
    assert probe_opencv()["whole"]


def test_empty_module_is_found():
    Path("site/cv2").mkdir(parents=True)
    Path("site/cv2/__init__.py").touch()
    run = subprocess.run(
        [sys.executable, "-c", "from hot_sdk.doctor.probe import cv2; print(cv2())"],
        env={**os.environ, "PYTHONPATH": str(Path("site").resolve())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "{'version': None, 'whole': False}\n"
