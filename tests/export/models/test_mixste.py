"""Sizes read off the state-dicts of the published networks."""

import json
from pathlib import Path

import pytest

from hot_sdk.errors import CheckpointError
from hot_sdk.export.enums import Variant
from hot_sdk.export.models.mixste import infer_shape
from hot_sdk.export.models.weight_shapes import CheckpointShape

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(family):
    content = json.loads((GOLDEN / f"{family}-s7.json").read_text())
    return {key: tuple(shape) for key, shape in content["state_dict"].items()}


@pytest.mark.parametrize(
    ("family", "variant", "tokens"),
    [
        ("mixste", Variant.PLAIN, None),
        ("hot_mixste", Variant.HOT, 81),
        ("tpc_mixste", Variant.PLAIN, None),
    ],
)
def test_published_networks(family, variant, tokens):
    assert infer_shape(golden(family)) == CheckpointShape(
        frames=243,
        joints=17,
        config={"channels": 2, "width": 512, "depth": 8, "mlp_hidden": 1024},
        variant=variant,
        tokens=tokens,
    )


def small():
    stream = {
        f"{name}.{block}.mlp.fc1.weight": (48, 16)
        for name in ("STEblocks", "TTEblocks")
        for block in range(11)
    }
    return {
        "Spatial_pos_embed": (1, 15, 16),
        "Temporal_pos_embed": (1, 27, 16),
        "Spatial_patch_to_embedding.weight": (16, 3),
        **stream,
    }


def test_other_sizes():
    assert infer_shape(small()) == CheckpointShape(
        27, 15, {"channels": 3, "width": 16, "depth": 11, "mlp_hidden": 48}, Variant.PLAIN, None
    )


@pytest.mark.parametrize(
    "key",
    [
        "Spatial_pos_embed",
        "Temporal_pos_embed",
        "Spatial_patch_to_embedding.weight",
        "STEblocks.0.mlp.fc1.weight",
        "STEblocks.10.mlp.fc1.weight",
        "TTEblocks.4.mlp.fc1.weight",
        "TTEblocks.10.mlp.fc1.weight",
    ],
)
def test_missing_key_is_named(key):
    shapes = small()
    del shapes[key]
    with pytest.raises(CheckpointError, match=f"it has no '{key}'"):
        infer_shape(shapes)


@pytest.mark.parametrize(
    "key",
    ["pos_embed_token", "x_token", "cross_attention.linear_k.bias", "cross_attention.proj.weight"],
)
def test_part_of_the_hourglass_is_missing(key):
    shapes = golden("hot_mixste")
    del shapes[key]
    with pytest.raises(CheckpointError, match=f"it has no '{key}'"):
        infer_shape(shapes)


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("Spatial_pos_embed", (17, 16), r"\(1, any, any\)"),
        ("Spatial_pos_embed", (2, 17, 16), r"\(1, any, any\)"),
        ("Spatial_pos_embed", (1, 0, 16), r"\(1, any, any\)"),
        ("Temporal_pos_embed", (1, 27, 17), r"\(1, any, 16\)"),
        ("Spatial_patch_to_embedding.weight", (17, 3), r"\(16, any\)"),
        ("TTEblocks.3.mlp.fc1.weight", (49, 16), r"\(48, 16\)"),
    ],
)
def test_contradicting_shape(key, shape, expected):
    shapes = {**small(), key: shape}
    with pytest.raises(CheckpointError, match=f"'{key}' is .*, not {expected}"):
        infer_shape(shapes)


def test_recovered_frames_are_those_of_the_window():
    shapes = {**golden("hot_mixste"), "x_token": (1, 81, 512)}
    with pytest.raises(CheckpointError, match=r"'x_token' is .*, not \(1, 243, 512\)"):
        infer_shape(shapes)


def test_another_architecture():
    with pytest.raises(CheckpointError, match="not one of MixSTE: it has no 'Spatial_pos_embed'"):
        infer_shape({"layers.0.weight": (3, 3)})
