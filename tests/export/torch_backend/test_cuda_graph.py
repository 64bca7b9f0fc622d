"""PyTorch as one CUDA graph: what surrounds the recording here, the recording on a GPU."""

import functools

import numpy as np
import pytest
import torch
from exported_models import small_request

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import EngineError
from hot_sdk.export import export_model
from hot_sdk.export.torch_backend import cuda_graph
from hot_sdk.manifest import CONDITIONS, KEYPOINTS

GRAPH = "torch-cuda-graph"


def lift(keypoints, _kept, conditions):
    return 2.0 * keypoints + conditions.sum(), (keypoints > 0.0).long()


def inputs(seed):
    chance = torch.Generator().manual_seed(seed)
    return {
        KEYPOINTS: torch.rand((1, 3, 17, 2), generator=chance) - 0.5,
        CONDITIONS: torch.rand((1, 3, 4), generator=chance),
    }


def recorded(run):
    """As a graph, always the same memory, which a replay overwrites."""
    held = [value.clone() for value in run()]

    def replay():
        for mine, new in zip(held, run(), strict=True):
            mine.copy_(new)
        return held

    return replay


def test_a_call_copies_its_inputs_to_the_memory_of_the_graph(monkeypatch):
    monkeypatch.setattr(cuda_graph, "captured", recorded)
    captured = cuda_graph.CapturedLifter(lift, inputs(0))
    for seed in (1, 2):
        given = inputs(seed)
        expected = lift(given[KEYPOINTS], None, given[CONDITIONS])
        found = captured(given[KEYPOINTS], None, given[CONDITIONS])
        for mine, other in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, other)


def test_a_graph_that_computes_something_else_is_refused(monkeypatch):
    """As an empty one, which leaves in memory what was there."""
    monkeypatch.setattr(cuda_graph, "captured", lambda run: functools.partial(tuple, run()))
    with pytest.raises(EngineError, match="computes something else"):
        cuda_graph.CapturedLifter(lift, inputs(0))


def test_a_graph_that_leaves_no_numbers_is_refused(monkeypatch):
    def nothing(run):
        return lambda: [
            torch.full_like(value, torch.nan) for value in map(torch.Tensor.float, run())
        ]

    monkeypatch.setattr(cuda_graph, "captured", nothing)
    with pytest.raises(EngineError, match="computes something else"):
        cuda_graph.CapturedLifter(lift, inputs(0))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "hot.safetensors"
    export_model(small_request("mixste", output=path, engine="torch", ratio=0.5))
    return path


def test_a_cpu_is_refused(file):
    with pytest.raises(EngineError, match="NVIDIA's GPUs only; 'cpu' was requested"):
        open_session(file, engine=GRAPH)


@pytest.mark.gpu
def test_a_graph_computes_what_pytorch_does(file, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no NVIDIA GPU")
    options = SessionOptions(device="cuda")
    with (
        open_session(file, options, engine="torch") as plain,
        open_session(file, options, engine=GRAPH) as graph,
    ):
        assert graph.engine == GRAPH
        for seed in range(3):
            chance = np.random.default_rng(seed)
            arrays = {
                each.name: chance.uniform(-0.5, 0.5, each.shape).astype(np.float32)
                for each in plain.inputs
            }
            expected, found = plain.run(arrays), graph.run(arrays)
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, atol=1e-4)
    path = tmp_path / "open.safetensors"
    export_model(small_request("mixste", output=path, engine="torch", ratio=0.5, batch=None))
    with pytest.raises(EngineError, match="fixed shapes"):
        open_session(path, options, engine=GRAPH)
