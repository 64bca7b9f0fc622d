"""The soak runs and prints what it promises; its times are not checked."""

import re
import subprocess
import sys

import stream_soak
from exported_models import export_case


def test_prints_memory_and_cost_at_ten_places(tmp_path_factory):
    model = export_case("mixste", "hot", tmp_path_factory).path
    command = [
        sys.executable,
        stream_soak.__file__,
        model,
        "--pushes",
        "3000",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"^ *(\d+) +(\d+\.\d) +(\d+\.\d)$", run.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [300 * place for place in range(1, 11)]
    assert all(float(memory) > 1.0 for _, memory, _ in rows)
    # Every person is followed, and replaced by another after 900 frames.
    assert "3 people followed" in run.stdout
    assert "left 3" in run.stdout
