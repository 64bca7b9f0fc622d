import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_people
from hot_sdk.readers import FORMATS, read_frames, sniff
from hot_sdk.skeletons import skeleton_format

SIZE = (640, 480)
FRAMES = 4


def body(joints, person=0):
    """Points and scores of a person in every frame, all different, (frames, joints, 3)."""
    random = np.random.default_rng(joints + 1000 * person)
    table = random.uniform(1, 400, (FRAMES, joints, 3)).round(3)
    if joints == 25:
        # BODY_25 is known by its neck and hips in the middle, and heels at ankles.
        for middle, ends in ((1, (2, 5)), (8, (9, 12)), (21, (14, 14)), (24, (11, 11))):
            table[:, middle] = table[:, ends].mean(axis=1).round(3)
    table[..., 2] = random.uniform(0.5, 1.0, (FRAMES, joints)).round(3)
    return table


def flat(person, frame):
    return person[frame].reshape(-1).tolist()


def openpose_people(joints, count, tracked):
    return [
        {
            "version": 1.3,
            "people": [
                {
                    "person_id": [number if tracked else -1],
                    "pose_keypoints_2d": flat(body(joints, number), frame),
                }
                for number in range(count)
            ],
        }
        for frame in range(FRAMES)
    ]


def alphapose(joints, count, tracked):
    return [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": flat(body(joints, number), frame),
            "score": 2.5,
            **({"idx": number} if tracked else {}),
        }
        for frame in range(FRAMES)
        for number in range(count)
    ]


def coco_results(joints, count, tracked):
    return [
        {
            "image_id": 100 + frame,
            "category_id": 1,
            "keypoints": flat(body(joints, number), frame),
            "score": 0.9,
            **({"track_id": number} if tracked else {}),
        }
        for frame in range(FRAMES)
        for number in range(count)
    ]


def coco_annotations(joints, count, tracked):
    people = coco_results(joints, count, tracked)
    for person in people:
        person["keypoints"][2::3] = [2] * joints
    images = [{"id": 100 + frame, "width": 640, "height": 480} for frame in range(FRAMES)]
    return {"images": images, "annotations": people, "categories": []}


def mmpose(joints, count, tracked):
    def instance(number, frame):
        table = body(joints, number)[frame]
        record = {"keypoints": table[:, :2].tolist(), "keypoint_scores": table[:, 2].tolist()}
        return record | ({"track_id": number} if tracked else {})

    return [
        {"frame_id": frame, "instances": [instance(number, frame) for number in range(count)]}
        for frame in range(FRAMES)
    ]


def landmarks(joints, count, tracked):
    return [
        {
            "pose_landmarks": [
                {"x": x / 640, "y": y / 480, "z": 0.1, "visibility": score}
                for x, y, score in body(joints)[frame].tolist()
            ]
        }
        for frame in range(FRAMES)
    ]


def named(joints, count, tracked):
    names = skeleton_format("coco17").joints
    return [
        {
            name: {"x": x, "y": y, "score": score}
            for name, (x, y, score) in zip(names, body(joints)[frame].tolist(), strict=True)
        }
        for frame in range(FRAMES)
    ]


# How each layout is made, its joints, the skeleton that it is, whether it can hold people.
JSON = {
    "openpose25": (lambda *a: openpose_people(*a)[0], 25, "openpose25", True),
    "openpose18": (lambda *a: openpose_people(*a)[0], 18, "openpose18", True),
    "alphapose17": (alphapose, 17, "coco17", True),
    "alphapose26": (alphapose, 26, "halpe26", True),
    "alphapose133": (alphapose, 133, "coco_wholebody133", True),
    "coco": (coco_results, 17, "coco17", True),
    "coco-annotations": (coco_annotations, 17, "coco17", True),
    "mmpose": (mmpose, 17, "coco17", True),
    "mediapipe": (landmarks, 33, "mediapipe33", False),
    "named": (named, 17, "coco17", False),
}


def written(tmp_path, name, count=1, tracked=False):
    make, joints, skeleton, _ = JSON[name]
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(make(joints, count, tracked)))
    known = {} if name == "coco-annotations" else {"image_size": SIZE}
    return path, known | ({"skeleton": skeleton} if name == "mmpose" else {})


