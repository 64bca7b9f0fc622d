"""docs/onnx-file.md, followed with NumPy and ONNX Runtime alone, gives the engine's poses."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DEngine, manifest
from hot_sdk._base.records import WAS
from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.engines.session import PRECISION_KEY
from hot_sdk.preprocessing.normalization import InputSpec
from hot_sdk.preprocessing.virtual_view import virtual_views
from hot_sdk.skeletons import skeleton_format
from hot_sdk.starter import starter_model

PAGE = (Path(__file__).parents[2] / "docs" / "onnx-file.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))

# The SDK cannot be imported, and what is imported besides belongs to the two libraries.
GUARD = "import sys\nsys.modules['hot_sdk'] = None\n"
QUESTIONS = """
assert sys.modules["hot_sdk"] is None
with np.load("questions.npz") as asked:
    answers = {}
    for name in sorted({key.partition("/")[0] for key in asked}):
        given = {key.partition("/")[2]: asked[key] for key in asked if key.startswith(name + "/")}
        function = str(given.pop("function"))
        for setting in ("normalization", "channels"):
            if setting in given:
                globals()[setting] = given.pop(setting).item()
        answer = globals()[function](**given)
        answers |= {f"{name}{n}": part for n, part in enumerate(answer)} if isinstance(
            answer, tuple
        ) else {name: answer}
