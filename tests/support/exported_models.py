"""Small networks of every family, each exported once for all tests that need a file."""

import fcntl
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

from small_networks import small_frames, small_size

from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.models import family, list_models

FRAMES = 27


def small_request(model, **options):
    """A request for a network that exports in seconds."""
    # One block before frames are pruned and one after each time: a block more takes a third longer.
    depth = 3 if options.get("prune_at") == (1, 2) else 2
    config = small_size(model, **{"depth": depth, **options.pop("config", {})})
    options.setdefault("random_weights", "checkpoint" not in options)
    variant = options.get("variant") or ("hot" if options.get("ratio") else "plain")
    if variant != "plain":
        options.setdefault("prune_at", 1)
    return ExportRequest(model=model, frames=small_frames(model, FRAMES), config=config, **options)


# What a user can ask for, each at least once, and each opset.
EXPORTS = {
    "plain": {"opset": 20},
    "hot": {"ratio": 0.5, "token_index": True, "opset": 20},
    "hot-17-batch-any": {"ratio": 0.5, "batch": None, "token_index": True, "opset": 17},
    "hot-flip-batch-any": {"ratio": 0.4, "batch": None, "flip": True, "opset": 18},
    "tpc-flip-batch-2": {"variant": "tpc", "batch": 2, "flip": True},
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
    "uniform": {"ratio": 0.3, "selector": "uniform", "token_index": True},
    "tpc": {"variant": "tpc", "ratio": 0.3},
    "confidence": {"ratio": 0.5, "config": {"channels": 3}},
    "stages": {
        "ratio": (0.7, 0.4),
        "prune_at": (1, 2),
        "selector": ("tpc", "attention"),
        "token_index": True,
        "batch": 2,
    },
    "stages-uniform-interpolate-batch-any": {
        "ratio": (0.7, 0.4),
        "prune_at": (1, 2),
        "selector": "uniform",
        "recovery": "interpolate",
        "batch": None,
        "token_index": True,
    },
    "stages-tpc-flip-batch-any": {
        "variant": "tpc",
        "ratio": (0.7, 0.4),
        "prune_at": (1, 2),
        "selector": ("motion", "uniform"),
        "batch": None,
        "flip": True,
    },
}


@dataclass(frozen=True)
class Exported:
    """One exported file."""

    request: ExportRequest
    path: Path
    result: object


# The family that is exported in every way. The others are in those that depend on their own code:
# each variant, one window and more, mirrored or not, the oldest opset and the newest, stages.
IN_EVERY_WAY = "mixste"
FOR_EVERY_FAMILY = ("plain", "hot-17-batch-any", "tpc-flip-batch-2", "stages")


def cases():
    """Every family in the ways of exporting it that it has."""
    for model in list_models():
        variants = {"plain", *(variant.value for variant in family(model).pruning)}
        for name, options in EXPORTS.items():
            wanted = options.get("variant") or ("hot" if "ratio" in options else "plain")
            if wanted in variants and (model == IN_EVERY_WAY or name in FOR_EVERY_FAMILY):
                yield model, name


_made = {}


def export_case(model, name, tmp_path_factory):
    """Export a case, once in a session, in whichever of its processes asks first."""
    if (model, name) not in _made:
        folder = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parent
        folder = folder / "exported"
        folder.mkdir(exist_ok=True)
        path = folder / f"{model}-{name}.onnx"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _made[model, name] = _exported(model, name, path)
    return _made[model, name]


def _exported(model, name, path):
    request, kept = small_request(model, output=path, **EXPORTS[name]), path.with_suffix(".pickle")
    if not kept.exists():
        # Of a process of the same session, so that it may be unpickled.
        kept.write_bytes(pickle.dumps(export_model(request)))
    return Exported(request, path, pickle.loads(kept.read_bytes()))