def same(found, joints, person=0, *, scored=True):
    expected = body(joints, person)[: len(found)]
    np.testing.assert_allclose(found.points, expected[..., :2], rtol=1e-6)
    if scored:
        np.testing.assert_allclose(found.scores, expected[..., 2], rtol=1e-6)


@pytest.mark.parametrize("name", JSON)
def test_reads_one_person(tmp_path, name):
    path, known = written(tmp_path, name)
    found = Keypoints.from_file(path, fps=25.0, **known)
    assert (found.skeleton, found.image_size, found.fps) == (JSON[name][2], SIZE, 25.0)
    assert len(found) == (1 if name.startswith("openpose") else FRAMES)
    same(found, JSON[name][1], scored=name != "coco-annotations")


@pytest.mark.parametrize("name", JSON)
def test_named_format_is_the_only_one_accepted(tmp_path, name):
    path, known = written(tmp_path, name)
    own = "".join(filter(str.isalpha, name.split("-")[0]))
    same(Keypoints.from_file(path, own, **known), JSON[name][1], scored=False)
    for other in set(FORMATS) - {own}:
        with pytest.raises(KeypointsError, match=f"was read as .*, but {other} was expected"):
            Keypoints.from_file(path, other, **known)


def test_archives_and_tables_by_format(tmp_path):
    np.savez(tmp_path / "a.npz", **NPZ["mediapipe"]())
    for name in ("npz", "mediapipe"):
        same(Keypoints.from_file(tmp_path / "a.npz", name), 33)
    (tmp_path / "a.csv").write_text(table())
    same(Keypoints.from_file(tmp_path / "a.csv", "csv", image_size=SIZE), 17)
    with pytest.raises(KeypointsError, match="npz was expected"):
        Keypoints.from_file(tmp_path / "a.csv", "npz", image_size=SIZE)


@pytest.mark.parametrize("name", ["openpse", "", 3])
def test_unknown_formats_are_rejected(tmp_path, name):
    with pytest.raises(KeypointsError, match="Unknown format"):
        Keypoints.from_file(tmp_path / "a.npz", name)


@pytest.mark.parametrize("name", [name for name, layout in JSON.items() if layout[3]])
def test_separates_tracked_people(tmp_path, name):
    path, known = written(tmp_path, name, count=2, tracked=True)
    people = read_people(path, **known)
    assert [person.track_id for person in people] == [0, 1]
    for number, person in enumerate(people):
        same(person, JSON[name][1], number, scored=name != "coco-annotations")
    same(Keypoints.from_file(path, track_id=1, **known), JSON[name][1], 1, scored=False)
    with pytest.raises(KeypointsError, match=r"2 people \(0, 1\), and none was chosen"):
        Keypoints.from_file(path, **known)
    with pytest.raises(KeypointsError, match="7 is none of them"):
        Keypoints.from_file(path, track_id=7, **known)


@pytest.mark.parametrize("name", [name for name, layout in JSON.items() if layout[3]])
def test_rejects_several_people_without_ids(tmp_path, name):
    path, known = written(tmp_path, name, count=2)
    with pytest.raises(KeypointsError, match="several people without track ids"):
        Keypoints.from_file(path, **known)
    largest = Keypoints.from_file(path, track_id="largest", **known)
    boxes = [np.ptp(body(JSON[name][1], n)[0, :, :2], axis=0).prod() for n in (0, 1)]
    expected = body(JSON[name][1], int(np.argmax(boxes)))[0, :, :2]
    np.testing.assert_allclose(largest.points[0], expected, rtol=1e-6)
    assert len(read_frames(path, **known).detections) == 2 * len(largest)


def test_openpose_folder_is_ordered_by_number(tmp_path):
    for number, frame in zip((8, 9, 10, 11), openpose_people(25, 1, False), strict=True):
        (tmp_path / f"video_{number}_keypoints.json").write_text(json.dumps(frame))
    same(Keypoints.from_file(tmp_path, image_size=SIZE), 25)


