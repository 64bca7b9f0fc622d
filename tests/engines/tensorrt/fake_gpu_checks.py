"""What a child process does on the fake GPU: real PyCUDA, our own code, a stand-in for TensorRT.

Run by ``test_tensorrt_fake_gpu.py``, one function in each process, with its settings in the
environment.
"""

import atexit
import ctypes
import gc
import json
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pycuda.driver
import pytest
import tensorrt
from onnx import TensorProto, helper
from small_models import finish_model

from hot_sdk.engines import Session, SessionOptions, TensorSpec, open_session
from hot_sdk.engines.cuda.device import open_device
from hot_sdk.errors import EngineError, UsageError

DEVICE_MEMORY, HOST_MEMORY, STREAMS, GRAPHS = range(4)
NOTHING = [0, 0, 0, 0]

driver = ctypes.CDLL("libcuda.so.1")
messages = []


class Messages(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())


logging.getLogger("hot_sdk").addHandler(Messages())
logging.getLogger("hot_sdk").setLevel(logging.INFO)


def double(rows=2, *, operator="Add", metadata=None):
    """y = x + x, float32 (rows, 3)."""
    inputs = ["x", "x"] if operator == "Add" else ["x"]
    shape = [rows, 3]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"], name="find")],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return finish_model(graph, metadata or {"author": "tests"}).SerializeToString()


def scaled_and_summed(rows):
    """Two inputs of other ranks and two outputs: a * b of (rows, 3) and (rows,), and its sums."""
    ones = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["b", "one"], ["column"]),
            helper.make_node("Mul", ["a", "column"], ["scaled"]),
            helper.make_node("ReduceSum", ["scaled", "one"], ["sums"], keepdims=0),
        ],
        "two",
        [value("a", TensorProto.FLOAT, [rows, 3]), value("b", TensorProto.FLOAT, [rows])],
        [value("scaled", TensorProto.FLOAT, [rows, 3]), value("sums", TensorProto.FLOAT, [rows])],
        [ones],
    )
    return finish_model(graph).SerializeToString()


def opened(model=None, **options):
    options.setdefault("device", "cuda")
    return open_session(model or double(), SessionOptions(**options), engine="tensorrt")


def numbers(rows=2, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)


def live():
    return [driver.fake_live(kind) for kind in range(4)]


def assert_right(session, rows=2, seed=0):
    x = numbers(rows, seed)
    np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)


def assert_all_released():
    gc.collect()
    assert live() == NOTHING, live()
    assert driver.fake_users(0) == 0
    assert driver.fake_depth() == 0
    assert tensorrt.without_context == []


def refused(action):
    with pytest.raises(EngineError) as raised:
        action()
    return raised.value


def a_session_runs_and_releases_everything():
    with opened() as session:
        assert isinstance(session, Session)
        assert (session.engine, session.engine_version) == ("tensorrt", "10.3.0")
        assert (session.device, session.precision) == ("cuda:0", "fp32")
        assert session.inputs == (TensorSpec("x", (2, 3), "float32"),)
        assert session.outputs == (TensorSpec("y", (2, 3), "float32"),)
        assert dict(session.metadata) == {"author": "tests"}
        assert session.layers.types == {"fp32": 1}
        assert session.plan is None
        assert not session.zero_copy
        assert driver.fake_depth() == 0
        # Two buffers on either side, one stream, one executable graph.
        assert live() == [2, 2, 1, 1]
        for seed in range(3):
            assert_right(session, seed=seed)
        first = session.run({"x": numbers()})["y"]
        kept = first.copy()
        session.run({"x": numbers(seed=9)})
        np.testing.assert_array_equal(first, kept)
        assert live() == [2, 2, 1, 1]
    assert_all_released()
    assert "closed" in refused(lambda: session.run({"x": numbers()})).message
    session.close()


def a_run_is_one_cuda_graph():
    with opened() as session:
        assert session.cuda_graph
        assert "Captured a CUDA graph of one run." in messages
        enqueued = []
        session._handle._main._enqueue = lambda: enqueued.append(1)
        assert_right(session)
        assert enqueued == []


