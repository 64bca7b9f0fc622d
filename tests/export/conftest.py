"""Small networks of every family, exported once for all tests that look at exported files."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.models import family, list_models

SMALL = {"width": 32, "depth": 3, "heads": 4, "mlp_hidden": 48}
FRAMES = 27


def small_request(model, **options):
    """A request for a network that exports in seconds."""
    config = {**SMALL, **options.pop("config", {})}
    options.setdefault("random_weights", "checkpoint" not in options)
    variant = options.get("variant") or ("hot" if options.get("ratio") else "plain")
    if variant != "plain":
        options.setdefault("prune_at", 1)
    return ExportRequest(model=model, frames=FRAMES, config=config, **options)


# What a user can ask for, each at least once, and each opset.
EXPORTS = {
    "plain": {"opset": 20},
    "hot": {"ratio": 0.5, "token_index": True, "opset": 20},
    "hot-17-batch-any": {"ratio": 0.5, "batch": None, "token_index": True, "opset": 17},
    "hot-flip-batch-any": {"ratio": 0.4, "batch": None, "flip": True, "opset": 18},
    "tpc-flip-batch-2": {"variant": "tpc", "batch": 2, "flip": True, "token_index": True},
    "motion-interpolate": {
        "ratio": 0.3,
        "selector": "motion",
        "recovery": "interpolate",
        "batch": 3,
        "opset": 19,
    },
    "uniform-interpolate": {
        "ratio": 0.3,
        "selector": "uniform",
        "recovery": "interpolate",
        "batch": None,
        "token_index": True,
    },
    "confidence": {"ratio": 0.5, "config": {"channels": 3}},
}


@dataclass(frozen=True)
class Exported:
    """One exported file."""

    request: ExportRequest
    path: Path
    result: object


def _cases():
    for model in list_models():
        variants = {"plain", *(variant.value for variant in family(model).pruning)}
        for name, options in EXPORTS.items():
            wanted = options.get("variant") or ("hot" if "ratio" in options else "plain")
            if wanted in variants:
                yield model, name


@pytest.fixture(scope="session", params=list(_cases()), ids="-".join)
def exported(request, tmp_path_factory):
    """Every family in every way of exporting it."""
    model, name = request.param
    return export_case(model, name, tmp_path_factory)


_made = {}


def export_case(model, name, tmp_path_factory):
    """Export a case, once in a session."""
    if (model, name) not in _made:
        path = tmp_path_factory.mktemp("exported") / f"{model}-{name}.onnx"
        asked = small_request(model, output=path, **EXPORTS[name])
        _made[model, name] = Exported(asked, path, export_model(asked))
    return _made[model, name]


@pytest.fixture(scope="session")
def hot_export(tmp_path_factory):
    """One pruned network, for tests that need a file but do not ask which."""
    return export_case("mixste", "hot", tmp_path_factory)


@pytest.fixture
def one_thread():
    """Two threads cost more than they save on arrays and networks as small as some tests'."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _few_threads():
    torch.set_num_threads(2)
