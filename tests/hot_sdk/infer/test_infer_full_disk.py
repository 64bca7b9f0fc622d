"""A full disk is an error about the file, whatever writes it, and leaves no part of the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

JUMP = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"

# A limit of the process's own files stands for a full disk; writing beyond it fails the same way.
PROGRAM = """
import resource, sys
from hot_sdk import Keypoints
from hot_sdk.infer.cli import main

Keypoints.from_file(sys.argv[1]).trimmed().save("clip.npz")
for arguments in (
    ["--format", "npz"],
    ["--format", "csv"],
    ["--format", "json"],
    ["--save-plot", "a.png"],
    ["--save-video", "a.mp4"],
    ["--save-video", "a.gif"],
):
    # Drawings come after the result itself, which has to fit.
    bytes = 20_000 if arguments[0] == "--format" else 120_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))
    print(arguments[-1], main(["clip.npz", "--output-dir", "out", *arguments]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process")
def test_every_output_reports_a_full_disk():
    for library in ("cv2", "matplotlib", "PIL"):
        pytest.importorskip(library)
    Path("out").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(JUMP)], capture_output=True, text=True, check=True
    )
    status = dict(line.split() for line in run.stdout.splitlines() if len(line.split()) == 2)
    drawn = {"a.mp4": "12", "a.gif": "12"}
    for name in ("npz", "csv", "json", "a.png", "a.mp4", "a.gif"):
        assert status[name] == drawn.get(name, "2"), (name, run.stderr)
    assert "internal error" not in run.stderr
    errors = [line for line in run.stderr.splitlines() if line.startswith("hot-infer: error: ")]
    assert len(errors) == 6
    assert {path.name for path in Path().rglob("*.*")} == {"clip.npz", "clip_3d.npz"}
