from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import WEIGHT, external_tensor, finish_model, make_affine, make_external

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.cache import cache_entry, cpu_identity, new_entry
from hot_sdk.errors import EngineError


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "deep" / "cache"


def compute(model, folder, x, **options):
    with open_session(model, SessionOptions(cache_dir=folder, **options)) as session:
        return session.run({"x": x})["y"], dict(session.metadata), session.inputs, session.precision


def entries(folder):
    return [path for path in folder.iterdir() if path.suffix != ".json"]


def only_entry(folder):
    (entry,) = entries(folder)
    return entry


def test_miss_then_hit_compute_the_same(tmp_path, folder, x, caplog):
    caplog.set_level(logging.DEBUG, "hot_sdk.engines")
    metadata = {"hot_sdk.precision": "fp16", "author": "tests"}
    path = tmp_path / "lifter.fp16.onnx"
    path.write_bytes(make_affine(metadata=metadata).SerializeToString())
    plain = compute(path, None, x)
    missed = compute(path, folder, x)
    entry = only_entry(folder)
    assert re.fullmatch(r"lifter\.fp16\.[0-9a-f]{16}\.onnx", entry.name)
    written = entry.stat().st_mtime_ns
    hit = compute(path, folder, x)
    assert entry.stat().st_mtime_ns == written
    assert [record.message.split(" '")[0] for record in caplog.records] == [
        "Cached the optimized graph as",
        "Loaded the cached graph",
    ]
    for result in (missed, hit):
        np.testing.assert_array_equal(result[0], plain[0])
        assert result[1:] == plain[1:]
    assert hit[1] == metadata
    assert hit[3] == "fp16"


def plant(folder):
    """Put another graph into the cache, with a record that matches it."""
    entry = only_entry(folder)
    content = make_affine(weight=10 * WEIGHT).SerializeToString()
    record = entry.with_name(f"{entry.name}.json")
    data = json.loads(record.read_text())
    record.write_text(json.dumps(data | {"sha256": hashlib.sha256(content).hexdigest()}))
    entry.write_bytes(content)


def test_hit_runs_what_the_cache_holds(affine_file, folder, x):
    compute(affine_file, folder, x)
    plant(folder)
    out, *_ = compute(affine_file, folder, x)
    np.testing.assert_allclose(out, 20 * x @ WEIGHT, rtol=1e-6)


def test_entry_without_its_record_is_made_again(affine_file, folder, x):
    good, *_ = compute(affine_file, folder, x)
    plant(folder)
    (record,) = folder.glob("*.json")
    record.unlink()
    np.testing.assert_array_equal(compute(affine_file, folder, x)[0], good)
    assert record.is_file()


def test_flipped_exponent_of_a_weight_is_found(affine_file, folder, x, caplog):
    good, *_ = compute(affine_file, folder, x)
    entry = only_entry(folder)
    content = entry.read_bytes()
    first = np.float32(WEIGHT.flat[0]).tobytes()
    at = content.index(first) + 3
    entry.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    onnx.checker.check_model(onnx.load(entry), full_check=True)
    np.testing.assert_array_equal(compute(affine_file, folder, x)[0], good)
    assert "is not what was written" in caplog.text


def test_cached_graph_is_the_optimized_one(affine_file, folder, x):
    compute(affine_file, folder, x)
    operators = [node.op_type for node in onnx.load(only_entry(folder)).graph.node]
    assert "Identity" not in operators


def test_layout_for_this_cpu_survives_the_cache(folder):
    rng = np.random.default_rng(1)
    kernel = rng.standard_normal((32, 16, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "kernel"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 6, 6])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = finish_model(graph).SerializeToString()
    x = rng.standard_normal((1, 16, 8, 8)).astype(np.float32)
    missed, *_ = compute(model, folder, x)
    hit, *_ = compute(model, folder, x)
    np.testing.assert_array_equal(missed, hit)
    np.testing.assert_allclose(
        hit, compute(model, None, x, graph_optimization="none")[0], atol=1e-4
    )


def test_bytes_are_cached_too(affine_file, folder, x):
    for _ in range(2):
        compute(affine_file.read_bytes(), folder, x)
    assert re.fullmatch(r"model\.[0-9a-f]{16}\.onnx", only_entry(folder).name)


def test_another_model_or_level_is_another_entry(tmp_path, folder, x):
    path = tmp_path / "model.onnx"
    for number, (factor, level) in enumerate([(1, "all"), (2, "all"), (2, "basic")], start=1):
        path.write_bytes(make_affine(weight=factor * WEIGHT).SerializeToString())
        out, *_ = compute(path, folder, x, graph_optimization=level)
        np.testing.assert_allclose(out, 2 * factor * x @ WEIGHT, rtol=1e-6)
        assert len(entries(folder)) == number


