"""The guides' programs run, their install lines need no index, their errors are real."""

import ast
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import HotSDKError, InputPolicies, Keypoints, Pose3DEngine
from hot_sdk._base.optional import install_command
from hot_sdk.engines import open_session
from hot_sdk.starter import starter_checkpoint
from hot_sdk.video import open_video

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
EXTRAS = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


def program(page):
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL
    )
    return compile("\n".join(blocks), page, "exec")


def install_lines():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words[:2] == ["pip", "install"]:
                    yield page.name, words[2:]


def test_install_lines_name_a_clone_or_a_wheel_and_extras_that_exist():
    of_the_sdk = 0
    for page, words in install_lines():
        for word in words:
            target, _, extras = word.partition("[")
            assert "hot-sdk" not in word, (page, word)
            if target == "." or "hot_sdk-" in target:
                of_the_sdk += 1
                named = set(filter(None, extras.rstrip("]").split(",")))
                assert named <= EXTRAS, (page, word)
    assert of_the_sdk > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(block, page.name, "exec")


def test_keypoint_layouts_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(program("keypoint-files.md"), {})
    assert capsys.readouterr().out == "60 coco17 (640, 480) 30.0\n60 coco17\n(640, 480)\n"


def test_own_truth_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(program("evaluation.md"), made)
    first, same, measured = capsys.readouterr().out.splitlines()
    assert first.startswith("my_truth ")
    assert same == "True"
    mpjpe, scored, guessed = map(float, measured.split())
    assert 5.0 < mpjpe < 100.0
    assert (scored, guessed) == (len(made["clip"]), 0)


def test_robot_acts_on_what_was_seen_only(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = {}
    exec(program("robots.md"), made)
    wrists = made["wrists"]
    assert len(wrists) > 200
    user_code = re.search(r"```python\n(.*?)```", (DOCS / "robots.md").read_text(), re.DOTALL)[1]
    assert len([line for line in user_code.splitlines() if line.strip()]) <= 30
    # No pose has come for a second.
    assert made["acts_on"](made["pose"], made["now"] + 1.0) is None
    assert made["acts_on"](None, 0.0) is None
    acted = np.array([wrist for wrist in wrists if wrist is not None])
    # Beyond frame 157 the detector errs; see examples/data/README.md.
    assert 0.5 * len(wrists) < len(acted) < len(wrists)
    standing = np.array([wrist for wrist in wrists[20:100] if wrist is not None])
    assert len(standing) > 40
    assert (standing[:, 0] > 2.0).all()
    assert (standing[:, 0] < 20.0).all()


def test_angles_and_bvh_of_a_clip(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(program("joint-angles.md"), made)
    frames = len(made["result"])
    assert len((tmp_path / "angles.csv").read_text().splitlines()) == frames + 2
    assert f"Frames: {frames}\n" in (tmp_path / "jump.bvh").read_text()
    bent = made["angles"].angle("left_knee_flexion")
    assert np.nanmin(bent) < 30.0 < 60.0 < np.nanmax(bent)  # Someone jumps.
    page = (DOCS / "joint-angles.md").read_text(encoding="utf-8")
    for name in made["angles"].names:
        assert f"`{name.removeprefix('right_').removeprefix('left_')}`" in page
    assert made["contacts"].probability.shape == (frames, 2)
    assert np.isfinite(made["steady"]).mean() > 0.9


def raised(call):
    with pytest.raises(HotSDKError) as caught:
        call()
    return str(caught.value)


def messages(folder):
    """Errors and warnings as users meet them."""
    points = np.linspace(100.0, 300.0, 10 * 34).reshape(10, 17, 2)
    options = {"skeleton": "coco17", "image_size": (640, 480)}
    (folder / "bad.txt").write_text("hello")
    (folder / "cut.onnx").write_bytes(
        (ROOT / "hot_sdk/data/starter/starter.onnx").read_bytes()[:9999]
    )
    results = '[{"image_id": 1, "category_id": 1, "keypoints": [%s], "score": 1}]'
    (folder / "coco.json").write_text(results % ", ".join(["100.0"] * 51))
    low = Keypoints(points, np.full((10, 17), 0.1), fps=30.0, **options)
    yield raised(lambda: Keypoints(points))
    yield raised(lambda: Keypoints.from_file(folder / "coco.json"))
    yield raised(lambda: Keypoints.from_file(folder / "bad.txt"))
    yield raised(lambda: Pose3DEngine(folder / "cut.onnx"))
    yield raised(lambda: Pose3DEngine(folder / "none.onnx"))
    with Pose3DEngine(threads=1, policies=InputPolicies()) as engine:
        yield " ".join(engine(Keypoints(points, **options)).warnings)
        yield raised(lambda: engine(low))
        yield raised(lambda: engine.stream("video", lookahead=200, fps=30.0, **options))
        with engine.stream("video", fps=30.0, **options) as stream:
            stream.push(points[0], 1.0)
            yield raised(lambda: stream.push(points[0], 0.5))
            yield raised(lambda: stream.push(points[0], 1.7e18))
            stream.push(points[0], 9.0)
            yield " ".join(stream.report().warnings)
        body = Keypoints.from_file(ROOT / "examples" / "data" / "jump_mediapipe33.npz").to_h36m17()
        hidden = np.array(body.points[:40])
        hidden[:, [0, 1, 4]] = np.nan
        turned = {"skeleton": "h36m17", "image_size": body.image_size[::-1], "fps": 30.0}
        yield " ".join(engine(Keypoints(hidden, **turned)).warnings)
    yield raised(lambda: open_session(starter_checkpoint(), engine="onnxruntime"))
    yield "cannot be imported " + install_command("video")


def texts_of_the_source():
    """Return the texts of the SDK's code, with {} for what is filled in and for numbers."""
    for folder in ("engines", "export", "hot_sdk"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (getattr(value, "value", "{}") for value in node.values)
                    yield "".join(part if isinstance(part, str) else "{}" for part in parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_errors_of_the_troubleshooting_page_are_real(tmp_path):
    found = "\n".join(messages(tmp_path))
    rows = re.findall(r"^\| (`[^|]*) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    quoted = [part for row in rows for part in re.findall(r"`([^`]+)`", row)]
    # Those that depend on the machine, or that other tests raise.
    elsewhere = [part for part in quoted if part not in found]
    written = "\n".join(texts_of_the_source())
    assert [part for part in elsewhere if re.sub(r"\d+", "{}", part) not in written] == []
    assert len(quoted) - len(elsewhere) > 15


@pytest.mark.skipif(os.path.exists("/dev/video0"), reason="this machine has a camera")
def test_error_of_a_camera_is_the_page_s():
    pytest.importorskip("cv2")
    assert "Camera 0 cannot be opened" in raised(lambda: open_video(0))


def test_extras_are_listed():
    listed = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "install.md").read_text(), re.MULTILINE))
    project = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    extras = set(re.findall(r"^(\w+) = \[", project.partition("\n\n")[0], re.MULTILINE))
    assert listed == extras - {"dev", "docs"}
