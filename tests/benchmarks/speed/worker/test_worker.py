"""The child process that measures, and what is said when it cannot."""

import os
import signal
import sys

import pytest
from exported_models import export_case

from hot_sdk.benchmarks.speed.messages import Assignment, Streaming
from hot_sdk.benchmarks.speed.worker.client import WorkerProcess
from hot_sdk.benchmarks.speed.worker.server import memory_mib
from hot_sdk.errors import EngineError, UsageError


@pytest.fixture
def worker():
    with WorkerProcess() as process:
        yield process


def assignment(worker, path, **changes):
    values = {
        "model": str(path),
        "baseline": None,
        "network": None,
        "engine": "onnxruntime",
        "device": "cpu",
        "threads": 1,
        "cache_dir": None,
        "batch": 1,
        "streaming": Streaming(),
        "spawned": worker.spawned,
    }
    return Assignment(**{**values, **changes})


def test_a_turn_runs_for_as_long_as_it_is_told(worker, tmp_path_factory):
    path = export_case("mixste", "hot", tmp_path_factory).path
    opened = worker.open(assignment(worker, path, streaming=Streaming(hop=3, lookahead=2)))
    assert (opened.measures, opened.hop, opened.lookahead) == (("window", "stream"), 3, 2)
    turn = worker.turn("window", 0.0)
    assert (len(turn.total), len(turn.engine)) == (1, 1)
    assert 0 < turn.engine[0] < turn.total[0]
    pushes = worker.turn("stream", 0.0, group=3)
    assert (len(pushes.total), pushes.engine) == (3, ())
    longer = worker.turn("window", 0.2)
    assert longer.end - longer.start >= 0.2
    assert worker.turn("window", 60.0, most=4).total[3:]


def test_an_engine_that_keeps_what_it_builds_is_timed_twice(worker, tmp_path, tmp_path_factory):
    path = export_case("mixste", "hot", tmp_path_factory).path
    opened = worker.open(assignment(worker, path, cache_dir=str(tmp_path / "cache")))
    assert opened.build_ms > 0
    assert opened.load_ms > 0
    with WorkerProcess() as again:
        opened = again.open(assignment(again, path, cache_dir=str(tmp_path / "cache")))
    assert opened.build_ms is None


def test_what_the_child_raises_is_raised_here(worker):
    with pytest.raises(EngineError, match=r"missing\.onnx"):
        worker.open(assignment(worker, "/missing.onnx"))
    with pytest.raises(UsageError, match="Unknown question"):
        worker.ask({"do": "dance"})
    with pytest.raises(EngineError, match="measurement failed: KeyError"):
        worker.turn("nothing", 0.0)


def test_a_child_that_dies_is_told(worker):
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="died with status -9"):
        worker.ask({"do": "memory"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's memory so")
def test_memory_is_that_of_this_process():
    before = memory_mib("VmHWM")
    block = bytearray(64 << 20)
    block[::4096] = b"\x01" * len(block[::4096])
    assert memory_mib("VmHWM") >= before
    assert memory_mib("VmRSS") > 64
    del block
