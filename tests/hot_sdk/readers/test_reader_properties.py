"""Whatever is in a file or an array: our error, or keypoints that keep their promises."""

import json
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hot_sdk import Keypoints, list_skeletons
from hot_sdk.errors import HotSDKError, KeypointsError
from hot_sdk.people import read_people
from hot_sdk.readers import read_frames, sniff
from hot_sdk.skeletons import skeleton_format

SIZE = (640, 480)
STARTS = [
    b"[",
    b"{",
    b'{"people":',
    b"frame,nose_x\n",
    b"PK\x03\x04",
    b"\xef\xbb\xbf[",
    b"\xff\xfe",
]
quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def keeps_promises(keypoints):
    points, scores = keypoints.points, keypoints.scores
    joints = len(skeleton_format(keypoints.skeleton).joints)
    assert points.shape == (len(keypoints), joints, 2)
    assert points.dtype == np.float32
    assert not np.isinf(points).any()
    assert (np.isnan(points[..., 0]) == np.isnan(points[..., 1])).all()
    assert not points.flags.writeable
    if scores is not None:
        assert scores.shape == points.shape[:2]
        assert ((scores >= 0.0) & (scores <= 1.0)).all()
        assert (scores[np.isnan(points[..., 0])] == 0.0).all()


def ours_or_sound(path, **known):
    """Only our error, or clips of one length, and the same ones when it is read again."""
    before = path.read_bytes()
    try:
        people = read_people(path, **known)
    except HotSDKError as error:
        assert isinstance(error, KeypointsError)  # noqa: PT017 - or it is read: either is right.
        assert error.hint  # noqa: PT017
        with pytest.raises(KeypointsError):
            read_people(path, **known)
    else:
        assert len({len(person) for person in people}) == 1
        for person in people:
            keeps_promises(person)
        source = read_frames(path, **known)
        assert source.kind == sniff(path)
        frames = [detection.frame for detection in source.detections]
        assert frames == sorted(frames)
        assert all(0 <= frame < source.frames for frame in frames)
        keeps_promises(Keypoints.from_file(path, track_id="largest", **known))
    assert path.read_bytes() == before


@quick
@given(start=st.sampled_from([b"", *STARTS]), rest=st.binary(max_size=200))
def test_any_bytes(tmp_path, start, rest):
    (tmp_path / "f").write_bytes(start + rest)
    ours_or_sound(tmp_path / "f", image_size=SIZE, skeleton="coco17")


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.sampled_from([10**12, -(2**63), 2**63, 10**400, "1", "0.jpg", "largest", "", "\ud800"])
    | st.floats()
)
keys = st.sampled_from(
    [
        "people",
        "pose_keypoints_2d",
        "person_id",
        "version",
        "image_id",
        "keypoints",
        "idx",
        "track_id",
        "score",
        "images",
        "id",
        "annotations",
        "width",
        "height",
        "instances",
        "instance_info",
        "meta_info",
        "dataset_name",
        "frame_id",
        "keypoint_scores",
        "landmarks",
        "pose_landmarks",
        "nose",
        "x",
        "y",
        "visibility",
    ]
)
numbers = st.sampled_from([14, 16, 17, 18, 25, 26, 33, 51, 54, 75, 78, 136 * 3]).flatmap(
    lambda count: st.lists(scalars, min_size=1, max_size=3).map(lambda few: (few * count)[:count])
)
anything = st.recursive(
    scalars | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)


@settings(quick, max_examples=120)
@given(data=anything)
def test_any_json_of_known_words(tmp_path, data):
    (tmp_path / "f").write_text(json.dumps(data))
    ours_or_sound(tmp_path / "f", image_size=SIZE)


@quick
@given(
    coordinates=st.lists(st.floats() | st.none(), min_size=3, max_size=6),
    idx=st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=4),
)
def test_any_numbers_in_sound_json(tmp_path, coordinates, idx):
    people = [
        {"image_id": f"{place // 2}.jpg", "keypoints": (coordinates * 17)[:51], "idx": name}
        for place, name in enumerate(idx)
    ]
    (tmp_path / "f").write_text(json.dumps(people))
    ours_or_sound(tmp_path / "f", image_size=SIZE)


