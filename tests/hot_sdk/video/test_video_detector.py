"""Detectors as entry points: ours, one that another package ships, and what can be wrong."""

import subprocess
import sys

import numpy as np
import pytest
from shipped_package import ship_package

from hot_sdk.errors import UsageError, VideoError
from hot_sdk.video import create_detector, keypoints_from_video, list_detectors

TINY = """
import numpy as np
from hot_sdk import Keypoints


class Tiny:
    name, version, skeleton = "tiny", "7.1", "coco17"

    def __init__(self, offset):
        self.offset = offset

    def __call__(self, image, timestamp):
        corner = np.mgrid[:17, :2][0] * 5.0 + self.offset
        size = (image.shape[1], image.shape[0])
        return (Keypoints(corner[None], skeleton=self.skeleton, image_size=size),)

    def close(self):
        pass


def create_tiny(*, max_people=1, offset=0.0):
    return Tiny(offset)
"""


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Install a package with a detector into a folder that is searched for modules."""
    folder = tmp_path / "site-packages"

    def install(package, target="tiny_detector:create_tiny"):
        ship_package(
            folder,
            monkeypatch,
            package,
            "hot_sdk.detectors",
            f"tiny = {target}",
            "tiny_detector",
            TINY,
        )

    yield install
    sys.modules.pop("tiny_detector", None)


def test_ours_are_listed_without_importing_them():
    assert list_detectors() == ("mediapipe", "rtmlib")
    code = (
        "import sys; from hot_sdk.video import list_detectors; list_detectors()\n"
        "print([name for name in ('mediapipe', 'rtmlib', 'cv2', 'av') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_detector_of_another_package_finds_people_in_a_video(ship, two_people):
    pytest.importorskip("trackers", reason="trackers is not installed (extra video)")
    ship("tiny")
    assert list_detectors() == ("mediapipe", "rtmlib", "tiny")
    found = keypoints_from_video(two_people, create_detector("tiny", offset=7.0))
    assert found.detector == "tiny 7.1"
    assert found.people[0].points[:, 0] == pytest.approx(np.full((20, 2), 7.0))


def test_options_of_another_packages_detector_are_checked(ship):
    ship("tiny")
    with pytest.raises(UsageError, match=r"no option wrong\. Its options: offset\."):
        create_detector("tiny", wrong=7.0)
    with pytest.raises(UsageError, match="Did you mean 'tiny'"):
        create_detector("tinny")


def test_rejects_a_name_that_two_packages_ship(ship):
    ship("one")
    ship("other")
    for use in (list_detectors, lambda: create_detector("mediapipe")):
        with pytest.raises(VideoError, match="Two packages ship the detector 'tiny'") as raised:
            use()
        assert "'one'" in raised.value.message
        assert "'other'" in raised.value.message


@pytest.mark.parametrize(
    ("target", "says"),
    [("no_such_module:create", "no_such_module"), ("tiny_detector:TINY", "TINY")],
)
def test_broken_detector_is_refused_with_its_package(ship, target, says):
    ship("tiny", target)
    with pytest.raises(VideoError, match=f"'tiny' of the package 'tiny' is broken.*{says}"):
        create_detector("tiny")


def test_wrong_names_and_options_are_refused():
    with pytest.raises(UsageError, match="Did you mean 'mediapipe'"):
        create_detector("mediapip")
    for wrong in (0, 51, True, 1.5):
        with pytest.raises(UsageError, match="max_people"):
            create_detector("mediapipe", max_people=wrong)
    with pytest.raises(UsageError, match=r"no option colour.*min_presence_confidence"):
        create_detector("mediapipe", colour="red")
    with pytest.raises(UsageError, match="min_tracking_confidence is 2"):
        create_detector("mediapipe", min_tracking_confidence=2)
