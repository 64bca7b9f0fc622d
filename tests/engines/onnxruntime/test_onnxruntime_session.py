from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from small_models import WEIGHT, finish_model, make_affine

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.cuda import device
from hot_sdk.engines.onnxruntime import providers as cuda
from hot_sdk.errors import EngineError

GPU_FILES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")
HAS_GPU = any(Path(name).exists() for name in GPU_FILES)
HAS_CUDA_BUILD = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_version_is_that_of_the_library(affine_file):
    with open_session(affine_file) as session:
        assert session.engine_version == onnxruntime.__version__


def test_extension_does_not_choose_another_format(affine_file, x):
    # ONNX Runtime takes '.ort' for its own format, which is not checked here.
    renamed = affine_file.rename(affine_file.with_suffix(".ort"))
    with open_session(renamed) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "metadata", "precision"),
    [
        (np.float32, {}, "fp32"),
        (np.float16, {}, "fp16"),
        (np.float64, {}, "fp64"),
        (np.float32, {"hot_sdk.precision": "fp16"}, "fp16"),
    ],
)
def test_precision(dtype, metadata, precision):
    model = make_affine(dtype=dtype, metadata=metadata).SerializeToString()
    x = np.ones((2, 3), dtype)
    with open_session(model) as session:
        assert session.precision == precision
        assert session.inputs[0].dtype == np.dtype(dtype).name
        out = session.run({"x": x})["y"]
    assert out.dtype == dtype
    np.testing.assert_allclose(out, 2 * x @ WEIGHT.astype(dtype))


def test_text_inputs_are_refused():
    graph = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["t"])],
        "text",
        [helper.make_tensor_value_info("s", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("t", TensorProto.STRING, [1])],
    )
    with pytest.raises(EngineError, match=r"'s' is of type tensor\(string\)"):
        open_session(finish_model(graph).SerializeToString())


def test_sequence_outputs_are_refused():
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        "sequence",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1])],
    )
    with pytest.raises(EngineError, match=r"'y' is of type seq"):
        open_session(finish_model(graph).SerializeToString())


def too_new():
    model = make_affine()
    model.ir_version = 99
    return model


def unknown_operator():
    model = make_affine()
    model.graph.node[1].op_type = "NoSuchOperator"
    return model


def other_domain():
    model = make_affine()
    model.graph.node[1].domain = "example.custom"
    model.opset_import.append(helper.make_opsetid("example.custom", 1))
    return model


def dangling():
    model = make_affine()
    model.graph.node[1].input[0] = "nowhere"
    return model


@pytest.mark.parametrize("make", [too_new, unknown_operator, other_domain, dangling])
def test_graphs_that_it_cannot_run_are_refused_in_one_line(make, capfd):
    with pytest.raises(EngineError, match="refuses the model") as raised:
        open_session(make().SerializeToString())
    assert "\n" not in str(raised.value)
    assert "ONNXRuntimeError" not in str(raised.value)
    assert raised.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_failed_run_raises_our_error_and_prints_nothing(capfd):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [info("a", TensorProto.FLOAT, ["i", "j"]), info("b", TensorProto.FLOAT, ["k", "l"])],
        [info("c", TensorProto.FLOAT, ["i", "l"])],
    )
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.ones((4, 5), np.float32)}
    with open_session(finish_model(graph).SerializeToString()) as session:
        with pytest.raises(EngineError, match=r"failed on cpu: .*MatMul"):
            session.run(arrays)
        arrays["b"] = np.ones((3, 5), np.float32)
        assert session.run(arrays)["c"].shape == (2, 5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux shows them")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_the_requested_ones(affine_file, threads):
    open_session(affine_file).close()
    before = len(list(Path("/proc/self/task").iterdir()))
    with open_session(affine_file, SessionOptions(threads=threads)) as session:
        session.run({"x": np.ones((64, 3), np.float32)})
        assert len(list(Path("/proc/self/task").iterdir())) - before == threads - 1
    assert len(list(Path("/proc/self/task").iterdir())) == before


def test_optimization_level_is_the_requested_one(affine_file, tmp_path):
    operators = {}
    for level in ("none", "basic", "extended", "all"):
        folder = tmp_path / level
        options = SessionOptions(graph_optimization=level, cache_dir=folder)
        open_session(affine_file, options).close()
        (saved,) = folder.glob("*.onnx")
        operators[level] = [node.op_type for node in onnx.load(saved).graph.node]
    assert operators["none"] == ["Add", "Identity", "MatMul", "Mul"]
    assert "Identity" not in operators["basic"]
    assert "Add" not in operators["basic"]
    assert len(operators["all"]) <= len(operators["basic"])


@pytest.mark.skipif(HAS_GPU and HAS_CUDA_BUILD, reason="this machine can run CUDA")
@pytest.mark.parametrize("cached", [False, True])
def test_absent_cuda_is_refused_and_never_replaced(affine_file, tmp_path, cached):
    options = SessionOptions(device="cuda", cache_dir=tmp_path / "cache" if cached else None)
    with pytest.raises(EngineError) as raised:
        open_session(affine_file, options)
    says = "cannot run the model on cuda" if HAS_CUDA_BUILD else "has only"
    assert says in raised.value.message
    assert raised.value.hint
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA_BUILD, reason="this ONNX Runtime was built without CUDA")
@pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU")
@pytest.mark.parametrize("cached", [False, True])
def test_cuda_computes_in_full_float32(tmp_path, cached):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((256, 256)).astype(np.float32)
    x = rng.standard_normal((256, 256)).astype(np.float32)
    options = SessionOptions(device="cuda", cache_dir=tmp_path if cached else None)
    model = make_affine(weight=weight, rows=256).SerializeToString()
    exact = 2 * x.astype(np.float64) @ weight.astype(np.float64)
    for _ in range(2):
        with open_session(model, options) as session:
            assert session.device == "cuda:0"
            out = session.run({"x": x})["y"]
        # TensorFloat-32 would be off by about 2e-2.
        assert np.abs(out - exact).max() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA_BUILD, reason="this ONNX Runtime was built without CUDA")
@pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU")
@pytest.mark.parametrize("rows", [4, "batch"])
def test_cuda_graph_is_captured_if_sizes_are_fixed(rows):
    model = make_affine(rows=rows).SerializeToString()
    with open_session(model, SessionOptions(device="cuda")) as session:
        assert session.captured == isinstance(rows, int)
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
            np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA_BUILD, reason="this ONNX Runtime was built without CUDA")
@pytest.mark.skipif(not HAS_GPU, reason="no NVIDIA GPU")
def test_gpu_that_does_not_exist_is_refused(affine_file):
    with pytest.raises(EngineError, match="cannot run the model on cuda:99"):
        open_session(affine_file, SessionOptions(device="cuda:99"))


@pytest.fixture
def broken_cuda_build(tmp_path):
    """An ONNX Runtime whose CUDA library the dynamic loader refuses."""
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"not a library")
    module = ModuleType("onnxruntime")
    module.__file__ = str(tmp_path / "__init__.py")
    module.__version__ = "1.99"  # type: ignore[attr-defined]
    return module


def test_library_that_fails_to_load_is_named(broken_cuda_build):
    error = cuda.cuda_error(broken_cuda_build, "cuda:1", "unused")
    assert "libonnxruntime_providers_cuda.so" in error.message
    assert "on cuda:1" in error.message
    assert "onnxruntime-gpu[cuda,cudnn]" in error.hint


def test_missing_driver_is_named(monkeypatch, broken_cuda_build):
    monkeypatch.setattr(cuda, "_load_failure", lambda ort, provider: "libcuda.so.1: cannot open")
    error = cuda.cuda_error(broken_cuda_build, "cuda", "unused")
    assert "fails to load (libcuda.so.1: cannot open)" in error.message
    assert "driver" in error.hint


@pytest.mark.parametrize(
    ("machine", "jetson", "says"),
    [
        ("x86_64", False, "pip uninstall onnxruntime onnxruntime-gpu; pip install"),
        ("aarch64", True, "built for this JetPack"),
        ("aarch64", False, "built for this machine's GPU"),
    ],
)
def test_hint_names_the_right_package(monkeypatch, tmp_path, machine, jetson, says):
    release = tmp_path / "nv_tegra_release"
    if jetson:
        release.touch()
    monkeypatch.setattr(device, "_L4T_FILE", release)
    monkeypatch.setattr(cuda.platform, "machine", lambda: machine)
    cpu_build = ModuleType("onnxruntime")
    cpu_build.__version__ = "1.99"  # type: ignore[attr-defined]
    cpu_build.get_available_providers = lambda: ["CPUExecutionProvider"]  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=r"1\.99 has only CPUExecutionProvider") as raised:
        cuda.require_cuda_build(cpu_build)
    assert says in raised.value.hint
    assert "://" not in raised.value.hint


@pytest.mark.parametrize(("driver", "newest"), [("550.163.01", "<1.27"), ("580.82.07", "")])
def test_hint_names_a_build_that_the_driver_runs(
    monkeypatch, tmp_path, broken_cuda_build, driver, newest
):
    version = tmp_path / "version"
    version.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Tue\n")
    monkeypatch.setattr(device, "_L4T_FILE", tmp_path / "nv_tegra_release")
    monkeypatch.setattr(device, "_DRIVER_FILE", version)
    monkeypatch.setattr(cuda.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cuda, "_load_failure", lambda ort, provider: "libcublasLt.so.12: no file")
    package = f'pip install "onnxruntime-gpu[cuda,cudnn]{newest}"'
    assert package in cuda._package_hint()
    assert package in cuda.cuda_error(broken_cuda_build, "cuda", "").hint


def test_both_packages_are_mentioned(monkeypatch, tmp_path, broken_cuda_build):
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.99.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.99\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = cuda.cuda_error(broken_cuda_build, "cuda", "unused")
    assert "Both onnxruntime 1.99 and onnxruntime-gpu 1.99 are installed" in error.message
