"""Build the step from pixels to a network's input as a separate ONNX graph, for a server.

It computes what ``hot_sdk.preprocessing`` does with a clip that needs no cleaning, by the default
policies: no joint is missing or has a low score, and the frames have the model's rate. A network
that can be told what is known of the camera is told that nothing is: clients who know more send the
network's own input.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import parser

from hot_sdk.engines import open_session
from hot_sdk.errors import VerificationError
from hot_sdk.export.verification.clips import real_clips
from hot_sdk.manifest import CONDITIONS, KEYPOINTS, Manifest
from hot_sdk.preprocessing import InputSpec
from hot_sdk.preprocessing.normalization import (
    BOUNDING_BOX,
    IMAGE_SHORT_SIDE,
    SMALLEST_BOX,
    SQUARE_ENOUGH,
)
from hot_sdk.preprocessing.policies import InputPolicies
from hot_sdk.version import __version__

PIXELS = "keypoints_px"
"""Keypoints, (batch, frames, joints, 2 or 3) float32: x right and y down in pixels, and a score."""

IMAGE_SIZE = "image_size"
"""Width and height of the image, (batch, 2) int32 pixels. Not an input of networks whose input
does not depend on it: those that are normalized by bounding boxes."""

_ROUNDING = 1e-6
"""Largest difference from the runtime, which computes in float64 what depends on a box or on the
image's shorter side."""

_SIZES = ((1920, 1080), (1080, 1920), (1000, 1002))

_MODEL = """
<ir_version: 8, opset_import: ["" : 17], producer_name: "hot-sdk", producer_version: "{version}">
pixel_input ({inputs}) => ({outputs}) {{
  zero = Constant <value_float = 0.0> ()
  half = Constant <value_float = 0.5> ()
  one = Constant <value_float = 1.0> ()
  two = Constant <value_float = 2.0> ()
  {nodes}
}}
"""

_SPLIT_SCORES = f"""
  lengths = Constant <value_ints = [2, 1]> ()
  points, raw_scores = Split <axis = -1> ({PIXELS}, lengths)
  scores = Clip (raw_scores, zero, one)
"""

_NOTHING_KNOWN = f"""
  windows_and_frames = Shape <start = 0, end = 2> ({PIXELS})
  count = Constant <value_ints = [{{count}}]> ()
  known_shape = Concat <axis = 0> (windows_and_frames, count)
  {CONDITIONS} = ConstantOfShape (known_shape)
"""

_IMAGE_SIDES = f"""
  first = Constant <value_ints = [0]> ()
  second = Constant <value_ints = [1]> ()
  size = Cast <to = 1> ({IMAGE_SIZE})
  width = Gather <axis = 1> (size, first)
  height = Gather <axis = 1> (size, second)
"""

# See hot_sdk.preprocessing.normalization.by_image_width, with pad_to_square.
_WIDTH = f"""
  square_enough = Constant <value_float = {SQUARE_ENOUGH}> ()
  limit = Mul (width, square_enough)
  is_tall = Greater (height, limit)
  side = Where (is_tall, height, width)
"""

# See hot_sdk.preprocessing.normalization.by_image_short_side.
_SHORT_SIDE = """
  side = Min (width, height)
"""

_BY_IMAGE_SIDE = """
  inner_axes = Constant <value_ints = [1, 2]> ()
  half_size = Mul (size, half)
  middle = Unsqueeze (half_size, inner_axes)
  factor = Div (two, side)
  scale = Unsqueeze (factor, inner_axes)
  offset = Sub (points, middle)
  normalized = Mul (offset, scale)
"""

# See hot_sdk.preprocessing.normalization.by_bounding_box; the clip is the window.
_BY_BOUNDING_BOX = f"""
  minus_one = Constant <value_float = -1.0> ()
  smallest = Constant <value_float = {SMALLEST_BOX:.9f}> ()
  low = ReduceMin <axes = [1, 2], keepdims = 1> (points)
  high = ReduceMax <axes = [1, 2], keepdims = 1> (points)
  sides = Sub (high, low)
  longer = ReduceMax <axes = [3], keepdims = 1> (sides)
  side = Max (longer, smallest)
  ends = Add (low, high)
  middle = Mul (ends, half)
  scale = Div (two, side)
  offset = Sub (points, middle)
  unclipped = Mul (offset, scale)
  normalized = Clip (unclipped, minus_one, one)
"""


def pixel_input_graph(manifest: Manifest, batch: int | str) -> onnx.ModelProto:
    """Build the graph: pixels in, the network's inputs out, shapes static.

    Args:
        manifest: The network's manifest.
        batch: Windows per run, or the name of a size that each run chooses.
    """
    network = InputSpec.from_manifest(manifest)
    shape = f"{batch}, {manifest.frames}, {len(manifest.joints.names)}, {network.channels}"
    inputs, outputs = f"float[{shape}] {PIXELS}", f"float[{shape}] {KEYPOINTS}"
    if network.normalization == BOUNDING_BOX:
        nodes = _BY_BOUNDING_BOX
    else:
        side = _SHORT_SIDE if network.normalization == IMAGE_SHORT_SIDE else _WIDTH
        nodes = f"{_IMAGE_SIDES} {side} {_BY_IMAGE_SIDE}"
        inputs += f", int32[{batch}, 2] {IMAGE_SIZE}"
    if network.channels == 3:
        nodes = f"{_SPLIT_SCORES} {nodes} {KEYPOINTS} = Concat <axis = -1> (normalized, scores)"
    else:
        nodes = f"points = Identity ({PIXELS}) {nodes} {KEYPOINTS} = Identity (normalized)"
    if count := len(manifest.conditions):
        nodes += _NOTHING_KNOWN.format(count=count)
        outputs += f", float[{batch}, {manifest.frames}, {count}] {CONDITIONS}"
    text = _MODEL.format(version=__version__, inputs=inputs, outputs=outputs, nodes=nodes)
    model: onnx.ModelProto = parser.parse_model(text)
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
            error = float(np.abs(found - expected).max())
            if not error <= _ROUNDING:
                raise VerificationError(
                    f"The step from pixels differs from the runtime's by {error:.3g} in an image"
                    f" of {image_size[0]}x{image_size[1]}.",
                    hint="Please report it; the model itself was verified and written.",
                )
