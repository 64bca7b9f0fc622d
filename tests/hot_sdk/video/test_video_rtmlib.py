"""rtmlib's own code on networks of known answers, in the shapes of YOLOX and RTMPose."""

import numpy as np
import pytest

from hot_sdk.errors import UsageError, VideoError
from hot_sdk.video import create_detector

pytest.importorskip("rtmlib", reason="rtmlib is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra export)")

SIDE = 416
BOXES = np.array([[40, 60, 140, 260], [220, 80, 320, 280], [300, 10, 340, 90]], np.float32)


def save(path, inputs, outputs, nodes, constants):
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def files(tmp_path):
    """Three people wherever the image is bright, none where it is black; 17 fixed joints."""
    node = onnx.helper.make_node
    finder = save(
        tmp_path / "yolox.onnx",
        [1, 3, SIDE, SIDE],
        {"dets": [1, 3, 5]},
        [
            node("ReduceMean", ["input"], ["bright"], axes=[1, 2, 3], keepdims=0),
            node("Div", ["bright", "full"], ["share"]),
            node("Mul", ["score", "share"], ["scores"]),
            node("Concat", ["boxes", "scores"], ["dets"], axis=2),
        ],
        {
            "full": np.array(255.0, np.float32),
            "boxes": BOXES[None],
            "score": np.array([[[0.9], [0.8], [0.7]]], np.float32),
        },
    )
    # The joint j is at bin 20 j + 10 across and 30 j + 5 down, two bins a pixel; its height says
    # how sure it is.
    across, down = np.zeros((1, 17, 384), np.float32), np.zeros((1, 17, 512), np.float32)
    for joint in range(17):
        across[0, joint, 20 * joint + 10] = down[0, joint, 30 * joint + 5] = 0.5 + joint / 40
    poser = save(
        tmp_path / "rtmpose.onnx",
        [1, 3, 256, 192],
        {"simcc_x": [1, 17, 384], "simcc_y": [1, 17, 512]},
        [
            node("ReduceMean", ["input"], ["mean"], keepdims=1),
            node("Mul", ["mean", "zero"], ["nothing"]),
            node("Squeeze", ["nothing", "axis"], ["none"]),
            node("Add", ["across", "none"], ["simcc_x"]),
            node("Add", ["down", "none"], ["simcc_y"]),
        ],
        {
            "zero": np.zeros((1, 1, 1, 1), np.float32),
            "axis": np.array([3]),
            "across": across,
            "down": down,
        },
    )
    return {"detector_file": finder, "detector_size": (SIDE, SIDE), "pose_file": poser}


def test_joints_are_in_pixels_of_the_image(files, capfd):
    detector = create_detector("rtmlib", max_people=3, **files)
    people = detector(np.full((SIDE, SIDE, 3), 255, np.uint8), 0.0)
    assert (detector.name, detector.skeleton) == ("rtmlib", "coco17")
    assert len(people) == 3
    for person, (left, top, right, bottom) in zip(people, BOXES, strict=True):
        # RTMPose takes the box, 1.25 times as large, widened to the shape of its input.
        height = max((bottom - top) * 1.25, (right - left) * 1.25 * 256 / 192)
        scale = np.array([height * 192 / 256, height])
        joint = np.arange(17)[:, None]
        inside = np.concatenate([(20 * joint + 10) / 2 / 192, (30 * joint + 5) / 2 / 256], axis=1)
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        np.testing.assert_allclose(person.points[0], middle + (inside - 0.5) * scale, atol=0.01)
        np.testing.assert_allclose(person.scores[0], 0.5 + np.arange(17) / 40, atol=1e-5)
        assert person.image_size == (SIDE, SIDE)
    assert capfd.readouterr() == ("", "")


def test_no_box_means_no_people(files):
    detector = create_detector("rtmlib", **files)
    assert detector(np.zeros((SIDE, SIDE, 3), np.uint8), 0.0) == ()


def test_max_people_limits_the_people(files):
    detector = create_detector("rtmlib", max_people=1, **files)
    assert len(detector(np.full((SIDE, SIDE, 3), 255, np.uint8), 0.0)) == 1
    detector.close()
    with pytest.raises(VideoError, match="closed"):
        detector(np.zeros((SIDE, SIDE, 3), np.uint8), 0.0)


def test_rejects_missing_broken_and_swapped_files(files, tmp_path):
    with pytest.raises(UsageError, match="Only one of"):
        create_detector("rtmlib", pose_file=files["pose_file"])
    with pytest.raises(UsageError, match="There is no file"):
        create_detector("rtmlib", detector_file="absent.onnx", pose_file=files["pose_file"])
    with pytest.raises(UsageError, match="Unknown mode"):
        create_detector("rtmlib", mode="fast")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(VideoError, match="cannot load its networks"):
        create_detector("rtmlib", detector_file=broken, pose_file=files["pose_file"])
    swapped = create_detector(
        "rtmlib", detector_file=files["pose_file"], pose_file=files["pose_file"]
    )
    with pytest.raises(VideoError, match="rtmlib failed"):
        swapped(np.zeros((SIDE, SIDE, 3), np.uint8), 0.0)
