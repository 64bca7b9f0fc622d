"""The page of faults names a test for each, and that test exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tensorrt-review.md").read_text(encoding="utf-8")


def test_every_fault_has_a_test_that_exists():
    faults = [
        line
        for line in PAGE.splitlines()
        if line.startswith("| ") and not line.startswith("| fault |")
    ]
    assert len(faults) > 20
    for line in faults:
        found = re.search(r"`(tests/[\w/]+\.py)(?:::(\w+))?` \|$", line)
        assert found, line
        text = (ROOT / found[1]).read_text(encoding="utf-8")
        assert f"def {found[2] or 'test_'}" in text, line
