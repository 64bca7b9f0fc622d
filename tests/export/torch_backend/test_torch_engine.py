"""The file for PyTorch, and PyTorch as an engine."""

import functools
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from exported_models import EXPORTS, small_request
from safetensors import safe_open
from safetensors.torch import save_file

from hot_sdk import Pose3DEngine
from hot_sdk.engines import Session, SessionOptions, TensorSpec, open_session
from hot_sdk.errors import EngineError, HotSDKError, ManifestError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build, list_models
from hot_sdk.export.options import resolve_request
from hot_sdk.export.verification.clips import verification_windows
from hot_sdk.infer.cli import main
from hot_sdk.infer.inputs import EngineOptions
from hot_sdk.manifest import Manifest
from hot_sdk.starter import starter_checkpoint, starter_model

pytestmark = pytest.mark.usefixtures("one_thread")

TORCH_ENGINES = ("torch", "torch-compile")


def exported(folder, model="mixste", **options):
    path = folder / f"{model}.safetensors"
    request = small_request(model, output=path, engine="torch", **options)
    return request, path, export_model(request)


@pytest.fixture(scope="module")
def hot(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("torch"), ratio=0.5, token_index=True)


@pytest.fixture
def header(hot):
    with safe_open(hot[1], framework="pt") as held:
        return held.metadata()


def windows_of(request, count):
    windows = verification_windows(resolve_request(request))
    return np.stack([window.keypoints for window in windows[:count]])


def test_the_format_chooses_the_engine_in_python_and_on_the_command_line(hot, tmp_path, capsys):
    with Pose3DEngine(hot[1], threads=1) as engine:
        assert engine.latency().engine.startswith("torch ")
    clip = Path(__file__).parents[3] / "examples" / "data" / "jump_mediapipe33.npz"
    assert main([str(clip), "--model", str(hot[1]), "-o", str(tmp_path), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["results"]
    assert record["latency"]["engine"].startswith("torch ")
    with EngineOptions(threads=1).open(hot[1]) as engine:
        assert engine.latency().engine.startswith("torch ")


def rewritten(path, folder, metadata, **tensors):
    target = folder / "changed.safetensors"
    held = {**read_checkpoint(path).tensors, **tensors}
    save_file(held, target, metadata=metadata)
    return target


@pytest.mark.parametrize("model", list_models())
def test_each_family_computes_what_the_network_does(tmp_path, model):
    request, path, result = exported(tmp_path, model, batch=None)
    spec = resolve_request(request)
    network = build(spec)
    network.load_state_dict(random_state_dict(network))
    lifter = build_lifter(spec, network.state_dict(), flip=False)
    keypoints = windows_of(request, 3)
    with open_session(path, engine="torch") as session, torch.inference_mode():
        found = session.run({"keypoints_2d": keypoints})
        expected = lifter(torch.from_numpy(keypoints))
        assert Manifest.from_metadata(session.metadata) == result.manifest
    np.testing.assert_allclose(found["poses_3d"], expected[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", ["tpc-flip-batch-2", "stages"])
def test_shapes_are_those_of_the_same_onnx_file(tmp_path, case):
    request, path, result = exported(tmp_path, **EXPORTS[case])
    assert result.manifest.opset is None
    assert result.manifest.parity.engine.startswith("torch ")
    with open_session(path, engine="torch") as session:
        outputs = session.run({"keypoints_2d": windows_of(request, request.batch)})
        assert isinstance(session, Session)
        assert {spec.name: spec.shape for spec in session.outputs} == {
            name: value.shape for name, value in outputs.items()
        }
        assert [spec.dtype for spec in session.outputs] == ["float32", "int64"]


def test_session_describes_itself(hot):
    with open_session(hot[1], engine="torch") as session:
        assert (session.engine, session.device, session.precision) == ("torch", "cpu", "fp32")
        assert session.engine_version == torch.__version__
        assert session.inputs == (TensorSpec("keypoints_2d", (1, 27, 17, 2), "float32"),)
        assert session.load_seconds > 0
        with pytest.raises(TypeError):
            session.metadata["author"] = "someone"


def test_file_is_readable_by_others(hot):
    mask = os.umask(0)
    os.umask(mask)
    assert hot[1].stat().st_mode & 0o777 == 0o666 & ~mask


def test_outputs_belong_to_the_caller_and_closed_sessions_raise(hot):
    request, path, _ = hot
    x, other = windows_of(request, 2)[:, np.newaxis]
    x.setflags(write=False)
    session = open_session(path, engine="torch")
    first = session.run({"keypoints_2d": x})["poses_3d"]
    kept = first.copy()
    session.run({"keypoints_2d": other})
    np.testing.assert_array_equal(first, kept)
    with pytest.raises(EngineError, match="expected float32"):
        session.run({"keypoints_2d": x.astype(np.float64)})
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run({"keypoints_2d": x})


def test_threads_share_a_session_without_changing_torch_s_settings(hot):
    request, path, _ = hot
    torch.set_num_threads(2)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    start = threading.Barrier(3)
    x = windows_of(request, 1)

    def run(_):
        start.wait()
        return [session.run({"keypoints_2d": x})["poses_3d"] for _ in range(5)]

    options = SessionOptions(threads=1, fast_math=True)
    with open_session(path, options, engine="torch") as session, ThreadPoolExecutor(3) as pool:
        outs = [out for outs in pool.map(run, range(3)) for out in outs]
    assert all(np.array_equal(out, outs[0]) for out in outs)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_torch_compile_traces_the_network_as_one_graph(tmp_path, monkeypatch):
    # Generating code from the graph takes minutes; hot-benchmark --engines torch-compile does so.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    request, path, _ = exported(tmp_path, ratio=0.5, batch=None, token_index=True)
    with (
        open_session(path, engine="torch") as plain,
        open_session(path, engine="torch-compile") as compiled,
    ):
        assert compiled.engine == "torch-compile"
        for size in (1, 3):
            arrays = {"keypoints_2d": windows_of(request, size)}
            expected, found = plain.run(arrays), compiled.run(arrays)
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("engine", TORCH_ENGINES)
def test_rejects_onnx_and_names_the_command_for_the_right_file(engine):
    with pytest.raises(EngineError, match="hot-export --engine torch"):
        open_session(starter_model(), engine=engine)
    with pytest.raises(EngineError, match="hot-export --engine torch"):
        Pose3DEngine(engine=engine)


def test_rejects_other_files(tmp_path):
    with pytest.raises(EngineError, match="does not name their network"):
        open_session(starter_checkpoint(), engine="torch")
    pickled = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1)}, pickled)
    with pytest.raises(EngineError, match="no safetensors file"):
        open_session(pickled, engine="torch")
    with pytest.raises(EngineError, match="There is no model file"):
        open_session(tmp_path / "none.safetensors", engine="torch")
    with pytest.raises(EngineError, match="bytes were passed"):
        open_session(b"", engine="torch")
    with pytest.raises(UsageError, match=r"pathlib\.Path"):
        open_session(7, engine="torch")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"family": "mixsta"}, "is broken"),
        ({"frames": 10**9}, "is broken"),
        ({"variant": "hottest"}, "is broken"),
        ({"recovery": None}, "contradicts itself"),
        ({"frames": 9}, "is broken|do not fit"),
    ],
)
def test_rejects_impossible_networks(hot, header, tmp_path, change, says):
    network = {**json.loads(header["hot_sdk.network"]), **change}
    path = rewritten(hot[1], tmp_path, {**header, "hot_sdk.network": json.dumps(network)})
    with pytest.raises(EngineError, match=says):
        open_session(path, engine="torch")


