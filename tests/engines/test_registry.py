"""Engines as entry points: ours, one that another package ships, and what can be wrong with one."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from shipped_package import ship_package
from small_models import WEIGHT

from hot_sdk.engines import AUTO, DEFAULT_ENGINE, Engine, Session, list_engines, open_session
from hot_sdk.engines.registry import ONNX, TORCH, default_engine, get_engine
from hot_sdk.errors import EngineError, UsageError
from hot_sdk.infer.cli import main
from hot_sdk.starter import starter_model

OURS = ("onnxruntime", "openvino", "tensorrt", "torch", "torch-compile", "torch-cuda-graph")

TINY = """
from hot_sdk.engines import Engine, Session, open_session


class TinySession(Session):
    def __init__(self, inner):
        super().__init__(
            inner,
            engine="tiny",
            version="7.1",
            device=inner.device,
            inputs=inner.inputs,
            outputs=inner.outputs,
            metadata=inner.metadata,
            load_seconds=inner.load_seconds,
        )

    def _run(self, handle, feeds):
        return handle.run(feeds)


def open_tiny(model, options):
    return TinySession(open_session(model, options))


ENGINE = Engine(open_tiny, packages=("tiny-engine",))
"""


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Install a package with an engine into a folder that is searched for modules."""
    folder = tmp_path / "site-packages"

    def install(package, target, name="tiny"):
        ship_package(
            folder,
            monkeypatch,
            package,
            "hot_sdk.engines",
            f"{name} = {target}",
            "tiny_engine",
            TINY,
        )

    yield install
    sys.modules.pop("tiny_engine", None)


def test_ours_are_listed_by_what_they_open_and_where_they_run():
    assert list_engines() == OURS
    assert list_engines(opens=ONNX) == ("onnxruntime", "openvino", "tensorrt")
    assert list_engines(opens=ONNX, on_cpu=True) == ("onnxruntime", "openvino")
    assert list_engines(opens=TORCH) == ("torch", "torch-compile", "torch-cuda-graph")
    assert list_engines(opens=TORCH, on_cpu=True) == ("torch", "torch-compile")


def test_default_engine_follows_the_file(tmp_path):
    assert default_engine(tmp_path / "model.onnx") == DEFAULT_ENGINE
    assert default_engine(tmp_path / "model.SafeTensors") == "torch"
    assert default_engine(b"\x08\x08") == DEFAULT_ENGINE


def test_weights_under_another_name_are_known_by_their_first_bytes(tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert default_engine(weights) == "torch"
    with pytest.raises(EngineError, match="holds weights of PyTorch") as caught:
        open_session(weights, engine=DEFAULT_ENGINE)
    assert "engine='torch'" in caught.value.hint


def test_listing_imports_no_library():
    code = (
        "import sys; from hot_sdk.engines import list_engines; list_engines(on_cpu=True); "
        "print([m for m in ('onnxruntime', 'onnx', 'openvino', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_engine_of_another_package_is_listed_after_ours(ship):
    ship("tiny-engine", "tiny_engine:ENGINE", name="a-tiny")
    assert list_engines() == (*OURS, "a-tiny")
    assert list_engines(opens=ONNX, on_cpu=True) == ("onnxruntime", "openvino", "a-tiny")
    assert isinstance(get_engine("a-tiny"), Engine)


def test_engine_of_another_package_opens_by_name(ship, affine_file, x):
    ship("tiny-engine", "tiny_engine:ENGINE")
    with open_session(affine_file, engine="tiny") as session:
        assert isinstance(session, Session)
        assert (session.engine, session.engine_version) == ("tiny", "7.1")
        np.testing.assert_allclose(session.run({"x": x})["y"], 2 * x @ WEIGHT, rtol=1e-5)


def test_auto_tries_an_engine_of_another_package(ship, affine_file):
    ship("tiny-engine", "tiny_engine:ENGINE")
    with open_session(affine_file, engine=AUTO) as session:
        trials = {trial.engine: trial for trial in session.choice.trials}
    assert trials["tiny"].version == "7.1"
    assert trials["tiny"].median_ms > 0


def test_hot_infer_runs_in_an_engine_of_another_package(ship, capsys, tmp_path):
    ship("tiny-engine", "tiny_engine:ENGINE")
    clip = tmp_path / "clip.npz"
    points = np.cumsum(np.random.default_rng(0).normal(0, 2, (90, 17, 2)), axis=0) + 400
    known = {"skeleton": "h36m17", "image_size": (1000, 800), "fps": 30}
    np.savez(clip, points=points, scores=np.ones((90, 17)), **known)
    arguments = [str(clip), "--model", str(starter_model()), "--engine", "tiny", "--json"]
    assert main(arguments) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["latency"]["engine"] == "tiny 7.1"


def test_rejects_a_name_that_two_packages_ship(ship, affine_file):
    ship("tiny-engine", "tiny_engine:ENGINE")
    ship("other-engine", "tiny_engine:ENGINE")
    says = "Two packages ship the engine 'tiny': '(tiny|other)-engine' and '(tiny|other)-engine'"
    for use in (list_engines, lambda: open_session(affine_file, engine="tiny")):
        with pytest.raises(EngineError, match=says) as raised:
            use()
        assert "tiny-engine" in raised.value.message
        assert "other-engine" in raised.value.message


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no_such_module:ENGINE", "cannot be loaded .*no_such_module"),
        ("tiny_engine:NOTHING", "cannot be loaded .*NOTHING"),
        ("tiny_engine:open_tiny", "is a function, not an Engine"),
    ],
)
def test_broken_engine_is_left_out_and_refused_by_name(ship, affine_file, caplog, target, says):
    ship("tiny-engine", target)
    assert list_engines(opens=ONNX, on_cpu=True) == ("onnxruntime", "openvino")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("The engine tiny was left out: ")
    with pytest.raises(EngineError, match=f"'tiny' of the package 'tiny-engine'.*{says}"):
        open_session(affine_file, engine="tiny")


def test_unknown_engine_is_suggested_among_those_of_other_packages(ship):
    ship("tiny-engine", "tiny_engine:ENGINE")
    with pytest.raises(UsageError, match="Did you mean 'tiny'"):
        get_engine("tinny")


def test_without_metadata_the_hint_is_to_install_again(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(EngineError, match="metadata of hot-sdk is missing"):
        list_engines()
