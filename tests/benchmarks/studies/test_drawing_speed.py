import re
import subprocess
import sys

import drawing_speed
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed (extra viz)")


def test_prints_pictures_per_second():
    command = [sys.executable, drawing_speed.__file__]
    run = subprocess.run(
        [*command, "--frames", "10", "--rounds", "1"], capture_output=True, text=True
    )
    rates = re.findall(r"^drawing.* (\d+\.\d) +(\d+\.\d)$", run.stdout, re.MULTILINE)
    assert len(rates) == 3, run.stdout + run.stderr
    assert all(0.0 < float(median) <= float(best) for median, best in rates)
