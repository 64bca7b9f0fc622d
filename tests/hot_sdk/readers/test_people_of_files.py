"""Names of joints, of images and of people in files that list people."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from clip_joints import BODY18, COCO, FRAMES, HALPE, HEAD, HIP, NECK, SIZE

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.errors import KeypointsError
from hot_sdk.offline import lift_stream
from hot_sdk.people import read_tracked_people
from hot_sdk.readers import read_frames
from hot_sdk.readers.joint_names import plain_name
from hot_sdk.skeletons import skeleton_format

COCO_NAMES = skeleton_format("coco17").joints
POSETRACK = np.concatenate([COCO[:, :1], NECK[:, None], HEAD[:, None], COCO[:, 3:]], axis=1)


def flat(table):
    return np.round(table.astype(float), 3).reshape(-1).tolist()


def read(tmp_path, data, **options):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    return Keypoints.from_file(path, image_size=SIZE, **options)


def people(table, **more):
    return [
        {"image_id": frame, "category_id": 1, "keypoints": flat(one), "score": 0.9, **more}
        for frame, one in enumerate(table)
    ]


def annotations(table, names, **more):
    images = [{"id": frame, "width": SIZE[0], "height": SIZE[1]} for frame in range(FRAMES)]
    category = {"id": 1, "name": "person", "keypoints": list(names)}
    return {"images": images, "annotations": people(table, **more), "categories": [category]}


def test_names_of_posetrack_decide(tmp_path):
    names = skeleton_format("posetrack17").joints
    found = read(tmp_path, annotations(POSETRACK, names, track_id=0))
    assert (found.skeleton, found.track_id) == ("posetrack17", 0)
    np.testing.assert_allclose(found.points, POSETRACK[..., :2], atol=0.01)
    own, coco = (
        Keypoints(table[..., :2], skeleton=name, image_size=SIZE).to_h36m17()
        for table, name in ((POSETRACK, "posetrack17"), (COCO, "coco17"))
    )
    np.testing.assert_allclose(own.points, coco.points, atol=1.0)


def test_names_of_human36m_decide_in_their_own_order(tmp_path):
    names = [
        "root (pelvis)",
        "left_hip",
        "left_knee",
        "left_foot",
        "right_hip",
        "right_knee",
        "right_foot",
        "spine",
        "thorax",
        "neck_base",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ]
    table = np.stack([HIP] * 17, axis=1) + 10 * np.arange(17)[:, None] * [1, 0, 0]
    found = read(tmp_path, annotations(table, names))
    assert found.skeleton == "h36m17"
    order = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]
    np.testing.assert_allclose(found.points, table[:, order, :2], atol=0.01)


@pytest.mark.parametrize(
    "spelling",
    [
        "{side}{Part}",
        "{Side}{Part}",
        "{s}_{part}",
        "{part} {s}",
        "{S}{Part}",
        "{s}{part}",
        "{part}-{side}",
    ],
)
def test_names_may_be_spelled_and_ordered_in_any_way(tmp_path, spelling):
    def spelled(name):
        side, _, part = name.rpartition("_")
        if not side:
            return name
        return spelling.format(
            side=side, Side=side.title(), s=side[0], S=side[0].upper(), part=part, Part=part.title()
        )

    order = np.random.default_rng(3).permutation(17)
    names = [spelled(COCO_NAMES[place]) for place in order]
    assert [plain_name(name) for name in names] == [COCO_NAMES[place] for place in order]
    found = read(tmp_path, annotations(COCO[:, order], names))
    assert found.skeleton == "coco17"
    np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)


@pytest.mark.parametrize(
    ("name", "noted"),
    [("Dog", True), ("cow", True), ("person", False), ("a woman", False), ("", False)],
)
def test_unnamed_joints_of_an_animal_are_noted(tmp_path, name, noted):
    data = annotations(COCO, COCO_NAMES)
    data["categories"] = [{"id": 1, "name": name}, {"id": 2, "name": "cat"}]
    found = read(tmp_path, data)
    assert found.skeleton == "coco17"
    assert any("names no joints" in text for text in found.warnings) == noted


def test_joints_of_an_animal_are_rejected_by_name(tmp_path):
    names = [
        "left_eye",
        "right_eye",
        "nose",
        "neck",
        "root_of_tail",
        "left_shoulder",
        "left_elbow",
        "left_front_paw",
        "right_shoulder",
        "right_elbow",
        "right_front_paw",
        "left_hip",
        "left_knee",
        "left_back_paw",
        "right_hip",
        "right_knee",
        "right_back_paw",
    ]
    with pytest.raises(KeypointsError, match="names joints that are those of no skeleton here"):
        read(tmp_path, annotations(COCO, names))
    with pytest.raises(KeypointsError, match="names 16 joints, but has 17"):
        read(tmp_path, annotations(COCO, names[:16]))


def test_what_a_reader_leaves_out_reaches_the_warnings_of_results(tmp_path):
    data = annotations(COCO, COCO_NAMES)
    data["annotations"] += people(COCO[:3] + 50, iscrowd=1)
    data["annotations"] += people(COCO[:2], num_keypoints=0)
    found = read(tmp_path, data, fps=30.0)
    gap = read(tmp_path, [one for one in people(COCO) if one["image_id"] not in (3, 4)])
    with Pose3DEngine(threads=1) as engine:
        assert engine(found).warnings == (
            "3 annotations of crowds and 2 without keypoints were left out",
        )
        absent = f"2 of {FRAMES} frames are not in the file: no one is seen there"
        assert engine(gap).warnings[0] == absent
        streamed = lift_stream(engine, [dataclasses.replace(gap, fps=30.0)], lookahead=0, hop=50)
    assert streamed.results[0].warnings == (absent,)


def test_crowds_and_empty_annotations_are_nobody(tmp_path):
    data = annotations(COCO, COCO_NAMES)
    data["annotations"] += people(COCO + 50, iscrowd=1)
    data["annotations"] += people(COCO * 0, num_keypoints=0)
    np.testing.assert_allclose(read(tmp_path, data).points, COCO[..., :2], atol=0.01)


def test_results_of_x_and_y_alone_have_no_scores(tmp_path):
    flat_pairs = people(COCO[..., :2])
    nested = [
        {**one, "keypoints": np.reshape(one["keypoints"], (17, 2)).tolist()} for one in flat_pairs
    ]
    flat_pairs[2]["keypoints"][:2] = nested[2]["keypoints"][0] = [0.0, 0.0]
    for data in (flat_pairs, nested):
        found = read(tmp_path, data)
        assert (found.skeleton, found.scores) == ("coco17", None)
        assert found.warnings == ("keypoints have no scores; every joint counts as certain",)
        assert np.isnan(found.points[2, 0]).all()
        np.testing.assert_allclose(found.points[3:], COCO[3:, :, :2], atol=0.01)
    with pytest.raises(KeypointsError, match="35 numbers, not x, y, score"):
        read(tmp_path, [{"image_id": 0, "keypoints": flat(COCO[0])[:35]}])


def test_images_of_no_video_are_refused_with_the_way_out(tmp_path):
    scattered = [{**one, "image_id": 139 + 397 * at} for at, one in enumerate(people(COCO))]
    with pytest.raises(KeypointsError, match="are scattered") as caught:
        read(tmp_path, scattered)
    assert "number them 0, 1, 2" in caught.value.hint


def test_a_bare_array_in_json_is_refused_with_its_place(tmp_path):
    with pytest.raises(KeypointsError, match=r"a bare array, of .* of 17 joints") as caught:
        read(tmp_path, {"clip": {"keypoints": COCO.tolist()}})
    assert "np.array(data['clip']['keypoints'])" in caught.value.hint
    with pytest.raises(KeypointsError, match="is not a known keypoint file"):
        read(tmp_path, {"clip": {"keypoints": [[[["deep"]]]], "other": {"a": {"b": {"c": 1}}}}})


def test_results_under_a_name_and_nested(tmp_path):
    nested = people(COCO)
    for one in nested:
        one["keypoints"] = np.reshape(one["keypoints"], (17, 3)).tolist()
    for data in ({"data": people(COCO)}, {"version": 1, "annotations": people(COCO)}, nested):
        found = read(tmp_path, data)
        assert found.skeleton == "coco17"
        np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)


def alphapose(table, form):
    names = [f"{frame}.jpg" for frame in range(FRAMES)]
    people_of = dict(zip(names, map(flat, table), strict=True))
    if form == "cmu":
        return {n: {"version": "v0.3", "bodies": [{"joints": p}]} for n, p in people_of.items()}
    if form == "open":
        return {n: {"people": [{"pose_keypoints_2d": p}]} for n, p in people_of.items()}
    if form == "image":
        return {n: [{"keypoints": p, "scores": 2.9, "idx": 4}] for n, p in people_of.items()}
    if form == "person":
        return {"4": {f"{int(n[:-4]):04d}": {"keypoints": p} for n, p in people_of.items()}}
    return [{"image_id": n, "keypoints": p, "score": 2.9, "idx": 4} for n, p in people_of.items()]


@pytest.mark.parametrize(
    ("form", "table", "skeleton", "kept"),
    [
        ("cmu", BODY18, "openpose18", 18),
        ("open", BODY18, "openpose18", 18),
        ("image", COCO, "coco17", 17),
        ("person", COCO, "coco17", 17),
        ("list", COCO[:, :16], "mpii16", 16),
        ("list", HALPE, "halpe26", 26),
        ("list", np.concatenate([HALPE, *[COCO[:, :10]] * 11], axis=1), "halpe26", 26),
    ],
)
def test_every_output_of_alphapose(tmp_path, form, table, skeleton, kept):
    found = read(tmp_path, alphapose(table, form))
    assert found.skeleton == skeleton
    assert found.track_id == (None if form in ("cmu", "open") else 4)
    np.testing.assert_allclose(found.points, table[:, :kept, :2], atol=0.01)


def test_names_that_are_stamps_are_times(tmp_path):
    data = alphapose(COCO, "list")
    start = 1403636579763555584
    for frame, one in enumerate(data):
        one["image_id"] = f"{start + frame * 40_000_000}.png"
    found = read(tmp_path, data[::-1])
    np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)
    np.testing.assert_allclose(found.timestamps, np.arange(FRAMES) / 25, atol=1e-9)


def test_names_without_numbers_are_ordered(tmp_path):
    data = alphapose(COCO, "list")
    for frame, one in enumerate(data):
        one["image_id"] = f"{chr(97 + frame)}.jpg"
    found = read(tmp_path, data[::-1])
    np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)


def test_images_of_two_cameras_are_rejected(tmp_path):
    first, second = alphapose(COCO, "list"), alphapose(COCO, "list")
    for name, data in (("a", first), ("b", second)):
        for one in data:
            one["image_id"] = f"{name}/{one['image_id']}"
    with pytest.raises(KeypointsError, match="2 series"):
        read(tmp_path, first + second)


@pytest.mark.parametrize("absent", [None, -1, "-1", "", [], "key"])
def test_people_without_ids_in_some_frames(tmp_path, absent):
    data = people(COCO, track_id=7)
    for one in data[:3]:
        one["track_id"] = absent
        if absent == "key":
            del one["track_id"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    found = read_tracked_people(tmp_path / "a.json", image_size=SIZE)
    assert [person.track_id for person in found.people] == [7]
    points = found.people[0].points
    assert np.isnan(points[:3]).all()
    np.testing.assert_allclose(points[3:], COCO[3:, :, :2], atol=0.01)
    assert found.notes == ("3 detections without a track id, in 3 frames, were left out",)


@pytest.mark.parametrize("name", [7, 7.0, [7], [7.0]])
def test_ids_of_any_type(tmp_path, name):
    assert read(tmp_path, people(COCO, track_id=name)).track_id == 7


def test_scores_over_1_are_reported(tmp_path):
    data = people(COCO * [1, 1, 14])
    (tmp_path / "a.json").write_text(json.dumps(data))
    (note,) = read_frames(tmp_path / "a.json", image_size=SIZE).notes
    assert note == "scores are up to 14, not 0 to 1; every joint above 1 counts as certain"


def test_ids_that_tell_no_one_apart_are_none(tmp_path):
    data = people(COCO, track_id=0) + people(COCO + np.array([500, 0, 0]), track_id=0)
    (tmp_path / "a.json").write_text(json.dumps(data))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    assert {one.track_id for one in source.detections} == {None}
    assert len(source.detections) == 2 * FRAMES


def test_scores_of_missing_joints_are_no_scores_above_1():
    root = Path(__file__).parents[3]
    assert read_frames(root / "examples/data/jump_mediapipe33.npz").notes == ()


@pytest.mark.parametrize("by", ["ids", "names", "frame_id", "ids of floats"])
def test_images_that_an_annotation_file_lacks_are_frames_without_people(tmp_path, by):
    data = annotations(COCO, COCO_NAMES)
    order = np.random.default_rng(0).permutation(FRAMES)
    for frame, (image, one) in enumerate(zip(data["images"], data["annotations"], strict=True)):
        if by == "ids of floats":
            image["id"] = one["image_id"] = float(image["id"])
        elif by != "ids":
            image["id"] = one["image_id"] = 10_000 * int(order[frame]) + 7
        if by == "names":
            image["file_name"] = f"films/a_{frame:05d}.jpg"
        elif by == "frame_id":
            image.update(file_name="a.jpg", frame_id=500 + frame, video_id=3)
    del data["images"][5:9], data["annotations"][5:9]
    found = read(tmp_path, data)
    assert len(found) == FRAMES
    assert np.isnan(found.points[5:9]).all()
    known = np.r_[:5, 9:FRAMES]
    np.testing.assert_allclose(found.points[known], COCO[known, :, :2], atol=0.01)
    assert f"4 of {FRAMES} frames are not in the file" in found.warnings[-1]


@pytest.mark.parametrize("by", ["file_name", "video_id"])
def test_images_of_two_cameras_are_refused(tmp_path, by):
    data = annotations(COCO, COCO_NAMES)
    for frame, image in enumerate(data["images"]):
        image["file_name"] = f"{'ab'[frame % 2] if by == 'file_name' else ''}/{frame:04d}.jpg"
        image["video_id"] = frame % 2 if by == "video_id" else 1
    with pytest.raises(KeypointsError, match=r"2 series|2 videos"):
        read(tmp_path, data)


def test_categories_with_other_joints_are_left_out(tmp_path):
    data = annotations(COCO, COCO_NAMES)
    data["categories"][0]["id"] = "1"
    data["categories"].insert(0, {"id": 2, "name": "dog", "keypoints": ["snout", "tail"]})
    data["annotations"].append({"image_id": 0, "category_id": 2, "keypoints": [5, 5, 2] * 2})
    found = read(tmp_path, data)
    assert (found.skeleton, found.warnings[0][:13]) == ("coco17", "1 annotations")
    np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)


def test_a_part_of_the_joints_and_other_joints_need_a_skeleton(tmp_path):
    body = [0, *range(5, 17)]
    data = annotations(COCO[:, body], [COCO_NAMES[joint] for joint in body])
    with pytest.raises(KeypointsError, match="names 13 joints"):
        read(tmp_path, data)
    found = read(tmp_path, data, skeleton="coco17")
    np.testing.assert_allclose(found.points[:, body], COCO[:, body, :2], atol=0.01)
    assert "left_ear" in found.warnings[0]
    data = annotations(COCO, [f"paw_{joint}" for joint in range(17)])
    assert "no skeleton here (paw_0" in read(tmp_path, data, skeleton="coco17").warnings[0]


def predictions(table, first=0, **meta):
    frames = [
        {"frame_id": first + frame, "instances": [{"keypoints": one[:, :2].tolist()}]}
        for frame, one in enumerate(np.asarray(table, dtype=float))
    ]
    return {"meta_info": meta, "instance_info": frames}


def test_names_of_mmpose_decide_over_its_data_set(tmp_path):
    order = np.random.default_rng(1).permutation(17)
    names = {str(place): COCO_NAMES[joint] for place, joint in enumerate(order)}
    data = predictions(COCO[:, order], dataset_name="coco", keypoint_id2name=names)
    found = read(tmp_path, data)
    assert found.skeleton == "coco17"
    np.testing.assert_allclose(found.points, COCO[..., :2], atol=0.01)
    assert read(tmp_path, predictions(COCO, dataset_name="COCO")).skeleton == "coco17"
    with pytest.raises(KeypointsError, match="data set 'ap10k'"):
        read(tmp_path, predictions(COCO, dataset_name="ap10k"))


def test_a_part_of_a_video_by_mmpose_begins_with_its_first_frame(tmp_path):
    for first, expected in ((0, 0), (1, 0), (1000, 999)):
        found = read(tmp_path, predictions(COCO, first, dataset_name="coco"))
        assert (len(found), found.first_frame) == (FRAMES, expected)


def test_ultralytics_by_frame(tmp_path):
    frames = {}
    for frame, one in enumerate(COCO.astype(float)):
        points = {"x": one[:, 0].tolist(), "y": one[:, 1].tolist()}
        frames[f"frame_{frame}"] = [{"name": "person", "keypoints": points}]
    frames["frame_3"] = []
    found = read(tmp_path, frames)
    assert (found.skeleton, len(found)) == ("coco17", FRAMES)
    assert np.isnan(found.points[3]).all()
    np.testing.assert_allclose(found.points[4:], COCO[4:, :, :2], atol=0.01)
