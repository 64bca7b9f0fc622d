"""MediaPipe's landmarks and points by name, in every shape that programs write them in."""

import json
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_people
from hot_sdk.readers import read_frames
from hot_sdk.skeletons import skeleton_format

SQUATS = Keypoints.from_file(Path(__file__).parent / "data" / "squats_mediapipe33.npz")
SIZE = SQUATS.image_size
POINTS, SCORES = SQUATS.points.astype(np.float64), SQUATS.scores.astype(np.float64)
FRAMES = len(POINTS)
NAMES = skeleton_format("mediapipe33").joints
# COCO's joints among MediaPipe's.
COCO = [NAMES.index(name) for name in skeleton_format("coco17").joints]


def landmarks(frame, score="visibility", scale=SIZE):
    return [
        {"x": x / scale[0], "y": y / scale[1], "z": -0.1 + 0.01 * joint, score: value}
        for joint, ((x, y), value) in enumerate(
            zip(POINTS[frame].tolist(), SCORES[frame].tolist(), strict=True)
        )
    ]


def rows(frame, columns="xyzv"):
    table = [[p["x"], p["y"], p["z"], p["visibility"]] for p in landmarks(frame)]
    return [[row["xyzv".index(column)] for column in columns] for row in table]


def flat(frame):
    return [value for row in rows(frame) for value in row]


def each(make):
    return [make(frame) for frame in range(FRAMES)]


SHAPES = {
    "protobuf": each(lambda f: {"landmark": landmarks(f)}),
    "protobuf under a name": each(lambda f: {"pose_landmarks": {"landmark": landmarks(f)}}),
    "Python": each(lambda f: {"pose_landmarks": [landmarks(f)], "pose_world_landmarks": [[]]}),
    "web": each(lambda f: {"landmarks": [landmarks(f)], "worldLandmarks": [landmarks(f)]}),
    "web, legacy": each(lambda f: {"poseLandmarks": landmarks(f), "image": {}}),
    "numbered": each(lambda f: {"frame": f + 40, "timestamp": f / 30, "landmarks": landmarks(f)}),
    "by number": {str(f): landmarks(f) for f in range(FRAMES)},
    "by name with number": {f"frame_{f:05}.jpg": landmarks(f) for f in range(FRAMES)},
    "under frames": {"fps": 30, "frames": each(lambda f: {"landmarks": landmarks(f)})},
    "under landmarks": {"landmarks": each(landmarks), "source": "a.mp4"},
    "presence": each(lambda f: {"pose_landmarks": [landmarks(f, "presence")]}),
    "x, y, z, v": each(rows),
    "x, y, v": each(lambda f: rows(f, "xyv")),
    "flat": each(flat),
    "people": each(lambda f: {"pose_landmarks": [{"landmark": landmarks(f)}]}),
    "pixels": each(lambda f: {"landmarks": landmarks(f, scale=(1.0, 1.0))}),
}


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_landmarks_is_the_same_clip(tmp_path, shape, lines):
    data = SHAPES[shape]
    text = json.dumps(data)
    if lines:
        if isinstance(data, dict):
            pytest.skip("one object")
        text = "\n".join(json.dumps(frame) for frame in data) + "\n"
    (tmp_path / "a.json").write_text(text)
    found = Keypoints.from_file(tmp_path / "a.json", "mediapipe", image_size=SIZE)
    np.testing.assert_allclose(found.points, SQUATS.points, atol=1e-3)
    np.testing.assert_allclose(found.scores, SQUATS.scores, atol=1e-6)


def test_depth_is_not_taken_for_visibility(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(each(lambda f: rows(f, "xyz"))))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    np.testing.assert_allclose(found.points, SQUATS.points, atol=1e-3)
    assert found.scores is None


