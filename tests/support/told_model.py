"""A network of a few operators that is told about camera and person, and judges its spread."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.manifest import CONDITION_NAMES, Manifest, read_manifest
from hot_sdk.starter import STARTER, resolve_model

FRAMES = 9
WIDTHS = np.array([0.1, 0.2, 0.4], np.float32)
WEIGHTS = np.array([0.3, -0.2, 0.5, 0.1, 0.05], np.float32)


def expected(keypoints, conditions):
    """Poses (..., 17, 3) and spread of the network without its look at the whole window.

    Args:
        keypoints: (frames, 17, 2).
        conditions: (frames, 5).
    """
    depth = keypoints[..., 0] * (conditions @ WEIGHTS)[:, None] + keypoints[..., 1]
    poses = np.concatenate([keypoints, depth[..., None]], axis=-1)
    poses = poses - poses[:, :1]
    spread = WIDTHS + np.abs(poses) * np.float32(0.25)
    spread[:, 0] = 0.0
    return poses, spread


def told_manifest(*, told=True, frames=FRAMES, center=False, batch=None):
    """The starter's manifest, changed to that of this network."""
    return dataclasses.replace(
        _starter_manifest(),
        variant="plain",
        frames=frames,
        output_frames=1 if center else frames,
        ratio=1.0,
        tokens=None,
        stages=(),
        recovery=None,
        batch=batch,
        flip=False,
        token_index=False,
        precision="fp32",
        opset=17,
        training_fps=50.0,
        conditions=CONDITION_NAMES if told else (),
        spread=told,
    )


_KEPT: list[Manifest] = []


def _starter_manifest():
    if not _KEPT:
        _KEPT.append(read_manifest(resolve_model(STARTER)))
    return _KEPT[0]


def make_told_model(
    path: Path, *, told=True, frames=FRAMES, mean_share=0.0, center=False, batch=None
):
    """Write the network.

    Args:
        path: The file.
        told: It has the input ``conditions`` and the output ``spread``.
        frames: Frames of a window.
        mean_share: Share of the window's mean in each frame, so that windows differ.
        center: It returns the middle frame only.
        batch: Windows in one run; None for any number.
    """
    manifest = told_manifest(told=told, frames=frames, center=center, batch=batch)
    info, node = helper.make_tensor_value_info, helper.make_node
    constants = {
        "share": np.array(mean_share, np.float32),
        "weights": WEIGHTS[:, None],
        "widths": WIDTHS,
        "quarter": np.array(0.25, np.float32),
        "last": np.array([-1]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "middle": np.array([frames // 2 if center else 0]),
        "end": np.array([frames // 2 + 1 if center else frames]),
    }
    nodes = [
        node("ReduceMean", ["keypoints_2d"], ["mean"], axes=[1], keepdims=1),
        node("Mul", ["mean", "share"], ["part"]),
        node("Add", ["keypoints_2d", "part"], ["xy"]),
        node("Slice", ["xy", "zero", "one", "last"], ["x"]),
        node("Slice", ["xy", "one", "two", "last"], ["y"]),
    ]
    if told:
        nodes += [
            node("MatMul", ["conditions", "weights"], ["told"]),
            node("Unsqueeze", ["told", "two"], ["factor"]),
            node("Mul", ["x", "factor"], ["leaning"]),
            node("Add", ["leaning", "y"], ["z"]),
        ]
    else:
        nodes.append(node("Identity", ["y"], ["z"]))
    nodes += [
        node("Concat", ["xy", "z"], ["placed"], axis=-1),
        node("Slice", ["placed", "zero", "one", "two"], ["root"]),
        node("Sub", ["placed", "root"], ["all"]),
        node("Slice", ["all", "middle", "end", "one"], ["poses_3d"]),
    ]
    batch = "batch" if batch is None else batch
    shape = [batch, frames, 17]
    returned = [batch, manifest.output_frames, 17, 3]
    inputs = [info("keypoints_2d", TensorProto.FLOAT, [*shape, 2])]
    outputs = [info("poses_3d", TensorProto.FLOAT, returned)]
    if told:
        nodes += [
            node("Abs", ["poses_3d"], ["far"]),
            node("Mul", ["far", "quarter"], ["more"]),
            node("Add", ["more", "widths"], ["spread"]),
        ]
        inputs.append(info("conditions", TensorProto.FLOAT, [batch, frames, 5]))
        outputs.append(info("spread", TensorProto.FLOAT, returned))
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "told", inputs, outputs, tensors)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, ir_version=8, opset_imports=[opset])
    helper.set_model_props(model, manifest.to_metadata())
    path.write_bytes(model.SerializeToString())
    return path