def test_reads_files_that_know_neither_conditions_nor_spread(hot, header, tmp_path):
    network = json.loads(header["hot_sdk.network"])
    del network["size"]["conditions"], network["size"]["spread"]
    path = rewritten(hot[1], tmp_path, {**header, "hot_sdk.network": json.dumps(network)})
    with open_session(path, engine="torch") as session:
        assert [spec.name for spec in session.inputs] == ["keypoints_2d"]


def test_rejects_weights_that_do_not_fit_before_allocating_memory(hot, header, tmp_path):
    network = json.loads(header["hot_sdk.network"])
    network["size"] = {**network["size"], "width": 4096, "depth": 64, "mlp_hidden": 16384}
    path = rewritten(hot[1], tmp_path, {**header, "hot_sdk.network": json.dumps(network)})
    with pytest.raises(EngineError, match="do not fit the network"):
        open_session(path, engine="torch")


def test_rejects_nan_weights_and_broken_manifests(hot, header, tmp_path):
    key, tensor = next(iter(read_checkpoint(hot[1]).tensors.items()))
    path = rewritten(hot[1], tmp_path, header, **{key: torch.full_like(tensor, torch.nan)})
    with pytest.raises(EngineError):
        open_session(path, engine="torch")
    path = rewritten(hot[1], tmp_path, {**header, "hot_sdk.manifest": "{}"})
    with pytest.raises(ManifestError):
        open_session(path, engine="torch")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EngineError, match="no safetensors file"):
        open_session(path, engine="torch")


@pytest.mark.parametrize("options", [{"device": "npu"}, {"device": "cuda:7"}, {"provider": "X"}])
def test_rejects_other_devices_and_providers(hot, options):
    with pytest.raises(EngineError) as raised:
        open_session(hot[1], SessionOptions(**options), engine="torch")
    assert raised.value.hint


def test_rejects_unknown_engines():
    with pytest.raises(HotSDKError, match="No files are made for the engine 'tourch'"):
        export_model(ExportRequest("mixste", engine="tourch"))
