"""Exported files and real keypoints for the runtime's tests."""

import pytest
from exported_models import cases, export_case

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.export.verification.clips import real_clips

# The cases that differ for the runtime; the rest concerns exporter and inference engine.
RUNTIME_CASES = ("plain", "hot", "hot-flip-batch-any", "motion-interpolate", "tpc", "confidence")


@pytest.fixture(scope="session", params=[case for case in cases() if case[1] in RUNTIME_CASES])
def model_file(request, tmp_path_factory):
    """Every family in every variant that the runtime distinguishes."""
    return export_case(*request.param, tmp_path_factory).path


@pytest.fixture(scope="session")
def hot_file(tmp_path_factory):
    """One pruned network."""
    return export_case("mixste", "hot", tmp_path_factory).path


@pytest.fixture(scope="session")
def tpc_file(tmp_path_factory):
    """One network that returns its center frame."""
    return export_case("mixste", "tpc", tmp_path_factory).path


@pytest.fixture
def hot_engine(hot_file):
    """One pruned network, loaded."""
    with Pose3DEngine(hot_file, threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def clips():
    """Real keypoints by name; frames without a person are filled."""
    return {
        clip.name: Keypoints(
            clip.points, clip.scores, skeleton="h36m17", image_size=clip.size, fps=clip.fps
        )
        for clip in real_clips()
    }
