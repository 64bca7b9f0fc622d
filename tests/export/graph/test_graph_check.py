"""Every rule is broken once, in a graph that is otherwise clean, and must be the only finding."""

from __future__ import annotations

import re
import time
from dataclasses import astuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from hot_sdk.errors import GraphCheckError
from hot_sdk.export.graph import view
from hot_sdk.export.graph.check import Finding, check_graph, require_clean
from hot_sdk.export.graph.rules import operator_table

NAME = re.compile(r"(?<!\w)\[([a-z]\w*)\]\s*(\w+)(?=\s*[,=])")

# One of each operator that the exported lifters have, on 4 frames of 3 joints, keeping 2 frames.
LIFTER = """
<ir_version: 9, opset_import: ["" : OPSET]>
lifter (float[BATCH,4,3,2] keypoints_2d) => (poses_3d, token_index)
<
  float[2,3] embed = {0.1, -0.2, 0.3, 0.4, -0.5, 0.6}, float[3] bias = {0.0, 0.1, 0.2},
  float[3] gain = {1.0, 1.1, 1.2}, float[3,3] head = {1.0, 0.1, 0.2, 0.3, 1.0, 0.4, 0.5, 0.6, 1.0},
  int64[2] to_rows = {-1, 2}, int64[4] to_grid = {-1, 4, 3, 3}, int64[1] last = {-1},
  int64[1] joint_axis = {2}, int64[1] k = {2}, int64 four = {4}, int64[1] first = {0},
  int64[1] two = {2}, float zero = {0.0}, float one = {1.0}
>
{
  [rows] rows = Reshape(keypoints_2d, to_rows)
  [embed] embedded = Gemm(rows, embed, bias)
  [grid] grid = Reshape(embedded, to_grid)
  [norm] normed = LayerNormalization(grid, gain, bias)
  [keys] keys = Transpose <perm = [0, 1, 3, 2]> (normed)
  [scores] scores = MatMul(normed, keys)
  [softmax] weights = Softmax <axis = -1> (scores)
  [mix] mixed = MatMul(weights, normed)
  [act] active = Erf(mixed)
  [pool] pooled = ReduceMean <keepdims = 0> (active, joint_axis)
  [slice] some = Slice(pooled, first, two, last)
  [norm2] length = ReduceSum <keepdims = 0> (some, last)
  [positive] above = Greater(length, zero)
  [mask] masked = Where(above, length, one)
  [topk] values, indices = TopK <axis = 1> (masked, k)
  [mirror] token_index = Sub(four, indices)
  [same] same = Identity(token_index)
  [head] poses_3d = MatMul(active, head)
}
"""

# A clean graph with room for nodes: ``x`` is the input, ``count`` an int64 that is computed.
FRAME = """
<ir_version: 9, opset_import: ["" : OPSET, "com.microsoft" : 1]>
g (float[BATCH,4,3,2] keypoints_2d) => (poses_3d)
<float[2,3] weight = {1., 2., 3., 4., 5., 6.}>
{
  [x] x = Relu(keypoints_2d)
  [count] count = Cast <to = 7> (x)
  NODES
  [head] poses_3d = MatMul(x, weight)
}
"""


def parse(text: str) -> onnx.ModelProto:
    """Parse a graph whose nodes may begin with their names, which ONNX 1.17's parser refuses."""
    names = {found[2]: found[1] for found in NAME.finditer(text)}
    model = parser.parse_model(NAME.sub(r"\2", text))
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            node.name = names.get(node.output[0], "")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return model


def lifter(batch: str = "1", opset: int = 20) -> onnx.ModelProto:
    text = LIFTER.replace("OPSET", str(opset)).replace("BATCH", batch)
    return typed(parse(text), token_index=TensorProto.INT64)


def graph(nodes: str = "", *, batch: str = "1", opset: int = 20) -> onnx.ModelProto:
    text = FRAME.replace("OPSET", str(opset)).replace("BATCH", batch).replace("NODES", nodes)
    return typed(parse(text))


def typed(model: onnx.ModelProto, **types: int) -> onnx.ModelProto:
    for output in model.graph.output:
        output.type.tensor_type.elem_type = types.get(output.name, TensorProto.FLOAT)
    return model


