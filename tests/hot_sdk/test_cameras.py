"""Intrinsics are checked, and lenses are undistorted as OpenCV does."""

import numpy as np
import pytest

from hot_sdk import Intrinsics
from hot_sdk.errors import UsageError

cv2 = pytest.importorskip("cv2")
if not hasattr(cv2, "projectPoints"):
    pytest.skip("this OpenCV is empty", allow_module_level=True)

FOUR = (-0.3, 0.1, 0.001, -0.001)
FIVE = (-0.28, 0.09, 0.001, -0.0007, -0.01)
EIGHT = (0.1, -0.2, 0.001, 0.0005, 0.05, 0.12, -0.1, 0.02)
FISHEYE = (0.02, -0.01, 0.004, -0.001)
MATRIX = np.array([[900.0, 0.0, 640.0], [0.0, 905.0, 365.0], [0.0, 0.0, 1.0]])


def rays(widest):
    flat = np.random.default_rng(0).uniform(-widest, widest, (500, 2))
    return np.concatenate([flat, np.ones((500, 1))], axis=1)


@pytest.mark.parametrize("distortion", [FOUR, FIVE, EIGHT])
def test_projects_and_undistorts_as_opencv(distortion):
    points = rays(0.55)
    camera = Intrinsics(900, 905, 640, 365, distortion)
    pixels = camera.project(points)
    zero = np.zeros(3)
    expected = cv2.projectPoints(points, zero, zero, MATRIX, np.array(distortion))[0][:, 0]
    np.testing.assert_allclose(pixels, expected, atol=1e-9)
    back = camera.undistort(pixels)
    np.testing.assert_allclose(back, camera.without_distortion().project(points), atol=1e-5)
    once = cv2.undistortPoints(pixels[:, None], MATRIX, np.array(distortion), None, None, MATRIX)
    # OpenCV makes five steps of a slower method.
    near = np.abs(points[:, :2]).max(axis=1) < 0.25
    np.testing.assert_allclose(back[near], once[near, 0], atol=0.05)


def test_undistorts_fisheye_as_opencv():
    points = rays(2.0)
    camera = Intrinsics(900, 905, 640, 365, FISHEYE, fisheye=True)
    pixels = camera.project(points)
    given = points[:, None, :2].copy()
    coefficients = np.array(FISHEYE)
    expected = cv2.fisheye.distortPoints(given, MATRIX, coefficients)[:, 0]
    np.testing.assert_allclose(pixels, expected, atol=1e-9)
    back = camera.undistort(pixels)
    np.testing.assert_allclose(back, camera.without_distortion().project(points), atol=1e-4)
    theirs = cv2.fisheye.undistortPoints(pixels[:, None], MATRIX, coefficients, None, MATRIX)[:, 0]
    np.testing.assert_allclose(back, theirs, atol=1e-2)


def test_points_that_no_direction_explains_are_nan():
    camera = Intrinsics(900, 905, 640, 365, (-0.9, 0.0, 0.0, 0.0, 0.0))
    points = np.array([[5000.0, 5000.0], [640.0, 365.0], [np.nan, np.nan], [700.0, 400.0]])
    back = camera.undistort(points)
    assert np.isnan(back[[0, 2]]).all()
    np.testing.assert_allclose(back[1], [640.0, 365.0])
    assert np.isfinite(back[3]).all()
    wide = Intrinsics(300, 300, 320, 240, (0.0, 0.0, 0.0, 0.0), fisheye=True)
    assert np.isnan(wide.undistort(np.array([320.0 + 300.0 * 1.6, 240.0]))).all()


@pytest.mark.parametrize(
    "values",
    [(0.64, 0.8, 0.5, 0.5), (4.2, 4.2, 640, 360), (900, 900, 0.5, 0.5), ("a", 1, 2, 3)],
)
def test_refuses_what_cannot_be_pixels(values):
    with pytest.raises(UsageError):
        Intrinsics(*values)


@pytest.mark.parametrize("coefficients", [(0.1,), (0.1,) * 6, (np.nan,) * 5])
def test_refuses_other_coefficients(coefficients):
    with pytest.raises(UsageError, match="distortion coefficients"):
        Intrinsics(900, 900, 640, 360, coefficients)


def test_refuses_intrinsics_of_another_image():
    camera = Intrinsics(900, 905, 640, 365)
    camera.check_image((1280, 720))
    with pytest.raises(UsageError, match="do not fit"):
        camera.check_image((160, 120))
    with pytest.raises(UsageError, match="do not fit"):
        Intrinsics(40, 40, 640, 360).check_image((1280, 720))


def test_whole_numbers_of_numpy_are_accepted():
    camera = Intrinsics(*np.array([900, 905, 640, 365]), np.array([FIVE]))
    assert camera == Intrinsics(900.0, 905.0, 640.0, 365.0, FIVE)


def test_calibration_of_another_resolution_is_warned_of():
    half = Intrinsics(1050.0, 1050.0, 442.0, 250.0)
    assert "an image 0.5 times as large as 1768x994" in half.check_image((1768, 994))[0]
    assert half.check_image((884, 497)) == ()
    portrait = Intrinsics(1050.0, 1050.0, 360.0, 640.0)
    assert "before it was turned" in portrait.check_image((1280, 720))[0]
    assert portrait.check_image((720, 1280)) == ()
    assert Intrinsics(1050.0, 1050.0, 320.0, 330.0).check_image((640, 640)) == ()
    # Cut out of a larger image, or with a lens off the middle.
    assert Intrinsics(1050.0, 1050.0, 442.0, 500.0).check_image((1768, 994)) == ()
    with pytest.raises(UsageError, match="nearly the same"):
        Intrinsics(2100.0, 21.0, 884.0, 497.0)
