"""Every node of every family belongs to a part of the network."""

import onnx
import pytest
from exported_models import cases, export_case

from hot_sdk.benchmarks.speed.profilers.blocks import BLOCKS, block_of, blocks_of


@pytest.mark.parametrize(
    ("model", "name"),
    [case for case in cases() if case[1] in ("plain", "hot-17-batch-any", "motion-interpolate")],
)
def test_every_module_is_known(model, name, tmp_path_factory):
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
        ("stem.layers.0/linear", "embedding"),
        ("view_3", None),
    ],
)
def test_names_tell_blocks(name, block):
    assert block_of(name) == block


def test_nodes_without_a_module_belong_to_what_came_before():
    names = ["view", "STEblocks.0.attn/a", "add", "selectors.0/b", "gather", "TTEblocks.0/c"]
    expected = ["embedding", "spatial", "spatial", "prune", "prune", "temporal"]
    assert blocks_of(names) == expected
