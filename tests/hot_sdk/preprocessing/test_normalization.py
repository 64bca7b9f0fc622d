import numpy as np
import pytest

from hot_sdk.preprocessing.normalization import by_bounding_box, by_image_width


def by_width(points, size, aspect="published"):
    return by_image_width(np.float32([points]), size, aspect)[0].tolist()


def test_width_as_published():
    # x / width * 2 - 1 and y / width * 2 - height / width, on both axes.
    corners = [[0, 0], [1000, 500], [500, 250]]
    assert by_width(corners, (1000, 500)) == [[-1, -0.5], [1, 0.5], [0, 0]]


def test_portrait_published_leaves_the_square():
    found = by_width([[0, 0], [360, 640]], (360, 640))
    np.testing.assert_allclose(found, [[-1, -16 / 9], [1, 16 / 9]], rtol=1e-6)


def test_portrait_padded_fills_the_square():
    found = by_width([[0, 0], [360, 640], [180, 320]], (360, 640), "pad_to_square")
    np.testing.assert_allclose(found, [[-0.5625, -1], [0.5625, 1], [0, 0]], atol=1e-6)


@pytest.mark.parametrize("size", [(1000, 1002), (1920, 1080), (3000, 500)])
def test_padding_changes_portrait_images_only(size):
    points = [[3.0, 5.0], [400.0, 300.0]]
    assert by_width(points, size, "pad_to_square") == by_width(points, size)


def test_box_is_a_square_about_valid_joints():
    points = np.float32([[[100, 100], [300, 140]], [[200, 180], [900, 900]]])
    valid = np.array([[True, True], [True, False]])
    found = by_bounding_box(points, valid)
    # x from 100 to 300 and y from 100 to 180: side 200 about (200, 140).
    np.testing.assert_allclose(found[0], [[-1, -0.4], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1], [[0, 0.4], [1, 1]], atol=1e-6)


def test_one_point_has_a_box():
    found = by_bounding_box(np.full((2, 3, 2), 7.0, np.float32), np.ones((2, 3), bool))
    assert (found == 0.0).all()
