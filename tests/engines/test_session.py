from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from small_models import make_affine

from hot_sdk.engines import SessionOptions, TensorSpec, list_engines, open_session
from hot_sdk.engines.session import check_inputs, precision_of
from hot_sdk.errors import UsageError


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:12", "gpu", "gpu:1", "npu"])
def test_known_devices(device):
    assert SessionOptions(device=device).device == device


@pytest.mark.parametrize("device", ["tpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "", None])
def test_unknown_device(device):
    with pytest.raises(UsageError, match="Unknown device"):
        SessionOptions(device=device)


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, True, "2"])
def test_impossible_threads(threads):
    with pytest.raises(UsageError, match="Cannot run on"):
        SessionOptions(threads=threads)


@pytest.mark.parametrize("level", ["O2", "ALL", "", None])
def test_unknown_optimization(level):
    with pytest.raises(UsageError, match="Unknown graph optimization") as raised:
        SessionOptions(graph_optimization=level)
    assert "none, basic, extended, all" in raised.value.hint


def test_cache_folder_is_a_path():
    with pytest.raises(UsageError, match=r"expected a pathlib\.Path"):
        SessionOptions(cache_dir="cache")  # type: ignore[arg-type]


def test_unknown_engine_suggests_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'onnxruntime'"):
        open_session(b"", engine="onnxruntine")
    with pytest.raises(UsageError) as raised:
        open_session(b"", engine="zzz")
    assert "Did you mean" not in raised.value.hint
    assert all(name in raised.value.hint for name in (*list_engines(), "auto"))


def test_a_dla_is_refused_with_its_reason():
    for device in ("dla", "dla:0"):
        with pytest.raises(UsageError, match="multiplies by constants only"):
            SessionOptions(device=device)


def specs(*dtypes):
    return [TensorSpec(f"input{i}", (1,), dtype) for i, dtype in enumerate(dtypes)]


@pytest.mark.parametrize(
    ("metadata", "inputs", "precision"),
    [
        ({}, specs("float32"), "fp32"),
        ({}, specs("float16"), "fp16"),
        ({}, specs("float32", "int64"), "fp32"),
        ({}, specs("float32", "float16"), "mixed"),
        ({}, specs("int64"), "unknown"),
        ({"hot_sdk.precision": "fp16"}, specs("float32"), "fp16"),
        ({"hot_sdk.precision": ""}, specs("float32"), "fp32"),
    ],
)
def test_precision_is_declared_or_read_from_the_inputs(metadata, inputs, precision):
    assert precision_of(metadata, inputs) == precision


def test_spec_as_text():
    assert str(TensorSpec("x", ("batch", 3), "float32")) == "x: float32 (batch, 3)"


def test_import_loads_no_engine():
    code = (
        "import sys, hot_sdk.engines; "
        "print([m for m in ('onnxruntime', 'onnx', 'torch', 'tensorrt') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_largest_batch_is_that_of_every_engine():
    content = make_affine().SerializeToString()
    for engine in ("onnxruntime", "auto"):
        with open_session(content, SessionOptions(largest_batch=3), engine=engine) as session:
            assert session.largest_batch == 3
    with open_session(content) as session:
        assert session.largest_batch is None
    with pytest.raises(UsageError, match="has a fixed batch"):
        open_session(make_affine(rows=2).SerializeToString(), SessionOptions(largest_batch=3))


def test_missing_library_is_named():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from hot_sdk.engines import open_session\n"
        "from hot_sdk.errors import MissingDependencyError\n"
        "try: open_session(b'')\n"
        "except MissingDependencyError as error: print(error.hint)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "Run: pip install onnxruntime"


def test_contiguous_arrays_are_not_copied():
    x = np.ones((2, 3), np.float32)
    assert check_inputs({"x": x}, [TensorSpec("x", (2, 3), "float32")])["x"] is x


def test_scalar_stays_a_scalar():
    out = check_inputs({"x": np.array(2.0, np.float32)}, [TensorSpec("x", (), "float32")])
    assert out["x"].shape == ()


def test_nameless_dimensions_may_differ():
    spec = [TensorSpec("x", ("?", "?"), "float32")]
    assert check_inputs({"x": np.ones((2, 3), np.float32)}, spec)["x"].shape == (2, 3)


def test_order_follows_the_session():
    one = np.ones(1, np.float32)
    specs = [TensorSpec(name, (1,), "float32") for name in "ab"]
    assert list(check_inputs({"b": one, "a": one}, specs)) == ["a", "b"]
