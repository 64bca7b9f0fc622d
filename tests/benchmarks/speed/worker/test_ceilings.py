"""The matrix product that is written without the onnx package."""

import numpy as np
import onnx
import pytest

from hot_sdk.benchmarks.speed.worker.ceilings import INPUT, OUTPUT, matmul_model
from hot_sdk.engines import open_session


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_it_is_a_model_that_computes_the_product(dtype):
    content = matmul_model(5, 300, 7, dtype)
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
    assert weights.shape == (300, 7)
    array = np.random.default_rng(0).random((5, 300)).astype(dtype)
    with open_session(content) as session:
        result = session.run({INPUT: array})[OUTPUT]
    expected = array.astype(np.float64) @ weights.astype(np.float64)
    np.testing.assert_allclose(result, expected, atol=1e-3 if dtype == "float32" else 0.1)
