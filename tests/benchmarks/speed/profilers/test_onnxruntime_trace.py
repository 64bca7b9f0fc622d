"""FLOPs, bytes and kernels, read through ONNX Runtime's profiler."""

import math
from importlib.resources import files
from pathlib import Path

import onnx
import pytest
from exported_models import cases, export_case

from hot_sdk.benchmarks.speed.profilers.onnxruntime import cost_of_file, trace_runs
from hot_sdk.errors import EngineError
from hot_sdk.manifest import read_manifest

SELF_TEST = Path(str(files("hot_sdk.doctor"))) / "data"
LOOKED_AT = ("plain", "hot", "hot-17-batch-any", "stages", "tpc-flip-batch-2")


@pytest.mark.parametrize(("model", "name"), [case for case in cases() if case[1] in LOOKED_AT])
def test_flops_are_those_of_the_manifest(model, name, tmp_path_factory):
    path = export_case(model, name, tmp_path_factory).path
    manifest, cost = read_manifest(path), cost_of_file(path)
    assert cost.windows == (manifest.batch or 1)
    assert cost.flops == manifest.flops.executed * cost.windows
    assert sum(kernel.flops for kernel in cost.kernels) == cost.flops
    # Positions and norms are constants, too, but no product reads them.
    assert 0.5 < cost.weight_bytes / (4 * manifest.parameters) < 1.5
    assert cost.largest_product is not None


def constants_read(path):
    """The numbers in the constants of a file that multiplications read, through other nodes."""
    graph = onnx.load(path).graph
    constants = {one.name: math.prod(one.dims) for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    total = 0
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "MatMulInteger"):
            continue
        for name in node.input[1:2]:
            while name in makers and makers[name].op_type in ("DequantizeLinear", "Cast"):
                name = makers[name].input[0]
            total += constants.get(name, 0)
    return total


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8_fp16"])
def test_weights_of_every_precision_count_as_float32(precision):
    path = SELF_TEST / f"self_test_{precision}.onnx"
    assert 1.0 <= cost_of_file(path).weight_bytes / (4 * constants_read(path)) < 1.1


def test_nodes_that_quantize_are_no_kernels():
    path = SELF_TEST / "self_test_int8_fp16.onnx"
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("DequantizeLinear") > 10
    kernels = len(cost_of_file(path).kernels)
    exact = len(cost_of_file(SELF_TEST / "self_test_fp16.onnx").kernels)
    assert abs(kernels - exact) <= 2


def test_a_file_that_is_no_model_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08not a model")
    with pytest.raises(EngineError):
        trace_runs(broken, {}, runs=1)
