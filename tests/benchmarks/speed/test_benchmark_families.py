"""A family instead of a file: it is exported first, and compared with PyTorch."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from exported_models import export_case
from safetensors.torch import save_file
from small_networks import small_size

from hot_sdk.benchmarks.evaluation.cli import main as hot_eval
from hot_sdk.benchmarks.speed.cli import main
from hot_sdk.export import export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.models import build, resolve


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a checkpoint of a small network that prunes before block 3."""
    made = tmp_path_factory.mktemp("families")
    spec = resolve("mixste", frames=27, ratio=0.5, **small_size("mixste", depth=4, heads=8))
    state = random_state_dict(build(spec))
    save_file({key: value.contiguous() for key, value in state.items()}, made / "small.safetensors")
    return made


def test_ratios_are_exported_once_and_compared_with_pytorch(folder, capsys):
    command = [
        *("mixste", "--checkpoint", str(folder / "small.safetensors"), "--trained-on", "h36m"),
        *("--output-dir", str(folder)),
        *("--runs", "2", "--threads", "1", "--power", "off", "--format", "json,csv"),
    ]
    status = main(
        [*command, "--baseline", "eager,torch-onnx", "--data", "starter-val", "--views", "1"]
    )
    assert status == 0
    assert "front" in capsys.readouterr().out
    record = json.loads((folder / "benchmark.json").read_text())
    eager, plain_export, file = record["results"]
    assert eager["subject"]["engine"] == "torch"
    assert plain_export["subject"]["engine"] == "onnxruntime"
    assert [one["name"] for one in eager["measures"]] == ["engine"]
    assert file["subject"]["name"] == "mixste_t27_r0.52"
    assert {one["measure"] for one in file["ratios"]} == {"engine"}
    assert eager["accuracy"] is None
    assert file["accuracy"]["mpjpe_mm"] > 0
    assert file["accuracy"]["frames"] > 1000
    rows = list(csv.DictReader((folder / "benchmark.csv").read_text().splitlines()))
    assert [row["sha256"] == "" for row in rows] == [True, True, False]
    exported = folder / "mixste_t27_r0.52.onnx"
    stamp = exported.stat().st_mtime_ns
    assert main(command) == 0
    assert exported.stat().st_mtime_ns == stamp


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder with one network as a graph, and as weights for PyTorch."""
    made = tmp_path_factory.mktemp("both")
    graph = export_case("mixste", "hot", tmp_path_factory)
    shutil.copy(graph.path, made / "graph.onnx")
    weights = replace(graph.request, output=made / "weights.safetensors", engine="torch")
    export_model(weights)
    return made


def test_weights_for_pytorch_are_measured_next_to_a_graph(both, monkeypatch, capsys):
    monkeypatch.chdir(both)
    quick = ("--runs", "2", "--threads", "1", "--power", "off", "--measure", "window")
    assert (
        main(["graph.onnx", "weights.safetensors", *quick, "--output-dir", ".", "--profile"]) == 0
    )
    graph, weights = json.loads(Path("benchmark.json").read_text())["results"]
    assert graph["subject"]["engine"] == "onnxruntime"
    assert weights["subject"]["engine"] == "torch"
    assert weights["cost"]["papers_flops"] == graph["cost"]["papers_flops"]
    assert "'weights.safetensors' holds weights and no graph" in capsys.readouterr().out
    assert main(["weights.safetensors", *quick, "--engines", "onnxruntime"]) == 2
    assert "None of the engines onnxruntime opens" in capsys.readouterr().err


def test_weights_for_pytorch_are_evaluated(both, monkeypatch, capsys):
    monkeypatch.chdir(both)
    command = ("--data", "starter-val", "--views", "1", "--filter", "14_05", "--json")
    figures = []
    for name in ("graph.onnx", "weights.safetensors"):
        assert hot_eval([name, *command]) == 0
        found = json.loads(capsys.readouterr().out)
        figures.append(found[found["headline"]]["mpjpe_mm"])
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