dtypes = st.sampled_from(
    [
        "f2",
        "f4",
        "f8",
        ">f4",
        ">f8",
        "i1",
        "i8",
        "u2",
        "u8",
        "?",
        "c8",
        "S3",
        "U3",
        "M8[s]",
        "m8[s]",
    ]
)
members = dtypes.flatmap(
    lambda dtype: (
        arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
            | st.sampled_from([(2, 17, 2), (2, 33, 3), (1, 2, 17, 2), (2,), (), (2, 17)]),
            fill=st.nothing(),
        )
        if dtype != "U3"
        else st.sampled_from(["coco17", "h36m17", "x"]).map(np.array)
    )
)
names = st.sampled_from(
    [
        "kp",
        "wh",
        "fps",
        "reconstruction",
        "points",
        "scores",
        "skeleton",
        "image_size",
        "timestamps",
    ]
)


@quick
@given(content=st.dictionaries(names, members, min_size=1, max_size=6))
def test_any_arrays_in_an_archive(tmp_path, content):
    np.savez(tmp_path / "f.npz", **content)
    for known in ({}, {"image_size": SIZE, "skeleton": "coco17"}):
        ours_or_sound(tmp_path / "f.npz", **known)


@quick
@given(
    cells=st.lists(
        st.sampled_from(["", "1", "-1", "nan", "inf", "1e400", "x", "1_0", '"', "0.5", "\n", "٣"]),
        max_size=60,
    ),
    header=st.sampled_from(["frame", "frame,timestamp", "frame,track_id"]),
)
def test_any_cells_in_a_table(tmp_path, cells, header):
    joints = skeleton_format("coco17").joints
    columns = ",".join(f"{joint}_{axis}" for joint in joints for axis in "xy")
    sound = "0," + ",".join("1" for _ in range(header.count(",") + 34))
    text = f"{header},{columns}\n{sound}\n1,{','.join(cells)}\n"
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    ours_or_sound(tmp_path / "f.csv", image_size=SIZE)


@settings(quick, max_examples=100)
@given(data=st.data())
def test_any_array_as_keypoints(data):
    joints = 17
    shapes = st.sampled_from(
        [(2, joints, 2), (2, joints), (joints, 2), (2, joints, 3), (0, joints, 2)]
    )
    kinds = dtypes | st.just("O")

    def array():
        dtype = data.draw(kinds)
        if dtype == "O":
            return np.full((2, joints, 2), data.draw(scalars), dtype=object)
        shape = data.draw(shapes | arrays.array_shapes(min_side=0, max_dims=4, max_side=3))
        return data.draw(arrays.arrays(dtype, shape))

    points, scores = array(), data.draw(st.none()) if data.draw(st.booleans()) else array()
    points.setflags(write=data.draw(st.booleans()))
    before = points.copy(), None if scores is None else scores.copy()
    try:
        keypoints = Keypoints(
            points,
            scores,
            skeleton=data.draw(st.sampled_from([*list_skeletons(), "", "coco", None, 3])),
            image_size=data.draw(st.just(SIZE) | st.tuples(scalars, scalars) | scalars),
            fps=data.draw(st.none() | scalars),
            timestamps=data.draw(st.none() | st.lists(st.floats(), max_size=3)),
        )
    except KeypointsError as error:
        assert error.hint  # noqa: PT017 - any outcome but an untyped error is allowed here.
    else:
        keeps_promises(keypoints)
        assert math.isfinite(keypoints.image_size[0])
    assert points.tobytes() == before[0].tobytes()
    if scores is not None:
        assert scores.tobytes() == before[1].tobytes()


@given(
    table=arrays.arrays(
        "f4", (3, 17, 2), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan)
    ),
    scores=arrays.arrays("f4", (3, 17), elements=st.floats(0, 1, width=32)),
)
@quick
def test_keypoints_survive_an_archive(tmp_path, table, scores):
    clip = Keypoints(table, scores, skeleton="coco17", image_size=SIZE, fps=25.0)
    np.savez(
        tmp_path / "f.npz",
        points=clip.points,
        scores=clip.scores,
        skeleton=clip.skeleton,
        image_size=clip.image_size,
        fps=clip.fps,
    )
    again = Keypoints.from_file(tmp_path / "f.npz", "npz")
    np.testing.assert_array_equal(again.points, clip.points)
    np.testing.assert_array_equal(again.scores, clip.scores)
    assert (again.skeleton, again.image_size, again.fps) == ("coco17", SIZE, 25.0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeypointsError, match="no regular file"):
        Keypoints.from_file(tmp_path / "pipe")
