"""Angles and lengths of bodies against poses that are put together from known ones."""

import dataclasses
import math

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.body_errors import (
    LENGTHS,
    STRAIGHT_DEGREES,
    body_errors,
)
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.metrics import evaluate_poses, mean_of
from hot_sdk.errors import ResultError
from hot_sdk.results.angles import degrees_between
from hot_sdk.skeletons import H36M17

UP = np.array([0.0, -1.0, 0.0])
DOWN = -UP


def turned(vector, degrees):
    """A vector turned about the camera's x axis; positive brings what hangs away from it."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ vector


def body(*, knee=0.0, elbow=0.0, hip=0.0, shoulder=0.0, lean=0.0, leg=400.0, wide=330.0):
    """A pose of given angles, degrees, seen from the front by a level camera."""
    pose = np.zeros((17, 3))
    trunk = turned(UP, lean)
    thigh, arm = turned(-trunk, hip), turned(-trunk, shoulder)
    for side, (first, *rest) in ((-1.0, (1, 2, 3)), (1.0, (4, 5, 6))):
        pose[first] = [side * 90.0, 0.0, 0.0]
        pose[rest[0]] = pose[first] + leg * thigh
        pose[rest[1]] = pose[rest[0]] + leg * turned(thigh, -knee)
    pose[7], pose[8], pose[9], pose[10] = (trunk * up for up in (250.0, 500.0, 600.0, 730.0))
    for side, (first, *rest) in ((1.0, (11, 12, 13)), (-1.0, (14, 15, 16))):
        pose[first] = pose[8] + [side * wide / 2.0, 0.0, 0.0]
        pose[rest[0]] = pose[first] + 280.0 * arm
        pose[rest[1]] = pose[rest[0]] + 260.0 * turned(arm, elbow)
    return pose[None]


NAMES = ("knee", "elbow", "hip", "shoulder")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("degrees", [0.0, 10.0, 90.0, 150.0])
def test_each_angle_is_that_of_the_body(name, degrees):
    found = body_errors(body(**{name: degrees}), body(), UP)
    errors = dict(zip(np.repeat(NAMES, 2), found.angles[0], strict=False))
    for other in NAMES:
        assert errors[other] == pytest.approx(degrees if other == name else 0.0, abs=1e-3)
    np.testing.assert_allclose(found.true_angles[0, :8], 0.0, atol=1e-3)


def test_rmse_and_bias_of_one_angle():
    truth = np.concatenate([body(knee=angle) for angle in (0.0, 5.0, 60.0, 90.0)])
    predicted = np.concatenate([body(knee=angle) for angle in (8.0, 5.0, 50.0, 90.0)])
    found = evaluate_poses(predicted, truth).angles["knee"]
    assert found.bias_degrees == pytest.approx(-0.5, abs=1e-3)
    assert found.rmse_degrees == pytest.approx(math.sqrt((64 + 100) / 4), abs=1e-3)
    assert found.straight_bias_degrees == pytest.approx(4.0, abs=1e-3)
    assert found.straight_percent == 50.0
    unbent = evaluate_poses(truth[2:], truth[2:]).angles["knee"]
    assert math.isnan(unbent.straight_bias_degrees)
    assert unbent.straight_percent == 0.0


def test_one_bent_side_is_half_of_the_bias():
    predicted = body()
    predicted[:, 4:7] = body(knee=20.0)[:, 4:7]
    found = evaluate_poses(predicted, body()).angles["knee"]
    assert found.bias_degrees == pytest.approx(10.0, abs=1e-3)


@pytest.mark.parametrize("lean", [-40.0, -12.0, 12.0, 40.0])
def test_lean_of_the_trunk(lean):
    """To either side, seen against gravity and against the truth."""
    predicted = body(lean=lean)
    found = evaluate_poses(predicted, body(), up=3.0 * UP).angles
    assert found["trunk_lean"].bias_degrees == pytest.approx(abs(lean), abs=1e-3)
    assert found["trunk_direction"].rmse_degrees == pytest.approx(abs(lean), abs=1e-3)
    # Its thorax is nearer to the camera if its z is smaller.
    away = math.copysign(abs(lean), predicted[0, 8, 2])
    assert found["trunk_direction"].bias_degrees == pytest.approx(away, abs=1e-3)
    assert (lean > 0.0) == (away < 0.0)
    unknown = evaluate_poses(predicted, body()).angles
    assert math.isnan(unknown["trunk_lean"].rmse_degrees)
    assert unknown["trunk_direction"] == found["trunk_direction"]


def test_gravity_of_each_frame_and_unknown_ones():
    truth = np.concatenate([body(), body(lean=30.0), body(lean=50.0)])
    up = np.stack([UP, turned(UP, 30.0), np.full(3, np.nan)])
    found = evaluate_poses(truth, truth, up=up).angles["trunk_lean"]
    assert (found.rmse_degrees, found.straight_percent) == (pytest.approx(0.0, abs=1e-6), 100.0)
    leaning = evaluate_poses(truth, truth, up=UP).angles["trunk_lean"]
    assert leaning.straight_percent == pytest.approx(100.0 / 3)
    # Frames that are not scored take their directions with them.
    valid = np.array([False, True, True])
    assert evaluate_poses(truth, truth, up=up, valid=valid).angles["trunk_lean"] == found
    with pytest.raises(ResultError, match="up is float64 of shape"):
        evaluate_poses(truth, truth, up=np.zeros((2, 3)))


def test_angles_need_no_scale_and_no_place():
    truth, predicted = body(knee=30.0, elbow=50.0, hip=20.0), body(knee=45.0, shoulder=70.0)
    one = evaluate_poses(predicted, truth, up=UP).angles
    other = evaluate_poses(1.7 * predicted + [40.0, 0.0, 3e3], truth, up=UP).angles
    for name in one:
        for field in dataclasses.fields(one[name]):
            values = (getattr(each[name], field.name) for each in (one, other))
            assert next(values) == pytest.approx(next(values), abs=1e-3, nan_ok=True)


def test_lengths():
    found = evaluate_poses(body(leg=380.0, wide=250.0), body()).lengths
    assert found["thigh"].bias_mm == found["shin"].bias_mm == pytest.approx(-20.0, abs=1e-3)
    assert found["thigh"].true_mm == pytest.approx(400.0, abs=1e-3)
    assert found["shoulder_width"].bias_mm == pytest.approx(-80.0, abs=1e-3)
    assert found["shoulder_width"].error_mm == pytest.approx(80.0, abs=1e-3)
    for name in ("hip_width", "upper_arm", "forearm", "lower_spine", "head"):
        assert found[name].error_mm == pytest.approx(0.0, abs=1e-3)


def test_bias_of_lengths_cancels_and_error_does_not():
    predicted = np.concatenate([body(leg=390.0), body(leg=410.0)])
    found = evaluate_poses(predicted, np.repeat(body(), 2, axis=0)).lengths["shin"]
    assert (found.bias_mm, found.error_mm) == (
        pytest.approx(0.0, abs=1e-3),
        pytest.approx(10.0, abs=1e-3),
    )


def test_both_sides_are_mirror_images():
    for pairs in LENGTHS.values():
        mirrored = {frozenset(H36M17.mirror[joint] for joint in pair) for pair in pairs}
        assert mirrored == {frozenset(pair) for pair in pairs}


def test_body_of_the_clips_that_ship():
    clip = load_starter_val(views=1)[0]
    found = evaluate_poses(clip.truth_mm, clip.truth_mm, up=clip.up)
    assert found.lengths["forearm"].true_mm == pytest.approx(261.9, abs=0.5)
    assert found.lengths["shoulder_width"].true_mm == pytest.approx(327.2, abs=0.5)
    # Someone who stands and drinks.
    assert found.angles["trunk_lean"].straight_percent > 90.0
    assert found.angles["hip"].straight_percent > 90.0
    assert STRAIGHT_DEGREES == 15.0


def test_poses_without_extent_have_no_angles():
    found = evaluate_poses(np.zeros_like(body()), body(), up=UP)
    assert {math.isnan(one.rmse_degrees) for one in found.angles.values()} == {True}
    assert found.to_dict()["angles"]["knee"]["rmse_degrees"] is None
    assert np.isnan(degrees_between(np.zeros(3), UP))


def test_mean_of_groups_skips_those_without_straight_joints():
    straight = evaluate_poses(body(knee=6.0), body())
    bent = evaluate_poses(body(knee=70.0), body(knee=60.0))
    found = mean_of([straight, bent])
    assert found.angles["knee"].straight_bias_degrees == pytest.approx(6.0, abs=1e-3)
    assert found.angles["knee"].bias_degrees == pytest.approx(8.0, abs=1e-3)
    assert found.lengths["thigh"].true_mm == pytest.approx(400.0, abs=1e-3)
