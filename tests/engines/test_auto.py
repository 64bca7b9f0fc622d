from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from small_models import WEIGHT, make_affine

from hot_sdk.engines import AUTO, SessionOptions, list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import EngineError, MissingDependencyError


def open_auto(model, **options):
    return open_session(model, SessionOptions(**options), engine=AUTO)


@pytest.fixture
def two_engines(affine_file):
    """Skip if there is only one engine to choose from."""
    try:
        open_session(affine_file, engine="openvino").close()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def choice_entry(folder):
    (entry,) = folder.glob("*.choice.json")
    return entry


def test_chooses_the_smallest_median_of_all_engines(affine_file, x):
    with open_auto(affine_file) as session:
        choice = session.choice
        np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-5)
        assert session.engine == choice.engine
    assert [trial.engine for trial in choice.trials] == list(list_engines(opens=ONNX, on_cpu=True))
    medians = {trial.engine: trial.median_ms for trial in choice.trials if trial.median_ms}
    assert medians[choice.engine] == min(medians.values())
    assert all((trial.median_ms is None) == bool(trial.refused) for trial in choice.trials)
    assert choice.engine in str(choice)
    assert not choice.remembered


def test_choice_is_remembered_and_logged(affine_file, folder, caplog):
    caplog.set_level(logging.INFO, "hot_sdk.engines")
    with open_auto(affine_file, cache_dir=folder) as session:
        first = session.choice
    written = choice_entry(folder).stat().st_mtime_ns
    with open_auto(affine_file, cache_dir=folder) as session:
        second = session.choice
        assert session.engine == first.engine
    assert second.remembered
    assert (second.engine, second.trials) == (first.engine, first.trials)
    assert choice_entry(folder).stat().st_mtime_ns == written
    logged = [record.message for record in caplog.records if record.levelno == logging.INFO]
    assert logged[0].startswith(f"Chose the engine {first.engine} (")
    assert logged[1].startswith(f"Remembered the engine {first.engine} (")


def test_another_model_or_option_is_another_choice(affine_file, folder):
    open_auto(affine_file, cache_dir=folder).close()
    open_auto(affine_file, cache_dir=folder, threads=1).close()
    open_auto(make_affine(rows=2).SerializeToString(), cache_dir=folder).close()
    assert len(list(folder.glob("*.choice.json"))) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"engine": "onnxruntime"}', "\udcff"])
def test_damaged_choice_is_made_again_and_logged(affine_file, folder, text, caplog):
    open_auto(affine_file, cache_dir=folder).close()
    choice_entry(folder).write_bytes(text.encode(errors="surrogateescape"))
    with open_auto(affine_file, cache_dir=folder) as session:
        assert not session.choice.remembered
    assert any("is damaged" in record.message for record in caplog.records)
    with open_auto(affine_file, cache_dir=folder) as session:
        assert session.choice.remembered


@pytest.mark.parametrize("change", [{"engine": "zzz"}, {"trials": []}])
def test_stale_choice_is_made_again(affine_file, folder, change):
    open_auto(affine_file, cache_dir=folder).close()
    entry = choice_entry(folder)
    entry.write_text(json.dumps({**json.loads(entry.read_text()), **change}))
    with open_auto(affine_file, cache_dir=folder) as session:
        assert not session.choice.remembered
        assert session.choice.trials


@pytest.mark.usefixtures("two_engines")
def test_engine_that_refuses_is_named_with_its_reason(caplog):
    caplog.set_level(logging.INFO, "hot_sdk.engines")
    with open_auto(make_affine(dtype=np.float64).SerializeToString()) as session:
        assert session.engine == "onnxruntime"
        refused = {trial.engine: trial.refused for trial in session.choice.trials}
    assert "float64" in refused["openvino"]
    assert any("openvino was left out: The model" in record.message for record in caplog.records)


@pytest.mark.usefixtures("two_engines")
def test_engine_that_fails_in_the_trial_is_logged_as_a_warning(affine_file, monkeypatch, caplog):
    def fail(self, arrays):
        raise EngineError("It broke.", hint="Repair it.")

    # No graph is known that one engine opens and then fails to run while the other runs it.
    monkeypatch.setattr("hot_sdk.engines.openvino.OpenVINOSession.run", fail)
    with open_auto(affine_file) as session:
        assert session.engine == "onnxruntime"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == "The engine openvino was left out: It broke."


@pytest.mark.usefixtures("two_engines")
def test_if_no_engine_runs_it_every_reason_is_reported():
    with pytest.raises(EngineError, match="No engine runs the model on cpu") as raised:
        open_auto(make_affine().SerializeToString(), provider="NoSuchExecutionProvider")
    assert "onnxruntime: The installed ONNX Runtime" in raised.value.message
    assert "openvino: OpenVINO has no execution provider" in raised.value.message