np.savez("answers.npz", **answers)
"""

SLOPES = np.random.default_rng(6).normal(0.3, 0.2, (17, 2))
UPS = (None, (0.0, -1.0, 0.0), (0.6, -0.48, 0.64), (2 / 7, 3 / 7, 6 / 7))

SIZES = [(1280, 720), (720, 1280), (1000, 1002), (640, 704), (640, 705)]


def clips():
    """A landscape, a portrait and a square clip of people seen whole, without gaps."""
    found = {}
    for clip in load_starter_val():
        found.setdefault(clip.keypoints.image_size, clip)
    return {size: found[size] for size in ((1280, 720), (720, 1280), (1000, 1000))}


def cut(keypoints, frames):
    return dataclasses.replace(keypoints, points=keypoints.points[:frames])


def arguments(keypoints):
    return {
        "function": "lift",
        "points": keypoints.points,
        "scores": np.ones(keypoints.points.shape[:2], np.float32),
        "image_size": keypoints.image_size,
        "times": np.arange(len(keypoints)) / keypoints.fps,
    }


@pytest.fixture(scope="module")
def lifted():
    """Clips that the page lifts: all of three, short ones, and one at other frame rates."""
    people = {f"{size[0]}x{size[1]}": clip.keypoints for size, clip in clips().items()}
    portrait = people["720x1280"]
    for frames in (2, 30, 81, 82, 149):
        people[f"{frames}frames"] = cut(portrait, frames)
    for fps in (12.5, 25.0, 32.0, 50.0, 60.0):
        people[f"{fps}fps"] = dataclasses.replace(portrait, fps=fps)
    return people


@pytest.fixture(scope="module")
def answers(lifted, tmp_path_factory):
    """What the page's program returns, from a process without the SDK."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(starter_model(), folder / "starter.onnx")
    rng = np.random.default_rng(5)
    asked = {name: arguments(keypoints) for name, keypoints in lifted.items()}
    pixels = rng.uniform(0, 700, (40, 17, 2)).astype(np.float32)
    scores = rng.uniform(0, 1, (40, 17)).astype(np.float32)
    asked["coco"] = {"function": "from_coco17", "points": pixels}
    for size in SIZES:
        for kind in ("image_width", "bounding_box", "image_short_side"):
            for channels in (2, 3):
                asked[f"{kind}{channels}_{size[0]}x{size[1]}"] = {
                    "function": "normalize",
                    "normalization": kind,
                    "channels": channels,
                    "points": pixels,
                    "scores": scores,
                    "image_size": size,
                }
    window = rng.normal(0, 0.2, (1, 81, 17, 2)).astype(np.float32)
    asked["flip"] = {"function": "run_with_flip", "windows": window}
    clip = clips()[(1280, 720)]
    camera = clip.intrinsics
    asked["pelvis"] = {
        "function": "pelvis",
        "pose": clip.truth[10],
        "points": clip.keypoints.points[10],
        **{name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
    }
    for up in UPS:
        asked[f"view{up}"] = {"function": "virtual_camera", "slopes": SLOPES}
        if up is not None:
            asked[f"view{up}"]["up"] = np.array(up)
    flat = {f"{name}/{key}": value for name, one in asked.items() for key, value in one.items()}
    np.savez(folder / "questions.npz", **flat)
    (folder / "program.py").write_text(GUARD + CODE + QUESTIONS, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-I", "program.py"], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    with np.load(folder / "answers.npz") as found:
        return SimpleNamespace(asked=asked, window=window, clip=clip, found=dict(found))


def test_needs_two_libraries():
    imported = re.findall(r"^(?:import|from) (\w+)", CODE, re.MULTILINE)
    assert sorted(imported) == ["json", "numpy", "onnxruntime"]


def test_poses_are_the_engine_s_in_every_image_at_every_rate(answers, lifted):
    assert len(lifted) == 13
    with Pose3DEngine(threads=1) as engine:
        for name, keypoints in lifted.items():
            result = engine(keypoints)
            assert not any(p.count for p in result.policies if p.name == "outlier_joints"), name
            np.testing.assert_allclose(answers.found[name], result.poses, atol=2e-6, err_msg=name)


def test_normalization_is_the_engine_s_of_any_network(answers):
    compared = 0
    for name, asked in answers.asked.items():
        if asked["function"] == "normalize":
            points, scores = asked["points"], asked["scores"]
            spec = InputSpec(asked["normalization"], asked["channels"])
            valid = np.ones(scores.shape, dtype=bool)
            expected = spec.normalize(points, scores, valid, asked["image_size"], "pad_to_square")
            np.testing.assert_allclose(answers.found[name], expected, atol=1e-6, err_msg=name)
            compared += 1
    assert compared == 30


def test_formulas_are_those_of_the_code(answers):
    u, v = 300.0, 200.0
    at = np.full((1, 17, 2), (u, v), np.float32)
    one = np.ones((1, 17), np.float32)
    rows = re.findall(r"\| `image_width` \| ([^|]+)\| ([^|]+)\| ([^|]+)\|", PAGE)
    assert len(rows) == 3
    images = [((1280, 720), "pad_to_square"), ((720, 1280), "pad_to_square")]
    images.append(((720, 1280), "published"))
    for (_, x, y), ((width, height), aspect) in zip(rows, images, strict=True):
        names = {"u": u, "v": v, "W": width, "H": height}
        formulas = (text.strip().replace("−", "-").replace("·", "*") for text in (x, y))
        expected = [eval(formula, {}, names) for formula in formulas]
        spec = InputSpec("image_width", 2)
        found = spec.normalize(at, one, one > 0, (width, height), aspect)
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_joints_of_coco_become_those_of_the_network(answers):
    expected, _ = skeleton_format("coco17").to_h36m17(answers.asked["coco"]["points"], None)
    np.testing.assert_allclose(answers.found["coco"], expected, atol=1e-3)


def test_flip_averaging_is_the_engine_s(answers):
    points = answers.window[0] * 500.0 + 500.0
    keypoints = Keypoints(points, skeleton="h36m17", image_size=(1000, 1000), fps=30.0)
    with Pose3DEngine(threads=1, flip=True) as engine:
        engine.policies = dataclasses.replace(engine.policies, outlier_threshold=None)
        np.testing.assert_allclose(answers.found["flip"][0], engine(keypoints).poses, atol=1e-5)


def test_pelvis_is_where_the_person_is(answers):
    np.testing.assert_allclose(answers.found["pelvis"], answers.clip.root[10], atol=1e-3)


@pytest.mark.parametrize("up", UPS)
def test_virtual_camera_is_the_engine_s(answers, up):
    directions = None if up is None else np.array(up)
    views = virtual_views(SLOPES.mean(axis=0)[None], directions)
    slopes, rotation, pitch = (answers.found[f"view{up}{n}"] for n in range(3))
    np.testing.assert_allclose(slopes, views.turned(SLOPES[None])[0], atol=1e-6)
    np.testing.assert_allclose(rotation, views.rotations[0], atol=1e-9)
    np.testing.assert_allclose(pitch, views.pitch[0], atol=1e-9)
    # The last direction is along the view, which shows no upright roll.
    assert bool(views.upright[0]) == (up in UPS[1:3])


def test_every_field_of_the_manifest_is_explained():
    metadata = PAGE.partition("## Metadata")[2]
    parts = [manifest.Manifest, manifest.Joints, manifest.PruningStage, manifest.Weights]
    parts += [manifest.Versions, manifest.Flops, manifest.Parity, manifest.Quantization]
    for part in parts:
        for field in dataclasses.fields(part):
            for name in {field.name, field.metadata.get(WAS, field.name)}:
                assert f"`{name}`" in metadata, f"{part.__name__}.{name}"
    assert f"`{manifest.KEY}`" in metadata
    assert f"`{PRECISION_KEY}`" in metadata
