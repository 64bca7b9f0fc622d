"""Matrix multiplications that are written without the onnx package, in every form."""

import numpy as np
import onnx
import pytest

from hot_sdk.benchmarks.speed.profilers.onnxruntime import Product
from hot_sdk.benchmarks.speed.worker.products import (
    FORMS,
    OUTPUT,
    bytes_of,
    forms_of,
    product_model,
    products_model,
)
from hot_sdk.engines import open_session

LINEAR = Product(1, 5, 300, 7, constant=True, quantized=False, count=3)
ATTENTION = Product(4, 5, 30, 6, constant=False, quantized=False, count=2)


def constants_of(model):
    return {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_it_computes_the_first_value_of_each_product(form, expand):
    made = product_model(LINEAR, form, expand=expand)
    model = onnx.load_model_from_string(made.content)
    onnx.checker.check_model(model, full_check=True)
    assert made.copies == (3,)
    left = made.arrays["left_0_0"][0].astype(np.float64)
    constants = constants_of(model)
    expected = []
    for number in range(3):
        right = constants[f"right_0_{number}"].astype(np.float64)
        assert right.shape == (300, 7)
        row = left
        if form == "int8":
            step = float(constants[f"scale_0_{number}"])
            row = np.clip(np.round(left / step), -128, 127) * step
        elif form == "int8-dynamic":
            row = left - 128
        scale = 0.01 if form.startswith("int8") else 1.0
        expected.append(float(row @ right[:, 0]) * scale)
    assert len(set(expected)) == 3
    with open_session(made.content) as session:
        result = session.run(made.arrays)[f"{OUTPUT}_0"]
    assert result.shape == (3, 1)
    tolerance = 0.3 if form == "fp16" else 1e-3 * max(map(abs, expected)) + 1e-3
    np.testing.assert_allclose(result[:, 0], expected, atol=tolerance)


@pytest.mark.parametrize("form", ["fp32", "fp16"])
def test_a_batch_is_multiplied_by_other_inputs(form):
    made = product_model(ATTENTION, form)
    onnx.checker.check_model(onnx.load_model_from_string(made.content), full_check=True)
    assert {name: array.shape for name, array in made.arrays.items()} == {
        "left_0_0": (4, 5, 30),
        "left_0_1": (4, 5, 30),
        "right_0_0": (4, 30, 6),
    }
    with open_session(made.content) as session:
        result = session.run(made.arrays)[f"{OUTPUT}_0"].reshape(-1)
    right = made.arrays["right_0_0"][0, :, 0].astype(float)
    expected = [float(made.arrays[f"left_0_{one}"][0, 0].astype(float) @ right) for one in range(2)]
    np.testing.assert_allclose(result, expected, atol=1e-3 if form == "fp32" else 0.1)


def test_int8_in_onnxruntime_is_a_product_of_integers(tmp_path):
    """If it were not, the ceiling of int8 would be that of float32."""
    import onnxruntime

    for form in ("int8", "int8-dynamic"):
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.optimized_model_filepath = str(tmp_path / f"{form}.onnx")
        onnxruntime.InferenceSession(product_model(LINEAR, form).content, settings)
        operators = {node.op_type for node in onnx.load(tmp_path / f"{form}.onnx").graph.node}
        assert "MatMul" not in operators, form
        assert any("MatMulInteger" in name for name in operators), form


def test_forms_are_those_that_an_engine_might_compute():
    assert forms_of(LINEAR, "fp32") == ("fp32",)
    assert forms_of(LINEAR, "int8") == ("fp32",)
    assert forms_of(LINEAR, "fp16") == ("fp32", "fp16")
    integers = Product(1, 5, 300, 7, constant=True, quantized=True, count=1)
    assert forms_of(integers, "int8") == ("fp32", "int8", "int8-dynamic")


def test_memory_limits_the_copies():
    assert product_model(Product(1, 2, 4096, 2048, True, False, 50), "fp32").copies == (2,)
    assert product_model(Product(1, 2, 8, 8, True, False, 50), "fp32").copies == (8,)


def test_all_multiplications_of_a_model_are_one_model():
    wanted = [(LINEAR, "int8-dynamic", 3), (ATTENTION, "fp32", 5)]
    made = products_model(wanted)
    assert made.copies == (3, 5)
    model = onnx.load_model_from_string(made.content)
    onnx.checker.check_model(model, full_check=True)
    with open_session(made.content) as session:
        results = session.run(made.arrays)
    assert {name: array.shape for name, array in results.items()} == {
        f"{OUTPUT}_0": (3, 1),
        f"{OUTPUT}_1": (5, 1, 1),
    }
    # Five different pairs of three left and two right factors.
    assert len(np.unique(results[f"{OUTPUT}_1"])) == 5
    held = sum(array.nbytes for array in made.arrays.values())
    held += sum(array.nbytes for array in constants_of(model).values() if array.ndim > 1)
    assert held <= bytes_of(wanted)