def test_absent_people_are_missing(tmp_path):
    people = alphapose(17, 2, True)
    del people[2]
    (tmp_path / "a.json").write_text(json.dumps(people))
    first, second = read_people(tmp_path / "a.json", image_size=SIZE)
    assert np.isnan(first.points[1]).all()
    assert (first.scores[1] == 0.0).all()
    assert np.isfinite(second.points).all()


def test_joints_that_were_not_found_are_missing(tmp_path):
    people = alphapose(17, 1, True)
    people[0]["keypoints"][3:6] = [0, 0, 0]
    (tmp_path / "a.json").write_text(json.dumps(people))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert np.isnan(found.points[0, 1]).all()
    assert np.isnan(found.points).sum() == 2


NPZ = {
    "mediapipe": lambda: {"kp": body(33), "wh": np.array(SIZE), "fps": np.float64(25)},
    "hot": lambda: {"reconstruction": body(17)[None, ..., :2]},
    "plain": lambda: {
        "points": body(17)[..., :2],
        "scores": body(17)[..., 2],
        "skeleton": np.array("coco17"),
        "image_size": np.array(SIZE),
        "fps": np.array(25.0),
        "timestamps": np.arange(FRAMES) / 25.0,
    },
}


@pytest.mark.parametrize("name", NPZ)
def test_reads_archives(tmp_path, name):
    np.savez(tmp_path / "a.npz", **NPZ[name]())
    known = {"image_size": SIZE, "fps": 25.0} if name == "hot" else {}
    found = Keypoints.from_file(tmp_path / "a.npz", **known)
    same(found, 33 if name == "mediapipe" else 17, scored=name != "hot")
    assert (found.fps, found.image_size) == (25.0, SIZE)
    skeletons = {"mediapipe": "mediapipe33", "hot": "h36m17", "plain": "coco17"}
    assert found.skeleton == skeletons[name]


def table(joints="coco17", rows=FRAMES, timestamps=True):
    names = skeleton_format(joints).joints
    text = io.StringIO()
    columns = [f"{name}_{part}" for name in names for part in ("x", "y", "score")]
    text.write(",".join(["frame", *(["timestamp"] if timestamps else []), "track_id", *columns]))
    for frame in range(rows):
        text.write(f"\n{frame}," + (f"{frame / 25}," if timestamps else "") + "5,")
        text.write(",".join(map(str, flat(body(len(names)), frame))))
    return text.getvalue()


def test_reads_tables(tmp_path):
    (tmp_path / "a.csv").write_text(table())
    found = Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)
    same(found, 17)
    assert (found.track_id, found.skeleton) == (5, "coco17")
    assert found.effective_fps == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a known keypoint file"),
        (b"\x89PNG", "is an image"),
        (b"[1, 2", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe[", "is text in UTF-16"),
        (b"[]", "not a known keypoint file"),
        (b'{"people": [], "version": 1}', "shows no people"),
        (b'{"people": 3, "version": 1}', "no list of people"),
        (b'{"people": [{"pose_keypoints_2d": [1, 2]}], "version": 1}', "2 numbers"),
        (b'{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', r"\[1\] joints; expected 17"),
        (b'[{"image_id": "x", "keypoints": ["a"]}]', "no number"),
        (b'[{"image_id": "0.jpg", "keypoints": [1, 2, 3]}]', r"\[1\] joints; expected 17"),
        (b'[{"image_id": 1.5, "keypoints": []}]', "not a whole number"),
        (b'[{"instances": [{"keypoints": [[1]]}]}]', "no pair of x and y"),
        (
            b'[{"frame_id": 0, "instances": []}, {"frame_id": 1000000000000, "instances": []}]',
            "names a frame",
        ),
        (b'{"images": [], "annotations": []}', "no images"),
        (b"PK\x03\x04", "cannot be read"),
        (b"frame,a_x,a_y\n", "no skeleton has just the 1 joints"),
        (b"frame,nose_x,nose_x\n", "two of its columns have one name"),
        (b'[{"image_id": ' + b"[" * 900 + b"]" * 900 + b', "keypoints": []}]', "902 levels deep"),
        (b'[{"image_id": ' + b"[" * 90 + b"]" * 90 + b', "keypoints": []}]', "is nested"),
        (b'[{"image_id": "0.jpg", "keypoints": [true, 1, 1]}]', "no number"),
        (
            json.dumps([{"image_id": i, "keypoints": [1, 1, 1]} for i in (1, 99_999)]).encode(),
            "scattered",
        ),
        (
            json.dumps([{"image_id": "0.jpg", "keypoints": [1e300, 1, 1] * 17}]).encode(),
            "is infinite",
        ),
        (b"[" + b"0," * 20_000_000 + b"0]", "bytes once it is parsed"),
    ],
)
def test_rejects_broken_files(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(KeypointsError, match=said):
        Keypoints.from_file(tmp_path / "f", image_size=SIZE, skeleton="coco17")


def test_far_frame_allocates_nothing(tmp_path):
    people = alphapose(17, 1, True)
    people[0]["image_id"] = "999999999999.jpg"
    (tmp_path / "a.json").write_text(json.dumps(people))
    with pytest.raises(KeypointsError, match="names a frame 999999999999"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)


def test_empty_frames_keep_their_place(tmp_path):
    people = coco_results(17, 1, True)
    del people[1:3]
    (tmp_path / "a.json").write_text(json.dumps(people))
    found = Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)
    assert np.isnan(found.points[:, 0, 0]).tolist() == [False, True, True, False]


