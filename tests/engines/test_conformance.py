"""What every engine promises; a new engine is held to it by being listed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_models import WEIGHT, make_external, make_pair

from hot_sdk.engines import (
    AUTO,
    Session,
    SessionOptions,
    TensorSpec,
    list_engines,
    open_session,
)
from hot_sdk.errors import EngineError, UsageError


def expected(x):
    return {"y": 2 * x @ WEIGHT}


def test_session_describes_itself(engine, affine_file):
    with open_session(affine_file, engine=engine) as session:
        assert isinstance(session, Session)
        assert session.engine in (list_engines() if engine == AUTO else [engine])
        assert session.engine_version[0].isdigit()
        assert session.device == "cpu"
        assert session.precision == "fp32"
        assert session.inputs == (TensorSpec("x", ("batch", 3), "float32"),)
        assert session.outputs == (TensorSpec("y", ("batch", 2), "float32"),)
        assert dict(session.metadata) == {"author": "tests"}
        assert 0 < session.load_seconds < 60
        with pytest.raises(TypeError):
            session.metadata["author"] = "someone else"


def test_several_inputs_and_outputs_keep_names_and_order(engine):
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with open_session(make_pair().SerializeToString(), engine=engine) as session:
        assert [spec.name for spec in session.inputs] == ["a", "b"]
        assert session.inputs[0].shape == ("batch", "?", 4)
        # The file leaves it open, and the sum settles it.
        assert session.outputs[0].shape == ("batch", 3, 4)
        out = session.run({"b": a[::-1], "a": a})
    assert list(out) == ["total", "first"]
    np.testing.assert_array_equal(out["total"], a + a[::-1])
    np.testing.assert_array_equal(out["first"], a)


def test_path_and_bytes_compute_the_same(engine, affine_file, x):
    with open_session(affine_file, engine=engine) as session:
        from_path = session.run({"x": x})
    with open_session(affine_file.read_bytes(), engine=engine) as session:
        from_bytes = session.run({"x": x})
    np.testing.assert_allclose(from_path["y"], expected(x)["y"], rtol=1e-6)
    np.testing.assert_array_equal(from_path["y"], from_bytes["y"])


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_named_dimension_accepts_any_size(engine, affine_file, rows):
    with open_session(affine_file, engine=engine) as session:
        assert session.run({"x": np.ones((rows, 3), np.float32)})["y"].shape == (rows, 2)


def test_outputs_belong_to_the_caller(engine, affine_file, x):
    with open_session(affine_file, engine=engine) as session:
        first = session.run({"x": x})["y"]
        kept = first.copy()
        session.run({"x": -x})
        np.testing.assert_array_equal(first, kept)
        first += 1
        np.testing.assert_array_equal(session.run({"x": x})["y"], kept)


@pytest.mark.parametrize(
    "arrange", [np.asfortranarray, lambda x: x[::-1], lambda x: np.repeat(x, 2, axis=1)[:, ::2]]
)
def test_arrays_that_are_not_contiguous_are_right(engine, affine_file, x, arrange):
    arranged = arrange(x)
    assert not arranged.flags.c_contiguous
    with open_session(affine_file, engine=engine) as session:
        out = session.run({"x": arranged})
    np.testing.assert_allclose(out["y"], expected(arranged)["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "'x' is missing"),
        ({"x": np.ones((1, 3), np.float32), "z": np.ones(1)}, "'z' is not one of them"),
        ({"x": np.ones((1, 3))}, "holds float64; expected float32"),
        ({"x": np.ones((1, 3), ">f4")}, "holds >f4; expected float32"),
        ({"x": np.ones((1, 3), np.int32)}, "holds int32; expected float32"),
        ({"x": [[1.0, 2.0, 3.0]]}, "is a list; expected a NumPy array"),
        ({"x": np.ones((1, 4), np.float32)}, r"has shape (1, 4); expected (batch, 3)"),
        ({"x": np.ones(3, np.float32)}, r"has shape (3); expected (batch, 3)"),
        ({"x": np.ones((1, 3, 1), np.float32)}, r"has shape (1, 3, 1); expected (batch, 3)"),
    ],
)
def test_wrong_arrays_are_refused(engine, affine_file, arrays, says):
    with open_session(affine_file, engine=engine) as session:
        with pytest.raises(EngineError) as raised:
            session.run(arrays)
        assert says in raised.value.message
        assert raised.value.hint
        session.run({"x": np.ones((1, 3), np.float32)})


def test_one_name_is_one_size(engine):
    # The engine would add these, broadcasting one clip over all: a wrong answer, not an error.
    arrays = {"a": np.ones((1, 3, 4), np.float32), "b": np.ones((2, 3, 4), np.float32)}
    with (
        open_session(make_pair().SerializeToString(), engine=engine) as session,
        pytest.raises(EngineError, match=r"expected \(batch, 3, 4\), where batch is 1"),
    ):
        session.run(arrays)


def test_closed_session_refuses_to_run(engine, affine_file, x):
    session = open_session(affine_file, engine=engine)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": x})
    with open_session(affine_file, engine=engine) as session:
        pass
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": x})


def test_a_prepared_run_reads_its_arrays_anew(engine, affine_file, x):
    fed = {"x": x.copy()}
    with open_session(affine_file, engine=engine) as session:
        run = session.prepare(fed)
        other = session.prepare({"x": np.ones((5, 3), np.float32)})
        for step in range(3):
            fed["x"][:] = x + np.float32(step)
            np.testing.assert_allclose(run()["y"], session.run(fed)["y"], rtol=1e-6)
            np.testing.assert_allclose(other()["y"], expected(np.ones((5, 3)))["y"], rtol=1e-5)
        with pytest.raises(EngineError, match=r"float64; expected float32"):
            session.prepare({"x": x.astype(np.float64)})
        with pytest.raises(EngineError, match="not in C order: x"):
            session.prepare({"x": np.asfortranarray(np.ones((5, 3), np.float32))})
    with pytest.raises(EngineError, match="closed"):
        run()


def test_threads_share_a_session(engine, affine_file):
    start = threading.Barrier(4)

    def run(seed):
        x = np.random.default_rng(seed).standard_normal((64, 3)).astype(np.float32)
        start.wait()
        return all(
            np.allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, atol=1e-5) for _ in range(50)
        )

    with open_session(affine_file, engine=engine) as session, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no model file"),
        (b"", "is empty"),
        (b"version https://git-lfs/spec/v1\noid sha256:0\nsize 1\n", "not a complete"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a complete"),
        (b"\x00" * 100, "not a complete"),
    ],
)
def test_rejects_files_that_are_not_onnx(engine, tmp_path, content, says):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=says) as raised:
        open_session(path, engine=engine)
    assert str(path) in raised.value.message
    assert raised.value.hint
    if content is not None:
        with pytest.raises(EngineError, match="not a complete"):
            open_session(content, engine=engine)


def test_folder_is_refused(engine, tmp_path):
    with pytest.raises(EngineError, match="There is no model file"):
        open_session(tmp_path, engine=engine)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused(engine, affine_file, kept):
    content = affine_file.read_bytes()
    affine_file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(EngineError, match="is not a complete ONNX file"):
        open_session(affine_file, engine=engine)


def test_accepts_a_file_name_as_text(engine, affine_file):
    with open_session(str(affine_file), engine=engine) as session:
        assert session.inputs


def test_neither_a_file_nor_bytes_is_a_usage_error(engine):
    with pytest.raises(UsageError, match=r"expected a pathlib\.Path or bytes"):
        open_session(7, engine=engine)


def test_weights_next_to_the_model_are_read(engine, tmp_path, x, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())
    path = tmp_path / "model.onnx"
    path.write_bytes(make_external("weights.bin").SerializeToString())
    monkeypatch.chdir(tmp_path)
    for name in (path, Path("model.onnx")):
        with open_session(name, engine=engine) as session:
            np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-6)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "a/../../secret"])
def test_weights_outside_of_the_folder_are_refused(engine, tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "model.onnx"
    path.write_bytes(make_external(location).SerializeToString())
    with pytest.raises(EngineError, match="weights outside of its own folder"):
        open_session(path, engine=engine)


def test_bytes_cannot_name_weights(engine, tmp_path, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="bytes cannot refer to"):
        open_session(make_external("weights.bin").SerializeToString(), engine=engine)


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_options_do_not_change_the_result(engine, affine_file, x, level, threads):
    options = SessionOptions(threads=threads, graph_optimization=level)
    with open_session(affine_file, options, engine=engine) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-6)


def test_metadata_that_is_not_text_is_an_engine_error(engine, affine_file, tmp_path):
    model = onnx.load(affine_file)
    onnx.helper.set_model_props(model, {"note": "????"})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.SerializeToString().replace(b"????", b"\xff\xfe\xff\xfe"))
    with pytest.raises(EngineError):
        open_session(broken, engine=engine)
