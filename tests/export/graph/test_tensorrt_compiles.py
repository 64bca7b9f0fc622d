"""Every family and variant is read and compiled by NVIDIA's own parser and compiler.

They are those of TensorRT-RTX, which needs no GPU, driven by the code that builds engines on a
device. What that does not show: that TensorRT 10.3 reads the file (RTX is newer; the operator table
and ``--opset`` stand for that), how fast an engine is, what memory it takes, or what it computes.
Files are always compiled and never only parsed: the parser passes what the compiler refuses.
"""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import small_size
from tensorrt_compiler import compiled

from hot_sdk.errors import EngineError
from hot_sdk.export import ExportRequest
from hot_sdk.export.graph.check import check_graph
from hot_sdk.export.graph.older_parsers import (
    TENSORRT_8_6,
    TENSORRT_10_1,
    older_parser_problems,
)
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import family, list_models
from hot_sdk.export.pipeline import prepare


def test_every_exported_file_compiles(exported):
    assert len(compiled(exported.path)) > 10_000


@pytest.mark.parametrize("name", [name for name in list_models() if family(name).pruning])
def test_long_windows_compile(name):
    """Of more than 90 frames, masks are too large for what the exporter folds by itself."""
    prepared = prepare(long_request(name))
    lifter = fold_constants(build_lifter(prepared.spec, prepared.state, flip=False))
    made = trace(lifter, prepared.spec, batch=1, opset=17)
    assert check_graph(made) == []
    assert older_parser_problems(made, TENSORRT_8_6) == []
    assert older_parser_problems(made, TENSORRT_10_1) == []
    operators = {node.op_type for node in made.graph.node}
    assert not operators & {"Trilu", "EyeLike", "Range"}
    assert len(compiled(made.SerializeToString())) > 10_000


def long_request(name):
    variant = next(iter(family(name).pruning)).value
    return ExportRequest(
        model=name,
        frames=99,
        variant=variant,
        ratio=0.5,
        prune_at=1,
        config=small_size(name),
        random_weights=True,
    )


def model(operator, *, inputs, outputs, weights=(), opset=20, domain="", **attributes):
    """A graph of one node; inputs and outputs as (name, type, shape)."""
    names = [name for name, *_ in inputs] + [name for name, _ in weights]
    node = helper.make_node(
        operator, names, [name for name, *_ in outputs], name="it", domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(*spec) for spec in inputs],
        [helper.make_tensor_value_info(*spec) for spec in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights],
    )
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


def top_k(k):
    return model(
        "TopK",
        inputs=[("x", TensorProto.FLOAT, [1, 8192])],
        weights=[("k", np.array([k], np.int64))],
        outputs=[("y", TensorProto.FLOAT, [1, k]), ("i", TensorProto.INT64, [1, k])],
    )


def product(second):
    return model(
        "MatMul",
        inputs=[("a", TensorProto.FLOAT, [4, 4]), ("b", second, [4, 4])],
        outputs=[("y", TensorProto.FLOAT, [4, 4])],
    )


class TestWhatTheCompilerRejects:
    def test_names_an_unsupported_operator(self):
        content = model(
            "Det",
            inputs=[("x", TensorProto.FLOAT, [1, 3, 3])],
            outputs=[("y", TensorProto.FLOAT, [1])],
        )
        with pytest.raises(EngineError, match="cannot read 'model': Det 'it'"):
            compiled(content)

    def test_names_a_foreign_operator(self):
        content = model(
            "Mine",
            domain="mine",
            inputs=[("x", TensorProto.FLOAT, [4])],
            outputs=[("y", TensorProto.FLOAT, [4])],
        )
        with pytest.raises(EngineError, match="cannot read 'model': Mine 'it'"):
            compiled(content)

    def test_rejects_types_that_disagree(self):
        assert compiled(product(TensorProto.FLOAT))
        with pytest.raises(EngineError, match=r"cannot (read|build)"):
            compiled(product(TensorProto.FLOAT16))

    def test_some_graphs_parse_but_do_not_compile(self):
        assert compiled(top_k(2000))
        with pytest.raises(EngineError, match="cannot build a plan of 'model'"):
            compiled(top_k(4000))
