"""MotionBERT in the wild: keypoints in a box, or by the image's shorter side.

The rules of lib/data/dataset_wild.py and infer_wild.py (Walter0807/MotionBERT), written again in
float64, are what the runtime is compared with.
"""

import dataclasses
import re

import numpy as np
import pytest
import torch
from exported_models import small_request

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.errors import UsageError
from hot_sdk.export import export_model
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.pipeline import prepare
from hot_sdk.export.verification.clips import real_clips
from hot_sdk.preprocessing.policies import PUBLISHED

FRAMES = 9


def in_box(points, scores, size):
    seen = points[scores != 0]
    low, high = seen.min(axis=0), seen.max(axis=0)
    side = max(high - low)
    corner = (low + high - side) / 2
    return np.clip(((points - corner) / side - 0.5) * 2, -1, 1), side / 2


def by_short_side(points, scores, size):
    return (points - np.array(size) / 2) / (min(size) / 2), min(size) / 2


WILD = {
    "bounding_box": (in_box, "normalized_box"),
    "image_short_side": (by_short_side, "normalized_short_side"),
}


@pytest.fixture(scope="module")
def clip():
    """A man who jumps, three windows long; some joints are lost and were put far away."""
    (jump,) = (clip for clip in real_clips() if clip.name == "sports2d_demo")
    points, scores = jump.points[: 3 * FRAMES].copy(), jump.scores[: 3 * FRAMES].copy()
    points[4, 3], scores[4, 3] = (5.0, 5.0), 0.0
    points = points.astype(np.float32)
    return Keypoints(points, scores, skeleton="h36m17", image_size=jump.size, fps=30.0)


@pytest.fixture(scope="module", params=WILD)
def exported(request, tmp_path_factory):
    rule, unit = WILD[request.param]
    chosen = dataclasses.replace(
        small_request("motionbert", normalization=request.param, engine="torch"),
        frames=FRAMES,
        output=tmp_path_factory.mktemp("wild") / f"{request.param}.safetensors",
    )
    return chosen, rule, unit, export_model(chosen)


def test_joints_are_those_of_the_authors_rule(exported, clip):
    request, rule, unit, result = exported
    assert (result.manifest.normalization, result.manifest.unit) == (request.normalization, unit)
    with Pose3DEngine(
        result.path, policies=PUBLISHED, windows="hot_centered_edge", flip=True, threads=1
    ) as engine:
        found = engine(clip)
    prepared = prepare(dataclasses.replace(request, force=True))
    lifter = build_lifter(prepared.spec, prepared.state, flip=True).double()
    scores = clip.scores.astype(np.float64)
    normalized, half_side = rule(clip.points.astype(np.float64), scores, clip.image_size)
    inputs = np.concatenate([normalized, scores[..., None]], axis=-1).astype(np.float32)
    windows = torch.from_numpy(inputs.reshape(3, FRAMES, 17, 3)).double()
    with torch.inference_mode():
        poses = lifter(windows)[0].numpy().reshape(-1, 17, 3)
    poses[:, 0] = 0.0
    np.testing.assert_allclose(found.poses, poses, rtol=0, atol=1e-6)
    assert found.unit == unit
    (detail,) = (policy.detail for policy in found.policies if policy.name == "normalized")
    (pixels,) = re.findall(rf"by {request.normalization}: 1 is (\S+) pixels", detail)
    assert float(pixels) == pytest.approx(half_side, rel=1e-5)


def test_a_stream_knows_no_box_of_its_clip(exported):
    request, _, _, result = exported
    with Pose3DEngine(result.path) as engine:
        if request.normalization == "bounding_box":
            with pytest.raises(UsageError, match="box about a whole clip") as caught:
                engine.stream("video", fps=50.0)
            assert "--normalization image_short_side" in caught.value.hint
        else:
            engine.stream("video", fps=50.0).close()
