"""``hot-export --engine tensorrt``: options, comparison, files that are kept, errors.

ONNX Runtime stands for TensorRT in the comparison, which is the same for every engine; that the
engine itself builds and runs is tested where there is a GPU.
"""

import json
import sys
from pathlib import Path

import pytest
from export_runs import PRUNED, SMALL

from hot_sdk.engines import SessionOptions, open_session, tensorrt
from hot_sdk.export.cli import main
from hot_sdk.export.verification import on_device
from hot_sdk.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("equal_networks_traced_once")

ON_DEVICE = ["--random-weights", "--engine", "tensorrt", "--cache-dir", "engines", "-o", "x.onnx"]


class StandIn:
    """A session of ONNX Runtime that has what a session of TensorRT has."""

    def __init__(self, session, plan, error):
        self._session = session
        self._error = error
        self.engine, self.engine_version, self.device = "tensorrt", "10.3.0", "cuda:0"
        self.plan, self.cuda_graph = plan, True

    def __getattr__(self, name):
        return getattr(self._session, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session.close()

    def run(self, arrays):
        outputs = self._session.run(arrays)
        return {**outputs, "poses_3d": outputs["poses_3d"] + self._error}


@pytest.fixture
def device(monkeypatch):
    """Where TensorRT would be; gives the models that were opened, and how wrong their poses are."""

    class Device:
        opened = []  # noqa: RUF012
        error = 0.0

    def opening(model, options, *, engine):
        assert engine == "tensorrt"
        assert options == SessionOptions(device="cuda", cache_dir=Path("engines"))
        plan = Path(f"{len(Device.opened)}.engine")
        plan.write_bytes(b"plan")
        Device.opened.append(open_session(model).outputs)
        return StandIn(open_session(model), plan, Device.error)

    monkeypatch.setattr(on_device, "open_session", opening)
    monkeypatch.setattr(tensorrt, "require_tensorrt", lambda device: None)
    Device.opened = []
    return Device


@pytest.mark.parametrize("missing", ["tensorrt", "pycuda"])
def test_names_missing_packages_before_exporting(capsys, monkeypatch, missing):
    if missing == "pycuda":
        monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: None)
        monkeypatch.setitem(sys.modules, "pycuda", None)
    else:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main([*PRUNED, *ON_DEVICE]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = captured.err.splitlines()
    assert "The engine 'tensorrt' needs" in error
    assert missing in error.lower()
    assert list(Path.cwd().iterdir()) == []


def test_names_a_missing_driver_before_exporting(capsys, monkeypatch, tmp_path):
    # What importing PyCUDA says on a machine without one.
    package = tmp_path / "site" / "pycuda"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "driver.py").write_text(
        "raise ImportError('libcuda.so.1: cannot open shared object file')"
    )
    for name in ("pycuda", "pycuda.driver"):
        # Set first, so that what the import leaves behind goes with the test.
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: None)
    assert main([*PRUNED, *ON_DEVICE]) == 8
    assert "Install NVIDIA's driver" in capsys.readouterr().err
    assert not Path("x.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "tensorrt"], "--cache-dir"),
        (["--cache-dir", "x"], "--engine tensorrt"),
        (["--engine", "tensort", "--cache-dir", "x"], "Did you mean 'tensorrt'?"),
    ],
)
def test_engine_and_cache_require_each_other(capsys, arguments, said):
    assert main([*SMALL, "--random-weights", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_compares_the_file_s_plan_and_one_that_returns_its_frames(capsys, device):
    assert main([*PRUNED, *ON_DEVICE, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["on_device"]
    assert (result["engine"], result["device"]) == ("tensorrt 10.3.0", "cuda:0")
    assert (result["plan"], result["cuda_graph"]) == ("0.engine", True)
    assert all(window["mean_joint_error"] < 1e-3 for window in result["windows"])
    names = [[spec.name for spec in outputs] for outputs in device.opened]
    assert names == [["poses_3d"], ["poses_3d", "token_index"]]
    assert read_manifest(Path("x.onnx")).parity.engine.startswith("onnxruntime")


def test_builds_once_if_the_file_returns_its_frames(capsys, device):
    assert main([*PRUNED, *ON_DEVICE, "--token-index"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Same poses in tensorrt 10.3.0 on cuda:0" in said
    assert "--model x.onnx --engine tensorrt --device cuda:0 --cache-dir . hot-eval" in said
    assert "hot-benchmark x.onnx --engines tensorrt --devices cuda:0 --cache-dir ." in said
    assert len(device.opened) == 1


def test_other_poses_on_the_device_keep_neither_file_nor_plan(capsys, device):
    device.error = 0.01
    assert main([*PRUNED, *ON_DEVICE, "--keep-failed"]) == 6
    said = capsys.readouterr().err
    assert "In tensorrt 10.3.0 on cuda:0: The exported file does not compute" in said
    assert [path.name for path in Path.cwd().iterdir()] == ["x.failed.onnx"]
