"""Build the step from pixels to a network's input as a separate ONNX graph, for a server.

It computes what ``hot_sdk.preprocessing`` does with a clip that needs no cleaning, by the default
policies: no joint is missing or has a low score, and the frames have the model's rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hot_sdk.engines import open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export.verification.clips import real_clips
from hot_sdk.manifest import KEYPOINTS, Manifest
from hot_sdk.preprocessing import InputSpec
from hot_sdk.preprocessing.normalization import BOUNDING_BOX, SMALLEST_BOX, SQUARE_ENOUGH
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.version import __version__

PIXELS = "keypoints_px"
"""Keypoints, (batch, frames, joints, 2 or 3) float32: x right and y down in pixels, and a score."""

IMAGE_SIZE = "image_size"
"""Width and height of the image, (batch, 2) int32 pixels. Not an input of networks whose input
does not depend on it: those that are normalized by bounding boxes."""

_OPSET = 17
_IR_VERSION = 8
_SIZES = ((1920, 1080), (1080, 1920), (1000, 1002))


def pixel_input_graph(manifest: Manifest, batch: int | str) -> onnx.ModelProto:
    """Build the graph: pixels in, the network's ``keypoints_2d`` out, shapes static.

    Args:
        manifest: The network's manifest.
        batch: Windows per run, or the name of a size that each run chooses.
    """
    network = InputSpec.from_manifest(manifest)
    shape = [batch, manifest.frames, len(manifest.joints.names), network.channels]
    graph = _Graph()
    points = PIXELS
    if network.channels == 3:
        points = graph.add("Slice", PIXELS, graph.whole([0]), graph.whole([2]), graph.whole([3]))
    inputs = [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, shape)]
    if network.normalization == BOUNDING_BOX:
        normalized = _add_bounding_box(graph, points)
    else:
        inputs.append(helper.make_tensor_value_info(IMAGE_SIZE, TensorProto.INT32, [batch, 2]))
        normalized = _add_image_width(graph, points)
    if network.channels == 3:
        scores = graph.add("Slice", PIXELS, graph.whole([2]), graph.whole([3]), graph.whole([3]))
        cut = graph.add("Clip", scores, graph.number(0.0), graph.number(1.0))
        normalized = graph.add("Concat", normalized, cut, axis=-1)
    graph.nodes.append(helper.make_node("Identity", [normalized], [KEYPOINTS], KEYPOINTS))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "pixel_input",
            inputs,
            [helper.make_tensor_value_info(KEYPOINTS, TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="hot-sdk",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def require_same_input(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Run the graph on real keypoints, and compare with the runtime's preprocessing.

    Raises:
        VerificationError: A value differs.
    """
    network = InputSpec.from_manifest(manifest)
    clip = real_clips()[0]
    at = np.minimum(np.arange(manifest.frames), len(clip.points) - 1)
    points, scores = clip.points[at].astype(np.float32), clip.scores[at].astype(np.float32)
    pixels = np.concatenate([points, scores[..., None]], axis=-1)[..., : network.channels]
    valid = np.ones(scores.shape, dtype=np.bool_)
    with open_session(model.SerializeToString()) as session:
        size = session.inputs[0].shape[0]
        windows = size if isinstance(size, int) else 2
        for image_size in _SIZES:
            inputs: dict[str, NDArray[np.generic]] = {PIXELS: np.stack([pixels] * windows)}
            if len(session.inputs) > 1:
                inputs[IMAGE_SIZE] = np.array([image_size] * windows, dtype=np.int32)
            found = session.run(inputs)[KEYPOINTS]
            expected = network.normalize(points, scores, valid, image_size, InputPolicies().aspect)
            if not np.array_equal(found, np.stack([expected] * windows)):
                error = float(np.abs(found - expected).max())
                raise VerificationError(
                    f"The step from pixels differs from the runtime's by {error:.3g} in an image"
                    f" of {image_size[0]}x{image_size[1]}.",
                    hint="Please report it; the model itself was verified and written.",
                )


class _Graph:
    """Collects nodes and constants, each with a unique name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node of one output, and return the output's name."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def number(self, value: float) -> str:
        return self._constant(np.array(value, dtype=np.float32))

    def whole(self, values: list[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, values: NDArray[np.generic]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def _add_image_width(graph: _Graph, points: str) -> str:
    """Add what ``preprocessing.normalization.by_image_width`` does, with ``pad_to_square``."""
    size = graph.add("Cast", IMAGE_SIZE, to=TensorProto.FLOAT)
    width = graph.add("Gather", size, graph.whole([0]), axis=1)
    height = graph.add("Gather", size, graph.whole([1]), axis=1)
    limit = graph.add("Mul", width, graph.number(SQUARE_ENOUGH))
    side = graph.add("Where", graph.add("Greater", height, limit), height, width)
    axes = graph.whole([1, 2])
    middle = graph.add("Unsqueeze", graph.add("Mul", size, graph.number(0.5)), axes)
    scale = graph.add("Unsqueeze", graph.add("Div", graph.number(2.0), side), axes)
    return graph.add("Mul", graph.add("Sub", points, middle), scale)


def _add_bounding_box(graph: _Graph, points: str) -> str:
    """Add what ``preprocessing.normalization.by_bounding_box`` does with a window as the clip."""
    low = graph.add("ReduceMin", points, axes=[1, 2], keepdims=1)
    high = graph.add("ReduceMax", points, axes=[1, 2], keepdims=1)
    longer = graph.add("ReduceMax", graph.add("Sub", high, low), axes=[3], keepdims=1)
    side = graph.add("Max", longer, graph.number(SMALLEST_BOX))
    middle = graph.add("Mul", graph.add("Add", low, high), graph.number(0.5))
    scale = graph.add("Div", graph.number(2.0), side)
    normalized = graph.add("Mul", graph.add("Sub", points, middle), scale)
    return graph.add("Clip", normalized, graph.number(-1.0), graph.number(1.0))
