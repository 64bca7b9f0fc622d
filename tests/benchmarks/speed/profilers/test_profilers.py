"""Time by block, from each engine that reports the time of its nodes."""

import onnx
import pytest
from exported_models import cases, export_case

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.benchmarks.speed.profilers import BLOCKS, block_of, blocks_of, profile_model
from hot_sdk.engines import list_engines


def task(model, engine):
    return WorkerTask(
        model=model,
        baseline=None,
        network=None,
        engine=engine,
        device="cpu",
        threads=1,
        cache_dir=None,
        batch=1,
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_block_of_a_pruned_network_has_its_time(engine, tmp_path_factory):
    pytest.importorskip(engine)
    path = export_case("mixste", "hot", tmp_path_factory).path
    found = profile_model(task(str(path), engine), runs=3)
    assert not found.problem
    names = [share.name for share in found.blocks]
    assert names == ["embedding", "spatial", "temporal", "prune", "recover", "head"]
    assert sum(share.share for share in found.blocks) == pytest.approx(1.0)
    assert all(share.ms > 0.0 for share in found.blocks)
    assert found.nodes_ms <= found.run_ms


def test_an_engine_without_blocks_says_why():
    silent = {
        name: profile_model(task("model.onnx", name), runs=1).problem
        for name in list_engines()
        if name not in ("onnxruntime", "openvino")
    }
    assert silent
    assert "one region" in silent.pop("tensorrt")
    assert all(name in problem for name, problem in silent.items())


@pytest.mark.parametrize(
    ("model", "name"),
    [case for case in cases() if case[1] in ("plain", "hot-17-batch-any", "motion-interpolate")],
)
def test_every_module_of_every_family_is_known(model, name, tmp_path_factory):
    graph = onnx.load(export_case(model, name, tmp_path_factory).path).graph
    named = [node.name for node in graph.node if "/" in node.name]
    # The last norm of some networks stands between the blocks and the head.
    unknown = {one.partition("/")[0] for one in named if block_of(one) is None}
    assert all(one.startswith(("norm", "layers.", "ts_attn", "blocks_")) for one in unknown)
    found = set(blocks_of(node.name for node in graph.node))
    assert found <= set(BLOCKS)
    assert {"embedding", "head"} <= found
    assert {"prune", "recover"} <= found or name == "plain"


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("STEblocks.3.attn.proj/linear_4", "spatial"),
        ("TTEblocks.0.mlp.fc1/linear", "temporal"),
        ("blocks_st.1.attn_t/matmul", "temporal"),
        ("blocks_ts.1.mlp_s.fc1/linear", "spatial"),
        ("layers.2.graph_temporal.mixer.V/linear", "temporal"),
        ("selectors.0/topk", "prune"),
        ("cross_attention.proj/linear", "recover"),
        ("head.1/linear", "head"),
        ("spread_head.3/linear", "head"),
        ("stem.layers.0/linear", "embedding"),
        ("view_3", None),
    ],
)
def test_block_of_a_name(name, block):
    assert block_of(name) == block


def test_nodes_without_a_module_belong_to_the_block_before():
    names = ["view", "STEblocks.0.attn/a", "add", "selectors.0/b", "gather", "TTEblocks.0/c"]
    expected = ["embedding", "spatial", "spatial", "prune", "prune", "temporal"]
    assert blocks_of(names) == expected
