import dataclasses

import numpy as np
import pytest
from mocap import body, result_of

from hot_sdk.errors import ResultError, UsageError
from hot_sdk.preprocessing.policies import AppliedPolicy


def test_rejects_parts_that_do_not_fit():
    result = result_of(body("sit"))
    with pytest.raises(ResultError, match=r"valid has shape \(3, 17\)"):
        dataclasses.replace(result, valid=np.ones((3, 17), dtype=bool))
    with pytest.raises(ResultError, match="'furlong'"):
        dataclasses.replace(result, unit="furlong")


def test_joint_by_name():
    result = result_of(body("sit"))
    np.testing.assert_array_equal(result.joint("left_wrist"), result.poses[:, 13])
    with pytest.raises(UsageError, match="Did you mean 'left_wrist'"):
        result.joint("left_wirst")


def test_summary_holds_the_key_facts():
    text = str(result_of(body("sit"), policies=(AppliedPolicy("a", "b", 1, 2, "joints"),)))
    for part in ("40 poses of 3 over 3.90 s", "in m (camera: x right", "100.0%", "made up"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((40, 17, 3))}, "poses holds float64 values; expected float32"),
        ({"poses": np.float32(0.0)}, "poses has shape"),
        ({"poses": np.zeros((40, 16, 3), np.float32)}, r"poses has shape \(40, 16, 3\)"),
        ({"valid": np.ones((40, 17))}, "valid holds float64 values; expected bool"),
        ({"timestamps": np.full(40, np.nan)}, "timestamps holds NaN"),
        ({"poses": np.full((40, 17, 3), np.inf, np.float32)}, "poses holds infinity"),
        ({"root": np.zeros((40, 3), np.float32)}, "only one is given"),
        ({"root_error": np.zeros(40, np.float32)}, "only one is given"),
        ({"axes": "up"}, "'up' are unknown"),
    ],
)
def test_rejects_values_that_are_no_result(changes, message):
    with pytest.raises(ResultError, match=message):
        dataclasses.replace(result_of(body("sit")), **changes)


def test_arrays_are_read_only_but_the_callers_stay_writable():
    poses = np.zeros((40, 17, 3), dtype=np.float32)
    result = result_of(body("sit"), poses=poses)
    with pytest.raises(ValueError, match="read-only"):
        result.poses[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        result.joint("head")[0] = 1.0
    poses[0] = 1.0


def test_length_is_number_of_frames():
    assert len(result_of(body("sit")[:7])) == 7
