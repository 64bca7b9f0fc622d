"""Folders and files as other tools write them, of the example clip."""

import json

import numpy as np
import pytest
from clip_joints import BODY18, BODY25, BODY25B, COCO, FRAMES, HALPE, SIZE

from hot_sdk import Keypoints
from hot_sdk.errors import KeypointsError
from hot_sdk.people import read_tracked_people
from hot_sdk.readers import read_frames
from hot_sdk.skeletons import skeleton_format


def flat(table):
    return np.round(table.astype(float), 3).reshape(-1).tolist()


def openpose(table, key="pose_keypoints_2d"):
    return {"version": 1.3, "people": [{"person_id": [-1], key: flat(table)}]}


def write(folder, name, data):
    text = data if isinstance(data, str) else json.dumps(data)
    (folder / name).write_text(text)


def read(path, **options):
    return Keypoints.from_file(path, image_size=SIZE, fps=30.0, **options)


def same(found, table, skeleton, pixels=0.01):
    assert (found.skeleton, found.image_size) == (skeleton, SIZE)
    np.testing.assert_allclose(found.points, table[..., :2], atol=pixels)


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("cam01.{:04d}.json", 0),
        ("{}.json", 0),
        ("{}.JSON", 7),
        ("colorFrame_0_{:05d}_keypoints.json", 171),
        ("CAM2_demo.{}.json", 995),
        ("v_{:012d}_keypoints.json", 0),
    ],
)
@pytest.mark.parametrize(
    ("table", "skeleton"), [(BODY25, "openpose25"), (HALPE, "halpe26"), (COCO, "coco17")]
)
def test_openpose_folders_of_any_names(tmp_path, pattern, first, table, skeleton):
    for frame in range(FRAMES):
        write(tmp_path, pattern.format(first + frame), openpose(table[frame]))
    same(read(tmp_path), table, skeleton)


def test_missing_files_are_frames_without_people(tmp_path):
    for frame in (0, 1, 2, 5, 6, 9, 11):
        write(tmp_path, f"v_{frame:012d}_keypoints.json", openpose(BODY25[frame]))
    found = read_tracked_people(tmp_path, image_size=SIZE, fps=30.0)
    points = found.people[0].points
    missing = np.flatnonzero(np.isnan(points[..., 0]).all(axis=1)).tolist()
    assert missing == [3, 4, 7, 8, 10]
    np.testing.assert_allclose(points[[0, 5, 11]], BODY25[[0, 5, 11], :, :2], atol=0.01)
    assert found.notes == ("5 of 12 frames have no file",)


@pytest.mark.parametrize(
    "names", [("cam1_{}.json", "cam2_{}.json"), ("left_{}.json", "right_{}.json")]
)
def test_several_cameras_in_a_folder_are_rejected_by_name(tmp_path, names):
    for frame in range(FRAMES):
        for name in names:
            write(tmp_path, name.format(frame), openpose(BODY25[frame]))
    with pytest.raises(KeypointsError, match="2 series, such as cameras or people: "):
        read(tmp_path)


def test_files_of_each_person_of_a_frame_are_rejected(tmp_path):
    for frame in range(FRAMES):
        for person in (0, 1):
            write(tmp_path, f"frame_{frame}_person_{person}.json", openpose(BODY25[frame]))
    with pytest.raises(KeypointsError, match="series, such as cameras or people"):
        read(tmp_path)


def test_folder_of_folders(tmp_path):
    for camera in ("cam1", "cam2"):
        (tmp_path / camera).mkdir()
        for frame in range(FRAMES):
            write(tmp_path / camera, f"{frame}.json", openpose(BODY25[frame]))
    with pytest.raises(KeypointsError, match="2 folders of keypoint files: 'cam1', 'cam2'"):
        read(tmp_path)
    for path in (tmp_path / "cam2").iterdir():
        path.unlink()
    same(read(tmp_path), BODY25, "openpose25")


