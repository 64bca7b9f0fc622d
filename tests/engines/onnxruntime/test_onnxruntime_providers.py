"""Providers by name, and runs on bound memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from small_models import WEIGHT, make_affine

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.onnxruntime.providers import choose_provider
from hot_sdk.engines.onnxruntime.session import BoundRunner
from hot_sdk.errors import EngineError, UsageError

NVIDIA = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
)


class Build:
    """An ONNX Runtime that was built with some providers."""

    __version__ = "1.99"

    def __init__(self, *providers):
        self._providers = list(providers)

    def get_available_providers(self):
        return self._providers


def chosen(provider=None, device="cuda:1", **options):
    build = Build(*NVIDIA, "CoreMLExecutionProvider", "CPUExecutionProvider")
    return choose_provider(build, SessionOptions(device=device, provider=provider, **options))


@pytest.mark.parametrize("device", ["gpu", "gpu:1", "npu"])
def test_intel_devices_are_refused_with_the_engine_that_has_them(affine_file, device):
    with pytest.raises(EngineError, match="no provider of its own") as raised:
        open_session(affine_file, SessionOptions(device=device))
    assert "openvino" in raised.value.hint


def test_a_provider_is_used_by_its_name(affine_file, x):
    options = SessionOptions(provider="CPUExecutionProvider")
    with open_session(affine_file, options) as session:
        assert session.provider == "CPUExecutionProvider"
        assert session.device == "cpu"
        np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-6)


def test_unknown_provider_is_refused_with_the_available_ones(affine_file):
    options = SessionOptions(provider="CPUExecutionProvidr")
    with pytest.raises(EngineError, match="has no provider") as raised:
        open_session(affine_file, options)
    assert "CPUExecutionProvider" in raised.value.hint


@pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has no provider that takes no node",
)
@pytest.mark.parametrize("cached", [False, True])
def test_provider_that_leaves_the_graph_to_the_cpu_is_refused(affine_file, tmp_path, cached):
    folder = tmp_path / "cache" if cached else None
    options = SessionOptions(provider="AzureExecutionProvider", fast_math=True, cache_dir=folder)
    with pytest.raises(EngineError, match="cannot run the model on 'AzureExecutionProvider'"):
        open_session(affine_file, options)
    assert not list(tmp_path.glob("cache/*"))


def test_provider_of_unknown_precision_needs_fast_math():
    with pytest.raises(EngineError, match="narrower type") as raised:
        chosen("CoreMLExecutionProvider", device="cpu")
    assert "fast_math" in raised.value.hint
    assert chosen("CoreMLExecutionProvider", device="cpu", fast_math=True).device == (
        "CoreMLExecutionProvider"
    )


@pytest.mark.parametrize(
    ("provider", "device"),
    [
        ("CUDAExecutionProvider", "cpu"),
        ("CPUExecutionProvider", "cuda"),
        ("CoreMLExecutionProvider", "npu"),
    ],
)
def test_contradictory_provider_and_device_are_refused(provider, device):
    with pytest.raises(UsageError, match=provider):
        chosen(provider, device=device, fast_math=True)


def test_cuda_computes_float32_unless_fast_math():
    assert chosen().options == {"device_id": "1", "use_tf32": "0"}
    assert chosen(fast_math=True).options["use_tf32"] == "1"
    assert chosen().device == "cuda:1"


@pytest.mark.parametrize("provider", NVIDIA[1:])
def test_tensorrt_needs_fast_math_unless_tf32_is_off(monkeypatch, provider):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with pytest.raises(EngineError, match="narrower type") as raised:
        chosen(provider)
    assert "NVIDIA_TF32_OVERRIDE" in raised.value.hint
    assert chosen(provider, fast_math=True).on_nvidia
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert chosen(provider).device == "cuda:1"


def test_tensorrt_caches_its_engines_with_a_cache_folder(tmp_path):
    without = chosen("TensorrtExecutionProvider", fast_math=True)
    assert without.options["trt_engine_cache_enable"] == "0"
    kept = chosen("TensorrtExecutionProvider", fast_math=True, cache_dir=tmp_path)
    assert kept.options["trt_engine_cache_enable"] == "1"
    assert kept.engine_cache == ("trt_engine_cache_path", "trt_timing_cache_path")


def test_bound_memory_computes_the_same_in_every_thread():
    settings = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(
        make_affine(rows=64).SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    runner = BoundRunner(onnxruntime, session, "cpu", 0)
    runner.warm_up()
    start = threading.Barrier(4)

    def run(seed):
        start.wait()
        random = np.random.default_rng(seed)
        outs = []
        for _ in range(20):
            x = random.standard_normal((64, 3)).astype(np.float32)
            outs.append((x, runner.run({"x": x})["y"]))
        # Looked at in the end: later runs must not have overwritten them.
        return all(np.allclose(y, 2 * x @ WEIGHT, atol=1e-5) for x, y in outs)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))


def test_bound_memory_accepts_half_precision():
    model = make_affine(rows=2, dtype=np.float16).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    out = BoundRunner(onnxruntime, session, "cpu", 0).run({"x": np.ones((2, 3), np.float16)})["y"]
    assert out.dtype == np.float16
    np.testing.assert_allclose(out, 2 * np.ones((2, 3), np.float16) @ WEIGHT.astype(np.float16))
