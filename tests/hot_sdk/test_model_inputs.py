from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hot_sdk.errors import UsageError
from hot_sdk.manifest import CONDITION_NAMES, CONDITIONS, KEYPOINTS, read_manifest
from hot_sdk.model_inputs import feeds
from hot_sdk.starter import starter_model

PLAIN = replace(read_manifest(starter_model()), conditions=())
TOLD = replace(PLAIN, conditions=CONDITION_NAMES)
WINDOWS = np.ones((2, 81, 17, 2), np.float32)


def test_file_without_conditions_takes_keypoints_only():
    found = feeds(PLAIN, WINDOWS)
    assert list(found) == [KEYPOINTS]
    assert found[KEYPOINTS] is WINDOWS
    with pytest.raises(UsageError, match="the model takes none"):
        feeds(PLAIN, WINDOWS, np.zeros((2, 81, 5), np.float32))


def test_nothing_known_is_zero():
    found = feeds(TOLD, WINDOWS)
    assert found[CONDITIONS].shape == (2, 81, 5)
    assert found[CONDITIONS].dtype == np.float32
    assert not found[CONDITIONS].any()


def test_what_is_known_is_passed_on():
    known = np.ones((2, 81, 5), np.float32)
    assert feeds(TOLD, WINDOWS, known)[CONDITIONS] is known
    with pytest.raises(UsageError, match=r"shape \(2, 80, 5\); the model takes \(2, 81, 5\)"):
        feeds(TOLD, WINDOWS, known[:, 1:])