def test_other_files_of_a_folder(tmp_path):
    for frame in range(FRAMES):
        write(tmp_path, f"{frame}_keypoints.json", openpose(BODY25[frame]))
        write(tmp_path, f"._{frame}_keypoints.json", "Mac OS X")
    write(tmp_path, "settings.json", {"net": "BODY_25"})
    found = read_tracked_people(tmp_path, image_size=SIZE)
    same(found.people[0], BODY25, "openpose25")
    assert found.notes == ("1 other files, such as 'settings.json', were left out",)
    write(tmp_path, "3_keypoints.json", {"version": 1.3})
    with pytest.raises(KeypointsError, match=r"3_keypoints.json' is no frame of OpenPose JSON"):
        read(tmp_path)
    write(tmp_path, "3_keypoints.json", '{"version": 1.3, "peop')
    with pytest.raises(KeypointsError, match=r"3_keypoints.json' is not JSON"):
        read(tmp_path)


def test_list_of_frames_and_json_lines(tmp_path):
    frames = [openpose(table) for table in BODY25]
    write(tmp_path, "a.json", frames)
    same(read(tmp_path / "a.json"), BODY25, "openpose25")
    write(tmp_path, "b.json", "\n".join(map(json.dumps, frames)))
    same(read(tmp_path / "b.json"), BODY25, "openpose25")


def test_body_25b_is_told_from_body_25_by_its_joints(tmp_path):
    write(tmp_path, "a.json", [openpose(table) for table in BODY25B])
    same(read(tmp_path / "a.json"), BODY25B, "openpose25b")
    hidden = BODY25.copy()
    hidden[:, [*range(8, 15), *range(17, 25)]] = 0.0
    write(tmp_path, "a.json", [openpose(table) for table in hidden])
    assert read(tmp_path / "a.json").skeleton == "openpose25"
    # A nose alone is of either.
    hidden[:, 1:] = 0.0
    write(tmp_path, "a.json", [openpose(table) for table in hidden])
    with pytest.raises(KeypointsError, match="BODY_25 or BODY_25B") as caught:
        read(tmp_path / "a.json")
    assert "skeleton=" in caught.value.hint
    assert read(tmp_path / "a.json", skeleton="openpose25b").skeleton == "openpose25b"


def test_named_skeleton_wins_over_a_guess_and_is_reported(tmp_path, caplog):
    write(tmp_path, "a.json", [openpose(table) for table in BODY25B])
    found = read_frames(tmp_path / "a.json", skeleton="openpose25", image_size=SIZE)
    assert found.skeleton == "openpose25"
    assert found.notes == ("read as openpose25, as requested; without that, as openpose25b",)
    assert found.notes[0] in caplog.text
    with pytest.raises(KeypointsError, match=r"\[25\] joints; expected 17"):
        read(tmp_path / "a.json", skeleton="coco17")


@pytest.mark.parametrize("signed", [False, True])
def test_shares_of_the_image_are_scaled(tmp_path, signed):
    shares = BODY25.copy().astype(float)
    shares[..., :2] /= SIZE
    if signed:
        shares[..., :2] = shares[..., :2] * 2 - 1
    people = [[{"pose_keypoints_2d": table.reshape(-1).tolist()}] for table in shares]
    write(tmp_path, "a.json", [{"people": found} for found in people])
    found = read_tracked_people(tmp_path / "a.json", image_size=SIZE)
    same(found.people[0], BODY25, "openpose25", pixels=0.05)
    assert "shares of the image" in found.notes[0]


def test_mpi_joints_are_rejected_by_name(tmp_path):
    write(tmp_path, "a.json", [openpose(table[:15]) for table in BODY25])
    with pytest.raises(KeypointsError, match="15 joints, those of OpenPose's MPI model") as caught:
        read(tmp_path / "a.json")
    assert "Keypoints(points, scores, skeleton=...)" in caught.value.hint


def test_old_keys_and_sizes_of_relatives(tmp_path):
    write(tmp_path, "a.json", [openpose(table, "pose_keypoints") for table in BODY18])
    same(read(tmp_path / "a.json"), BODY18, "openpose18")
    frames = [{**openpose(table), "canvas_width": 1768, "canvas_height": 994} for table in BODY18]
    frames[0]["people"][0]["face_keypoints_2d"] = None
    write(tmp_path, "b.json", frames)
    same(Keypoints.from_file(tmp_path / "b.json"), BODY18, "openpose18")


