"""A plain network of every family that prunes gets an hourglass, for a few steps on tiny data."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import save_h36m
from small_networks import small_size

from hot_sdk.benchmarks.evaluation.data_sets.human36m import TRAINING_SUBJECTS, load_human36m
from hot_sdk.export import ExportRequest
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.export.enums import Variant
from hot_sdk.export.models import create_model, family, list_models
from hot_sdk.export.models.families import Unit
from hot_sdk.export.pipeline import prepare
from hot_sdk.manifest import read_manifest

FOLDER = Path(__file__).parents[2] / "examples" / "finetune_hot"
FAMILIES = [name for name in list_models() if Variant.HOT in family(name).pruning]
FRAMES = 9


@pytest.fixture
def script(monkeypatch):
    """The script's modules, under names that no other example has."""
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h36m")
    recordings = dict.fromkeys(TRAINING_SUBJECTS, ("WalkDog 1",))
    save_h36m(folder, detections=("gt",), recordings=recordings)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A checkpoint of a plain network of a family, under its published keys."""
    folder = tmp_path_factory.mktemp("plain")

    def made(name):
        path = folder / f"{name}.pth"
        if not path.exists():
            state = random_state_dict(create_model(name, frames=FRAMES, **small_size(name)))
            torch.save({key: value.float() for key, value in state.items()}, path)
        return path

    return made


@pytest.fixture
def run(script, plain, data, tmp_path):
    """Run the script on a family, and return its folder."""

    def trained(name, folder, *options, checkpoint=None, expected=0):
        output = tmp_path / folder
        arguments = [name, str(checkpoint or plain(name)), str(data), str(output)]
        heads = f"--set=heads={small_size(name)['heads']}"
        if family(name).root_relative is None:
            arguments.append("--root-relative=yes")
        common = (heads, "--detections=gt", "--prune-at=1", "--threads=1", "--batch=20")
        steps = ("--stride=9", "--epochs=4", "--rate=3e-3")
        assert script("finetune_hot").main([*arguments, *common, *steps, *options]) == expected
        return output

    return trained


def accepted(name, checkpoint, **options):
    """Prepare the export of weights with no more options than these."""
    request = ExportRequest(name, checkpoint=checkpoint, output=Path("new.onnx"), **options)
    return prepare(request).spec


@pytest.mark.parametrize("name", FAMILIES)
def test_one_ratio(name, run, plain):
    whole = run(name, "whole")
    losses = re.findall(r"loss (\S+),", (whole / "train.log").read_text())
    assert float(losses[-1]) < 0.9 * float(losses[0])
    tuned = read_checkpoint(whole / "hot.safetensors")
    size = small_size(name)
    published = create_model(name, frames=FRAMES, variant="hot", prune_at=1, **size)
    assert tuned.tensors.keys() == published.state_dict().keys()
    assert accepted(name, tuned.path) == published.spec

    # Stopped in the middle of an epoch and run again, it is the same to the last bit.
    interrupted = run(name, "interrupted", "--stop-after=4")
    assert not (interrupted / "train.log").read_text().count("epoch 2 step 3")
    run(name, "interrupted", "--stop-after=8")
    assert read_checkpoint(interrupted / "hot.safetensors").sha256 == tuned.sha256


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ratios", ["--ratio=0.4,0.7", "--ratio=0.4"], ids=["elastic", "one"])
def test_what_is_frozen_does_not_move(name, ratios, run, plain):
    folder = run(name, "frozen", "--freeze", ratios, "--epochs=1")
    tuned, before = read_checkpoint(folder / "hot.safetensors"), read_checkpoint(plain(name))
    kept = [
        key for key, tensor in before.tensors.items() if tensor.shape == tuned.tensors[key].shape
    ]
    assert len(kept) > 0.9 * len(before.tensors)
    for key in kept:
        assert torch.equal(tuned.tensors[key], before.tensors[key]), key
    untrained = tuned.tensors["cross_attention.proj.bias"]
    assert untrained.abs().min() > 0.0
    elastic = "," in ratios
    spec = accepted(name, tuned.path, ratio=0.6 if elastic else None)
    assert (spec.elastic, spec.tokens) == (elastic, 5 if elastic else 4)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_elastic_recovery_begins_as_interpolation(name, script, plain):
    size = small_size(name)
    options = {"frames": FRAMES, "ratio": 0.4, "prune_at": 1, **size}
    network = create_model(name, elastic=True, **options)
    checkpoint = read_checkpoint(plain(name))
    added = script("finetune_hot").add_hourglass(network, checkpoint)
    assert added == network.state_dict().keys() - checkpoint.tensors.keys()
    interpolating = create_model(name, recovery="interpolate", **options)
    interpolating.load_state_dict(checkpoint.tensors)
    window = torch.rand(2, FRAMES, 17, network.spec.size.channels)
    with torch.inference_mode():
        torch.testing.assert_close(network(window)[0], interpolating(window)[0])


def test_every_ratio_is_exported(run):
    folder = run("mixste", "elastic", "--ratio=0.5,1", "--epochs=1", "--export")
    manifest = read_manifest(folder / "hot_r0.50.onnx")
    assert (manifest.tokens, manifest.trained_on, manifest.training_fps) == (5, "h36m", 50.0)
    assert [path.name for path in folder.glob("*.onnx")] == ["hot_r0.50.onnx"]


def test_absolute_networks_stay_absolute(run, plain):
    folder = run("motionbert", "absolute", "--root-relative=no", "--epochs=1")
    assert not accepted("motionbert", folder / "hot.safetensors").root_relative


def test_targets_are_in_the_networks_unit(script, data):
    clip = load_human36m(data, detections="gt", subjects=["S5"])[0]
    windows = script("windows")
    assert windows.poses_in(clip, Unit.METER) is clip.truth
    poses = windows.poses_in(clip, Unit.NORMALIZED_PIXEL)
    # Where joints are seen, by the file of their projections.
    seen = clip.keypoints.points * (2.0 / 1000.0)
    np.testing.assert_allclose(poses[..., :2], seen - seen[:, :1], atol=1e-4)
    millimeters = poses[..., 2] * (1000.0 / 2.0) * clip.root[:, 2:] / clip.intrinsics.fx * 1000.0
    np.testing.assert_allclose(millimeters, clip.truth_mm[..., 2], atol=0.01)


def test_mirror_images_are_of_the_same_person(script, data):
    entry = family("motionagformer")
    loaded = script("windows").load_windows(
        data, entry, detections="gt", channels=3, frames=FRAMES, stride=9
    )
    assert len(loaded) == 5 * 4 * 3
    both = torch.tensor([0, 0]), torch.tensor([False, True])
    (seen, turned), (poses, mirrored) = loaded.batch(*both)
    left, right = entry.skeleton.left, entry.skeleton.right
    opposite = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(turned[:, left], seen[:, right] * opposite)
    assert torch.equal(mirrored[:, left], poses[:, right] * opposite)
    assert (seen[..., 2] == 1.0).all()


def test_refuses_what_it_cannot_train(run, capsys):
    first = run("mixste", "first", "--epochs=1", "--stop-after=1")
    refusals = {
        "another checkpoint or other options": ("--seed=1",),
        "nothing is pruned": ("--ratio=1",),
        "Ratio 1 trains nothing": ("--ratio=0.5,1", "--freeze"),
        "have to be above 0": ("--batch=0",),
    }
    for said, options in refusals.items():
        run("mixste", first, *options, expected=2)
        assert said in capsys.readouterr().err
    run("mixste", "far", "--rate=1e30", expected=2)
    assert "a lower --rate" in capsys.readouterr().err
    run("mixste", first, "--epochs=1")
    run("mixste", "again", checkpoint=first / "hot.safetensors", expected=4)
    assert "has an hourglass already" in capsys.readouterr().err
