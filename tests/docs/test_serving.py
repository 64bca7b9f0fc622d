"""The requests in docs/serving.md are what the models accept."""

import io
import json
import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.engines import open_session
from hot_sdk.export.triton.options import TritonOptions
from hot_sdk.export.triton.repository import write_triton
from hot_sdk.starter import starter_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.fixture
def server(monkeypatch):
    """Answers as Triton's ensemble does, its models run by ONNX Runtime."""
    repository = Path("repository").resolve()
    normalizer, network, _ = write_triton(starter_model(), TritonOptions(repository))

    def answer(question):
        assert question.full_url == "http://localhost:8000/v2/models/person_pixels/infer"
        kinds = {"FP32": np.float32, "INT32": np.int32}
        tensors = {
            given["name"]: np.array(given["data"], dtype=kinds[given["datatype"]]).reshape(
                given["shape"]
            )
            for given in json.loads(question.data)["inputs"]
        }
        for folder in (normalizer, network):
            with open_session(folder / "1" / "model.onnx") as session:
                tensors = session.run(tensors)
        poses = tensors["poses_3d"]
        output = {"name": "poses_3d", "shape": poses.shape, "data": poses.ravel().tolist()}
        return io.BytesIO(json.dumps({"outputs": [output]}).encode())

    monkeypatch.setattr(urllib.request, "urlopen", answer)


@pytest.mark.usefixtures("server")
def test_client_s_poses_are_the_engine_s(capsys, monkeypatch):
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(ROOT)
    made = {}
    exec(compile(snippet, "docs/serving.md", "exec"), made)
    assert capsys.readouterr().out == "(1, 81, 17, 3)\n"
    window = Keypoints(
        made["window"], skeleton="h36m17", image_size=made["clip"].image_size, fps=30.0
    )
    with Pose3DEngine(threads=1) as engine:
        np.testing.assert_allclose(made["poses"][0], engine(window).poses, atol=1e-5)


def test_every_option_of_the_page_exists():
    from hot_sdk.export.cli import build_parser as export_parser
    from hot_sdk.infer.cli import build_parser as infer_parser

    known = {"--model-repository"}  # An option of tritonserver.
    for build_parser in (export_parser, infer_parser):
        known |= {flag for action in build_parser()._actions for flag in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named - known == set()
    assert len(named) > 10