def test_leaves_out_people_without_ids_among_those_with_ids(tmp_path):
    people = alphapose(17, 2, True)
    del people[1]["idx"]
    (tmp_path / "a.json").write_text(json.dumps(people))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    assert source.notes == ("1 detections without a track id, in 1 frames, were left out",)
    first, second = read_people(tmp_path / "a.json", image_size=SIZE)
    assert np.isfinite(first.points).all()
    assert np.isnan(second.points[:, 0, 0]).tolist() == [True, False, False, False]


def test_reads_several_people_of_landmarks(tmp_path):
    table = (body(33)[..., :2] / SIZE).tolist()
    frames = [None, {"pose_landmarks": []}, [table[0], table[1]], {"landmarks": table[2]}]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    source = read_frames(tmp_path / "a.json", image_size=SIZE)
    assert [detection.frame for detection in source.detections] == [2, 2, 3]
    assert source.frames == 4


def test_rejects_world_landmarks(tmp_path):
    table = body(33)[..., :3] / 500.0
    table -= table[:, 23:25].mean(axis=1, keepdims=True)
    (tmp_path / "a.json").write_text(json.dumps(table.tolist()))
    with pytest.raises(KeypointsError, match="world landmarks"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE)


def test_data_set_of_mmpose_names_the_skeleton(tmp_path):
    whole = {"meta_info": {"dataset_name": "h36m"}, "instance_info": mmpose(17, 1, False)}
    (tmp_path / "a.json").write_text(json.dumps(whole))
    assert Keypoints.from_file(tmp_path / "a.json", image_size=SIZE).skeleton == "h36m17"
    with pytest.raises(KeypointsError, match="says skeleton 'h36m17', but 'coco17' was given"):
        Keypoints.from_file(tmp_path / "a.json", image_size=SIZE, skeleton="coco17")


def test_reports_and_logs_the_kind(tmp_path, caplog):
    path, known = written(tmp_path, "alphapose26")
    assert sniff(path) == "AlphaPose JSON (halpe26)"
    with caplog.at_level("INFO", "hot_sdk.readers"):
        Keypoints.from_file(path, **known)
    assert "was read as AlphaPose JSON (halpe26)" in caplog.text


