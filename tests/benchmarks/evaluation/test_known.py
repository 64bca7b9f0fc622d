"""What a network is told of the camera: stated by keypoints, tilted, refused if unknown."""

import dataclasses

import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.corruption import Corruption, with_frame_rate
from hot_sdk.benchmarks.evaluation.data_sets import load_data
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.benchmarks.evaluation.known import KNOWN, check_known, parse_known, told
from hot_sdk.benchmarks.evaluation.run import _part
from hot_sdk.errors import UsageError
from hot_sdk.manifest import CONDITION_NAMES, read_manifest
from hot_sdk.starter import starter_model


@pytest.fixture(scope="module")
def clip():
    return load_starter_val(views=1)[4]


@pytest.fixture(scope="module")
def able():
    return dataclasses.replace(read_manifest(starter_model()), conditions=CONDITION_NAMES)


def stated(clip, name):
    keypoints = told(clip, KNOWN[name]).keypoints
    known = (keypoints.camera, keypoints.up, keypoints.height_m)
    return [name for name, value in zip("cuh", known, strict=True) if value is not None]


def test_keypoints_state_what_is_known_and_nothing_else(clip):
    found = {name: "".join(stated(clip, name)) for name in KNOWN}
    assert found == {
        "nothing": "",
        "intrinsics": "c",
        "gravity": "cu",
        "height": "cuh",
        "height-only": "h",
    }
    everything = told(clip, KNOWN["height"])
    assert everything.keypoints.camera == clip.intrinsics
    assert everything.keypoints.height_m == 1.6912
    np.testing.assert_allclose(everything.keypoints.up, clip.up, atol=1e-6)
    np.testing.assert_array_equal(everything.keypoints.points, clip.keypoints.points)
    assert told(everything, None) is everything
    assert stated(everything, "nothing") == []


def test_lists_of_choices():
    assert [known.name for known in parse_known("height, nothing")] == ["height", "nothing"]
    assert parse_known("all") == tuple(KNOWN.values())
    for text, said in (("gravty", "Did you mean 'gravity'"), ("", "all"), ("height,", "commas")):
        with pytest.raises(UsageError) as raised:
            parse_known(text)
        assert said in f"{raised.value} {raised.value.hint}"
    with pytest.raises(UsageError, match="twice"):
        parse_known("nothing,nothing")


def test_models_that_cannot_be_told_are_refused(clip, able):
    check_known(parse_known("all"), able, [clip])
    unable = dataclasses.replace(able, conditions=())
    check_known(parse_known("nothing"), unable, [clip])
    for name in ("intrinsics", "gravity", "height", "height-only"):
        with pytest.raises(UsageError, match=f"--known {name} needs a model") as raised:
            check_known(parse_known(f"nothing,{name}"), unable, [clip])
        assert raised.value.hint == "Give --known nothing, or leave it out."
    camera_only = dataclasses.replace(able, conditions=("intrinsics_known",))
    with pytest.raises(UsageError, match="can be told the direction of gravity") as raised:
        check_known(parse_known("all"), camera_only, [clip])
    assert "nothing,intrinsics," in raised.value.hint


def test_clips_that_do_not_state_it_are_refused(clip, able):
    short = dataclasses.replace(clip, height_m=None)
    check_known(parse_known("nothing,gravity"), able, [clip, short])
    with pytest.raises(UsageError, match="the person's height, which the clip '14_12-1'") as raised:
        check_known(parse_known("all"), able, [clip, short])
    assert raised.value.hint == "Give one or more of: nothing, intrinsics, gravity."


@pytest.mark.parametrize("degrees", [1.0, 10.0, 90.0])
def test_gravity_is_wrong_by_the_stated_angle(clip, degrees):
    still = told(clip, KNOWN["gravity"])
    turning = dataclasses.replace(
        clip, up=clip.up + np.random.default_rng(1).normal(0.0, 0.1, (len(clip), 3))
    )
    for one in (still, told(turning, KNOWN["gravity"])):
        found = Corruption(up_degrees=degrees).apply(one)
        cosine = (found.keypoints.up * one.keypoints.up).sum(axis=-1)
        np.testing.assert_allclose(np.degrees(np.arccos(cosine)), degrees, atol=1e-3)
        # Poses are measured against the true direction.
        np.testing.assert_array_equal(found.up, one.up)
    other = Corruption(up_degrees=degrees, seed=1).apply(still)
    assert not np.allclose(
        other.keypoints.up, Corruption(up_degrees=degrees).apply(still).keypoints.up
    )
    silent = told(clip, KNOWN["intrinsics"])
    assert Corruption(up_degrees=degrees).apply(silent) is silent


def test_gravity_of_each_frame_follows_the_frames(clip):
    ups = np.random.default_rng(2).normal(size=(len(clip), 3))
    ups /= np.linalg.norm(ups, axis=1, keepdims=True)
    moving = told(dataclasses.replace(clip, up=ups), KNOWN["gravity"])
    slower = with_frame_rate(moving, 15.0)
    np.testing.assert_allclose(slower.keypoints.up, ups[::2], atol=1e-6)
    chosen = np.array([3, 3, 8, 20])
    np.testing.assert_allclose(_part(moving.keypoints, chosen).up, ups[chosen], atol=1e-6)


def test_files_of_ones_own_hand_on_what_they_state(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = told(clip, KNOWN["height"]).keypoints.save("mine.npz")
    with np.load(path) as arrays:
        np.savez(path, **arrays, poses_3d=clip.truth, unit="m")
    (found,) = load_data("mine.npz")
    assert found.intrinsics == clip.intrinsics
    assert found.height_m == clip.height_m
    np.testing.assert_allclose(found.up, clip.up, atol=1e-6)