def test_threads_share_an_entry(affine_file, folder, x):
    compute(affine_file, folder, x, threads=1)
    compute(affine_file, folder, x, threads=2)
    assert len(entries(folder)) == 1


def test_changed_external_weights_are_another_entry(tmp_path, folder, x):
    path = tmp_path / "model.onnx"
    path.write_bytes(make_external("weights.bin").SerializeToString())
    for factor in (1, 3):
        (tmp_path / "weights.bin").write_bytes((factor * WEIGHT).tobytes())
        for _ in range(2):
            out, *_ = compute(path, folder, x)
            np.testing.assert_allclose(out, 2 * factor * x @ WEIGHT, rtol=1e-6)
    assert len(entries(folder)) == 2


def outside():
    model = make_affine()
    model.graph.initializer[0].CopyFrom(external_tensor("../../secret.bin"))
    return model.SerializeToString()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: bytes(len(content)),
        lambda content: b"not a model",
        lambda content: content.replace(b"MatMul", b"NatMul"),
        lambda content: outside(),
    ],
)
def test_damaged_entry_is_rebuilt_and_logged(affine_file, folder, x, damage, caplog):
    # A damaged entry may point to it; some releases of ONNX Runtime would follow it.
    (affine_file.parent / "secret.bin").write_bytes((7 * WEIGHT).tobytes())
    good, *_ = compute(affine_file, folder, x)
    entry = only_entry(folder)
    content = entry.read_bytes()
    assert damage(content) != content
    entry.write_bytes(damage(content))
    out, *_ = compute(affine_file, folder, x)
    np.testing.assert_array_equal(out, good)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "is not what was written, and is made again" in record.message
    assert only_entry(folder).read_bytes() == content
    compute(affine_file, folder, x)
    assert len(caplog.records) == 1


def test_refused_model_leaves_nothing_behind(folder):
    model = make_affine()
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(EngineError, match="refuses the model"):
        open_session(model.SerializeToString(), SessionOptions(cache_dir=folder))
    assert list(folder.iterdir()) == []


def test_file_in_place_of_the_folder_is_refused(affine_file, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(EngineError, match="cannot be written"):
        open_session(affine_file, SessionOptions(cache_dir=tmp_path / "cache"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that cannot be written")
def test_read_only_folder_is_refused(affine_file):
    with pytest.raises(EngineError, match="'/proc/self' cannot be written") as raised:
        open_session(affine_file, SessionOptions(cache_dir=Path("/proc/self")))
    assert "leave the cache out" in raised.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_full_disk_costs_the_cache_and_not_the_session(affine_file, folder):
    # A limit on file sizes fails a write as a full disk does.
    code = (
        "import resource, sys, logging\n"
        "from pathlib import Path\n"
        "from hot_sdk.engines import SessionOptions, open_session\n"
        "logging.basicConfig(format='%(levelname)s %(message)s', stream=sys.stdout)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "options = SessionOptions(cache_dir=Path(sys.argv[2]))\n"
        "print(open_session(Path(sys.argv[1]), options).device)\n"
    )
    command = [sys.executable, "-c", code, str(affine_file), str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0].startswith("WARNING Could not cache the optimized graph")
    assert out[1] == "cpu"
    assert list(folder.iterdir()) == []


def test_failed_write_leaves_the_old_entry(tmp_path):
    entry = cache_entry(tmp_path, "engine", ".plan", {"model": "a"})
    with new_entry(entry) as temporary:
        temporary.write_bytes(b"old")

    def fail_half_way():
        with new_entry(entry) as temporary:
            temporary.write_bytes(b"ne")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail_half_way()
    assert entry.read_bytes() == b"old"
    assert only_entry(tmp_path) == entry


def test_entry_that_cannot_be_renamed_is_an_error(tmp_path):
    entry = cache_entry(tmp_path, "engine", ".plan", {"model": "a"})
    entry.mkdir()
    with pytest.raises(EngineError, match="cannot be written"), new_entry(entry) as temporary:
        temporary.write_bytes(b"new")


def test_entry_names_follow_what_they_depend_on(tmp_path):
    first = cache_entry(tmp_path, "engine", ".plan", {"model": "a", "version": "1"})
    assert first == cache_entry(tmp_path, "engine", ".plan", {"version": "1", "model": "a"})
    assert first != cache_entry(tmp_path, "engine", ".plan", {"model": "a", "version": "2"})
    assert len(cache_entry(tmp_path, "e" * 300, ".plan", {}).name) < 255


def test_cpu_identity_is_stable():
    assert cpu_identity() == cpu_identity()
    assert re.fullmatch("[0-9a-f]{64}", cpu_identity())
