"""The script of all GPU checks, run on the CPU and, without PyTorch, on the fake GPU."""

import json
import os
import subprocess
import sys

import gpu_check
import pytest
from fake_gpu import child_environment

from hot_sdk.doctor.self_test import model_file

SMALL = [
    *("--frames", "27", "--set", "width=32", "--set", "depth=3", "--set", "heads=4"),
    *("--set", "mlp_hidden=48", "--rounds", "2", "--batches", "2", "--modes", "eager"),
]
# A board as set up by the guide has none of these, and no clone.
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "pytest", "onnxscript", "hot_sdk.export")))
sys.argv = ["gpu_check", *sys.argv[1:]]
runpy.run_path({script!r}, run_name="__main__")
"""


def run(*arguments, environment=None):
    command = [sys.executable, gpu_check.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def run_on_a_board(*arguments, environment):
    command = [sys.executable, "-c", WITHOUT.format(script=gpu_check.__file__), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def test_measures_and_compares_on_the_cpu(tmp_path):
    done = run(*SMALL, "--device", "cpu", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    assert "no GPU" in done.stdout
    record = json.loads((tmp_path / "gpu.json").read_text())
    rows = {(row["engine"].split()[0], row["precision"]): row for row in record["parity"]}
    exact = rows["onnxruntime", "fp32"]
    assert exact["mean_error"] < 1e-5
    assert exact["frames_shared"] == 1.0
    assert 0.0 < rows["onnxruntime", "fp16"]["mean_error"] < 0.02
    assert 0.0 < rows["onnxruntime", "int8"]["mean_error"] < 0.2
    assert 0.0 < rows["onnxruntime", "int8+fp16"]["mean_error"] < 0.2
    assert "tensorrt" in rows["tensorrt", "fp32"]["refused"].lower()
    speeds = record["speeds"]
    assert [row["ratio"] for row in speeds] == [1.0, 0.75, 0.5, 0.33] * 2
    assert all(row["frames_per_s"] > 0.0 for row in speeds)
    saved = [row["flops_saved"] for row in speeds[:4]]
    assert saved == sorted(saved)
    assert record["tests"].startswith("not run")
    assert record["left_out"] == {"self-test": "it checks GPUs"}


def test_the_half_of_tensorrt_needs_no_torch_and_no_clone(fake_driver, fake_pycuda, tmp_path):
    files = [str(model_file(name)) for name in ("fp32", "int8+fp16")]
    environment = child_environment(fake_driver, fake_pycuda)
    arguments = ["--parts", "engines,torch,tests", "--rounds", "2", "--models", *files]
    arguments += ["--checkout", str(tmp_path), "--output", str(tmp_path / "gpu.json")]
    done = run_on_a_board(*arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert record["device"].startswith("Fake GPU, driver ")
    assert record["left_out"] == {"torch": "it needs torch and the extra 'export'"}
    assert record["tests"].startswith("not run")
    rows = [row for row in record["parity"] if row["engine"] == "tensorrt 10.3.0"]
    assert [row["precision"] for row in rows] == ["fp32", "int8+fp16"]
    assert all(row["frames_shared"] == 1.0 for row in rows)
    assert rows[0]["mean_error"] < 1e-5
    assert rows[1]["mean_error"] < 1e-2
    # What it compares, it can find to differ.
    arguments[5:7] = files[:1]
    done = run_on_a_board(*arguments, environment=environment | {"FAKE_TENSORRT_NOISE": "0.1"})
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    (row,) = [row for row in record["parity"] if row["engine"] == "tensorrt 10.3.0"]
    assert row["frames_shared"] < 1.0
    assert row["mean_error"] > 1e-2


def test_missing_gpu_is_an_error():
    if gpu_check.describe_device("cuda") != "no GPU is seen":
        pytest.skip("there is a GPU")
    file = str(model_file("fp32"))
    done = run("--device", "cuda", "--parts", "engines", "--rounds", "1", "--models", file)
    assert done.returncode == 8
    assert "Nothing ran on a GPU" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--parts", "engine", "no part 'engine'"),
        ("--modes", "eager,compiled", "no mode 'compiled'"),
        ("--batches", "1,two", "--batches"),
        ("--batches", "0", "--batches"),
    ],
)
def test_unknown_values_are_refused(option, value, says, capsys):
    assert gpu_check.main([option, value]) == 2
    assert says in capsys.readouterr().err
