"""The pool of workers, on a Ray of this process, with workers that die."""

import os
import signal
from pathlib import Path

import pytest

from hot_sdk import Pose3DResult
from hot_sdk.errors import EngineError
from hot_sdk.infer import ray_workers
from hot_sdk.infer.ray_workers import BatchWorker, WorkerPool, ray_cluster


@pytest.fixture
def cluster(job):
    pytest.importorskip("ray", reason="ray is not installed (extra cluster)")
    with ray_cluster(job, 2, None, verbose=False):
        yield


def test_deaths_cost_their_own_inputs_and_workers_that_do_not_start_end_the_run(
    cluster, job, save, monkeypatch
):
    # Classes of a function go to workers by value, which cannot import this module.
    class Dying(BatchWorker):
        def lift(self, name):
            if name.startswith("deadly"):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().lift(name)

    class DeadAtStart(BatchWorker):
        def start(self):
            os._exit(1)

    class Refusing(BatchWorker):
        def __init__(self, job):
            raise ValueError("no such module")

    names = [f"{number}.npz" for number in range(6)]
    for number, name in enumerate(names):
        save(f"archive/{name}", 40 + number)
    Path("archive/broken.json").write_text("[1")
    deadly = ["deadly 1", "deadly 2", "deadly 3"]
    every = ["deadly 1", *names[:3], "broken.json", "deadly 2", *names[3:], "deadly 3"]
    monkeypatch.setattr(ray_workers, "BatchWorker", Dying)
    pool = WorkerPool(job, 2)
    outcomes = list(pool.lift(every))
    found = {outcome.input: outcome for outcome in outcomes}
    assert len(outcomes) == len(found) == len(every)
    assert [found[name].code for name in every if found[name].state != "done"] == [
        "worker",
        "keypoints",
        "worker",
        "worker",
    ]
    assert "out of memory" in found["deadly 1"].message
    assert [found[name].frames for name in names] == [40, 41, 42, 43, 44, 45]
    lengths = [len(Pose3DResult.load(Path("results", *found[name].files))) for name in names]
    assert lengths == [40, 41, 42, 43, 44, 45]
    # The next attempt has as many workers, and ends as well.
    again = {outcome.input: outcome.state for outcome in pool.lift([*deadly, "0.npz"])}
    assert again == dict.fromkeys(deadly, "failed") | {"0.npz": "skipped"}
    assert list(pool.lift([])) == []
    del pool

    monkeypatch.setattr(ray_workers, "BatchWorker", Refusing)
    with pytest.raises(EngineError, match="no such module"):
        list(WorkerPool(job, 2).lift(names))
    monkeypatch.setattr(ray_workers, "BatchWorker", DeadAtStart)
    with pytest.raises(EngineError, match="Ray ended the run: ActorDiedError"):
        list(WorkerPool(job, 1).lift(names))
