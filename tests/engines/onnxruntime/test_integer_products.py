"""Quantized multiplications, written as ONNX Runtime's integer products when a file is opened."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import finish_model, make_affine

from hot_sdk.doctor.self_test import model_file
from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.onnx_file import check_onnx
from hot_sdk.engines.onnx_nodes import with_nodes
from hot_sdk.engines.onnxruntime import integer_products
from hot_sdk.engines.onnxruntime.integer_products import PRODUCT, exact_sums, with_integer_products
from hot_sdk.engines.openvino import sums_int8_exactly

ROWS, INNER, COLUMNS = 48, 64, 32


class Quantized:
    """Two products of the same quantized activations: y = x @ a + bias, z = x @ b."""

    def __init__(self):
        random = np.random.default_rng(5)
        self.x = random.uniform(-1.2, 1.2, (ROWS, INNER)).astype(np.float32)
        self.values = {
            "scale": np.float32(1 / 127),
            "zero": np.int8(0),
            "bias": random.standard_normal((1, 1, COLUMNS)).astype(np.float32),
            "rows": np.array([-1, COLUMNS]),
        }
        for name in "ab":
            self.values[f"{name}_int"] = random.integers(
                -127, 127, (INNER, COLUMNS), dtype=np.int8, endpoint=True
            )
            self.values[f"{name}_scale"] = random.uniform(0.01, 0.02, COLUMNS).astype(np.float32)
            self.values[f"{name}_zero"] = np.zeros(COLUMNS, np.int8)
        self.nodes = {
            "q": ("QuantizeLinear", ["x", "scale", "zero"], {}),
            "d": ("DequantizeLinear", ["q", "scale", "zero"], {}),
            "a": ("DequantizeLinear", ["a_int", "a_scale", "a_zero"], {"axis": 1}),
            "b": ("DequantizeLinear", ["b_int", "b_scale", "b_zero"], {"axis": 1}),
            "product": ("MatMul", ["d", "a"], {}),
            "sum": ("Add", ["product", "bias"], {}),
            "y": ("Reshape", ["sum", "rows"], {}),
            "z": ("MatMul", ["d", "b"], {}),
        }
        self.outputs = {"y": [ROWS, COLUMNS], "z": [ROWS, COLUMNS]}

    def model(self):
        graph = helper.make_graph(
            [
                helper.make_node(operator, inputs, [output], f"node/{output}", **attributes)
                for output, (operator, inputs, attributes) in self.nodes.items()
            ],
            "quantized",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.x.shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in self.outputs.items()
            ],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.values.items()],
        )
        return finish_model(graph, {"author": "tests"})

    def rewritten(self):
        content = self.model().SerializeToString()
        made = onnx.load_from_string(with_integer_products(check_onnx(content)).content)
        return [node.op_type for node in made.graph.node], made

    def difference(self, tmp_path):
        """The largest difference from what ONNX Runtime computes without optimizations."""
        content = self.model().SerializeToString()
        found = []
        for level in ("none", "all"):
            options = SessionOptions(graph_optimization=level, cache_dir=tmp_path)
            with open_session(content, options, engine="onnxruntime") as session:
                found.append(session.run({"x": self.x}))
        return max(np.abs(found[0][name] - found[1][name]).max() for name in self.outputs)


def test_products_of_shared_activations_are_integers(tmp_path):
    quantized = Quantized()
    operators, made = quantized.rewritten()
    assert operators == ["QuantizeLinear", PRODUCT, "Reshape", PRODUCT]
    assert [node.name for node in made.graph.node][1::2] == ["node/product", "node/z"]
    assert made.metadata_props == quantized.model().metadata_props
    # Sums of 64 products of up to 1.2 and 2.5 each.
    assert quantized.difference(tmp_path) < 1e-4


def separate_zero_point(case):
    case.values["q_zero"] = np.int8(3)
    case.nodes["q"] = ("QuantizeLinear", ["x", "scale", "q_zero"], {})


def shifted_activations(case):
    case.values["zero"] = np.int8(3)


def shifted_weights(case):
    case.values["a_zero"] = np.full(COLUMNS, 2, np.int8)
    case.values["b_zero"] = np.full(COLUMNS, 2, np.int8)


def unsigned_weights(case):
    for name in "ab":
        case.values[f"{name}_int"] = case.values[f"{name}_int"].view(np.uint8)
        case.values[f"{name}_zero"] = np.zeros(COLUMNS, np.uint8)


def scales_of_rows(case):
    for name in "ab":
        case.values[f"{name}_scale"] = np.resize(case.values[f"{name}_scale"], INNER)
        case.values[f"{name}_zero"] = np.zeros(INNER, np.int8)
        case.nodes[name] = (*case.nodes[name][:2], {"axis": 0})


@pytest.mark.parametrize(
    "change",
    [separate_zero_point, shifted_activations, shifted_weights, unsigned_weights, scales_of_rows],
)
def test_other_quantization_stays_as_it_is(tmp_path, change):
    quantized = Quantized()
    change(quantized)
    content = quantized.model().SerializeToString()
    file = check_onnx(content)
    assert with_integer_products(file) is file
    assert quantized.difference(tmp_path) < 1e-4


def product_is_read_twice(case):
    case.nodes["w"] = ("Neg", ["product"], {})
    case.outputs["w"] = [ROWS, COLUMNS]


def sum_is_an_output(case):
    case.outputs["sum"] = [1, ROWS, COLUMNS]


def sum_keeps_its_axes(case):
    case.nodes["y"] = ("Neg", ["sum"], {})
    case.outputs["y"] = [1, ROWS, COLUMNS]


def size_comes_from_the_sum(case):
    case.values["rows"] = np.array([0, 0, -1])
    case.outputs["y"] = [1, ROWS, COLUMNS]


def bias_of_each_row(case):
    case.values["bias"] = np.resize(case.values["bias"], (1, ROWS, COLUMNS))


def bias_of_one_number(case):
    case.values["bias"] = np.ones((1, 1, 1), np.float32)


def bias_is_a_product(case):
    case.nodes["sum"] = ("Add", ["product", "product"], {})


@pytest.mark.parametrize(
    "change",
    [
        product_is_read_twice,
        sum_is_an_output,
        sum_keeps_its_axes,
        size_comes_from_the_sum,
        bias_of_each_row,
        bias_of_one_number,
        bias_is_a_product,
    ],
)
def test_a_sum_stays_that_is_no_bias(tmp_path, change):
    quantized = Quantized()
    change(quantized)
    operators, _ = quantized.rewritten()
    assert operators.count(PRODUCT) == 2
    assert "Add" in operators
    assert quantized.difference(tmp_path) < 1e-4


def test_what_others_read_stays(tmp_path):
    quantized = Quantized()
    quantized.nodes["w"] = ("Neg", ["d"], {})
    quantized.outputs["w"] = [ROWS, INNER]
    operators, _ = quantized.rewritten()
    # The integers of the products and those of the other reader.
    assert operators.count("QuantizeLinear") == 2
    assert operators.count("DequantizeLinear") == 1
    assert quantized.difference(tmp_path) < 1e-4


def test_a_bias_of_one_axis_needs_no_reshape(tmp_path):
    quantized = Quantized()
    quantized.values["bias"] = quantized.values["bias"].reshape(-1)
    quantized.nodes["y"] = ("Neg", ["sum"], {})
    operators, _ = quantized.rewritten()
    assert operators == ["QuantizeLinear", PRODUCT, "Neg", PRODUCT]
    assert quantized.difference(tmp_path) < 1e-4


@pytest.mark.parametrize(
    ("shape", "rows", "operators"),
    [
        ([-1, INNER], [-1, COLUMNS], ["Reshape", "Relu", "QuantizeLinear", PRODUCT, PRODUCT]),
        # The sum has other rows, or further axes, than the product.
        ([-1, INNER], [-1, 2 * COLUMNS], None),
        ([2, -1, INNER], [-1, COLUMNS], None),
    ],
)
def test_axes_that_only_the_bias_brought_are_not_made(tmp_path, shape, rows, operators):
    quantized = Quantized()
    quantized.values |= {"shape": np.array(shape), "rows": np.array(rows)}
    nodes = {"matrix": ("Reshape", ["x", "shape"], {}), "positive": ("Relu", ["matrix"], {})}
    quantized.nodes = {**nodes, **quantized.nodes}
    quantized.nodes["q"] = ("QuantizeLinear", ["positive", "scale", "zero"], {})
    quantized.outputs = {"y": None, "z": None}
    found, _ = quantized.rewritten()
    assert found.count("Reshape") == (1 if operators else 2)
    assert operators is None or found == operators
    assert quantized.difference(tmp_path) < 1e-4


def test_float32_files_and_external_weights_stay_as_they_are(tmp_path):
    file = check_onnx(make_affine().SerializeToString())
    assert with_integer_products(file) is file
    path = tmp_path / "external.onnx"
    model = Quantized().model()
    onnx.save(model, path, save_as_external_data=True, size_threshold=1024, location="weights")
    file = check_onnx(path)
    assert file.weights
    assert with_integer_products(file) is file


def test_cached_graphs_hold_the_products(tmp_path):
    quantized = Quantized()
    assert quantized.difference(tmp_path) < 1e-4
    graphs = [onnx.load(path).graph for path in tmp_path.glob("*.onnx")]
    products = [[node.op_type for node in graph.node].count(PRODUCT) for graph in graphs]
    assert sorted(products) == [0, 2]
    # From the cache.
    assert quantized.difference(tmp_path) < 1e-4


def test_sums_are_made_exact_where_they_overflow(monkeypatch, tmp_path):
    quantized = Quantized()
    quantized.values["a_int"][:] = 127
    quantized.x[:] = 1.0
    overflows = integer_products.sums_overflow(onnxruntime)
    # Whatever instructions ONNX Runtime has use of: without VNNI there are none that suffice.
    assert overflows or sums_int8_exactly()
    file = check_onnx(quantized.model().SerializeToString())
    assert bool(exact_sums(onnxruntime, file)) == overflows
    assert quantized.difference(tmp_path / "here") < 1e-3
    monkeypatch.setattr(integer_products, "sums_overflow", lambda _: True)
    assert exact_sums(onnxruntime, file)
    assert not exact_sums(onnxruntime, check_onnx(make_affine().SerializeToString()))
    assert quantized.difference(tmp_path / "overflowing") < 1e-3


@pytest.mark.parametrize("part", ["input", "output", "attribute"])
def test_incomplete_nodes_are_left_to_onnxruntime(part):
    for place in range(len(Quantized().nodes)):
        model = Quantized().model()
        node = model.graph.node[place]
        while getattr(node, part):
            getattr(node, part).pop()
            file = check_onnx(model.SerializeToString())
            made = onnx.load_from_string(with_integer_products(file).content)
            # What is left of the node is still there, or the node was not needed.
            left = [each.op_type for each in made.graph.node]
            assert left.count(PRODUCT) < 2 or node.op_type in ("Add", "Reshape")


def test_a_copy_without_changes_is_the_same():
    path = model_file("int8+fp16")
    content = path.read_bytes()
    copy = with_nodes(content, removed=(), added={}, constants={}, domains={})
    assert onnx.load_from_string(copy) == onnx.load_from_string(content)