def only(model: onnx.ModelProto, *, dynamic_batch: bool = False) -> Finding:
    findings = check_graph(model, dynamic_batch=dynamic_batch)
    assert len(findings) == 1, findings
    assert all(astuple(findings[0]))
    return findings[0]


@pytest.mark.parametrize("opset", [18, 19, 20])
@pytest.mark.parametrize(("batch", "dynamic"), [("1", False), ("8", False), ("N", True)])
def test_lifter_is_clean_and_runs(opset, batch, dynamic):
    model = lifter(batch, opset)
    assert check_graph(model, dynamic_batch=dynamic) == []
    require_clean(model, dynamic_batch=dynamic)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    length = int(batch) if batch.isdigit() else 5
    poses, index = session.run(None, {"keypoints_2d": np.ones((length, 4, 3, 2), np.float32)})
    assert poses.shape == (length, 4, 3, 3)
    assert index.shape == (length, 2)


def test_frame_of_the_cases_is_clean():
    assert check_graph(graph()) == []
    assert check_graph(graph(opset=17)) == []
    assert check_graph(graph(batch="N"), dynamic_batch=True) == []


# Nodes; the operator and the words that the finding must have. The faulty node is always "bad".
CASES = {
    "If": (
        """c = Constant <value = bool {1}> ()
        [bad] y = If (c) <
            then_branch = a () => (float[1] p) { p = Constant <value_floats = [1.]> () },
            else_branch = b () => (float[1] q) { q = Constant <value_floats = [2.]> () }>
        """,
        "chooses at run time",
    ),
    "Loop": (
        """n = Constant <value = int64 {3}> ()
        c = Constant <value = bool {1}> ()
        [bad] y = Loop (n, c, x) <body = a (int64 i, bool go, float[1,4,3,2] s) =>
            (bool on, float[1,4,3,2] t) { on = Identity(go) t = Relu(s) }>
        """,
        "chooses at run time",
    ),
    "Scan": (
        """o = Constant <value_ints = [0]> ()
        s = Squeeze(x, o)
        [bad] y, z = Scan <num_scan_inputs = 1, body = a (float[4,3,2] p, float[4,3,2] e) =>
            (float[4,3,2] t, float[4,3,2] u) { t = Add(p, e) u = Relu(t) }> (s, x)
        """,
        "chooses at run time",
    ),
    "Shape": ("[bad] y = Shape(x)", "reads a shape"),
    "Size": ("[bad] y = Size(x)", "reads a shape"),
    "NonZero": ("[bad] y = NonZero(x)", "depends on the data"),
    "NonZero of integers": ("[bad] y = NonZero(count)", "depends on the data"),
    "Unique": ("[bad] y = Unique(x)", "depends on the data"),
    "RandomNormal": ("[bad] y = RandomNormal <shape = [1, 4]> ()", "random"),
    "RandomNormalLike": ("[bad] y = RandomNormalLike(x)", "random"),
    "RandomUniform": ("[bad] y = RandomUniform <shape = [1, 4]> ()", "random"),
    "RandomUniformLike": ("[bad] y = RandomUniformLike(x)", "random"),
    "Bernoulli": ("[bad] y = Bernoulli(x)", "random"),
    "Multinomial": (
        "s = Constant <value_ints = [4, 6]> () m = Reshape(x, s) [bad] y = Multinomial(m)",
        "random",
    ),
    "ScatterND": (
        "i = Constant <value = int64[1,1] {0}> () [bad] y = ScatterND(x, i, x)",
        "writes by index",
    ),
    "ScatterElements": ("[bad] y = ScatterElements(x, count, x)", "writes by index"),
    "Dropout": (
        "r = Constant <value_float = 0.5> () t = Constant <value = bool {1}> () "
        "[bad] y = Dropout(x, r, t)",
        "training mode",
    ),
    "Range": (
        "i = Constant <value_int = 0> () o = Constant <value_int = 1> () "
        "n = ReduceMax <keepdims = 0> (count) [bad] y = Range(i, n, o)",
        "takes input 1, 'n', from a computation",
    ),
    "ConstantOfShape": (
        "a = Constant <value_ints = [1, 2, 3]> () n = ReduceMax <keepdims = 0> (count, a) "
        "[bad] y = ConstantOfShape(n)",
        "takes input 0",
    ),
    "Reshape": (
        "a = Constant <value_ints = [1, 2, 3]> () n = ReduceMax <keepdims = 0> (count, a) "
        "[bad] y = Reshape(x, n)",
        "takes input 1",
    ),
    "TopK": (
        "o = Constant <value = int64[1] {1}> () [bad] v, i = TopK <axis = 1> (count, o)",
        "sorts INT64",
    ),
    "TopK with K computed": (
        "s = Constant <value_ints = [1]> () a = Constant <value_ints = [0, 1, 2, 3]> () "
        "n = ReduceMax <keepdims = 0> (count, a) m = Reshape(n, s) "
        "[bad] v, i = TopK <axis = 1> (x, m)",
        "takes input 1, 'm', from a computation",
    ),
    "TopK with K too large": (
        "s = Constant <value_ints = [1, 4000]> () k = Constant <value = int64[1] {3841}> () "
        "o = Constant <value_float = 1.> () wide = Expand(o, s) "
        "[bad] v, i = TopK <axis = 1> (wide, k)",
        "K = 3841; TensorRT sorts at most 3840",
    ),
    "TopK unsorted": (
        "o = Constant <value = int64[1] {1}> () [bad] v, i = TopK <axis = 1, sorted = 0> (x, o)",
        "unsorted",
    ),
    "FusedMatMul": ("[bad] y = com.microsoft.FusedMatMul(x, weight)", "domain 'com.microsoft'"),
    "Det": (
        "s = Constant <value_ints = [6, 2, 2]> () m = Reshape(x, s) [bad] y = Det(m)",
        "not among the operators of TensorRT 10.3",
    ),
    "CumSum": (
        "a = Constant <value = int64 {1}> () [bad] y = CumSum(count, a)",
        "works on INT64, which TensorRT 10.3 does not accept here",
    ),
    "Clip": (
        "low = Constant <value = int64 {1}> () [bad] y = Clip(count, low)",
        "works on INT64",
    ),
    "Cast": ("[bad] y = Cast <to = 3> (x)", "works on INT8"),
    "Cast to double": ("[bad] y = Cast <to = 11> (x)", "makes 'y', which is of type DOUBLE"),
    "Constant": (
        "[bad] y = Constant <value = double[2] {1., 2.}> ()",
        "makes 'y', which is of type DOUBLE",
    ),
    "Constant of text": ('[bad] y = Constant <value_string = "a"> ()', "text or a sparse"),
    "LayerNormalization": (
        "s = Constant <value_floats = [1., 1.]> () [bad] y, mean = LayerNormalization(x, s)",
        "more than its first output",
    ),
    "Einsum": ('[bad] y = Einsum <equation = "...ij->...ji"> (x)', "'...ij->...ji'"),
    "Einsum of a diagonal": (
        "s = Constant <value_ints = [6, 2, 2]> () m = Reshape(x, s) "
        '[bad] y = Einsum <equation = "abb->a"> (m)',
        "'abb->a'",
    ),
    "QuantizeLinear": (
        "s = Constant <value_float = 0.5> () z = Constant <value = int8 {3}> () "
        "[bad] y = QuantizeLinear(x, s, z)",
        "zero point other than 0",
    ),
    "DequantizeLinear": (
        "s = Constant <value_float = 0.5> () z = Constant <value = uint8 {0}> () "
        "q = QuantizeLinear(x, s, z) [bad] y = DequantizeLinear(q, s, z)",
        "works on UINT8",
    ),
    "Unsqueeze": (
        "a = Constant <value_ints = [0, 1, 2, 3, 4]> () [bad] y = Unsqueeze(x, a)",
        "9 axes; TensorRT accepts 8",
    ),
    "Slice": (
        "a = Constant <value_ints = [1]> () [bad] y = Slice(x, a, a, a)",
        "is empty, (1, 0, 3, 2)",
    ),
    "Swish": ("[bad] y = Swish(x)", "not among the operators"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_names_the_node_that_breaks_a_rule(case):
    nodes, words = CASES[case]
    finding = only(graph(nodes))
    assert finding.node == "bad"
    assert finding.operator == case.split()[0]
    assert words in finding.problem


def test_searches_subgraphs_and_nested_ones():
    findings = check_graph(
        graph(
            """c = Constant <value = bool {1}> ()
            [outer] y = If (c) <
                then_branch = a () => (float[1] p) {
                    [inner] p = If (c) <
                        then_branch = d () => (float[1] s)
                            { [noise] s = RandomUniform <shape = [1]> () },
                        else_branch = e () => (float[1] t)
                            { t = Constant <value_floats = [1.]> () }>
                },
                else_branch = b () => (float[1] q) { q = Constant <value_floats = [2.]> () }>
            """
        )
    )
    assert [(finding.node, finding.operator) for finding in findings] == [
        ("outer", "If"),
        ("inner", "If"),
        ("noise", "RandomUniform"),
    ]


def test_identifies_unnamed_nodes_by_their_outputs():
    assert only(graph("y = NonZero(x)")).node == "(makes y)"


def test_reports_a_bad_tensor_once():
    finding = only(graph("[bad] d = Cast <to = 11> (x) e = Add(d, d) f = Mul(e, e)"))
    assert finding.node == "bad"


def test_finds_batch_normalization_in_training_mode():
    findings = check_graph(
        graph(
            "s = Constant <value_floats = [1., 1., 1., 1.]> () "
            "[bad] y, mean, var = BatchNormalization <training_mode = 1> (x, s, s, s, s)"
        )
    )
    assert {finding.node for finding in findings} == {"bad"}
    assert any("training mode" in finding.problem for finding in findings)


def test_dropout_in_inference_mode_is_clean():
    assert check_graph(graph("y = Dropout(x)")) == []


def test_symmetric_quantization_is_clean():
    nodes = """s = Constant <value_float = 0.5> () z = Constant <value = int8 {0}> ()
        q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)"""
    assert check_graph(graph(nodes)) == []


def test_half_precision_inside_is_clean():
    assert check_graph(graph("h = Cast <to = 10> (x) e = Exp(h) y = Cast <to = 1> (e)")) == []


def test_integer_arithmetic_on_indices_is_clean():
    nodes = """k = Constant <value = int64[1] {2}> () n = Constant <value_int = 4> ()
        v, i = TopK <axis = 1> (x, k) j = Sub(n, i) less = Less(j, n)
        y = GatherElements <axis = 1> (x, i)"""
    assert check_graph(graph(nodes)) == []


@pytest.mark.parametrize("opset", [16, 21])
def test_finds_an_opset_out_of_range(opset):
    finding = only(graph(opset=opset))
    assert (finding.node, finding.operator) == ("g", "model")
    assert f"opset {opset}; expected one from 17 to 20" in finding.problem


def test_finds_a_missing_standard_opset():
    model = graph()
    del model.opset_import[0]
    assert "has opset none" in check_graph(model)[0].problem


def test_finds_a_domain_that_is_not_imported():
    model = graph("[bad] y = com.microsoft.FusedMatMul(x, weight)")
    del model.opset_import[1]
    findings = check_graph(model)
    assert ("bad", "FusedMatMul") in [(each.node, each.operator) for each in findings]
    assert any("No opset import" in each.problem for each in findings)


def test_finds_local_functions_and_their_calls():
    model = graph("[bad] y = com.microsoft.Twice(x)")
    function = helper.make_function(
        "com.microsoft",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    model.functions.append(function)
    left, call = check_graph(model)
    assert (left.node, left.operator) == ("Twice", "local function")
    assert (call.node, call.operator) == ("bad", "Twice")


def test_finds_types_that_do_not_match_and_names_the_node():
    finding = only(graph("[bad] y = Add(x, count)"))
    assert finding.operator == "model"
    assert "op_type:Add, node name: bad" in finding.problem


def test_finds_output_types_that_cannot_be_inferred():
    # Gelu came with opset 20: in 18 the standard has no such operator.
    finding = only(graph("[bad] y = Gelu(x)", opset=18))
    assert (finding.node, finding.operator) == ("bad", "Gelu")
    assert "element type that cannot be inferred" in finding.problem


def test_ignores_shapes_that_the_exporter_noted():
    model = graph("[bad] y = NonZero(x) z = Transpose(y)")
    for name in "yz":
        model.graph.value_info.append(
            helper.make_tensor_value_info(name, TensorProto.INT64, [4, 24])
        )
    assert only(model).node == "bad"


def test_finds_a_symbolic_batch_unless_requested():
    finding = only(graph(batch="N"))
    assert (finding.node, finding.operator) == ("keypoints_2d", "graph input")
    assert "(?, 4, 3, 2)" in finding.problem
    assert check_graph(graph(batch="N"), dynamic_batch=True) == []


def test_finds_another_symbolic_axis_with_a_symbolic_batch():
    model = graph()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "frames"
    findings = check_graph(model, dynamic_batch=True)
    assert [(each.node, each.operator) for each in findings] == [
        ("keypoints_2d", "graph input"),
        ("poses_3d", "graph output"),
    ]
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    assert "(?, ?, 3, 2)" in check_graph(model, dynamic_batch=True)[0].problem


def test_finds_a_reshape_to_a_fixed_batch():
    nodes = "s = Constant <value_ints = [1, 4, 6]> () [bad] y = Reshape(x, s)"
    assert check_graph(graph(nodes)) == []
    finding = only(graph(nodes, batch="N"), dynamic_batch=True)
    assert (finding.node, finding.operator) == ("bad", "Reshape")
    assert "symbolic batch in its input and none in its output" in finding.problem


@pytest.mark.parametrize("shape", ["[-1, 6]", "[0, -1]", "[-1]", "[0, 0, 6]"])
def test_reshape_that_keeps_the_batch_is_clean(shape):
    nodes = f"s = Constant <value_ints = {shape}> () y = Reshape(x, s)"
    assert check_graph(graph(nodes, batch="N"), dynamic_batch=True) == []


def test_finds_inputs_and_outputs_unknown_to_the_runtime():
    model = graph("[other] more = Relu(x)")
    model.graph.input[0].name = "input.1"
    model.graph.node[0].input[0] = "input.1"
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))
    findings = check_graph(model)
    assert [(each.node, each.operator, each.problem.split()[:2]) for each in findings] == [
        ("keypoints_2d", "graph input", ["is", "missing"]),
        ("input.1", "graph input", ["is", "unknown"]),
        ("more", "graph output", ["is", "unknown"]),
    ]


def test_finds_inputs_of_another_type_or_rank():
    model = graph()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    findings = check_graph(model)
    assert findings[1].problem == "has element type FLOAT16; expected FLOAT"
    model = graph()
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    assert [each.problem for each in check_graph(model)] == ["has 3 axes; expected 4"] * 2


def test_finds_kept_frames_that_are_not_integers():
    model = lifter()
    (cast,) = [node for node in model.graph.node if node.name == "same"]
    cast.op_type, cast.output[0] = "Cast", "as_float"
    cast.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    model.graph.output[1].name = "as_float"
    finding = only(model)
    assert (finding.node, finding.operator) == ("as_float", "graph output")


def weight(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(array, name)


def initializer_finding(model: onnx.ModelProto, name: str) -> str:
    (problem,) = [
        each.problem
        for each in check_graph(model)
        if (each.node, each.operator) == (name, "initializer")
    ]
    return problem


def test_finds_unused_initializers():
    model = graph()
    model.graph.initializer.append(weight("spare", np.ones(3, np.float32)))
    assert only(model).problem == "is unused"
    assert only(model).node == "spare"


def test_initializer_used_only_in_a_subgraph_is_used():
    nodes = """c = Constant <value = bool {1}> ()
        [bad] y = If (c) <then_branch = a () => (float[1] p) { p = Relu(spare) },
                          else_branch = b () => (float[1] q) { q = Exp(spare) }>"""
    model = graph(nodes)
    model.graph.initializer.append(weight("spare", np.ones(1, np.float32)))
    assert only(model).node == "bad"


def test_finds_initializers_of_the_same_name():
    model = graph()
    model.graph.initializer.append(model.graph.initializer[0])
    assert initializer_finding(model, "weight") == "is defined 2 times"


def test_finds_two_nodes_that_make_the_same_tensor():
    model = graph("y = Relu(x) [bad] y = Exp(x)")
    assert any(
        each.node == "bad" and "which already exists in the graph" in each.problem
        for each in check_graph(model)
    )


def test_finds_double_initializers():
    model = graph("y = Relu(wide)")
    model.graph.initializer.append(weight("wide", np.ones(3)))
    assert "is of type DOUBLE" in only(model).problem
    assert only(model).node == "wide"


def test_finds_external_data_without_opening_it(tmp_path):
    model = graph()
    model.graph.initializer[0].CopyFrom(weight("weight", np.ones((2, 3), np.float32)))
    onnx.save(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        size_threshold=0,
        location="weights.bin",
    )
    (tmp_path / "weights.bin").unlink()
    loaded = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    finding = only(loaded)
    assert (finding.node, finding.operator) == ("weight", "initializer")
    assert finding.problem == "is stored in another file"


def test_does_not_open_an_external_k():
    model = graph("v, i = TopK <axis = 1> (x, k)")
    model.graph.initializer.append(weight("k", np.array([2])))
    k = model.graph.initializer[-1]
    k.ClearField("raw_data")
    k.data_location = TensorProto.EXTERNAL
    k.external_data.add(key="location", value="not-there.bin")
    assert initializer_finding(model, "k") == "is stored in another file"
    assert not any("TopK" in each.operator for each in check_graph(model))


def test_finds_sparse_initializers():
    model = graph()
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            weight("thin", np.ones(1, np.float32)), weight("at", np.array([0])), [4]
        )
    )
    assert initializer_finding(model, "thin") == "is sparse"


