"""``hot-infer --archive`` as a user meets it, on a local Ray of two workers."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hot_sdk import Pose3DResult
from hot_sdk.errors import EngineError
from hot_sdk.infer.batch_job import EngineOptions
from hot_sdk.infer.cli import main
from hot_sdk.infer.ray_process import wait_for_loss
from hot_sdk.infer.ray_workers import ray_cluster

RUN = "import sys; from hot_sdk.infer.cli import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", RUN, "--archive", "films", "--output-dir", "poses"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No input was given"),
        (["clip.npz", "--workers", "2"], "--workers applies only with --archive DIR"),
        (["clip.npz", "--archive", "films"], "give no other inputs"),
        (["--archive", "films", "--save-plot", "x.png"], "--save-plot applies to one input"),
        (["--archive", "films", "--workers", "0"], "1 to 10000"),
        (["--archive", "films", "--retries", "-1"], "0 to 100"),
        (["--archive", "films", "--device", "cuda:1"], "--device cuda"),
        (
            ["--archive", "films", "--output-dir", "poses", "--require-precision", "fp16"],
            "The model is fp32, but --require-precision fp16 was requested",
        ),
        (["--archive", "films", "--output-dir", "nowhere"], "mkdir -p"),
        (["--archive", "films"], "--output-dir DIR"),
        (["--archive", "nowhere", "--output-dir", "poses"], "no folder 'nowhere'"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(capsys, arguments, message):
    Path("films").mkdir()
    Path("films/clip.json").touch()
    Path("poses").mkdir()
    if "--require-precision" in arguments:
        # The model is opened once it is known that Ray could lift with it.
        pytest.importorskip("ray", reason="ray is not installed (extra cluster)")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_ray_that_does_not_start_is_one_line(monkeypatch):
    """Ray raises a bare Exception if its own processes are late, as on a busy machine."""
    ray = pytest.importorskip("ray", reason="ray is not installed (extra cluster)")

    def late(**_options):
        raise Exception("The current node timed out during startup.\nSee the logs.")

    monkeypatch.setattr(ray, "init", late)
    with (
        pytest.raises(EngineError, match=r"did not start: .* timed out during startup\. See the"),
        ray_cluster(SimpleNamespace(engine=EngineOptions()), 2, None, verbose=True),
    ):
        pass


def test_without_ray_the_extra_is_named():
    Path("films").mkdir()
    Path("films/clip.json").touch()
    Path("poses").mkdir()
    code = RUN.replace("import sys;", "import sys; sys.modules['ray'] = None;")
    arguments = [code if word == RUN else word for word in COMMAND]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 3
    assert 'pip install "hot-sdk[cluster]"' in run.stderr
    assert run.stderr.count("\n") == 1


def test_other_inputs_import_nothing_of_it():
    code = (
        "import sys; import hot_sdk.infer.cli\n"
        "print([name for name in ('ray', 'rich', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra cluster)"
)
def test_missing_cluster_is_reported_at_once(save):
    save("films/clip.npz")
    Path("poses").mkdir()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # And not listening.
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [*COMMAND, "--cluster", address]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Ray cannot be reached" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_cluster_without_room_for_a_worker_is_lost_after_a_while():
    answers = [True, False, True, ConnectionError(), False, *[False] * 99]
    asked = []

    def is_able():
        asked.append(answers[len(asked)])
        if isinstance(asked[-1], Exception):
            raise asked[-1]
        return asked[-1]

    wait_for_loss(is_able, check_s=0.01, patience_s=0.3)
    assert 5 <= len(asked) < 60


def processes_of(process, name):
    """The processes that Ray started, by a part of their command line."""
    psutil = pytest.importorskip("psutil")
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if name in " ".join(one.cmdline()[:1])]


def wait_for(path, run):
    while not path.exists():
        assert run.poll() is None
        time.sleep(0.01)


def report_of(text):
    report = json.loads(text)
    return report, {entry["outcome"]["input"]: entry for entry in report["inputs"]}


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra cluster)"
)
def test_what_is_done_outlives_a_lost_node_and_killed_workers(save, hot_file):
    save("films/long.npz", 4000)
    for number in range(4):
        save(f"films/{number % 2}/clip{number // 2}.npz", 40 + number)
    Path("poses").mkdir()
    command = [*COMMAND, "--model", str(hot_file), "--workers", "2", "--json"]
    # So that the death of the node is noticed within seconds.
    fast = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "2"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, **fast}) as run:
        # Two workers have two of three inputs at most, so that the outcome of one has arrived.
        wait_for(Path("poses/1/clip0.npz.done.json"), run)
        (node,) = processes_of(run, "/raylet")
        workers = processes_of(run, "BatchWorker")
        # Without a node, they would finish what they have.
        for worker in workers:
            worker.suspend()
        node.kill()
        out, err = run.communicate()
    for worker in workers:
        # Of processes that are stopped, Ray ends some.
        if worker.is_running():
            worker.kill()
    assert run.returncode == 17
    assert json.loads(out)["error"]["code"] == "batch"
    last = err.strip().rpartition("\n")[2]
    assert last.startswith("hot-infer: error: The batch ended early. Ray ")
    assert "archive_report.json" in last
    report, entries = report_of(Path("poses/archive_report.json").read_text())
    assert set(entries) == {"long.npz", *(f"{one}/clip{two}.npz" for one in "01" for two in "01")}
    assert report["done"] >= 1
    assert report["done"] + report["failed"] == 5
    assert f"{report['done']} are done" in last
    reported = {name for name, entry in entries.items() if entry["outcome"]["state"] == "done"}
    # A worker may be stopped between its last input's record and the outcome that it returns.
    finished = {name for name in entries if Path("poses", f"{name}.done.json").exists()}
    assert reported <= finished
    finished.discard("long.npz")
    results = [Path("poses", f"{name}_3d.npz") for name in finished]
    written = {path: path.stat().st_mtime_ns for path in results}

    save("films/long.npz", 20_000)
    Path("films/broken.json").write_text("[1")
    # The environment lets Ray report its use; the command switches that off.
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "1"}
    with subprocess.Popen([*command, "-v"], **pipes, env=environment) as run:
        others = set(entries) - {"long.npz"} | {"broken.json"}
        while others:
            line = run.stderr.readline()
            assert line
            others -= {name for name in others if f"'{name}': " in line}
        while not (killed := processes_of(run, "BatchWorker.lift")):
            assert run.poll() is None
        seen = {worker.environ()["RAY_USAGE_STATS_ENABLED"] for worker in killed}
        for worker in killed:
            worker.kill()
        out, _ = run.communicate()
    assert seen == {"0"}
    assert run.returncode == 15
    report, entries = report_of(out)
    assert json.loads(Path("poses/archive_report.json").read_text()) == report
    assert (report["done"], report["skipped"]) == (5 - len(written), len(written))
    assert (report["failed"], entries["broken.json"]["outcome"]["code"]) == (1, "keypoints")
    assert entries["long.npz"]["attempts"] == 2
    assert entries["broken.json"]["attempts"] == 2
    assert entries["long.npz"]["outcome"]["frames"] == 20_000
    for path, time_ns in written.items():
        assert path.stat().st_mtime_ns == time_ns
    lengths = [
        len(Pose3DResult.load(Path("poses", file)))
        for entry in entries.values()
        for file in entry["outcome"]["files"]
    ]
    assert sorted(lengths) == [40, 41, 42, 43, 20_000]
    left = [path.name for path in Path("poses").rglob("*") if path.name.startswith(".")]
    # What is killed while it writes leaves a temporary file, which a run removes a day later.
    assert all(name.startswith(".hot-sdk-") for name in left)
