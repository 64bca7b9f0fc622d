"""The family of docs/adding-a-model.md, added as the page says."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import create_model, family, infer_shape, registry
from hot_sdk.export.models import families as published

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
SMALL = {"width": 32, "depth": 4, "heads": 4, "mlp_hidden": 48}


@pytest.fixture(scope="module")
def added():
    """The page's two blocks of code: the module, and the entry."""
    module_text, entry_text = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    name = "hot_sdk.export.models.joint_mixer"
    module = ModuleType(name)
    exec(compile(module_text, str(PAGE), "exec"), vars(module))
    entry = eval(entry_text, {**vars(published), "Variant": Variant})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)
        patch.setitem(registry._BY_NAME, entry.name, entry)
        yield entry


def test_is_a_family_like_the_others(added):
    assert "joint_mixer" in registry.list_models()
    assert family("joint_mixer") is added
    network = create_model("joint_mixer", ratio=0.5, **SMALL)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = infer_shape("joint_mixer", shapes)
    assert (found.frames, found.joints, found.tokens) == (81, 17, 41)
    assert found.config == {"channels": 2, "width": 32, "depth": 4, "mlp_hidden": 48}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": 0.5, "prune_at": 1, "batch": None},
        {"ratio": 0.5, "recovery": "interpolate", "selector": "attention"},
        {"ratio": (0.7, 0.4), "prune_at": (1, 3), "flip": True},
        {"variant": "tpc", "token_index": True},
    ],
)
def test_exports_and_lifts(added, options, tmp_path):
    torch.manual_seed(0)
    trained = create_model(
        "joint_mixer",
        **{key: options[key] for key in ("ratio", "recovery", "prune_at") if key in options},
        **SMALL,
    )
    if options.get("variant") == "tpc":
        trained = create_model("joint_mixer", **SMALL)
    checkpoint = tmp_path / "mixer.pth"
    torch.save(trained.state_dict(), checkpoint)
    target = tmp_path / "mixer.onnx"
    config = {"heads": SMALL["heads"]}
    result = export_model(
        ExportRequest("joint_mixer", checkpoint=checkpoint, output=target, config=config, **options)
    )
    assert result.manifest.family == "joint_mixer"
    points = np.cumsum(np.random.default_rng(1).normal(size=(100, 17, 2)), axis=0) + 300.0
    keypoints = Keypoints(
        points, np.ones((100, 17)), skeleton="h36m17", image_size=(640, 480), fps=50.0
    )
    with Pose3DEngine(target, threads=1) as engine:
        assert engine(keypoints).poses.shape == (100, 17, 3)