def test_kinetics_skeleton_is_read_as_shares(tmp_path):
    data = [
        {
            "frame_index": frame + 1,
            "skeleton": [
                {
                    "pose": (table[:, :2] / SIZE).reshape(-1).tolist(),
                    "score": table[:, 2].tolist(),
                }
            ],
        }
        for frame, table in enumerate(BODY18.astype(float))
    ]
    write(tmp_path, "a.json", {"data": data, "label": "jump", "label_index": 3})
    same(read(tmp_path / "a.json"), BODY18, "openpose18", pixels=0.05)


def mmpose(table):
    return {
        "keypoints": table[:, :2].astype(float).tolist(),
        "keypoint_scores": table[:, 2].astype(float).tolist(),
        "bbox": [[1, 2, 3, 4]],
    }


@pytest.mark.parametrize("meta", [None, "coco", "names"])
def test_folder_of_images_of_mmpose(tmp_path, meta):
    names = dict(enumerate(skeleton_format("coco17").joints))
    info = {"dataset_name": "coco"} if meta == "coco" else {"dataset_name": "own"}
    info["keypoint_id2name"] = names if meta == "names" else {}
    for frame in range(FRAMES):
        one = [mmpose(COCO[frame])] if frame != 4 else []
        data = one if meta is None else {"meta_info": info, "instance_info": one}
        write(tmp_path, f"{frame:06d}.json", data)
    found = read(tmp_path, **({"skeleton": "coco17"} if meta is None else {}))
    assert np.isnan(found.points[4]).all()
    seen = [frame for frame in range(FRAMES) if frame != 4]
    np.testing.assert_allclose(found.points[seen], COCO[seen, :, :2], atol=0.01)
    if meta is None:
        with pytest.raises(KeypointsError, match="does not say its skeleton"):
            read(tmp_path)


def test_3d_poses_of_mmpose_are_rejected(tmp_path):
    instance = {**mmpose(COCO[0]), "keypoints": COCO[0].astype(float).tolist()}
    write(tmp_path, "a.json", [{"frame_id": 0, "instances": [instance]}])
    with pytest.raises(KeypointsError, match="3D poses"):
        read(tmp_path / "a.json", skeleton="coco17")


def summary(table, size=(1, 1), name="person"):
    return [
        {
            "name": name,
            "class": 0,
            "confidence": 0.9,
            "box": {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0},
            "track_id": 1,
            "keypoints": {
                "x": (table[:, 0].astype(float) / size[0]).tolist(),
                "y": (table[:, 1].astype(float) / size[1]).tolist(),
                "visible": table[:, 2].astype(float).tolist(),
            },
        }
    ]


@pytest.mark.parametrize("form", ["list", "text", "lines", "folder", "shares"])
def test_summaries_of_ultralytics(tmp_path, form):
    frames = [summary(table, SIZE if form == "shares" else (1, 1)) for table in COCO]
    path = tmp_path / "a.json"
    if form == "folder":
        path = tmp_path
        for frame, data in enumerate(frames):
            write(tmp_path, f"frame{frame}.json", data)
    elif form == "lines":
        write(tmp_path, "a.json", "\n".join(map(json.dumps, frames)))
    else:
        texts = [json.dumps(frame) for frame in frames]
        write(tmp_path, "a.json", texts if form == "text" else frames)
    found = read(path)
    assert found.track_id == 1
    same(found, COCO, "coco17", pixels=0.05)


@pytest.mark.parametrize("rest", ["", " 0.93", " 0.93 7", " 7"])
def test_label_folders_of_ultralytics(tmp_path, rest):
    for frame, table in enumerate(COCO.astype(float)):
        shares = table / (*SIZE, 1)
        if frame != 5:
            line = "0 0.5 0.5 0.2 0.4 " + " ".join(f"{v:.6g}" for v in shares.reshape(-1)) + rest
            write(tmp_path, f"video_{frame + 1}.txt", line + "\n")
    found = read(tmp_path)
    assert found.track_id == (7 if rest.endswith("7") else None)
    assert np.isnan(found.points[5]).all()
    seen = [frame for frame in range(FRAMES) if frame != 5]
    np.testing.assert_allclose(found.points[seen], COCO[seen, :, :2], atol=0.05)