@pytest.mark.parametrize("way", ["numbers", "keys", "null", "empty"])
def test_frames_without_people_stay_in_their_place(tmp_path, way):
    absent = (3, 4, 8)
    seen = [f for f in range(FRAMES) if f not in absent]
    if way == "numbers":
        data = [{"frame_id": f + 1, "landmarks": landmarks(f)} for f in seen]
    elif way == "keys":
        data = {f"{f:04}": landmarks(f) for f in seen}
    else:
        nothing = None if way == "null" else {"landmarks": []}
        data = [nothing if f in absent else {"landmarks": landmarks(f)} for f in range(FRAMES)]
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert len(found) == FRAMES
    assert np.isnan(found.points[list(absent)]).all()
    np.testing.assert_allclose(found.points[seen], SQUATS.points[seen], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("timestamp", 1.0, ""),
        ("timestamp", 1e3, "milliseconds"),
        ("timestamp", 1e6, "microseconds"),
        ("timestamp", 1e9, "nanoseconds"),
        ("timestamp_ms", 1e3, ""),
        ("timestampMs", 1e3, ""),
        ("time_s", 1.0, ""),
    ],
)
def test_times_are_read_in_their_unit(tmp_path, name, unit, said):
    data = [{name: 5 + f * unit / 25, "landmarks": landmarks(f)} for f in range(FRAMES)]
    (tmp_path / "a.json").write_text(json.dumps(data))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    np.testing.assert_allclose(source.timestamps, np.arange(FRAMES) / 25, atol=1e-6)
    assert said in source.kind