def a_failed_capture_is_logged():
    driver.fake_fail_captures(1)
    with opened() as session:
        assert not session.cuda_graph
        assert any(text.startswith("No CUDA graph, so every run") for text in messages)
        assert_right(session)
        assert_right(session, seed=1)
        assert live()[GRAPHS] == 0
    assert_all_released()


def a_driver_without_graphs_is_logged():
    class Old:
        def __getattr__(self, name):
            if name == "cuStreamBeginCapture_v2":
                raise AttributeError(name)
            return getattr(driver, name)

    with mock.patch("ctypes.CDLL", return_value=Old()), opened() as session:
        assert not session.cuda_graph
        assert any("older than CUDA 11.4's" in text for text in messages)
        assert_right(session)
    assert_all_released()


def an_open_batch_accepts_sizes_up_to_its_largest():
    with opened(double("batch")) as session:
        assert session.inputs == (TensorSpec("x", ("batch", 3), "float32"),)
        assert not session.cuda_graph
        assert session.largest_batch == 256
        for rows in (1, 5, 256, 2):
            assert_right(session, rows)
        for rows in (0, 257):
            error = refused(lambda rows=rows: session.run({"x": numbers(rows)}))
            assert f"The batch is {rows}; this plan was built for 1 to 256." in error.message
        assert_right(session, 3)
    assert_all_released()


def every_input_is_written_and_every_output_read():
    for rows, sizes in ((2, (2, 2)), ("batch", (1, 5, 2))):
        with opened(scaled_and_summed(rows)) as session:
            assert session.cuda_graph == (rows == 2)
            for seed, size in enumerate(sizes):
                a, b = numbers(size, seed), numbers(size, seed + 9)[:, 0]
                found = session.run({"a": a, "b": b})
                assert found.keys() == {"scaled", "sums"}
                np.testing.assert_array_equal(found["scaled"], a * b[:, None])
                np.testing.assert_allclose(found["sums"], (a * b[:, None]).sum(1), atol=1e-5)
        assert_all_released()
    error = refused(lambda: session.run({"a": a, "b": b}))
    assert "closed" in error.message
    with opened(scaled_and_summed("batch")) as session:
        error = refused(lambda: session.run({"a": numbers(2), "b": numbers(3)[:, 0]}))
        assert "where batch is 2" in error.message


def memory_that_is_shared_is_not_copied():
    with opened() as session:
        assert session.zero_copy
        assert session.cuda_graph
        assert live()[:2] == [0, 2]
        for seed in range(2):
            assert_right(session, seed=seed)
    assert_all_released()


def pycuda_alone_fails_in_a_second_thread():
    # What robots' callbacks and web servers meet with a context that one thread made current.
    pycuda.driver.init()
    context = pycuda.driver.Device(0).retain_primary_context()
    context.push()
    pycuda.driver.mem_alloc(16).free()
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(pycuda.driver.mem_alloc, 16).exception()
    assert isinstance(error, pycuda.driver.LogicError)
    assert "invalid device context" in str(error) or "no currently active context" in str(error)
    context.detach()


def threads_share_a_session():
    start = threading.Barrier(4)

    def run(seed):
        start.wait()
        for _ in range(100):
            assert_right(session, seed=seed)
        return driver.fake_depth()

    with opened() as session, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [0] * 4
    assert_all_released()


def a_session_is_closed_in_another_thread():
    session = opened()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(session.close).result()
        assert pool.submit(driver.fake_depth).result() == 0
    assert_all_released()
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(opened).result()
    assert_right(session)
    session.close()
    assert_all_released()


def two_sessions_live_in_one_process():
    first, second = opened(), opened(double(4))
    assert driver.fake_users(0) == 2
    assert_right(first)
    assert_right(second, 4)
    first.close()
    assert driver.fake_users(0) == 1
    assert_right(second, 4)
    second.close()
    assert_all_released()


