"""MotionBERT: its checkpoints, windows shorter than those of training, its two streams."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import small_size
from torch.testing import assert_close

from hot_sdk.engines import open_session
from hot_sdk.errors import CheckpointError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict, resolve_spec_for_checkpoint
from hot_sdk.export.checkpoints.reader import TrainingRecord
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import build, create_model, infer_shape, resolve
from hot_sdk.manifest import read_manifest

SMALL = small_size("motionbert")
FRAMES = 27

pytestmark = pytest.mark.usefixtures("one_thread")


def shapes_of(spec):
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build(spec).state_dict().items()}


@pytest.mark.parametrize("size", ["lite", "full"])
@pytest.mark.parametrize("variant", [Variant.PLAIN, Variant.HOT])
def test_sizes_are_read_off_published_shapes(size, variant):
    spec = resolve("motionbert", size=size, variant=variant)
    found = infer_shape("motionbert", shapes_of(spec))
    assert (found.frames, found.joints, found.variant) == (243, 17, variant)
    assert replace(spec.size, **found.config) == spec.size
    assert found.tokens == spec.tokens
    assert found.time_embedding == ("temp_embed" if variant is Variant.PLAIN else None)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("temp_embed", None, "it has no 'temp_embed'"),
        ("temp_embed", (1, 243, 256), "'temp_embed' is"),
        ("pre_logits.fc.weight", (512, 255), "'pre_logits.fc.weight' is"),
        ("head.weight", (3, 256), "'head.weight' is"),
        ("blocks_ts.4.mlp_t.fc1.weight", (512, 256), "'blocks_ts.4.mlp_t.fc1.weight' is"),
    ],
)
def test_rejects_other_shapes(key, shape, message):
    shapes = shapes_of(resolve("motionbert"))
    if shape is None:
        del shapes[key]
    else:
        shapes[key] = shape
    with pytest.raises(CheckpointError, match=message):
        infer_shape("motionbert", shapes)


# What its checkpoints do not say.
STATED = {"config": {"heads": SMALL["heads"]}, "trained_on": "h36m", "root_relative": True}


def saved(path, **options):
    network = create_model("motionbert", frames=FRAMES, **SMALL, **options)
    network.load_state_dict(random_state_dict(network))
    weights = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 60, "lr": 1e-4, "model_pos": weights, "min_loss": 37.2}, path)
    return network


def test_an_official_checkpoint_serves_shorter_windows(tmp_path):
    trained = saved(tmp_path / "best_epoch.bin")
    target = tmp_path / "short.onnx"
    options = {"checkpoint": tmp_path / "best_epoch.bin", **STATED}
    export_model(ExportRequest("motionbert", frames=9, output=target, **options))
    manifest = read_manifest(target)
    assert (manifest.frames, manifest.channels, manifest.unit) == (9, 3, "normalized_px")
    short = create_model("motionbert", frames=9, **SMALL)
    weights = trained.state_dict()
    short.load_state_dict({**weights, "temp_embed": weights["temp_embed"][:, :9]})
    keypoints = torch.rand(1, 9, 17, 3, generator=torch.Generator().manual_seed(2))
    with open_session(target) as session, torch.no_grad():
        lifted = session.run({"keypoints_2d": keypoints.numpy()})["poses_3d"]
        np.testing.assert_allclose(lifted, short(keypoints)[0].numpy(), atol=1e-5)
    with pytest.raises(CheckpointError, match="trained with frames = 27, but 81"):
        export_model(ExportRequest("motionbert", frames=81, **options))


def test_a_short_window_that_keeps_every_frame_prunes_nothing():
    """The pruning of a training record applies only to windows that are pruned."""
    found = infer_shape("motionbert", shapes_of(resolve("motionbert", frames=FRAMES, **SMALL)))
    training = TrainingRecord(50.0, SMALL["heads"], 2, "none", credit=None, limits=None)
    whole, pruned = (ExportRequest("motionbert", frames=9, tokens=tokens) for tokens in (9, 5))
    assert resolve_spec_for_checkpoint(whole, found, training).stages == ()
    (stage,) = resolve_spec_for_checkpoint(pruned, found, training).stages
    assert (stage.prune_at, stage.tokens) == (2, 5)


def test_a_recovering_checkpoint_serves_only_its_own_windows(tmp_path):
    saved(tmp_path / "hot.bin", tokens=9, prune_at=1)
    options = {"checkpoint": tmp_path / "hot.bin", **STATED}
    with pytest.raises(CheckpointError, match="trained with frames = 27, but 9"):
        export_model(ExportRequest("motionbert", frames=9, **options))
    target = tmp_path / "hot.onnx"
    export_model(ExportRequest("motionbert", output=target, **options))
    assert read_manifest(target).tokens == 9


def test_the_streams_are_blended_by_their_shares():
    """With all weight on one stream, the other's weights have no say."""
    network = create_model("motionbert", frames=FRAMES, **SMALL)
    network.load_state_dict(random_state_dict(network))
    for blend in network.ts_attn:
        blend.weight.data.zero_()
        blend.bias.data.copy_(torch.tensor([40.0, -40.0]))
    keypoints = torch.rand(1, FRAMES, 17, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = network(keypoints)[0]
        for parameter in network.blocks_ts.parameters():
            parameter.mul_(1.5)
        assert_close(network(keypoints)[0], before)
        for parameter in network.blocks_st.parameters():
            parameter.mul_(1.5)
        assert (network(keypoints)[0] - before).abs().max() > 1e-3
