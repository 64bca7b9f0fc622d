"""The engines that can run here, and what most tests run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import make_affine

from hot_sdk.engines import DEFAULT_ENGINE, list_engines, open_session
from hot_sdk.errors import MissingDependencyError


@pytest.fixture
def affine_file(tmp_path) -> Path:
    path = tmp_path / "affine.onnx"
    path.write_bytes(make_affine(metadata={"author": "tests"}).SerializeToString())
    return path


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32)


@pytest.fixture(params=list_engines(on_cpu=True))
def engine(request) -> str:
    """Every engine that runs on CPUs and whose library is installed; the default one always is."""
    try:
        open_session(make_affine().SerializeToString(), engine=request.param).close()
    except MissingDependencyError as error:
        if request.param == DEFAULT_ENGINE:
            raise
        pytest.skip(str(error))
    return request.param