def test_several_people_are_kept_apart(tmp_path):
    pair = each(lambda f: {"landmarks": [landmarks(f), landmarks(FRAMES - 1 - f)]})
    (tmp_path / "a.json").write_text(json.dumps(pair))
    with pytest.raises(KeypointsError, match="several people"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    for frame in pair:
        frame["landmarks"] = [
            {"id": number, "landmarks": person} for number, person in enumerate(frame["landmarks"])
        ]
    (tmp_path / "a.json").write_text(json.dumps(pair))
    first, second = read_people(tmp_path / "a.json", image_size=SIZE)
    np.testing.assert_allclose(first.points, SQUATS.points, atol=1e-3)
    np.testing.assert_allclose(second.points, SQUATS.points[::-1], atol=1e-3)


def test_world_landmarks_are_refused_by_name(tmp_path):
    for key in ("worldLandmarks", "pose_world_landmarks"):
        (tmp_path / "a.json").write_text(json.dumps(each(lambda f, key=key: {key: [landmarks(f)]})))
        with pytest.raises(KeypointsError, match="world landmarks") as caught:
            Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
        assert "pose_landmarks" in caught.value.hint


def pose(frame, spell=str, point=lambda x, y, s, name: {"x": x, "y": y, "score": s, "name": name}):
    return [
        point(*POINTS[frame, place].tolist(), float(SCORES[frame, place]), spell(NAMES[place]))
        for place in COCO
    ]


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def posenet(x, y, score, name):
    return {"part": name, "position": {"x": x, "y": y}, "score": score}


def ml5(x, y, score, name):
    return {"x": x, "y": y, "confidence": score, "name": name}


NAMED = {
    "tfjs": each(lambda f: [{"score": 0.8, "keypoints": pose(f)}]),
    "tfjs, one pose": each(lambda f: {"score": 0.8, "keypoints": pose(f)}),
    "tfjs under poses": each(lambda f: {"frame": f, "poses": [{"keypoints": pose(f)}]}),
    "bare list": each(pose),
    "posenet": each(lambda f: {"score": 0.8, "keypoints": pose(f, camel, posenet)}),
    "posenet, several": each(lambda f: [{"score": 0.8, "keypoints": pose(f, camel, posenet)}]),
    "ml5": each(lambda f: [{"pose": {"keypoints": pose(f, camel, posenet)}, "skeleton": []}]),
    "ml5, new": each(lambda f: [{"keypoints": pose(f, point=ml5), "box": {}, "confidence": 0.9}]),
    "by name": each(
        lambda f: {p["name"]: {"x": p["x"], "y": p["y"], "score": p["score"]} for p in pose(f)}
    ),
    "by name, lists": each(lambda f: {p["name"]: [p["x"], p["y"], p["score"]] for p in pose(f)}),
    "shuffled": each(lambda f: {"keypoints": pose(f)[::-1]}),
    "upper case": each(lambda f: {"keypoints": pose(f, lambda name: name.upper())}),
    "sides last": each(
        lambda f: {"keypoints": pose(f, lambda name: "_".join(name.split("_")[::-1]))}
    ),
}


@pytest.mark.parametrize("shape", NAMED)
def test_points_are_read_by_their_names(tmp_path, shape):
    (tmp_path / "a.json").write_text(json.dumps(NAMED[shape]))
    found = Keypoints.from_file(tmp_path / "a.json", "named", image_size=SIZE)
    assert found.skeleton == "coco17"
    np.testing.assert_allclose(found.points, SQUATS.points[:, COCO], atol=1e-3)
    np.testing.assert_allclose(found.scores, SQUATS.scores[:, COCO], atol=1e-6)


def test_blazepose_is_read_by_its_names(tmp_path):
    data = [
        [
            {
                "keypoints": [
                    {"x": x, "y": y, "z": 0.0, "score": 0.9, "name": name}
                    for name, (x, y) in zip(
                        [name.replace("left_mouth", "mouth_left") for name in NAMES],
                        points.tolist(),
                        strict=True,
                    )
                ],
                "keypoints3D": [{"x": 0.1, "y": 0.1, "z": 0.1, "name": name} for name in NAMES],
            }
        ]
        for points in POINTS
    ]
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert found.skeleton == "mediapipe33"
    np.testing.assert_allclose(found.points, SQUATS.points, atol=1e-3)


def test_joints_that_a_frame_lacks_are_missing(tmp_path):
    data = each(lambda f: {"keypoints": pose(f)[: 17 if f else 12]})
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert np.isnan(found.points[0, 12:]).all()
    np.testing.assert_allclose(found.points[1:], SQUATS.points[1:, COCO], atol=1e-3)


def test_unknown_names_are_refused_with_the_nearest_skeleton(tmp_path):
    tail = {"name": "tail", "x": 1.0, "y": 2.0, "score": 0.9}
    data = each(lambda f: {"keypoints": [*pose(f)[:15], tail]})
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(KeypointsError, match="coco17, also has left_ankle, right_ankle") as caught:
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert "skeleton=" in caught.value.hint


def test_a_part_of_a_skeleton_needs_its_name(tmp_path):
    data = each(lambda f: {"keypoints": pose(f)[:15]})
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(KeypointsError, match=r"names 15 joints .* a part of those of coco17, "):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE, skeleton="coco17")
    assert np.isnan(found.points[:, 15:]).all()
    assert (found.scores[:, 15:] == 0.0).all()
    np.testing.assert_allclose(found.points[:, :15], SQUATS.points[:, COCO[:15]], atol=1e-3)
    assert found.warnings[-1].endswith("count as missing: left_ankle, right_ankle")
    with pytest.raises(KeypointsError, match="mpii16 has no joint 'nose'"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE, skeleton="mpii16")


