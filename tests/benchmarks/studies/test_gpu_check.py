"""The script of all GPU checks, run on the CPU."""

import json
import subprocess
import sys

import gpu_check
import pytest
import torch

SMALL = [
    *("--frames", "27", "--set", "width=32", "--set", "depth=3", "--set", "heads=4"),
    *("--set", "mlp_hidden=48", "--rounds", "2", "--batches", "2", "--modes", "eager"),
]


def run(*arguments):
    command = [sys.executable, gpu_check.__file__, *SMALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_measures_and_compares_on_the_cpu(tmp_path):
    done = run("--device", "cpu", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    assert "no GPU" in done.stdout
    record = json.loads((tmp_path / "gpu.json").read_text())
    rows = {(row["engine"].split()[0], row["precision"]): row for row in record["parity"]}
    exact = rows["onnxruntime", "fp32"]
    assert exact["mean_error"] < 1e-5
    assert exact["frames_shared"] == 1.0
    assert 0.0 < rows["onnxruntime", "fp16"]["mean_error"] < 0.02
    assert 0.0 < rows["onnxruntime", "int8"]["mean_error"] < 0.2
    assert "tensorrt" in rows["tensorrt", "fp32"]["refused"].lower()
    speeds = record["speeds"]
    assert [row["ratio"] for row in speeds] == [1.0, 0.75, 0.5, 0.33] * 2
    assert all(row["frames_per_s"] > 0.0 for row in speeds)
    saved = [row["flops_saved"] for row in speeds[:4]]
    assert saved == sorted(saved)
    assert record["tests"].startswith("not run")


def test_missing_gpu_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run("--device", "cuda")
    assert done.returncode == 8
    assert "PyTorch sees no GPU" in done.stderr
