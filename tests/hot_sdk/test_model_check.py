"""What a file says about itself is held against its graph, and against what is known."""

import json

import numpy as np
import onnx
import pytest

from hot_sdk import Pose3DEngine
from hot_sdk._base import records
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.engines.onnx_graph import read_graph_facts
from hot_sdk.errors import ManifestError
from hot_sdk.manifest import KEY, read_manifest
from hot_sdk.model_check import check_against_graph
from hot_sdk.starter import starter_model

STARTER = read_manifest(starter_model())


@pytest.fixture
def changed(tmp_path):
    """The starter model with another manifest."""

    def change(**values):
        model = onnx.load(starter_model())
        entry = next(one for one in model.metadata_props if one.key == KEY)
        entry.value = json.dumps({**json.loads(entry.value), **values})
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return change


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip_pairs", []),
        ("flip_pairs", [[1, 5], [2, 4], [3, 6], [11, 14], [12, 15], [13, 16]]),
        ("parents", [-1, *range(16)]),
    ],
)
def test_joints_that_hang_or_mirror_otherwise_are_refused(changed, field, value):
    joints = json.loads(records.to_json(STARTER))["joints"]
    path = changed(joints={**joints, field: value})
    with pytest.raises(ManifestError, match=f"its {field} are not those of 'h36m17'"):
        Pose3DEngine(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"batch": 2**40},
            "says keypoints_2d .1099511627776, 81, 17, 2., and the graph has .1, 81",
        ),
        ({"batch": None}, "says keypoints_2d .any, 81, 17, 2., and the graph has .1, 81"),
        ({"batch": 2}, "says keypoints_2d .2, 81"),
        ({"channels": 3}, r"says keypoints_2d .1, 81, 17, 3"),
        ({"flip": True}, "says flip True, and the graph has False"),
        ({"token_index": True}, "token_index"),
        (
            {"conditions": ["height"]},
            "says (inputs and outputs|conditions) .*, and the",
        ),
        ({"spread": not STARTER.spread}, "says inputs and outputs '.*', and the graph has"),
        ({"precision": "int8"}, "says precision 'int8', and the graph has 'fp32'"),
        ({"precision": "fp16"}, "says precision 'fp16', and the graph has 'fp32'"),
        ({"opset": 13}, "says opset 13, and the graph has"),
        ({"opset": None}, "says opset None, and the graph has"),
    ],
)
def test_manifest_that_disagrees_with_the_graph_is_refused(changed, values, said):
    path = changed(**values)
    with pytest.raises(ManifestError, match="manifest is wrong: it") as caught:
        Pose3DEngine(path, threads=1)
    assert caught.match(said)
    with pytest.raises(ManifestError, match="manifest is wrong"):
        Pose3DEngine(path.read_bytes(), threads=1)


@pytest.mark.parametrize(
    "values",
    [
        {"axes": "x up, y left, z back"},
        {"precision": "fp8"},
        {"precision": ""},
        {"unit": "feet"},
        {"recovery": "guess"},
        {"paper": "a\x1b[2Jb"},
        {"license": "MIT\nmodel verified"},
        {"family": "mix\u202este"},
        {"family": "mixste\u2028"},
        {"weights": {"random": False, "file": "a\r", "sha256": None, "resampled_from": None}},
    ],
)
def test_values_that_are_not_known_or_not_printable_are_refused(changed, values):
    data = json.loads(read_manifest(starter_model()).to_metadata()[KEY])
    if "weights" in values:
        values = {"weights": {**data["weights"], **values["weights"]}}
    with pytest.raises(ManifestError, match="manifest is broken") as caught:
        read_manifest(changed(**values))
    assert str(caught.value).isprintable()


def test_selector_that_is_not_known_is_refused(changed):
    data = json.loads(read_manifest(starter_model()).to_metadata()[KEY])
    stages = [{**stage, "selector": "dice"} for stage in data["stages"]]
    with pytest.raises(ManifestError, match="a selector is not known"):
        read_manifest(changed(stages=stages))


def changes():
    """Changed fields of the starter's manifest, and whether each is believed."""
    data = json.loads(records.to_json(STARTER))
    joints, stage = data["joints"], data["stages"][0]
    refused = {
        "batch": (2**40, None, 2),
        "channels": (3,),
        "flip": (True,),
        "token_index": (True,),
        "conditions": (["height"], []),
        "spread": (False,),
        "precision": ("int8", "fp16", "fp8"),
        "opset": (13, None),
        "frames": (27, 2**40),
        "output_frames": (1,),
        "tokens": (40,),
        "ratio": (0.25,),
        "variant": ("plain", "tpc"),
        "recovery": ("guess",),
        "axes": ("x up, y left, z back",),
        "unit": ("feet", "mm"),
        "family": ("mix\u202este",),
        "license": ("MIT\nverified",),
        "joints": ({**joints, "parents": [-1, *range(16)]}, {**joints, "flip_pairs": []}),
        "stages": ([], [{**stage, "selector": "dice"}]),
        "schema": (99,),
        "step": ({"lookahead": 0},),
        "training_fps": (1e308,),
    }
    # What no graph shows, or nothing uses.
    believed = {
        "normalization": "image_short_side",
        "training_fps": 25.0,
        "root_relative": False,
        "recovery": "interpolate",
        "parameters": 5,
    }
    yield from ((name, value, False) for name, values in refused.items() for value in values)
    yield from ((name, value, True) for name, value in believed.items())


def test_of_39_changes_34_are_refused():
    model, found = onnx.load(starter_model()), {}
    entry = next(one for one in model.metadata_props if one.key == KEY)
    manifest = json.loads(entry.value)
    for name, value, is_believed in changes():
        entry.value = json.dumps({**manifest, name: value})
        content = model.SerializeToString()
        try:
            check_against_graph(content, read_manifest(content))
            found[name, str(value)] = True
        except ManifestError:
            found[name, str(value)] = False
        assert found[name, str(value)] == is_believed, (name, value)
    assert (len(found), sum(found.values())) == (39, 5)


def test_every_kind_of_export_agrees_with_its_graph(model_file):
    check_against_graph(model_file, read_manifest(model_file))


def test_facts_of_the_shipped_graph():
    model = onnx.load(starter_model())
    facts = read_graph_facts(check_onnx(starter_model()))
    assert facts.opset == model.opset_import[0].version
    assert facts.operators == {node.op_type for node in model.graph.node}
    assert not facts.has_float16


def test_facts_include_subgraphs_and_every_way_of_writing_integers(tmp_path):
    helper, kind = onnx.helper, onnx.TensorProto
    order = list(range(17))[::-1]
    inner = helper.make_graph(
        [
            helper.make_node("Constant", [], ["k"], value=helper.make_tensor("k", 7, [17], order)),
            helper.make_node("Gather", ["x", "k"], ["y"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("y", kind.FLOAT, None)],
    )
    raw = onnx.numpy_helper.from_array(np.array([3, -1], "i8"), "raw")
    half = helper.make_tensor("half", kind.FLOAT16, [1], [1.0])
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)],
        "outer",
        [
            helper.make_tensor_value_info("x", kind.FLOAT, [17]),
            helper.make_tensor_value_info("c", kind.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", kind.FLOAT, [17])],
        [raw, half],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    facts = read_graph_facts(check_onnx(model.SerializeToString()))
    assert facts.operators == {"If", "Constant", "Gather"}
    assert tuple(order) in facts.indices
    assert (facts.opset, facts.has_float16) == (19, True)
