"""Coordinates that are not pixels of their image are refused or warned of; real clips are not."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.benchmarks.evaluation.corruption import with_missing_joints, with_noise
from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val
from hot_sdk.errors import KeypointsError, StreamError, UsageError
from hot_sdk.plausibility import implausible

ROOT = Path(__file__).parents[2]
SIZE = (1768, 994)
COCO_OF_MEDIAPIPE = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]


@pytest.fixture(scope="module")
def jump():
    with np.load(ROOT / "examples" / "data" / "jump_mediapipe33.npz") as arrays:
        return arrays["kp"][60:120][:, COCO_OF_MEDIAPIPE].astype(np.float64)


@pytest.fixture(scope="module")
def engine():
    with Pose3DEngine(threads=1) as one:
        yield one


def clip(values, size=SIZE, skeleton="coco17"):
    return Keypoints(values[..., :2], values[..., 2], skeleton=skeleton, image_size=size, fps=30.0)


def moved(values, points):
    return np.concatenate([points, values[..., 2:]], axis=-1)


def warnings_of(keypoints):
    return implausible(*keypoints.h36m17_arrays(), keypoints.image_size, keypoints.skeleton)


@pytest.mark.parametrize(
    ("change", "looks"),
    [
        (lambda p: p / SIZE, "shares of the image (0 to 1)"),
        (lambda p: p / SIZE * 2.0, "shares of the image (0 to 1)"),
        (lambda p: (p - np.array(SIZE) / 2) * 2 / SIZE[0], "normalized coordinates (-1 to 1)"),
        (lambda p: (p - p[:, 11:12]) / 80.0, "meters"),
    ],
)
def test_refuses_what_cannot_be_pixels(jump, engine, change, looks):
    wrong = moved(jump, change(jump[..., :2]))
    with pytest.raises(KeypointsError, match=re.escape(f"look like {looks}")) as caught:
        clip(wrong)
    assert "points" in caught.value.hint
    with (
        engine.stream("video", skeleton="coco17", image_size=SIZE, fps=30.0) as stream,
        pytest.raises(KeypointsError, match="cannot be pixels"),
    ):
        stream.push(wrong[0], 0.0)


def test_accepts_zeros_few_joints_and_people_partly_outside(jump):
    clip(np.zeros((3, 17, 3)))
    near = np.full((1, 17, 3), np.nan)
    near[0, :3] = [[1.0, 2.0, 0.9], [3.0, 4.0, 0.9], [2.0, 1.0, 0.9]]
    clip(near)
    tiny = moved(jump, (jump[..., :2] - [480.0, 40.0]) * 0.04 + [20.0, 15.0])
    assert warnings_of(clip(tiny, (64, 48))) == ()
    assert warnings_of(clip(moved(jump, jump[..., :2] - [600.0, 0.0]))) == ()


@pytest.mark.parametrize(
    ("change", "size", "said"),
    [
        (lambda p: np.stack([SIZE[1] - p[..., 1], p[..., 0]], -1), SIZE[::-1], "by 90 degrees"),
        (lambda p: p / SIZE * 100.0, SIZE, "percent"),
        (lambda p: p * 0.36, SIZE, "stays in the upper left"),
        (lambda p: p, (640, 360), "lie outside the image"),
        (lambda p: p, SIZE[::-1], "width and height may be swapped"),
        (lambda p: p * [1, -1] + [0, SIZE[1]], SIZE, "y may point up"),
        (lambda p: p[..., ::-1], SIZE, "x and y may be swapped"),
        (lambda p: p - p.min(axis=(0, 1)) + 40, SIZE, "those of a crop"),
        (lambda p: p - p.min(axis=(0, 1)) + 40, (380, 481), "as in a crop"),
    ],
)
def test_warns_of_what_is_unlikely(jump, engine, change, size, said):
    wrong = moved(jump, change(jump[..., :2]))
    assert said in " ".join(engine(clip(wrong, size)).warnings)
    options = {"skeleton": "coco17", "image_size": size, "fps": 30.0, "hop": 20}
    with engine.stream("video", **options) as stream:
        for frame, values in enumerate(wrong):
            stream.push(values, frame / 30.0, track_id=1)
        assert said in " ".join(stream.report().warnings)
        assert len(stream.report().warnings) <= 2


def test_warns_of_another_skeletons_array(jump):
    assert "fit no person" in " ".join(warnings_of(clip(jump, skeleton="h36m17")))


@pytest.mark.parametrize("size", [(640, 640), SIZE])
def test_letterboxed_and_scaled_images_give_no_warning(jump, engine, size):
    scale = size[0] / SIZE[0]
    offset = [0.0, (size[1] - SIZE[1] * scale) / 2]
    assert engine(clip(moved(jump, jump[..., :2] * scale + offset), size)).warnings == ()


def test_low_scores_that_cost_joints_are_warned_of(jump, engine):
    # As Detectron2's, which are probabilities of pixels.
    low = np.concatenate([jump[..., :2], 0.35 * jump[..., 2:]], axis=-1)
    low[::3, 13:15, 2] = 0.2
    (warning,) = engine(clip(low)).warnings
    assert warning.startswith("Scores are at most 0.35, and ")
    assert "min_score" in warning
    assert warnings_of(clip(np.concatenate([low[..., :2], 2 * low[..., 2:]], axis=-1))) == ()


def test_real_clips_give_no_warning_and_most_swapped_sizes_one():
    said = []
    for one in load_starter_val():
        assert warnings_of(one.keypoints) == (), one.name
        size = one.keypoints.image_size
        if size[0] != size[1]:
            turned = warnings_of(dataclasses.replace(one.keypoints, image_size=size[::-1]))
            said.append("may be swapped" in " ".join(turned))
        worse = with_missing_joints(with_noise(one, 8.0), 0.3)
        assert warnings_of(worse.keypoints) == (), one.name
    # Square images have nothing to swap, and some people stand where both images have room.
    assert len(said) == 68
    assert sum(said) >= 60
    with np.load(ROOT / "export" / "data" / "verification_clips.npz") as arrays:
        for name in ("pose_1", "pose_squats", "sports2d_demo"):
            shown = Keypoints(
                arrays[f"{name}_points"],
                arrays[f"{name}_scores"],
                skeleton="h36m17",
                image_size=tuple(arrays[f"{name}_size"]),
                fps=arrays[f"{name}_fps"][()],
            )
            assert warnings_of(shown) == (), name


@pytest.mark.parametrize(
    "size", [[1768, 994], np.array(SIZE), (np.int64(1768), np.int64(994)), (1768.0, 994.0)]
)
def test_sizes_of_other_libraries_are_accepted(jump, engine, size):
    assert clip(jump, size).image_size == SIZE
    assert all(type(side) is int for side in clip(jump, size).image_size)
    with engine.stream("video", skeleton="coco17", image_size=size, fps=30.0) as stream:
        assert len(stream.push(jump[0].astype(np.int32), 0.0)) == 1


@pytest.mark.parametrize("size", [(0, 0), (994,), "1768x994", (1.5, 2.0), (float("nan"), 3), None])
def test_sizes_that_are_none_are_refused(jump, size):
    with pytest.raises(KeypointsError, match="image_size is"):
        clip(jump, size)


def test_track_ids_of_other_libraries_are_accepted(jump):
    for name in (np.int64(3), 3.0, np.float32(3.0)):
        found = Keypoints(jump[..., :2], skeleton="coco17", image_size=SIZE, track_id=name)
        assert found.track_id == 3
        assert type(found.track_id) is int


def test_other_values_are_errors_of_ours(jump, engine):
    points = jump[..., :2]
    for wrong in (
        {"fps": 10**400},
        {"timestamps": ["0"] * 60},
        {"timestamps": [0] * 59 + [10**400]},
        {"track_id": [1]},
        {"track_id": float("nan")},
    ):
        with pytest.raises(KeypointsError):
            Keypoints(points, skeleton="coco17", image_size=SIZE, **wrong)
    options = {"skeleton": "coco17", "image_size": SIZE}
    with pytest.raises(UsageError, match="fps is '30'"):
        engine.stream("video", fps="30", **options)
    with engine.stream("video", lookahead=np.int64(1), fps=np.float64(30), **options) as stream:
        for wrong in ("1.0", 10**400, None):
            with pytest.raises(StreamError, match="The timestamp is"):
                stream.push(points[0], wrong)
        with pytest.raises(KeypointsError, match="track_id is a list"):
            stream.push(points[0], 1.0, track_id=[1])
        stream.push(points[0], np.float64(1.0), track_id=np.int64(1))
