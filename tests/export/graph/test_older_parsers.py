"""Files that older releases of TensorRT have to read, by their parsers' rules."""

import onnx
import pytest
from small_networks import small_size

from hot_sdk.errors import GraphCheckError
from hot_sdk.export import ExportRequest
from hot_sdk.export.graph.check import check_graph
from hot_sdk.export.graph.older_parsers import (
    TENSORRT_8_6,
    TENSORRT_10_1,
    older_parser,
    older_parser_problems,
    require_readable,
)
from hot_sdk.export.graph.rules import operator_table
from hot_sdk.export.graph.trace import trace
from hot_sdk.export.graph.wrapper import build_lifter, fold_constants
from hot_sdk.export.models import family, list_models
from hot_sdk.export.pipeline import prepare


def pruned_network(name, opset):
    """A network of the published length, as thin as the tests' networks are."""
    request = ExportRequest(
        model=name,
        frames=243,
        variant=next(iter(family(name).pruning)).value,
        ratio=0.33,
        prune_at=1,
        config=small_size(name, depth=2),
        random_weights=True,
    )
    prepared = prepare(request)
    lifter = fold_constants(build_lifter(prepared.spec, prepared.state, flip=False))
    return trace(lifter, prepared.spec, batch=1, opset=opset)


@pytest.mark.parametrize("name", [name for name in list_models() if family(name).pruning])
def test_pruned_files_of_243_frames_are_read_by_all(name):
    model = pruned_network(name, 17)
    assert older_parser_problems(model, TENSORRT_8_6) == []
    assert older_parser_problems(model, TENSORRT_10_1) == []
    assert check_graph(model) == []


def graph(body, *, opset=17):
    header = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[3,3] x) => (float[3,3] y)'
    return onnx.parser.parse_model(f"{header} {{ {body} }}")


TRIANGLE = "b = Cast <to = 9> (x) t = Trilu (b) y = Cast <to = 1> (t)"


@pytest.mark.parametrize(
    ("body", "opset", "release", "said"),
    [
        # What the exporter leaves of a triangular mask of more than 90 frames.
        (TRIANGLE, 17, TENSORRT_8_6, ["no Trilu of BOOL"]),
        (TRIANGLE, 17, TENSORRT_10_1, ["no Trilu of BOOL"]),
        ("y = Gelu (x)", 20, TENSORRT_8_6, ["The opset is 20", "has no Gelu"]),
        ("y = Gelu (x)", 20, TENSORRT_10_1, []),
        ("y = LayerNormalization (x, x)", 17, TENSORRT_8_6, []),
        ("y = BitShift (x, x)", 17, TENSORRT_8_6, ["has no BitShift"]),
    ],
)
def test_what_a_parser_does_not_read_is_named(body, opset, release, said):
    problems = older_parser_problems(graph(body, opset=opset), release)
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True))


def test_an_export_for_an_older_release_is_refused_with_the_reason():
    require_readable(graph("y = Erf (x)"), TENSORRT_8_6)
    with pytest.raises(GraphCheckError, match=r"TensorRT 8\.6 cannot read .* no BitShift"):
        require_readable(graph("y = BitShift (x, x)"), TENSORRT_8_6)


def test_nothing_is_read_by_an_older_parser_alone():
    newest = operator_table().types
    # The operators of opsets before 9, and what every exported graph is refused for anyway.
    old = {"MeanVarianceNormalization", "Scan", "Scatter", "Upsample"}
    for release in (TENSORRT_8_6, TENSORRT_10_1):
        assert set(older_parser(release).types) - set(newest) - old == set()
