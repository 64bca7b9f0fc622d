"""The nightly build of every published network: what it builds, and how it goes on."""

import importlib.util
import itertools
import json

import engine_builds
import pytest
from engine_builds import BATCHES, PRECISIONS, Build, Graph, graphs, run, tables, versions

from hot_sdk.export.enums import SelectorKind
from hot_sdk.export.models import family, list_models

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed"
)


def test_everything_published_is_built_in_every_way():
    expected = {
        Graph(model, size, variant, selector, batch, flip)
        for model in list_models()
        for size in family(model).sizes
        for variant in (each.value for each in family(model).variants)
        for selector in (SelectorKind if variant in family(model).pruning else (None,))
        for batch, flip in itertools.product(
            BATCHES, (False, True) if variant != "live" else (False,)
        )
    }
    found = graphs()
    assert len(found) == len(expected)
    assert set(found) == expected
    assert PRECISIONS == ("fp32", "fp16", "int8", "int8+fp16")


def test_what_differs_most_is_built_first():
    kinds = {(graph.model, graph.variant) for graph in graphs()}
    first = graphs()[: len(kinds)]
    assert {(graph.model, graph.variant) for graph in first} == kinds
    assert ("mixste", "live") in kinds
    assert {(graph.batch, graph.flip) for graph in first} == set(
        itertools.product(BATCHES, (False, True))
    )


def result(graph, precision, failed=""):
    return Build(versions(), graph, precision, None if failed else 7, failed, 1.0)


@needs_compiler
def test_a_second_run_goes_on_and_tries_failures_again(tmp_path, capsys):
    output = tmp_path / "out" / "builds.jsonl"
    wanted, asked = graphs(["mixste"])[:3], []

    def build(graph, precisions):
        asked.extend((graph, precision) for precision in precisions)
        for precision in precisions:
            yield result(graph, precision, "no tactic" if len(asked) == 2 else "")

    found = run(wanted, PRECISIONS[:2], output, build=build, enough=lambda: len(asked) > 1)
    assert asked == [(wanted[0], "fp32"), (wanted[0], "fp16")]
    assert [one.failed for one in found.values()] == ["no tactic", "no tactic"]
    assert "fp16 FAILED: no tactic" in capsys.readouterr().out
    text = "\n".join(str(part) for part in tables(found, wanted, PRECISIONS[:2]))
    assert "0 of 6 files built, 2 failed, 4 not tried" in text

    with output.open("a") as lines:
        # Of another version, and cut short.
        other = json.loads(output.read_text().strip().splitlines()[0]) | {"versions": "older"}
        lines.write(json.dumps(other | {"failed": ""}) + "\n" + '{"versions": ')
    found = run(wanted, PRECISIONS[:2], output, build=build)
    assert len(asked) == 8
    assert not any(one.failed for one in found.values())
    run(wanted, PRECISIONS[:2], output, build=build)
    assert len(asked) == 8


@needs_compiler
def test_a_process_that_ends_is_a_failure(monkeypatch):
    graph = Graph("mixste", "none", "plain", None, 1, False)
    ended = "import sys; print('{'); sys.exit('out of memory')"
    monkeypatch.setattr(engine_builds, "_CHILD", ("-c", ended))
    (found,) = engine_builds.build_in_child(graph, ["fp16"])
    assert (found.graph, found.precision, found.bytes) == (graph, "fp16", None)
    assert found.failed == "its process ended: status 1 out of memory"


@pytest.mark.parametrize("flag", [("--precisions", "fp8"), ("--models", "mixst")])
def test_unknown_names_are_refused(flag, capsys):
    assert engine_builds.main([*flag, "--table"]) == 2
    assert flag[1] in capsys.readouterr().err
