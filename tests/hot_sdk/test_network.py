"""Nothing leaves the machine: the commands, with their network calls recorded."""

import importlib.util
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest
from export_runs import saved
from traced_network import build_tracer, run_traced

from hot_sdk.starter import starter_model

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="preloads a library into Linux"
)

CLIP = Path(__file__).parents[2] / "examples" / "data" / "jump_mediapipe33.npz"
REPORTS = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 30)

# ONNX Runtime looks its host up after nine seconds, later on a busy machine.
LIVE_ON = "import time; time.sleep(15)"
LIVE_ON_UNTIL_SEEN = """
import os, time
from pathlib import Path
record = Path(os.environ["NETWORK_CALLS"])
for _ in range(600):
    if record.is_file() and "microsoft" in record.read_text():
        break
    time.sleep(0.1)
"""
OPEN = "from hot_sdk.engines import open_session; from hot_sdk.starter import starter_model; "
USE = OPEN + "session = open_session(starter_model()); "
STREAM = """
import numpy as np
from hot_sdk import Pose3DEngine
points = np.random.default_rng(1).uniform(100, 900, (17, 2)).astype(np.float32)
for mode in ("video", "live"):
    with Pose3DEngine() as engine:
        stream = engine.stream(mode, fps=50.0, skeleton="h36m17", image_size=(1000, 1000))
        poses = [pose for at in range(20) for pose in stream.push(points, at / 50.0)]
        assert len(poses) == 20 or mode == "live"
        stream.flush()
        stream.close()
"""


@pytest.fixture(scope="module")
def tracer(tmp_path_factory):
    return build_tracer(tmp_path_factory.mktemp("tracer"))


def command(name, *arguments):
    return [str(Path(sys.executable).with_name(name)), *map(str, arguments)]


def check(run, *, statuses=(0,)):
    assert run.status in statuses, run.output
    assert run.calls == [], run.output
    assert [name for name in run.home if "icrosoft" in name or "elemetry" in name] == []
    assert [name for name in run.home if "intel" in name.lower() or "usage" in name] == []


@pytest.mark.skipif(not REPORTS, reason="ONNX Runtime has telemetry from 1.30 on")
def test_allowed_telemetry_shows_in_the_record(tracer, tmp_path):
    program = [sys.executable, "-c", USE + LIVE_ON_UNTIL_SEEN]
    run = run_traced(program, tracer, tmp_path, HOT_SDK_TELEMETRY="1")
    assert run.status == 0, run.output
    assert any("microsoft.com" in call for call in run.calls)
    assert any(name.endswith("deviceid") for name in run.home)


def test_names_and_addresses_show_in_the_record(tracer, tmp_path):
    code = (
        "import socket\n"
        "try: socket.getaddrinfo('hot-sdk.invalid', 80)\n"
        "except OSError: pass\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try: s.sendto(b'', ('203.0.113.41', 9))\n"
        "except OSError: pass\n"
        "s = socket.socket(); s.setblocking(False)\n"
        "try: s.connect(('203.0.113.42', 9))\n"
        "except OSError: pass\n"
    )
    calls = run_traced([sys.executable, "-c", code], tracer, tmp_path).calls
    seen = {tuple(call.split()[:2]) for call in calls}
    assert seen >= {
        ("lookup", "hot-sdk.invalid"),
        ("send", "203.0.113.41"),
        ("connect", "203.0.113.42"),
    }


def test_a_session_that_lives_on_is_quiet(tracer, tmp_path):
    check(run_traced([sys.executable, "-c", USE + LIVE_ON], tracer, tmp_path))


def test_streams_are_quiet(tracer, tmp_path):
    check(run_traced([sys.executable, "-c", STREAM], tracer, tmp_path))


def test_infer_with_every_drawing_is_quiet(tracer, tmp_path):
    drawings = ("--save-video", "a.mp4", "--save-plot", "a.png", "--save-rerun", "a.rrd")
    check(run_traced(command("hot-infer", CLIP, *drawings), tracer, tmp_path))


def test_openvino_is_quiet(tracer, tmp_path):
    pytest.importorskip("openvino")
    check(run_traced(command("hot-infer", CLIP, "--engine", "openvino"), tracer, tmp_path))


def test_doctor_is_quiet(tracer, tmp_path):
    check(run_traced(command("hot-doctor", "--json"), tracer, tmp_path), statuses=(0, 13))


def test_export_is_quiet(tracer, tmp_path):
    trained = saved(tmp_path / "best.pth", ratio=0.5, prune_at=1)
    model = ("--model", "mixste", "--checkpoint", trained, "--set", "heads=4", "--prune-at", "1")
    further = ("--trained-on", "h36m", "--output", "a.onnx")
    check(run_traced(command("hot-export", *model, *further), tracer, tmp_path))


def test_benchmark_is_quiet(tracer, tmp_path):
    engines = "onnxruntime,openvino" if importlib.util.find_spec("openvino") else "onnxruntime"
    short = ("--runs", "3", "--any-machine", "--power", "off", "--engines", engines)
    check(run_traced(command("hot-benchmark", starter_model(), *short), tracer, tmp_path))


def test_detector_is_quiet(tracer, tmp_path):
    pytest.importorskip("mediapipe")
    code = (
        "import numpy as np\n"
        "from hot_sdk.video import create_detector\n"
        "create_detector('mediapipe')(np.zeros((240, 320, 3), np.uint8), 0.0)\n"
    )
    check(run_traced([sys.executable, "-c", code], tracer, tmp_path))


def test_batch_is_quiet(tracer, tmp_path):
    pytest.importorskip("ray")
    for folder in ("films", "poses"):
        Path(folder).mkdir()
    shutil.copy(CLIP, "films")
    batch = ("--archive", "films", "--workers", "1", "--output-dir", "poses")
    check(run_traced(command("hot-infer", *batch), tracer, tmp_path))
