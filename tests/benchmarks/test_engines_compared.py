"""The comparison runs every engine on the file that it opens; no test asserts a time."""

import sys

import pytest
from exported_models import export_case, small_request

from hot_sdk.benchmarks import engines_compared as benchmark
from hot_sdk.export import export_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    onnx = export_case("mixste", "plain", tmp_path_factory).path
    weights = tmp_path_factory.mktemp("torch") / "plain.safetensors"
    export_model(small_request("mixste", output=weights, engine="torch"))
    return [str(onnx), str(weights)]


def test_prints_the_machine_and_a_row_for_each_engine(monkeypatch, capsys, files):
    monkeypatch.setattr(sys, "argv", ["benchmark", *files, "--rounds", "2", "--threads", "1"])
    monkeypatch.setenv("COLUMNS", "160")
    assert benchmark.main() == 0
    out = capsys.readouterr().out
    assert "logical cores" in out
    rows = out.splitlines()
    assert any("onnxruntime " in row and " 1.00 " in row and "0.0e+00" in row for row in rows)
    assert any("torch " in row for row in rows)


def test_a_file_that_is_not_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "nowhere.onnx"])
    assert benchmark.main() == 8
    assert capsys.readouterr().err.startswith("error: There is no model file")
