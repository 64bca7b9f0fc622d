"""Every family and variant is read and compiled by NVIDIA's own parser and compiler.

They are those of TensorRT-RTX, which needs no GPU, driven by the code that builds engines on a
device. What that does not show: that TensorRT 10.3 reads the file (RTX is newer; the operator table
and ``--opset`` stand for that), how fast an engine is, what memory it takes, or what it computes.
Files are always compiled and never only parsed: the parser passes what the compiler refuses.
"""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tensorrt_compiler import compiled

from hot_sdk.errors import EngineError


def test_every_exported_file_compiles(exported):
    assert len(compiled(exported.path)) > 10_000


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
        with pytest.raises(EngineError, match="cannot build an engine of 'model'"):
            compiled(top_k(4000))
