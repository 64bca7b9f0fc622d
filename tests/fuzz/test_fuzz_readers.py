import subprocess
import sys

import fuzz_readers
import pytest
from fuzz_readers import _seeds

from hot_sdk.people import read_people

pytest.importorskip("atheris", reason="atheris is not installed (extra dev)")


def fuzz(*arguments):
    command = [sys.executable, fuzz_readers.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("reader", [name for name in _seeds() if name != "npz members"])
def test_seeds_are_valid_files(tmp_path, reader):
    path = tmp_path / "seed"
    path.write_bytes(_seeds()[reader])
    skeleton = {"openpose": "openpose25", "npy": "coco17", "vitpose": "coco17"}.get(reader)
    size = None if reader == "npz" else (640, 480)
    (person,) = read_people(path, image_size=size, skeleton=skeleton)
    assert len(person) >= 1


def test_reports_runs_and_finds_no_untyped_errors():
    run = fuzz("--duration", "1", "--reader", "openpose", "--reader", "csv")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [
        line.split() for line in run.stdout.splitlines() if line.startswith(("openpose", "csv"))
    ]
    assert len(rows) == 2
    for row in rows:
        assert int(row[1]) > 10
        assert row[-1] == "0"
