"""The TensorRT engine on a real GPU: the conformance of every engine, and what only it has."""

import functools
import logging

import numpy as np
import pytest
import test_conformance
from small_models import WEIGHT, make_affine

# Collected here again, with the fixture ``engine`` and the device of this file. What is left out
# needs an open dimension other than the batch, which this engine refuses.
from test_conformance import (  # noqa: F401
    test_accepts_a_file_name_as_text,
    test_arrays_that_are_not_contiguous_are_right,
    test_bytes_cannot_name_weights,
    test_closed_session_refuses_to_run,
    test_folder_is_refused,
    test_metadata_that_is_not_text_is_an_engine_error,
    test_named_dimension_accepts_any_size,
    test_neither_a_file_nor_bytes_is_a_usage_error,
    test_outputs_belong_to_the_caller,
    test_path_and_bytes_compute_the_same,
    test_rejects_files_that_are_not_onnx,
    test_threads_share_a_session,
    test_truncated_file_is_refused,
    test_weights_next_to_the_model_are_read,
    test_weights_outside_of_the_folder_are_refused,
    test_wrong_arrays_are_refused,
)

from hot_sdk.engines import SessionOptions, open_session
from hot_sdk.engines.tensorrt import require_tensorrt
from hot_sdk.errors import EngineError, MissingDependencyError

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    try:
        require_tensorrt("cuda")
    except (EngineError, MissingDependencyError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all tests, which mostly open the same model."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def engine(monkeypatch, cache):
    """The conformance tests open their sessions on the GPU."""
    options = SessionOptions(device="cuda", cache_dir=cache)
    monkeypatch.setattr(test_conformance, "open_session", functools.partial(_open, options=options))
    return "tensorrt"


def _open(model, *_, options, engine):
    return open_session(model, options, engine=engine)


def opened(cache, **settings):
    model = make_affine(rows=settings.pop("rows", 5)).SerializeToString()
    options = SessionOptions(device="cuda", cache_dir=cache, **settings)
    return open_session(model, options, engine="tensorrt")


def test_a_session_describes_itself(cache):
    with opened(cache) as session:
        assert (session.engine, session.device, session.precision) == ("tensorrt", "cuda:0", "fp32")
        assert session.inputs[0].shape == (5, 3)
        assert session.cuda_graph
        assert set(session.layers.types) == {"fp32"}


def test_a_graph_and_no_graph_compute_the_same(cache, x):
    with opened(cache) as fixed, opened(cache, rows="batch") as open_batch:
        assert fixed.cuda_graph
        assert not open_batch.cuda_graph
        np.testing.assert_allclose(fixed.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-5)
        np.testing.assert_allclose(open_batch.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-5)


def test_a_plan_is_loaded_and_computes_the_same(cache, x, caplog):
    caplog.set_level(logging.INFO, "hot_sdk.engines")
    with opened(cache) as session:
        first = session.run({"x": x})["y"]
    caplog.clear()
    with opened(cache) as session:
        assert any("Loaded the plan" in record.message for record in caplog.records)
        np.testing.assert_array_equal(session.run({"x": x})["y"], first)


def test_an_exported_lifter_computes_its_poses(cache):
    from hot_sdk import Keypoints, Pose3DEngine

    rng = np.random.default_rng(5)
    points = np.cumsum(rng.normal(0, 2, (90, 17, 2)), axis=0) + 400
    clip = Keypoints(points, np.ones((90, 17)), skeleton="h36m17", image_size=(1000, 800), fps=30)
    with (
        Pose3DEngine() as reference,
        Pose3DEngine(engine="tensorrt", device="cuda", cache_dir=cache) as lifter,
    ):
        distance = np.linalg.norm(lifter(clip).poses - reference(clip).poses, axis=-1)
    assert distance.mean() < 1e-3
