"""Every published network against the outputs of its authors' own code, at its published size."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import build, family, list_models, resolve

GOLDEN = Path(__file__).parents[2] / "golden"
PREFIX = {Variant.PLAIN: "", Variant.HOT: "hot_", Variant.TPC: "tpc_"}
PUBLISHED = [
    (name, variant) for name in list_models() for variant in (Variant.PLAIN, *family(name).pruning)
]
# Published networks whose authors' outputs are not at hand, each with the reason.
WITHOUT_GOLDEN: dict[tuple[str, Variant], str] = {
    ("mhformer", Variant.HOT): "not published: the variant is this SDK's own",
    ("motionbert", Variant.TPC): "its authors published its operations, not its code",
    ("nanohtnet", Variant.PLAIN): "the authors' code was read, not run; see test_nanohtnet.py",
}
# Published sizes that the authors' outputs were made at, where that is not the default one.
SIZES = {"motionagformer": "hot"}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
# Which frames are most similar is a choice that rounding can turn: in float32 the authors' own code
# differs from itself in float64 by 7e-3.
TOLERANCE_IN_FLOAT32 = {"motionagformer": 1e-2}


def file_name(name, variant):
    return f"{PREFIX[variant]}{name}-s7"


def drawn(seed, key, shape):
    """One weight, by the recipe in the folder's README."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    n = np.random.default_rng(int.from_bytes(digest[:8], "little")).standard_normal(shape)
    last = key.split(".")[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape)
    if last == "running_var":
        return 1 + 0.1 * np.abs(n)
    if key.endswith(".W"):
        return n / math.sqrt(shape[1])
    if last == "weight" and len(shape) > 1:
        return n / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * n if last == "weight" else 0.1 * n


@dataclass(frozen=True)
class Case:
    name: str
    network: object
    config: dict
    shapes: dict
    weights: dict
    outputs: dict
    expected: dict


@pytest.fixture(scope="module", params=PUBLISHED, ids=lambda case: file_name(*case))
def case(request):
    """The network and what it computes, once in each precision."""
    if request.param in WITHOUT_GOLDEN:
        pytest.skip(WITHOUT_GOLDEN[request.param])
    name, variant = request.param
    path = GOLDEN / file_name(name, variant)
    described = json.loads(path.with_suffix(".json").read_text())
    shapes = {key: tuple(shape) for key, shape in described["state_dict"].items()}
    weights = {
        key: torch.from_numpy(np.asarray(drawn(described["seed"], key, shape)))
        for key, shape in shapes.items()
    }
    network = (
        build(resolve(name, size=SIZES.get(name), variant=variant)).requires_grad_(False).double()
    )
    network.load_state_dict(weights, strict=True)
    with np.load(path.with_suffix(".npz")) as expected:
        arrays = {key: expected[key] for key in expected.files}
    keypoints = torch.from_numpy(arrays["x"])
    outputs = {dtype: network.to(dtype)(keypoints.to(dtype)) for dtype in TOLERANCE}
    return Case(name, network, described["config"], shapes, weights, outputs, arrays)


def test_every_published_network_has_a_case():
    files = {path.stem for path in GOLDEN.glob("*.json")}
    covered = {file_name(*network) for network in PUBLISHED if network not in WITHOUT_GOLDEN}
    assert files == covered
    assert files == {path.stem for path in GOLDEN.glob("*.npz")}
    assert {*WITHOUT_GOLDEN} <= {*PUBLISHED}
    unseen = {*list_models()} - {name for name, _ in {*PUBLISHED} - {*WITHOUT_GOLDEN}}
    assert unseen == {"nanohtnet"}


def test_state_dict_is_that_of_the_authors(case):
    assert {key: tuple(value.shape) for key, value in case.network.state_dict().items()} == (
        case.shapes
    )


def test_published_settings_are_those_of_the_authors(case):
    stages = case.network.spec.stages
    assert case.network.frames == case.config["frames"]
    if "token_num" in case.config:
        (stage,) = stages
        assert stage.tokens == case.config["token_num"]
        assert stage.prune_at == case.config["layer_index"]
    assert (stages == ()) == ("index" not in case.expected)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_outputs_are_those_of_the_authors(case, dtype):
    poses, index = case.outputs[dtype]
    assert poses.dtype == dtype
    assert poses.shape == case.expected["y"].shape
    if index is None:
        assert "index" not in case.expected
    else:
        np.testing.assert_array_equal(index.numpy(), case.expected["index"])
    tolerance = TOLERANCE[dtype]
    if dtype == torch.float32:
        tolerance = TOLERANCE_IN_FLOAT32.get(case.name, tolerance)
    np.testing.assert_allclose(poses.numpy(), case.expected["y"], atol=tolerance, rtol=0)


def test_random_weights_are_those_of_the_recipe(case):
    ours = random_state_dict(case.network, seed=7)
    assert list(ours) == list(case.network.state_dict())
    assert ours.keys() == case.weights.keys()
    for key, value in ours.items():
        assert torch.equal(value, case.weights[key]), key