def test_easy_vitpose_is_y_before_x(tmp_path):
    coco = skeleton_format("coco17").joints
    data = {
        "keypoints": each(
            lambda f: {"3": [[p["y"], p["x"], p["score"]] for p in pose(f)]} if f != 2 else {}
        ),
        "skeleton": {str(place): name for place, name in enumerate(coco)},
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert (found.track_id, found.skeleton, len(found)) == (3, "coco17", FRAMES)
    np.testing.assert_allclose(found.points[3:], SQUATS.points[3:, COCO], atol=1e-3)
    assert np.isnan(found.points[2]).all()


def test_easy_vitpose_without_joints_and_with_an_id_beyond_python(tmp_path):
    coco = {str(place): name for place, name in enumerate(skeleton_format("coco17").joints)}
    person = [[1.0, 2.0, 0.5]] * 17
    for data, problem in (
        ({"keypoints": [{"0": []}], "skeleton": {}}, "the 0 joints of its names"),
        ({"keypoints": [{"9" * 5000: person}], "skeleton": coco}, "a track id is '999"),
    ):
        (tmp_path / "a.json").write_text(json.dumps(data))
        with pytest.raises(KeypointsError, match=problem):
            read_frames(tmp_path / "a.json", image_size=SIZE)


def prediction(frame, **more):
    values = [v for p in pose(frame) for v in (p["x"], p["y"], p["score"])]
    return {"keypoints": values, "bbox": [0, 0, 9, 9], "score": 0.9, "category_id": 1, **more}


def test_openpifpafs_videos_and_images(tmp_path):
    lines = [{"frame": f + 1, "predictions": [prediction(f)] if f != 5 else []} for f in range(9)]
    (tmp_path / "a.json").write_text("\n".join(map(json.dumps, lines)))
    found = Keypoints.from_file(tmp_path / "a.json", "openpifpaf", image_size=SIZE)
    assert (len(found), found.skeleton) == (9, "coco17")
    assert np.isnan(found.points[5]).all()
    np.testing.assert_allclose(found.points[:5], SQUATS.points[:5, COCO], atol=1e-3)
    np.testing.assert_allclose(found.points[6:], SQUATS.points[6:9, COCO], atol=1e-3)
    (tmp_path / "b.json").write_text(json.dumps([prediction(0), prediction(1)]))
    source = read_frames(tmp_path / "b.json", image_size=SIZE)
    assert [(one.frame, one.track_id) for one in source.detections] == [(0, None), (0, None)]
    lines = [{"frame": f, "predictions": [prediction(f, id_=4)]} for f in range(3)]
    (tmp_path / "c.json").write_text("\n".join(map(json.dumps, lines)))
    assert Keypoints.from_file(tmp_path / "c.json", image_size=SIZE).track_id == 4


def test_vitpose_of_transformers_needs_a_skeleton(tmp_path):
    data = each(
        lambda f: [
            {
                "keypoints": [[p["x"], p["y"]] for p in pose(f)],
                "scores": [p["score"] for p in pose(f)],
                "labels": list(range(17)),
            }
        ]
    )
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(KeypointsError, match="does not say its skeleton"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    found = Keypoints.from_file(tmp_path / "a.json", "vitpose", skeleton="coco17", image_size=SIZE)
    np.testing.assert_allclose(found.points, SQUATS.points[:, COCO], atol=1e-3)
    np.testing.assert_allclose(found.scores, SQUATS.scores[:, COCO], atol=1e-6)


def test_broken_json_lines_name_the_line(tmp_path):
    text = "\n".join(json.dumps({"landmarks": landmarks(f)}) for f in range(4))
    (tmp_path / "a.jsonl").write_text(text[:-30])
    with pytest.raises(KeypointsError, match="line 4, the last, of JSON lines, is broken"):
        Keypoints.from_file(tmp_path / "a.jsonl", image_size=SIZE)


def test_times_are_not_taken_for_frame_numbers(tmp_path):
    data = {str(33 * f): landmarks(f) for f in range(FRAMES)}
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(KeypointsError, match="steps of about 33, as times are"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    data = {str(3 * f): landmarks(f) for f in range(FRAMES)}
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    np.testing.assert_allclose(found.points[::3], SQUATS.points, atol=1e-3)


def test_a_list_of_poses_is_frames_unless_all_ids_differ(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(NAMED["tfjs, one pose"]))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    assert source.notes == ("the list of poses was read as one pose in each frame",)
    people = [{"id": number, "keypoints": pose(number)} for number in range(3)]
    (tmp_path / "a.json").write_text(json.dumps(people))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    assert (source.frames, [one.track_id for one in source.detections]) == (1, [0, 1, 2])
