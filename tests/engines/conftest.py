"""The engines that can run here, and what most tests run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import make_affine

from hot_sdk.engines import AUTO, DEFAULT_ENGINE, list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import MissingDependencyError


@pytest.fixture
def affine_file(tmp_path) -> Path:
    path = tmp_path / "affine.onnx"
    path.write_bytes(make_affine(metadata={"author": "tests"}).SerializeToString())
    return path


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32)


@pytest.fixture(params=[*list_engines(opens=ONNX, on_cpu=True), AUTO])
def engine(request) -> str:
    """Every engine of ONNX files that runs on CPUs and is installed, and the choice among them."""
    try:
        open_session(make_affine().SerializeToString(), engine=request.param).close()
    except MissingDependencyError as error:
        if request.param == DEFAULT_ENGINE:
            raise
        pytest.skip(str(error))
    return request.param
