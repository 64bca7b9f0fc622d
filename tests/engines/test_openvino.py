from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import finish_model, make_affine

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.errors import EngineError

openvino = pytest.importorskip("openvino")


def open_here(model, **options):
    return open_session(model, SessionOptions(**options), engine="openvino")


def test_version_is_that_of_the_library(affine_file):
    with open_here(affine_file) as session:
        assert openvino.__version__.startswith(f"{session.engine_version}-")


@pytest.mark.parametrize("device", ["gpu", "gpu:3", "npu"])
def test_absent_devices_are_refused_by_name(affine_file, device):
    if any(name.startswith(device[:3].upper()) for name in openvino.Core().available_devices):
        pytest.skip(f"this machine has the device {device}")
    with pytest.raises(EngineError, match=f"no device '{device}' .* it sees CPU") as raised:
        open_here(affine_file, device=device)
    assert raised.value.hint


def test_devices_and_providers_of_other_engines_are_refused(affine_file):
    with pytest.raises(EngineError, match="NVIDIA"):
        open_here(affine_file, device="cuda")
    with pytest.raises(EngineError, match="providers are ONNX Runtime's"):
        open_here(affine_file, provider="CPUExecutionProvider")


def test_double_precision_is_refused_rather_than_narrowed():
    with pytest.raises(EngineError, match="float64"):
        open_here(make_affine(dtype=np.float64).SerializeToString())


def test_half_precision_keeps_its_type():
    model = make_affine(dtype=np.float16).SerializeToString()
    with open_here(model) as session:
        assert session.precision == "fp16"
        assert session.run({"x": np.ones((2, 3), np.float16)})["y"].dtype == np.float16


def test_integers_keep_their_64_bits():
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["n", "n"], ["twice"])],
        "integers",
        [info("n", TensorProto.INT64, ["count"])],
        [info("twice", TensorProto.INT64, ["count"])],
    )
    with open_here(finish_model(graph).SerializeToString()) as session:
        out = session.run({"n": np.array([1, -7, 80], np.int64)})["twice"]
    assert out.dtype == np.int64
    np.testing.assert_array_equal(out, [2, -14, 160])


@pytest.mark.parametrize("cached", [False, True])
def test_float32_is_computed_as_float32(tmp_path, cached):
    rng = np.random.default_rng(0)
    weight, x = (rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2))
    exact = 2 * x.astype(np.float64) @ weight.astype(np.float64)
    model = make_affine(weight=weight, rows=256).SerializeToString()
    for _ in range(2):
        with open_here(model, cache_dir=tmp_path if cached else None) as session:
            # bfloat16, which OpenVINO would take on a CPU that has it, is off by about 0.2.
            assert np.abs(session.run({"x": x})["y"] - exact).max() < 1e-3


def test_fast_math_runs(affine_file, x):
    with open_here(affine_file, fast_math=True) as session:
        assert np.isfinite(session.run({"x": x})["y"]).all()


def test_arrays_that_cannot_be_written_are_read(affine_file, x):
    with open_here(affine_file) as session:
        expected = session.run({"x": x})["y"]
        x.setflags(write=False)
        np.testing.assert_array_equal(session.run({"x": x})["y"], expected)


def test_graph_that_it_cannot_run_is_refused_in_one_line(capfd):
    model = make_affine()
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(EngineError, match=r"refuses the model.*NoSuchOperator") as raised:
        open_here(model.SerializeToString())
    assert "\n" not in str(raised.value)
    assert "Exception from" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_miss_then_hit_compute_the_same(affine_file, tmp_path, x, caplog):
    caplog.set_level(logging.DEBUG, "hot_sdk.engines")
    outs = []
    for _ in range(2):
        with open_here(affine_file, cache_dir=tmp_path / "cache") as session:
            outs.append(session.run({"x": x})["y"])
            assert dict(session.metadata) == {"author": "tests"}
    np.testing.assert_array_equal(*outs)
    assert [record.message.split(" '")[0] for record in caplog.records] == [
        "Cached the compiled model as",
        "Loaded the cached model",
    ]
    (entry,) = (tmp_path / "cache").iterdir()
    assert entry.name.startswith("affine.")


def test_another_model_or_setting_is_another_entry(affine_file, tmp_path):
    folder = tmp_path / "cache"
    open_here(affine_file, cache_dir=folder).close()
    open_here(affine_file, cache_dir=folder, threads=1).close()
    open_here(affine_file, cache_dir=folder, fast_math=True).close()
    open_here(make_affine(rows=2).SerializeToString(), cache_dir=folder).close()
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: bytes(len(content)),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
)
def test_damaged_entry_is_rebuilt_and_logged(affine_file, tmp_path, x, damage, caplog):
    folder = tmp_path / "cache"
    with open_here(affine_file, cache_dir=folder) as session:
        good = session.run({"x": x})["y"]
    (entry,) = folder.iterdir()
    content = entry.read_bytes()
    entry.write_bytes(damage(content))
    with open_here(affine_file, cache_dir=folder) as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], good)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("Rebuilding the cached model")
    open_here(affine_file, cache_dir=folder).close()
    assert len(caplog.records) == 1


def test_telemetry_is_not_loaded():
    code = (
        "import sys\n"
        "from hot_sdk.engines import open_session\n"
        "try: open_session(b'', engine='openvino')\n"
        "except Exception: pass\n"
        "print('openvino' in sys.modules, [m for m in sys.modules if 'openvino_telemetry' in m])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True []"


def test_missing_library_is_named():
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from hot_sdk.engines import open_session\n"
        "from hot_sdk.errors import MissingDependencyError\n"
        "try: open_session(b'', engine='openvino')\n"
        "except MissingDependencyError as error: print(error.hint)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == 'Run: pip install "hot-sdk[openvino]"'
