"""The benchmark measures what it says; no test asserts a time."""

import platform
import sys

import pytest

from hot_sdk.benchmarks import pytorch_against_onnxruntime as benchmark
from hot_sdk.benchmarks.machine import describe_machine
from hot_sdk.export.models import resolve


def test_names_the_machine_and_the_versions():
    text = describe_machine("numpy", "onnxruntime")
    assert platform.python_version() in text
    assert "logical cores" in text
    assert "numpy " in text
    assert "onnxruntime " in text


def test_runs_in_turn_and_leaves_the_first_round_out():
    order = []
    runs = [benchmark.Candidate(name, 1, lambda name=name: order.append(name)) for name in "ab"]
    seconds = benchmark.measure(runs, rounds=3)
    assert order == ["a", "b"] * 4
    assert [len(times) for times in seconds] == [3, 3]
    assert all(time > 0 for times in seconds for time in times)


def test_prints_a_row_for_each_candidate(monkeypatch, capsys):
    small = resolve("mixste", frames=9, ratio=0.5, prune_at=1, width=32, depth=2, mlp_hidden=32)
    monkeypatch.setattr(benchmark, "resolve", lambda *_arguments, **_options: small)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--rounds", "1"])
    monkeypatch.setenv("COLUMNS", "120")
    assert benchmark.main() == 0
    out = capsys.readouterr().out
    for row in (
        "PyTorch eager, every frame",
        "ONNX Runtime, every frame",
        "5 of 9 frames",
        "matrix products",
    ):
        assert row in out
    assert "GFLOP/s" in out


@pytest.mark.parametrize("arguments", [["--model", "mixst"], ["--tokens", "1000"]])
def test_wrong_arguments_are_one_line(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    assert benchmark.main() == 2
    assert capsys.readouterr().err.startswith("error: ")
