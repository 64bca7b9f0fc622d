"""FLOPs, bytes and kernels, read through ONNX Runtime's profiler."""

import pytest
from exported_models import cases, export_case

from hot_sdk.benchmarks.speed.profilers.onnxruntime import cost_of_file, trace_runs
from hot_sdk.errors import EngineError
from hot_sdk.manifest import read_manifest

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


def test_a_file_that_is_no_model_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08not a model")
    with pytest.raises(EngineError):
        trace_runs(broken, {}, runs=1)
