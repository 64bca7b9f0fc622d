"""Python started in the checkout finds the whole package."""

import subprocess
import sys
from pathlib import Path


def test_every_part_is_found_from_the_checkout():
    code = (
        "import hot_sdk.engines, hot_sdk.export, hot_sdk.manifest\n"
        "from hot_sdk.benchmarks import machine\n"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
