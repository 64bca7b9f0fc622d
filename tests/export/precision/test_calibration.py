"""Windows to calibrate with: of real clips that ship, or of the user's files."""

from pathlib import Path

import numpy as np
import pytest
from exported_models import small_request

from hot_sdk.errors import KeypointsError
from hot_sdk.export.models import list_models
from hot_sdk.export.options import resolve_request
from hot_sdk.export.precision.calibration import MOST_WINDOWS, SHIPPED, calibration_windows
from hot_sdk.manifest import CONDITIONS, KEYPOINTS

JUMP = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("files", [(), (JUMP,)])
def test_windows_fit_the_network(name, files):
    spec = resolve_request(small_request(name))
    data = calibration_windows(spec, files)
    windows, shape = data.windows, (spec.frames, 17, spec.size.channels)
    assert windows.dtype == np.float32
    assert windows.shape[1:] == shape
    assert 1 < len(windows) <= MOST_WINDOWS
    assert np.isfinite(windows).all()
    assert data.source == (JUMP.name if files else SHIPPED)
    # Normalized: bodies are in the picture, and they move.
    assert np.abs(windows[..., :2]).max() < 2.0
    assert np.ptp(windows, axis=0).max() > 0.1


def test_batches_are_full():
    data = calibration_windows(resolve_request(small_request("mixste")))
    batches = data.batches(5)
    assert {name for batch in batches for name in batch} == {KEYPOINTS}
    assert {batch[KEYPOINTS].shape[0] for batch in batches} == {5}
    joined = np.concatenate([batch[KEYPOINTS] for batch in batches])
    np.testing.assert_array_equal(joined[: len(data.windows)], data.windows, strict=True)
    assert len(data.batches(None)) == len(data.windows)


def test_network_is_calibrated_with_nothing_known_and_with_something():
    config = {"stem": 32, "conditions": 5}
    spec = resolve_request(small_request("mixste", config=config))
    data = calibration_windows(spec)
    assert data.conditions.shape == (len(data.windows), spec.frames, 5)
    assert not data.conditions[::2].any()
    assert data.conditions[1::2].any(axis=(1, 2)).all()
    assert len(data.windows) <= MOST_WINDOWS
    last = data.batches(3)[-1]
    assert {name: len(values) for name, values in last.items()} == {KEYPOINTS: 3, CONDITIONS: 3}


def test_rejects_broken_files(tmp_path):
    broken = tmp_path / "keypoints.npz"
    broken.write_bytes(b"no archive")
    with pytest.raises(KeypointsError, match=r"keypoints\.npz"):
        calibration_windows(resolve_request(small_request("mixste")), [broken])
