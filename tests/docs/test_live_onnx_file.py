"""The part of docs/onnx-file.md on live networks gives the poses of the SDK's own steps."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from live_networks import live_lifter, live_spec

from hot_sdk.engines import open_session
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import fold_constants
from hot_sdk.export.verification.clips import Window, live_windows
from hot_sdk.export.verification.step_runs import lift_by_steps
from hot_sdk.step_graph import StepGraph

PAGE = (Path(__file__).parents[2] / "docs" / "onnx-file.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## A live network's file")[2].partition("\n## ")[0]


def test_numpy_and_onnx_runtime_alone_keep_what_is_remembered():
    program = {"np": np}
    exec(re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[0], program)
    spec = live_spec(lookahead=4, memory="5+3x4")
    content = trace(fold_constants(live_lifter(spec)), spec, batch=1, opset=17).SerializeToString()
    window = live_windows(spec)[2]
    window = Window("", window.keypoints[:50], window.conditions[:50], window.times[:50])
    with open_session(content) as session:
        expected = lift_by_steps(session.run, spec, [window])["poses_3d"][0]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    step = json.loads(json.dumps(vars(spec.step)))
    poses = program["lift_live"](session, step, window.keypoints, window.times, window.conditions)
    np.testing.assert_allclose(poses, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("lookahead", range(17))
def test_lookahead_is_divided_as_the_page_says(lookahead):
    graph = StepGraph(lookahead, 5, 0, 1, layers=4, heads=4, width=24, guess=True)
    assert graph.lookaheads == (0, *((lookahead + layer) // 3 for layer in range(3)))


def test_the_page_names_every_tensor_and_field():
    graph = StepGraph(5, 5, 3, 4, layers=2, heads=4, width=24, guess=True)
    for name in (*graph.states(17), *graph.updates(17)):
        assert f"`{name}`" in SECTION
    for field in vars(graph):
        assert f"`{field}`" in PAGE