def a_context_of_the_caller_is_current_again_afterwards():
    pycuda.driver.init()
    mine = pycuda.driver.Device(1).retain_primary_context()
    mine.push()
    memory = pycuda.driver.mem_alloc(16)
    with opened() as session:
        assert_right(session)
        assert pycuda.driver.Context.get_device() == pycuda.driver.Device(1)
    assert pycuda.driver.Context.get_device() == pycuda.driver.Device(1)
    assert driver.fake_depth() == 1
    assert (driver.fake_users(0), driver.fake_users(1)) == (0, 1)
    memory.free()
    mine.detach()


def memory_that_runs_out_is_an_error_and_no_more():
    big = double(1 << 16)
    for _ in range(3):
        error = refused(lambda: opened(big))
        assert "out of memory" in error.message
        assert "Free GPU memory" in error.hint
        assert_all_released()
    with opened() as session:
        assert_right(session)
    assert_all_released()


def a_lost_device_is_an_error_and_the_process_lives():
    session, other = opened(), opened()
    assert_right(session)
    driver.fake_lose_device()
    for lost in (session, session, other):
        error = refused(lambda lost=lost: lost.run({"x": numbers()}))
        assert "lost" in error.hint
    session.close()
    other.close()
    assert "cannot be opened" in refused(opened).message
    sys.stdout.write("alive\n")


def without_a_device_no_tensorrt_object_is_created():
    error = refused(opened)
    assert "no CUDA-capable device" in error.message
    assert tensorrt.without_context == []


def a_gpu_that_is_not_there_is_refused():
    assert (
        "There is no cuda:1; CUDA sees 1 GPU." in refused(lambda: opened(device="cuda:1")).message
    )
    assert "NVIDIA's GPUs only" in refused(lambda: opened(device="cpu")).message


def a_session_that_is_forgotten_is_freed():
    session = opened()
    assert_right(session)
    del session
    assert_all_released()


def a_session_that_is_left_open_ends_in_order():
    def report():
        sys.stdout.write(f"users {driver.fake_users(0)}, live {live()}\n")

    # Registered before the session's finalizer, and so called after it.
    atexit.register(report)
    global left
    left = opened()
    assert_right(left)


def a_forked_process_is_refused():
    session = opened()
    child = os.fork()
    if not child:
        status = 1
        try:
            error = refused(lambda: session.run({"x": numbers()}))
            messages.clear()
            session.close()
            status = 0 if "forked" in error.message and not messages else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_right(session)
    session.close()
    assert_all_released()


def workspace_and_precision_are_set_for_the_build():
    opened().close()
    opened(fast_math=True).close()
    first, second = tensorrt.builds
    assert first["flags"] == set()
    assert second["flags"] == {tensorrt.BuilderFlag.TF32}
    assert first["workspace"] == 1 << 29
    assert any(text.startswith("Building: Building (0 s so far)") for text in messages)


def errors_of_parser_and_builder_are_reported():
    error = refused(lambda: opened(double(operator="NonZero")))
    assert "NonZero 'find': there is no such operator" in error.message
    os.environ["FAKE_TENSORRT_FAILS"] = "1"
    error = refused(opened)
    assert "no tactic was found for the layer" in error.message
    assert "512 MiB of workspace" in error.hint
    assert "largest_batch" not in error.hint
    error = refused(lambda: opened(double("batch")))
    assert "smaller largest_batch (--largest-batch) than 256" in error.hint
    assert_all_released()


def an_old_release_is_refused():
    error = refused(opened)
    assert "TensorRT 8.6.2 is too old" in error.message
    assert "JetPack 6.1" in error.hint


def a_precision_mismatch_is_logged():
    opened().close()
    assert any("declares fp32, but the plan's tensors are: 1 fp16" in text for text in messages)


def options_that_do_not_apply_are_refused():
    for options in ({"provider": "CUDAExecutionProvider"}, {"device": "dla:0"}):
        with pytest.raises(UsageError):
            opened(**options)


def only_the_batch_may_be_open():
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "open",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "frames"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "frames"])],
    )
    model = finish_model(graph).SerializeToString()
    assert "another dimension" in refused(lambda: opened(model)).message
    assert driver.fake_users(0) == 0


