"""A leaning camera beside a person sees what an upright one that looks at the person sees."""

from __future__ import annotations

import numpy as np
import pytest

from hot_sdk import CameraPose, Intrinsics
from hot_sdk.manifest import CONDITION_NAMES
from hot_sdk.preprocessing.virtual_view import (
    ViewTrack,
    bridged_up,
    conditions,
    ray_slopes,
    sample_up,
    turned_spread,
    virtual_views,
    without_ray,
)

LENS = Intrinsics(900.0, 910.0, 650.0, 350.0, (0.05, -0.02, 0.001, -0.002))


def _people(count, seed=0):
    """Bodies in the world (z up), meters, and cameras near the origin that lean in all ways."""
    chance = np.random.default_rng(seed)
    bodies = chance.normal([4.0, 0.0, 0.2], 0.35, (count, 17, 3))
    cameras = [
        CameraPose.mounted((0.1, -0.2, 0.3), yaw=yaw, pitch=pitch, roll=roll)
        for yaw, pitch, roll in chance.uniform(-0.35, 0.35, (count, 3)) * [1.0, 1.0, 3.0]
    ]
    return bodies, cameras


def _seen(bodies, cameras):
    """Points along the axes of cameras."""
    pairs = zip(bodies, cameras, strict=True)
    return np.stack([(body - one.translation) @ one.rotation for body, one in pairs])


def _views(slopes, up):
    return virtual_views(slopes.mean(axis=1), up)


def test_an_upright_camera_that_looks_at_the_person_sees_the_same():
    bodies, cameras = _people(20)
    pixels = LENS.project(_seen(bodies, cameras)).astype(np.float32)
    slopes = ray_slopes(pixels, LENS)
    up = np.stack([camera.rotation[2] for camera in cameras])
    views = _views(slopes, up)
    assert views.upright.all()
    for at, camera in enumerate(cameras):
        ahead = camera.rotation @ np.append(slopes[at].mean(axis=0), 1.0)
        ahead /= np.linalg.norm(ahead)
        yaw, pitch = np.arctan2(ahead[1], ahead[0]), -np.arcsin(ahead[2])
        looking = CameraPose.mounted(camera.translation, yaw=yaw, pitch=pitch)
        expected = _seen(bodies[at : at + 1], [looking])[0]
        turned = views.turned(slopes)[at]
        # As exact as pixels of float32 are.
        np.testing.assert_allclose(turned, expected[:, :2] / expected[:, 2:], atol=1e-6)
        assert views.pitch[at] == pytest.approx(np.sin(-pitch), abs=1e-12)
        back = views.turned_back(expected[None] - expected[:1])[at]
        seen = _seen(bodies[at : at + 1], [camera])[0]
        np.testing.assert_allclose(back, seen - seen[:1], atol=1e-6)


def test_without_gravity_nothing_turns_about_the_ray():
    centers = np.random.default_rng(1).normal(0.0, 0.8, (50, 2))
    centers[0] = 0.0
    views = virtual_views(centers, None)
    rotations = views.rotations
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12
    )
    np.testing.assert_array_equal(rotations[0], np.eye(3))
    ahead = np.concatenate([centers, np.ones((50, 1))], axis=1)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    np.testing.assert_allclose(rotations @ ahead[:, :, None], [[[0], [0], [1]]] * 50, atol=1e-12)
    # Of all rotations that do so, the one of the smallest angle.
    cosine = (np.trace(rotations, axis1=1, axis2=2) - 1.0) / 2.0
    np.testing.assert_allclose(cosine, ahead[:, 2], atol=1e-12)
    assert not views.upright.any()
    assert not views.pitch.any()


@pytest.mark.parametrize("gravity", [False, True])
def test_poses_come_back_as_they_were(gravity):
    chance = np.random.default_rng(2)
    up = chance.normal(0.0, 1.0, (40, 3))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    views = virtual_views(chance.normal(0.0, 0.5, (40, 2)), up if gravity else None)
    poses = chance.normal(0.0, 0.5, (40, 17, 3))
    turned = poses @ views.rotations.transpose(0, 2, 1)
    np.testing.assert_allclose(views.turned_back(turned), poses, atol=1e-9, rtol=0.0)
    assert np.allclose(np.linalg.det(views.rotations), 1.0)


def test_gravity_is_unknown_where_it_says_nothing_of_the_roll():
    up = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [np.nan] * 3, [0.0, -0.2, -0.98]])
    up[3] /= np.linalg.norm(up[3])
    views = virtual_views(np.zeros((4, 2)), up)
    assert views.upright.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(views.rotations[1:], np.tile(np.eye(3), (3, 1, 1)))
    assert np.isfinite(views.pitch).all()


