"""``hot-eval`` through the TensorRT engine, on the fake GPU.

Its TensorRT has ONNX Runtime compute the networks, so that this says nothing of TensorRT's own
numbers: it shows that windows, batches, plans and outputs pass through the engine unchanged, and
that what an engine computes wrongly is seen in the metrics.
"""

import json
import os
import subprocess
import sys

import pytest
from fake_gpu import child_environment

from hot_sdk.doctor.self_test import model_file
from hot_sdk.starter import starter_model

EVALUATE = "import sys; from hot_sdk.benchmarks.evaluation.cli import main; sys.exit(main())"
ON_THE_GPU = ("--engine", "tensorrt", "--device", "cuda:0")


@pytest.fixture
def evaluated(fake_driver, fake_pycuda, tmp_path):
    """Evaluate a file on one clip of starter-val; returns its metrics."""

    def run(model, *options, **variables):
        command = [sys.executable, "-c", EVALUATE, str(model), "--data", "starter-val", "--json"]
        environment = {**os.environ, **child_environment(fake_driver, fake_pycuda), **variables}
        done = subprocess.run(
            [*command, "--filter", "14_05-1", *options],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("model", [starter_model(), model_file("int8+fp16")], ids=lambda m: m.stem)
def test_metrics_are_those_of_the_cpu(evaluated, model):
    expected = evaluated(model)["overall"]["mpjpe_mm"]
    found = evaluated(model, *ON_THE_GPU, "--cache-dir", "plans")
    assert found["settings"]["device"] == "cuda:0"
    assert found["overall"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-2)
    noisy = evaluated(model, *ON_THE_GPU, FAKE_TENSORRT_NOISE="0.1")
    assert noisy["overall"]["mpjpe_mm"] != pytest.approx(expected, rel=1e-2)