def a_plan_of_other_tensors_is_refused():
    for spoil in (lambda t: t.pop(), lambda t: t[0][2].append(1), lambda t: t[1][2].reverse()):

        def loaded(self, plan, spoil=spoil, load=tensorrt.Runtime.deserialize_cuda_engine):
            tensors = json.loads(plan)
            spoil(tensors)
            return load(self, json.dumps(tensors).encode())

        with mock.patch.object(tensorrt.Runtime, "deserialize_cuda_engine", loaded):
            assert "The plan's inputs and outputs are" in refused(opened).message
        assert_all_released()


def a_plan_is_built_once_and_then_loaded():
    folder = Path("cache")
    with opened(cache_dir=folder) as session:
        plan = session.plan
        assert_right(session)
    assert plan.parent == folder
    assert ".sm87.trt10.3.0." in plan.name
    record = json.loads(plan.with_name(f"{plan.name}.json").read_text())
    assert record["fields"]["GPU"] == "Fake GPU"
    assert set(record["fields"]) == {
        "model", "TensorRT", "compute capability", "GPU", "board", "multiprocessors", "memory",
        "driver", "precision", "shapes", "optimization level", "TF32", "largest batch",
    }  # fmt: skip
    # Raw, as other tools read it.
    assert json.loads(plan.read_bytes())
    assert "Not in the cache: the cache has nothing of this model" in messages
    with opened(cache_dir=folder) as session:
        assert session.plan == plan
        assert_right(session)
    assert len(tensorrt.builds) == 1
    assert f"Loaded the plan '{plan}'" in messages
    with opened(cache_dir=folder, fast_math=True) as session:
        assert session.plan != plan
    (text,) = [text for text in messages if text.startswith("Not in the cache: the nearest")]
    assert text.endswith("differs: TF32 was 'refused' and is 'allowed'")
    (timings,) = folder.glob("*.timings")
    assert timings.read_bytes() == b".."
    assert_all_released()


def a_plan_that_does_not_match_is_built_again():
    folder = Path("cache")
    with opened(cache_dir=folder) as session:
        plan = session.plan
    record = plan.with_name(f"{plan.name}.json")
    good = plan.read_bytes(), record.read_text()

    def cut():
        plan.write_bytes(good[0][:-1])

    def foreign():
        plan.write_bytes(b"foreign code")

    def another_gpu():
        record.write_text(good[1].replace("Fake GPU", "Another GPU"))

    def no_record():
        record.unlink()

    def broken_record():
        record.write_text("{")

    def no_plan():
        plan.unlink()

    for number, spoil in enumerate((cut, foreign, another_gpu, no_record, broken_record, no_plan)):
        spoil()
        with opened(cache_dir=folder) as session:
            assert_right(session)
        assert len(tensorrt.builds) == number + 2, spoil.__name__
        assert plan.read_bytes() == good[0]
        assert record.read_text() == good[1]
    timings = next(folder.glob("*.timings"))
    timings.write_bytes(b"spoilt")
    opened(cache_dir=folder, fast_math=True).close()
    assert timings.read_bytes() == b"."


def an_unwritable_folder_is_refused_before_the_build():
    Path("file").write_text("")
    assert "cannot be written" in refused(lambda: opened(cache_dir=Path("file"))).message
    assert tensorrt.builds == []


def one_of_two_processes_builds():
    # Run in two processes at once, which wait for each other here.
    Path(f"ready.{os.getpid()}").touch()
    while len(list(Path().glob("ready.*"))) < 2:
        pass
    opened(cache_dir=Path("cache")).close()
    sys.stdout.write(f"builds {len(tensorrt.builds)}\n")


def a_device_is_pushed_and_released():
    device = open_device(0, purpose="This test")
    assert (device.name, device.model, device.capability) == ("cuda:0", "Fake GPU", "8.7")
    with device.pushed("trying"):
        assert driver.fake_depth() == 1
        with device.pushed("trying again"):
            assert device.free_memory() == 1 << 30
    assert driver.fake_depth() == 0
    device.release()
    device.release()
    assert driver.fake_users(0) == 0


if __name__ == "__main__":
    globals()[sys.argv[1]]()