def test_spread_follows_the_axes():
    spread = np.array([[[0.1, 0.2, 0.3]]])
    quarter = np.array([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]])
    np.testing.assert_allclose(turned_spread(spread, np.eye(3)[None]), spread)
    np.testing.assert_allclose(turned_spread(spread, quarter), [[[0.3, 0.2, 0.1]]])
    bodies, cameras = _people(5)
    views = _views(LENS.slopes(LENS.project(_seen(bodies, cameras))), None)
    # The total over the axes is that of the errors' lengths, which no rotation changes.
    wide = np.random.default_rng(3).uniform(0.01, 0.2, (5, 17, 3))
    back = views.spread_turned_back(wide)
    np.testing.assert_allclose((back**2).sum(axis=-1), (wide**2).sum(axis=-1))
    # As errors drawn along the virtual axes are, once turned.
    errors = np.random.default_rng(4).normal(0.0, 1.0, (20_000, 1, 17, 3)) * wide[:1]
    np.testing.assert_allclose(views.of(slice(0, 1)).turned_back(errors).std(0), back[:1], rtol=0.1)


def test_what_the_network_is_told():
    views = virtual_views(np.zeros((2, 2)), np.array([[0.0, -0.8, 0.6], [np.nan] * 3]))
    told = conditions(CONDITION_NAMES, 2, views, 1.8)
    height = np.log(1.8 / 1.7) / 0.05
    np.testing.assert_allclose(told, [[1, 1, 0.6, 1, height], [1, 0, 0, 1, height]], rtol=1e-6)
    assert not conditions(CONDITION_NAMES, 3, None, None).any()
    np.testing.assert_allclose(
        conditions(("height", "view_pitch"), 1, views.of(slice(0, 1)), 1.7), [[0.0, 0.6]]
    )


def test_directions_are_sampled_between_known_frames():
    up = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [np.nan] * 3, [0.0, 0.0, 1.0]])
    at = np.array([-1.0, 0.5, 1.0, 1.2, 2.9, 3.0, 9.0])
    found = sample_up(up, np.arange(4.0), at)
    half = np.sqrt(0.5)
    unknown = [np.nan] * 3
    expected = [up[0], [half, -half, 0.0], up[1], unknown, unknown, up[3], up[3]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # Opposite directions have none between them.
    assert np.isnan(sample_up(np.array([[0, 1.0, 0], [0, -1.0, 0]]), np.arange(2.0), [0.5])).all()


def test_a_track_computes_any_part_of_the_whole():
    chance = np.random.default_rng(5)
    up = chance.normal([0.0, -1.0, 0.0], 0.1, (30, 3))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    samples = np.linspace(0.0, 29.0, 50)
    track = ViewTrack(chance.normal(0.0, 0.3, (30, 2)), up, np.arange(30.0), samples)
    whole, places = track.at(slice(None)), np.array([40, 3, 3, 17])
    np.testing.assert_array_equal(track.at(places).rotations, whole.rotations[places])
    assert track.upright() == len(track) == 50


def test_what_a_lens_does_not_show_has_no_ray():
    lens = Intrinsics(500.0, 500.0, 640.0, 360.0, (-0.4, 0.0, 0.0, 0.0))
    points = np.array([[[640.0, 360.0], [2640.0, 360.0]]], dtype=np.float32)
    kept, known = without_ray(points, lens)
    assert np.isnan(kept[0, 1]).all()
    np.testing.assert_array_equal(kept[0, 0], points[0, 0])
    assert without_ray(points, None)[0] is points
    assert np.isfinite(ray_slopes(points, lens)).all()
    # What is known is not computed again, and what was changed is.
    filled = np.where(np.isnan(kept), np.float32(700.0), kept)
    np.testing.assert_array_equal(ray_slopes(filled, lens, known), ray_slopes(filled, lens))


def test_short_gaps_of_up_are_bridged():
    times = np.arange(40) / 20.0
    angle = 0.5 * times
    up = np.stack([np.sin(angle), -np.cos(angle), 0.0 * angle], axis=1)
    gappy = np.full_like(up, np.nan)
    # One of three, then a gap of 0.6 s, then the last three frames are unknown.
    for at in (*range(1, 20, 3), *range(31, 37)):
        gappy[at] = up[at]
    bridged = bridged_up(gappy, times)
    np.testing.assert_allclose(bridged[1:20], up[1:20], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(bridged[1:20], axis=1), 1.0)
    np.testing.assert_allclose(bridged[0], up[1], atol=1e-12)
    assert np.isnan(bridged[22:31]).all()
    np.testing.assert_allclose(bridged[37:39], up[[36, 36]], atol=1e-12)
    assert np.isnan(bridged[39]).all()
    opposite = np.array([[0.0, -1, 0], [np.nan] * 3, [0.0, 1, 0]])
    assert np.isnan(bridged_up(opposite, times[:3])[1]).all()
    np.testing.assert_array_equal(bridged_up(up, times), up)
    nothing = np.full((3, 3), np.nan)
    assert np.isnan(bridged_up(nothing, times[:3])).all()
