"""Live networks in the TensorRT engine without a GPU, as ``test_tensorrt_fake_gpu`` does it.

What it shows: what a network remembers stays in the device's memory, each person's frames reach the
right slot of the right row, and the poses are those of the CPU.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gpu import child_environment
from live_files import make_live_file

from hot_sdk.starter import STARTER_LIVE, resolve_model

SCRIPT = Path(__file__).with_name("fake_gpu_live_checks.py")
CHECKS = re.findall(r"^def ([a-z]+(?:_[a-z]+){3,})\(\):", SCRIPT.read_text(), re.MULTILINE)
ENVIRONMENT = {
    "memory_that_is_shared_has_the_same_poses": {"FAKE_CUDA_INTEGRATED": "1"},
    "caches_that_do_not_fit_are_an_error": {"FAKE_CUDA_BYTES": "100000000"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    make_live_file(folder / "ahead.onnx", lookahead=4, memory="5+3x4")
    make_live_file(folder / "pairs.onnx", memory="5+3x4", batch=2)
    make_live_file(folder / "odd.onnx", memory="5")
    shutil.copy(resolve_model(STARTER_LIVE), folder / "starter-live.onnx")
    return folder


@pytest.mark.parametrize("name", CHECKS)
def test_on_the_fake_gpu(name, files, fake_driver, fake_pycuda, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, name, files],
        env={
            **os.environ,
            **child_environment(fake_driver, fake_pycuda),
            **ENVIRONMENT.get(name, {}),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
