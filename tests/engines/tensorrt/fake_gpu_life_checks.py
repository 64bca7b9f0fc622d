"""What a child process does on the fake GPU when it is interrupted, ends, or lacks something.

Run by ``test_tensorrt_fake_gpu.py``, as ``fake_gpu_checks.py``.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
import tensorrt
from fake_gpu_checks import (
    assert_all_released,
    assert_right,
    double,
    driver,
    messages,
    numbers,
    opened,
    refused,
)

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.cuda import device as device_module
from hot_sdk.errors import EngineError, MissingDependencyError, UsageError

GIB = 1 << 30


def a_daemon_thread_is_in_a_run_at_the_end():
    # As a stream that was never closed: the end waits for the run, and the next one is refused.
    session = opened()

    def run_forever():
        with contextlib.suppress(EngineError):
            while True:
                assert_right(session)

    threading.Thread(target=run_forever, daemon=True).start()
    time.sleep(0.1)


def a_daemon_thread_is_in_a_build_at_the_end():
    threading.Thread(target=opened, daemon=True).start()
    while not any("Building:" in text for text in messages):
        time.sleep(0.01)


def a_session_is_used_after_the_end_of_its_process_began():
    session = opened()
    session._free()
    assert "closed" in refused(lambda: session.run({"x": numbers()})).message
    session.close()
    assert_all_released()


def an_interrupt_ends_a_build():
    for step in ("0", "1", "2"):
        os.environ["FAKE_TENSORRT_INTERRUPT"] = step
        with pytest.raises(KeyboardInterrupt):
            opened()
        assert_all_released()
    assert tensorrt.builds == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def an_interrupt_of_a_build_reaches_the_handler_of_the_program():
    # As rclpy's, which notes it and returns: the build ends all the same.
    noted = []
    signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    with pytest.raises(KeyboardInterrupt):
        opened()
    assert noted == [signal.SIGINT]
    assert_all_released()
    # A program that ignores Ctrl-C is not interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with opened() as session:
        assert_right(session)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert_all_released()


def run_often(session):
    for _ in range(12):
        session.run({"x": numbers()})


def an_interrupt_of_a_run_leaves_the_session_whole():
    with opened() as session:
        for calls in range(1, 12):
            driver.fake_interrupt_after(calls)
            with pytest.raises(KeyboardInterrupt):
                run_often(session)
            assert driver.fake_depth() == 0
            assert_right(session, seed=calls)
    assert_all_released()


def an_interrupt_while_a_session_opens_releases_everything():
    calls = 0
    for calls in range(1, 200, 2):
        driver.fake_interrupt_after(calls)
        try:
            session = opened()
        except KeyboardInterrupt:
            assert_all_released()
            continue
        break
    # More calls than opening makes.
    driver.fake_interrupt_after(0)
    assert calls > 20
    session.close()
    assert_all_released()


def what_tensorrt_does_not_create_is_an_error_of_ours():
    for name, what in (("Builder", "builder"), ("OnnxParser", "parser"), ("Runtime", "runtime")):
        os.environ["FAKE_TENSORRT_NULL"] = name
        error = refused(opened)
        assert f"TensorRT 10.3.0 creates no {what}: " in error.message
        assert "factory function returned nullptr" in error.message
        assert "hot-doctor" in error.hint
        assert_all_released()


def an_engine_that_is_not_created_does_not_end_auto():
    os.environ["FAKE_TENSORRT_NULL"] = "Builder"
    with pytest.raises(EngineError) as raised:
        open_session(double(), SessionOptions(device="cuda"), engine="auto")
    assert "onnxruntime: " in raised.value.message
    assert "tensorrt: TensorRT 10.3.0 creates no builder" in raised.value.message


def a_graph_that_computes_nothing_is_not_used():
    driver.fake_empty_captures(1)
    with opened() as session:
        assert not session.cuda_graph
        (text,) = [text for text in messages if text.startswith("No CUDA graph")]
        assert "computes something else" in text
        for seed in range(3):
            assert_right(session, seed=seed)
    assert_all_released()


def types_that_are_not_reported_are_no_warning():
    levels = []
    handler = logging.Handler()
    handler.emit = lambda record: levels.append(record.levelno)
    logging.getLogger("hot_sdk").addHandler(handler)
    for _ in range(2):
        opened(double("batch")).close()
    said = [text for text in messages if "does not report the types" in text]
    assert len(said) == 1
    assert max(levels) == logging.INFO


def what_a_region_hides_is_no_mismatch():
    def said(declared, found):
        del messages[:]
        os.environ["FAKE_TENSORRT_TYPE"] = found
        with opened(double(metadata={"hot_sdk.precision": declared})) as session:
            assert session.layers.opaque_regions == 1
        return [text for text in messages if "declares" in text]

    assert said("fp16", "FP32") == []
    assert len(said("fp32", "FP16")) == 1


def free_memory_is_read_after_the_builder_took_its_own():
    opened().close()
    assert tensorrt.builds[0]["workspace"] == (GIB - 600_000_000) // 2


def memory_of_a_shared_device_is_what_the_system_can_free():
    table = Path("meminfo")
    table.write_text("MemTotal: 7802580 kB\nMemFree: 1048576 kB\nMemAvailable: 4194304 kB\n")
    device_module._MEMORY_FILE = table
    opened().close()
    table.write_text("MemAvailable: 99999999 kB\n")
    opened().close()
    table.write_text("MemTotal: 7802580 kB\n")
    opened().close()
    assert [build["workspace"] for build in tensorrt.builds] == [2 * GIB, 4 * GIB, 4 * GIB]


def memory_that_a_jetson_refuses_is_explained():
    release = Path("release")
    device_module._L4T_FILE = release
    for revision, explained in (("4.3", False), ("4.7", True)):
        release.write_text(f"# R36 (release), REVISION: {revision}, GCID: 1, BOARD: generic\n")
        error = refused(lambda: opened(double(1 << 16)))
        assert "out of memory" in error.message
        assert ("refuses memory that is free" in error.hint) == explained
        assert_all_released()


def an_open_batch_is_capped_by_the_user():
    for largest in (1, 5):
        with opened(double("batch"), largest_batch=largest) as session:
            assert session.largest_batch == largest
            assert_right(session, largest)
            error = refused(lambda rows=largest + 1: session.run({"x": numbers(rows)}))
            assert f"built for 1 to {largest}." in error.message
            assert "largest_batch" in error.hint
    for wrong in (0, -1, True, "5"):
        with pytest.raises(UsageError, match="largest_batch"):
            opened(double("batch"), largest_batch=wrong)
    with pytest.raises(UsageError, match="largest_batch"):
        opened(largest_batch=4)


def modules_of_one_name_have_plans_of_their_own():
    # CUDA names every Orin module alike; its multiprocessors and memory differ.
    folder = Path("cache")
    for processors, memory in ((8, 30), (16, 30), (8, 31)):
        os.environ["FAKE_CUDA_PROCESSORS"] = str(processors)
        os.environ["FAKE_CUDA_BYTES"] = str(1 << memory)
        opened(cache_dir=folder).close()
    assert len(tensorrt.builds) == len(list(folder.glob("*.plan"))) == 3
    assert any("multiprocessors was '8' and is '16'" in text for text in messages)
    assert any("memory was '1 GiB' and is '2 GiB'" in text for text in messages)


def modules_that_differ_in_nothing_else_have_plans_of_their_own():
    # Both have 8 multiprocessors, as much memory, and are 'Orin' to CUDA.
    folder = Path("cache")
    for board in ("Orin Nano 8 GB", "Orin NX 8 GB"):
        Path("model").write_text(f"NVIDIA Jetson {board}\0")
        with (
            mock.patch.object(device_module, "_BOARD_FILE", Path("model")),
            mock.patch.object(device_module, "_NVMAP", Path("model")),
        ):
            opened(cache_dir=folder).close()
    assert len(tensorrt.builds) == len(list(folder.glob("*.plan"))) == 2
    said = "board was 'NVIDIA Jetson Orin Nano 8 GB' and is 'NVIDIA Jetson Orin NX 8 GB'"
    assert any(said in text for text in messages)


def a_batch_that_tensorrt_does_not_take_is_refused():
    os.environ["FAKE_TENSORRT_LARGEST"] = "5000"
    error = refused(lambda: opened(double("batch"), largest_batch=9000))
    assert "takes no batch of 1 to 9000" in error.message
    with pytest.raises(UsageError, match="from 1 to 1000000"):
        opened(double("batch"), largest_batch=1 << 63)
    assert_all_released()


def an_inspector_that_fails_is_no_fault_of_a_plan():
    os.environ["FAKE_TENSORRT_INSPECTOR"] = "None"
    with opened() as session:
        assert_right(session)
        assert session.layers.types == {}


def a_pycuda_that_is_broken_is_repaired_and_not_installed():
    broken = mock.patch.object(
        device_module.importlib, "import_module", side_effect=ImportError("undefined symbol: x")
    )
    with broken, pytest.raises(MissingDependencyError) as raised:
        device_module.open_device(0, purpose="This test")
    assert "run hot-doctor" in raised.value.hint
    assert "pip install" not in raised.value.hint


if __name__ == "__main__":
    globals()[sys.argv[1]]()
