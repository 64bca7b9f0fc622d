"""The TensorRT engine without a GPU: real PyCUDA and all of our code, on a CUDA driver made for it.

What it shows: memory, streams, contexts, graphs and threads are used as the driver demands, and
released in every case; plans are cached, checked and built once. What it does not show: that
TensorRT compiles a model, that a kernel runs, or how long anything takes. The driver is
``fake_cuda.c``, the part of TensorRT that a session touches ``fake_tensorrt``; PyCUDA is built
from its source in the first run, which takes one to two minutes, and kept.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gpu import child_environment

HERE = Path(__file__).parent
CHECKS = {
    name: HERE / file
    for file in ("fake_gpu_checks.py", "fake_gpu_life_checks.py")
    for name in re.findall(
        r"^def ([a-z]+(?:_[a-z]+){3,})\(\):", (HERE / file).read_text(), re.MULTILINE
    )
}

ENVIRONMENT = {
    "memory_that_is_shared_is_not_copied": {"FAKE_CUDA_INTEGRATED": "1"},
    "memory_that_runs_out_is_an_error_and_no_more": {"FAKE_CUDA_BYTES": "1000000"},
    "a_context_of_the_caller_is_current_again_afterwards": {"FAKE_CUDA_DEVICES": "2"},
    "without_a_device_no_tensorrt_object_is_created": {"FAKE_CUDA_DEVICES": "0"},
    "an_old_release_is_refused": {"FAKE_TENSORRT_VERSION": "8.6.2"},
    "a_precision_mismatch_is_logged": {"FAKE_TENSORRT_TYPE": "FP16"},
    "a_daemon_thread_is_in_a_run_at_the_end": {"FAKE_CUDA_RUN_MS": "20"},
    "a_daemon_thread_is_in_a_build_at_the_end": {
        "FAKE_TENSORRT_STEPS": "300",
        "FAKE_TENSORRT_STEP_S": "0.01",
    },
    "an_interrupt_ends_a_build": {"FAKE_TENSORRT_STEPS": "3"},
    "an_interrupt_of_a_build_reaches_the_handler_of_the_program": {"FAKE_TENSORRT_INTERRUPT": "1"},
    "what_a_region_hides_is_no_mismatch": {"FAKE_TENSORRT_OPAQUE": "1"},
    "memory_that_a_jetson_refuses_is_explained": {"FAKE_CUDA_BYTES": "1000000"},
    "free_memory_is_read_after_the_builder_took_its_own": {"FAKE_TENSORRT_TAKES": "600000000"},
    "memory_of_a_shared_device_is_what_the_system_can_free": {
        "FAKE_CUDA_INTEGRATED": "1",
        "FAKE_CUDA_BYTES": str(8 << 30),
    },
}
SAYS = {
    "a_lost_device_is_an_error_and_the_process_lives": "alive\n",
    "a_session_that_is_left_open_ends_in_order": "users 0, live [0, 0, 0, 0]\n",
}
IN_TWO_PROCESSES = "one_of_two_processes_builds"
# After the device is lost, PyCUDA warns about what it cannot free.
MAY_COMPLAIN = "a_lost_device_is_an_error_and_the_process_lives"


@pytest.fixture
def child(fake_driver, fake_pycuda, tmp_path):
    """Start a function of ``fake_gpu_checks`` in a separate process."""

    def start(name):
        environment = {**os.environ, **child_environment(fake_driver, fake_pycuda)}
        environment |= ENVIRONMENT.get(name, {})
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(CHECKS[name]), name],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finished(process):
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 0, complained
    return said, complained


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - {"assert_all_released", IN_TWO_PROCESSES}))
def test_on_the_fake_gpu(child, name):
    said, complained = finished(child(name))
    assert said == SAYS.get(name, "")
    if name == MAY_COMPLAIN:
        complained = re.sub(r"PyCUDA WARNING: a clean-up operation failed.*\n.*\n", "", complained)
    assert complained == ""


def test_two_processes_build_once(child):
    both = [child(IN_TWO_PROCESSES), child(IN_TWO_PROCESSES)]
    assert sorted(finished(process)[0] for process in both) == ["builds 0\n", "builds 1\n"]
