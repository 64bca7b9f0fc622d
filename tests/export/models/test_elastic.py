"""One checkpoint for every ratio: its weights, its exports, and what is rejected."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hot_sdk._base.records import to_json
from hot_sdk.engines import open_session
from hot_sdk.errors import CheckpointError, UsageError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.checkpoints.reader import KEY, TrainingRecord, read_checkpoint
from hot_sdk.export.models import build, create_model, infer_shape, resolve
from hot_sdk.manifest import KEYPOINTS, POSES, read_manifest

FRAMES = 27
SIZE = {"width": 32, "depth": 3, "heads": 4, "mlp_hidden": 48, "stem": 64}
RECORD = TrainingRecord(30.0, 4, 1, "Apache-2.0", "the performers", "little data")


def elastic(**options):
    options.setdefault("ratio", 0.5)
    return create_model("mixste", frames=FRAMES, prune_at=1, elastic=True, **SIZE, **options)


def saved(path, record=RECORD, **options):
    state = random_state_dict(elastic(**options))
    text = {} if record is None else {KEY: record if isinstance(record, str) else to_json(record)}
    save_file({key: value.float().contiguous() for key, value in state.items()}, path, text)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("elastic") / "elastic.safetensors")


def test_the_weights_do_not_depend_on_the_ratio():
    shapes = [
        {key: tuple(value.shape) for key, value in elastic(ratio=ratio).state_dict().items()}
        for ratio in (0.2, 0.5, 0.9)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    found = infer_shape("mixste", shapes[0])
    assert (found.elastic, found.tokens, found.config["stem"]) == (True, None, 64)


def test_a_network_without_stem_has_the_published_keys():
    keys = create_model("mixste", frames=FRAMES, ratio=0.5, prune_at=1, depth=3).state_dict()
    assert not any(key.startswith(("stem.", "guess_trust.")) for key in keys)
    assert keys["pos_embed_token"].shape[1] == 14


@pytest.mark.usefixtures("one_thread")
def test_kept_tokens_carry_their_own_time():
    """With rank embeddings the same frames in other company would get other embeddings."""
    network = elastic()
    network.load_state_dict(random_state_dict(network))
    tokens = torch.zeros(1, FRAMES, 17, SIZE["width"])
    index = torch.tensor([[3, 7, 20]])
    kept, _ = network.prune(tokens, torch.zeros(1, FRAMES, 17, 2), (), index)
    assert torch.equal(kept[0, :, 0], network.pos_embed_token[0, [3, 7, 20]])


@pytest.mark.usefixtures("one_thread")
def test_dropped_frames_keep_what_the_stem_knows():
    """Dropped frames that differ give poses that differ, though only the kept ones are attended."""
    network = elastic()
    network.load_state_dict(random_state_dict(network))
    keypoints = torch.randn(1, FRAMES, 17, 2, generator=torch.Generator().manual_seed(1))
    moved = keypoints.clone()
    moved[:, 5] += 0.3
    index = torch.arange(0, FRAMES, 2).unsqueeze(0)
    with torch.inference_mode():
        change = (network(keypoints, index)[0] - network(moved, index)[0]).norm(dim=-1).mean((0, 2))
    assert int(change.argmax()) == 5


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("trust", "share"), [(0.0, 0.0), (1.0, 0.5), (1e15, 1.0)])
def test_weight_of_the_stems_guess_falls_with_jitter(trust, share):
    """It is 0.5 at the jitter that the network learned."""
    network = elastic()
    network.load_state_dict(random_state_dict(network))
    keypoints = torch.randn(1, FRAMES, 17, 2, generator=torch.Generator().manual_seed(1))
    index = torch.arange(0, FRAMES, 2).unsqueeze(0)
    with torch.inference_mode():
        guess = network.stem(keypoints)[1]
        jitter = guess.diff(n=2, dim=1).abs().mean(dim=(0, 1, 3))
        network.guess_trust.weight.zero_()
        network.guess_trust.bias.fill_(float((trust * jitter[5]).log().clamp(min=-40.0)))
        network.head[1].weight.zero_()
        network.head[1].bias.zero_()
        poses = network(keypoints, index)[0]
    smooth = (guess[:, :-1:2] + guess[:, 2::2]) / 2.0
    expected = smooth + share * (guess[:, 1::2] - smooth)
    torch.testing.assert_close(poses[:, ::2], guess[:, ::2])
    torch.testing.assert_close(poses[:, 1::2, 5], expected[:, :, 5])


@pytest.mark.usefixtures("one_thread")
def test_attention_corrects_what_is_interpolated():
    network = elastic()
    network.load_state_dict(random_state_dict(network))
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(1, 3, 17, SIZE["width"], generator=generator)
    kept = torch.tensor([[4, 8, 20]])
    with torch.inference_mode():
        attended = network.cross_attention(network.x_token, tokens)
        correction = attended + network.x_token.unsqueeze(2)
        found = network.recover(tokens, (kept,)) - correction
    torch.testing.assert_close(found[:, kept[0]], tokens)
    torch.testing.assert_close(found[:, 5], 0.75 * tokens[:, 0] + 0.25 * tokens[:, 1])
    torch.testing.assert_close(found[:, -1], tokens[:, 2])


@pytest.mark.usefixtures("one_thread")
def test_stem_is_invariant_to_place_and_size():
    """A body that is twice as large elsewhere differs in three inputs only."""
    stem = elastic().stem
    keypoints = torch.randn(1, 2, 17, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        stem.enter.weight[:, 34:] = 0.0
    torch.testing.assert_close(stem(2.0 * keypoints + 0.5)[1], stem(keypoints)[1])
    assert torch.isfinite(stem(torch.zeros(1, 2, 17, 2))[1]).all()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 9),
        ({"ratio": 0.3}, 8),
        ({"ratio": 1.0}, None),
        ({"tokens": 20, "selector": "uniform", "batch": None}, 20),
        ({"ratio": 0.5, "recovery": "interpolate", "prune_at": 2}, 14),
        ({"ratio": 0.5, "flip": True, "opset": 17}, 14),
        ({"variant": "tpc", "ratio": 0.5}, 14),
    ],
)
def test_one_checkpoint_exports_at_any_ratio(checkpoint, tmp_path, options, kept):
    target = tmp_path / "model.onnx"
    export_model(ExportRequest("mixste", checkpoint=checkpoint, output=target, **options))
    manifest = read_manifest(target)
    assert (manifest.tokens, manifest.frames, manifest.training_fps) == (kept, FRAMES, 30.0)
    blocks = [] if kept is None else [options.get("prune_at", 1)]
    assert [stage.prune_at for stage in manifest.stages] == blocks
    assert (manifest.license, manifest.weights.credit) == ("Apache-2.0", "the performers")
    assert manifest.weights.limits == "little data"
    with open_session(target) as session:
        poses = session.run({KEYPOINTS: np.full((1, FRAMES, 17, 2), 0.1, np.float32)})[POSES]
    assert np.isfinite(poses).all()


def test_options_replace_a_missing_training_record(tmp_path):
    path = saved(tmp_path / "silent.safetensors", record=None)
    assert read_checkpoint(path).training is None
    target = tmp_path / "model.onnx"
    request = ExportRequest(
        "mixste",
        checkpoint=path,
        ratio=0.5,
        prune_at=2,
        config={"heads": 4},
        trained_on="h36m",
        output=target,
    )
    export_model(request)
    assert [stage.prune_at for stage in read_manifest(target).stages] == [2]
    assert read_manifest(target).training_fps == 50.0


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "{}",
        json.dumps({**vars(RECORD), "fps": 0.0}),
        json.dumps({**vars(RECORD), "heads": 0}),
        json.dumps({**vars(RECORD), "prune_at": -1}),
    ],
)
def test_rejects_a_broken_training_record(tmp_path, text):
    path = saved(tmp_path / "broken.safetensors", record=text)
    with pytest.raises(CheckpointError, match="training record of"):
        read_checkpoint(path)


def test_rejects_options_that_contradict_the_training(checkpoint):
    with pytest.raises(CheckpointError, match="heads = 4, but 8 was requested"):
        export_model(ExportRequest("mixste", checkpoint=checkpoint, config={"heads": 8}))
    with pytest.raises(CheckpointError, match="no rank embedding"):
        export_model(ExportRequest("mixste", checkpoint=checkpoint, resample_tokens=True))
    with pytest.raises(UsageError, match="stem is 5000"):
        resolve("mixste", stem=5000)


def test_elastic_applies_only_to_recovery_by_attention():
    for options in ({"variant": "tpc"}, {"recovery": "interpolate"}, {"ratio": 1.0}):
        options = {"ratio": 0.5, "prune_at": 1, **options}
        if options["ratio"] == 1.0:
            del options["prune_at"]
        spec = resolve("mixste", frames=FRAMES, elastic=True, **options)
        assert not spec.elastic
    spec = resolve("mixste", frames=FRAMES, ratio=0.5, elastic=True)
    assert spec.elastic
    assert build(spec).pos_embed_token.shape[1] == FRAMES