def test_error_lists_ten_findings_and_counts_the_rest():
    model = graph(" ".join(f"[bad{i}] y{i} = NonZero(x)" for i in range(13)))
    with pytest.raises(GraphCheckError) as caught:
        require_clean(model)
    assert "NonZero 'bad9'" in caught.value.message
    assert "bad10" not in caught.value.message
    assert caught.value.message.endswith("and 3 more.")
    assert caught.value.hint == check_graph(model)[0].remedy
    assert len(str(caught.value).splitlines()) == 1


def test_check_does_not_change_the_model():
    model = lifter()
    before = model.SerializeToString(deterministic=True)
    check_graph(model)
    assert model.SerializeToString(deterministic=True) == before


def test_does_not_copy_weights(monkeypatch):
    layers, width = 35, 1000
    nodes = [
        helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"], f"layer{i}")
        for i in range(layers)
    ]
    nodes += [
        helper.make_node("MatMul", ["keypoints_2d", "in"], ["h0"], "in"),
        helper.make_node("MatMul", [f"h{layers}", "out"], ["poses_3d"], "out"),
    ]
    nodes.insert(0, nodes.pop(-2))
    values = np.zeros((width, width), np.float32)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "wide",
            [helper.make_tensor_value_info("keypoints_2d", TensorProto.FLOAT, [1, 4, 3, 2])],
            [helper.make_tensor_value_info("poses_3d", TensorProto.FLOAT, [1, 4, 3, 3])],
            [weight(f"w{i}", values) for i in range(layers)]
            + [weight("in", values[:2]), weight("out", values[:, :3])],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    sizes = []

    def watched(skeleton, **options):
        sizes.append(skeleton.ByteSize())
        return onnx.shape_inference.infer_shapes(skeleton, **options)

    monkeypatch.setattr(view, "infer_shapes", watched)
    began = time.perf_counter()
    assert check_graph(model) == []
    assert time.perf_counter() - began < 1.5
    assert len(sizes) == 1
    assert sizes[0] < 100_000 < model.ByteSize() // 1000


def test_large_constant_node_is_a_weight(monkeypatch):
    model = graph("y = MatMul(x, big)")
    value = weight("", np.ones((2, 1000), np.float32))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["big"], "big", value=value))
    sizes = []

    def watched(skeleton, **options):
        sizes.append(skeleton.ByteSize())
        return onnx.shape_inference.infer_shapes(skeleton, **options)

    monkeypatch.setattr(view, "infer_shapes", watched)
    assert check_graph(model) == []
    assert sizes[0] < 2000
    assert model.graph.node[0].op_type == "Constant"


def test_table_is_that_of_the_parser():
    table = operator_table()
    assert len(table.types) == 150
    assert (table.max_opset, table.max_topk, table.max_rank) == (20, 3840, 8)
    assert TensorProto.INT64 not in table.types["Clip"]
    assert TensorProto.INT64 in table.types["TopK"]
    assert table.types["And"] == {TensorProto.BOOL}
    # Newer releases have these; 10.3 does not.
    assert not {"STFT", "Attention", "RMSNormalization", "HannWindow"} & table.types.keys()
    assert {"Gelu", "LayerNormalization", "GatherElements", "Trilu"} <= table.types.keys()