def archive(path, **members):
    """An archive of arrays whose content is given in bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


def header(shape):
    file = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "cannot be read"),
        (header((2, 17, 2)).replace(b"'fortran_order'", b"(fortran_order)"), "cannot be read"),
        (header((2, 17, 2)).replace(b"}", b" "), "cannot be read"),
        (header((10**12, 17, 2)), "cannot be read"),
        (header((10**12, 0, 2)), r"shape \(1, 1000000000000, 0, 2\)"),
        (header((2, 17, 2)), "cannot be read"),
    ],
)
def test_rejects_archives_that_claim_too_much(tmp_path, content, said):
    archive(tmp_path / "a.npz", points=content)
    with pytest.raises(KeypointsError, match=said):
        Keypoints.from_file(tmp_path / "a.npz", skeleton="coco17", image_size=SIZE)


@pytest.mark.parametrize("code", [b"\xff\xff\xff\xff", b"\xe9\0\0\0"])
def test_rejects_archives_with_broken_names(tmp_path, code):
    np.savez(tmp_path / "a.npz", **NPZ["plain"]())
    content = io.BytesIO()
    np.save(content, np.array("coco17"))
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        members = {name[:-4]: file.read(name) for name in file.namelist()}
    members["skeleton"] = content.getvalue()[:-4] + code
    archive(tmp_path / "a.npz", **members)
    with pytest.raises(KeypointsError, match=r"no characters|unusual characters"):
        Keypoints.from_file(tmp_path / "a.npz")


def test_rejects_archives_with_an_unusual_compression(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("points.npy", b"hello")
    with pytest.raises(KeypointsError, match="unusual way"):
        Keypoints.from_file(tmp_path / "a.npz", skeleton="coco17", image_size=SIZE)


def test_rejects_short_rows(tmp_path):
    (tmp_path / "a.csv").write_text(table().rsplit(",", 3)[0])
    with pytest.raises(KeypointsError, match="shorter than the header"):
        Keypoints.from_file(tmp_path / "a.csv", image_size=SIZE)


@pytest.mark.parametrize("size", [("a", "b"), (640,), 640, (0, 480), (640, 480, 3)])
def test_image_sizes_are_checked_before_they_are_used(tmp_path, size):
    path, _ = written(tmp_path, "mediapipe")
    with pytest.raises(KeypointsError, match="image_size is"):
        Keypoints.from_file(path, image_size=size)


def test_rejects_missing_paths(tmp_path):
    with pytest.raises(KeypointsError, match="No such file"):
        Keypoints.from_file(tmp_path / "nowhere.json")
    with pytest.raises(KeypointsError, match="0 files of keypoints"):
        Keypoints.from_file(tmp_path)


def test_rejects_arguments_that_contradict_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", **NPZ["mediapipe"]())
    with pytest.raises(KeypointsError, match=r"says fps 25\.0, but 30\.0 was given"):
        Keypoints.from_file(tmp_path / "a.npz", fps=30.0)
    path, _ = written(tmp_path, "coco")
    with pytest.raises(KeypointsError, match="does not say its image_size"):
        Keypoints.from_file(path)
    path, _ = written(tmp_path, "mmpose")
    with pytest.raises(KeypointsError, match="does not say its skeleton"):
        Keypoints.from_file(path, image_size=SIZE)
    path, _ = written(tmp_path, "mediapipe")
    with pytest.raises(KeypointsError, match="shares of the image and not its size"):
        Keypoints.from_file(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def mutated(data, record):
    """Replace, drop or repeat something somewhere in a JSON value."""
    if isinstance(record, (list, dict)) and record and data.draw(st.integers(0, 3)):
        keys = sorted(record) if isinstance(record, dict) else [0, -1]
        key = data.draw(st.sampled_from(keys))
        changed = record.copy()
        if data.draw(st.booleans()):
            changed[key] = mutated(data, record[key])
        else:
            del changed[key]
        return changed
    return data.draw(values)


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_json_raises_only_our_error(tmp_path, name, data):
    make, joints, skeleton, _ = JSON[name]
    record = mutated(data, make(joints, 2, data.draw(st.booleans())))
    path = tmp_path / "f.json"
    path.write_text(json.dumps(record), encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(KeypointsError):
        Keypoints.from_file(path, image_size=SIZE, skeleton=skeleton)


@pytest.mark.parametrize("name", [*NPZ, "csv"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_raise_only_our_error(tmp_path, name, data):
    path = tmp_path / "f"
    if name == "csv":
        path.write_text(table(rows=2))
    else:
        with path.open("wb") as stream:
            np.savez(stream, **NPZ[name]())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(KeypointsError):
        Keypoints.from_file(path, image_size=SIZE)
