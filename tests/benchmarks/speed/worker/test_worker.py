"""The child process that measures, and what is reported when it cannot."""

import os
import signal
import sys

import pytest
from exported_models import export_case

from hot_sdk.benchmarks.speed.messages import WorkerTask
from hot_sdk.benchmarks.speed.worker.client import WorkerProcess
from hot_sdk.benchmarks.speed.worker.server import memory_mib
from hot_sdk.errors import EngineError, UsageError


@pytest.fixture
def worker():
    with WorkerProcess() as process:
        yield process


def task(path, **changes):
    values = {
        "model": str(path),
        "baseline": None,
        "network": None,
        "engine": "onnxruntime",
        "device": "cpu",
        "threads": 1,
        "cache_dir": None,
        "batch": 1,
    }
    return WorkerTask(**{**values, **changes})


def test_a_turn_runs_for_as_long_as_requested(worker, tmp_path_factory):
    path = export_case("mixste", "hot", tmp_path_factory).path
    ready = worker.open(task(path, hop=3, lookahead=2))
    assert (ready.measures, ready.hop, ready.lookahead) == (("window", "stream"), 3, 2)
    batch = worker.measure("window", 0.0)
    assert (len(batch.total), len(batch.engine)) == (1, 1)
    assert 0 < batch.engine[0] < batch.total[0]
    pushes = worker.measure("stream", 0.0, group=3)
    assert (len(pushes.total), pushes.engine) == (3, ())
    longer = worker.measure("window", 0.2)
    assert longer.end - longer.start >= 0.2
    assert worker.measure("window", 60.0, most=4).total[3:]


def test_an_engine_that_keeps_what_it_builds_is_timed_twice(worker, tmp_path, tmp_path_factory):
    path = export_case("mixste", "hot", tmp_path_factory).path
    ready = worker.open(task(path, cache_dir=str(tmp_path / "cache")))
    assert ready.build_ms > 0
    assert ready.load_ms > 0
    with WorkerProcess() as again:
        ready = again.open(task(path, cache_dir=str(tmp_path / "cache")))
    assert ready.build_ms is None


def test_errors_of_the_child_are_raised_in_the_parent(worker):
    with pytest.raises(EngineError, match=r"missing\.onnx"):
        worker.open(task("/missing.onnx"))
    with pytest.raises(UsageError, match="Unknown question"):
        worker.ask({"do": "dance"})
    with pytest.raises(EngineError, match="measurement failed: KeyError"):
        worker.measure("nothing", 0.0)


def test_death_of_the_child_is_reported(worker):
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="died with status -9"):
        worker.ask({"do": "memory"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports a process's memory so")
def test_memory_is_that_of_this_process():
    before = memory_mib("VmHWM")
    block = bytearray(64 << 20)
    block[::4096] = b"\x01" * len(block[::4096])
    assert memory_mib("VmHWM") >= before
    assert memory_mib("VmRSS") > 64
    del block
