"""Time by block, from each engine that tells the time of its nodes."""

import pytest
from exported_models import export_case

from hot_sdk.benchmarks.speed.messages import Assignment, Streaming
from hot_sdk.benchmarks.speed.profilers import profile_model
from hot_sdk.engines import list_engines


def assigned(model, engine):
    return Assignment(
        model=model,
        baseline=None,
        network=None,
        engine=engine,
        device="cpu",
        threads=1,
        cache_dir=None,
        batch=1,
        streaming=Streaming(),
        spawned=0.0,
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_block_of_a_pruned_network_has_its_time(engine, tmp_path_factory):
    pytest.importorskip(engine)
    assignment = assigned(str(export_case("mixste", "hot", tmp_path_factory).path), engine)
    found = profile_model(assignment, runs=3)
    assert not found.problem
    names = [share.name for share in found.blocks]
    assert names == ["embedding", "spatial", "temporal", "prune", "recover", "head"]
    assert sum(share.share for share in found.blocks) == pytest.approx(1.0)
    assert all(share.ms > 0.0 for share in found.blocks)
    assert found.nodes_ms <= found.run_ms


def test_an_engine_that_tells_no_blocks_says_why():
    silent = {
        name: profile_model(assigned("model.onnx", name), runs=1).problem
        for name in list_engines()
        if name not in ("onnxruntime", "openvino")
    }
    assert silent
    assert "one region" in silent.pop("tensorrt")
    assert all(name in problem for name, problem in silent.items())
