"""The starter model's trainer, for a few steps on real motion."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import ARRAYS, default_folder
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.manifest import read_manifest

FOLDER = Path(__file__).parents[2] / "examples" / "train_starter"
FEW = ("--steps", "3,2,2,2", "--batches", "512,2,2,2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mocap")
    with np.load(default_folder() / ARRAYS, allow_pickle=False) as arrays:
        world = np.cumsum(arrays["steps_mm"][:189], axis=0, dtype=np.int64)
    slowly = np.repeat(world, 2, axis=0).astype(np.int16)
    glitch = np.zeros(len(slowly), dtype=np.bool_)
    np.savez(folder / "cmu_h36m17_60fps.npz", pos_mm=slowly, glitch=glitch)
    sequence = {"name": "14_04", "start": 0, "frames": len(slowly), "split": "train"}
    (folder / "index.json").write_text(json.dumps([sequence]))
    return folder


def train(data, output, *options):
    command = [sys.executable, str(FOLDER / "train.py"), str(data), str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_checkpoint(output / "starter.safetensors")


def test_trains_resumes_and_fine_tunes(data, tmp_path):
    first = train(data, tmp_path / "first", *FEW)
    assert first.training is not None
    assert (first.training.fps, first.training.prune_at) == (30.0, 1)
    target = tmp_path / "model.onnx"
    export_model(ExportRequest("mixste", checkpoint=first.path, ratio=0.33, output=target))
    assert read_manifest(target).tokens == 27

    again = train(data, tmp_path / "first", *FEW)
    assert again.sha256 == first.sha256

    start = ("--start", str(first.path), "--steps", "0,0,1,1", "--batches", "512,2,2,2")
    for options, learns in (((), True), (("--plain",), False)):
        tuned = train(data, tmp_path / f"tuned{learns}", *start, *options)
        assert not torch.equal(tuned.tensors["head.1.weight"], first.tensors["head.1.weight"])
        # Where nothing is pruned, nothing is recovered.
        corrects = tuned.tensors["cross_attention.proj.weight"]
        assert torch.equal(corrects, first.tensors["cross_attention.proj.weight"]) != learns


@pytest.fixture
def augmentation(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import augmentation

    torch.manual_seed(0)
    return augmentation


@pytest.fixture
def world(data):
    with np.load(data / "cmu_h36m17_60fps.npz", allow_pickle=False) as arrays:
        clip = torch.from_numpy(arrays["pos_mm"][:60:2].astype(np.float32) / 1000.0)
    return clip.expand(64, -1, -1, -1)


@pytest.fixture
def bones(augmentation):
    """Lengths of all bones, (clips, frames, 16)."""
    parents = list(augmentation.PARENTS[1:])
    return lambda clips: (clips[:, :, 1:] - clips[:, :, parents]).norm(dim=-1)


def bends(clips, augmentation):
    """How far knees are bent, radians, (clips, frames, 2)."""
    angles = []
    for hip, knee, ankle in augmentation.LEGS:
        thigh, shin = clips[:, :, knee] - clips[:, :, hip], clips[:, :, ankle] - clips[:, :, knee]
        angles.append(torch.arccos(torch.cosine_similarity(thigh, shin, dim=-1).clamp(-1.0, 1.0)))
    return torch.stack(angles, dim=-1)


def test_legs_are_straightened_and_nothing_else(augmentation, world, bones):
    moved = augmentation.straighten_legs(world)
    torch.testing.assert_close(bones(moved), bones(world), rtol=0, atol=1e-5)
    before, after = bends(world, augmentation), bends(moved, augmentation)
    assert (after <= before + 1e-3).all()
    assert 0.12 < (before - after).mean() < 0.35
    assert (before - after).max() < np.deg2rad(35.0)
    legs = [joint for leg in augmentation.LEGS for joint in leg[1:]]
    others = [joint for joint in range(17) if joint not in legs]
    assert torch.equal(moved[:, :, others], world[:, :, others])
    for hip, knee, ankle in augmentation.LEGS:
        line, turned = (clips[:, :, ankle] - clips[:, :, hip] for clips in (world, moved))
        assert torch.cosine_similarity(line, turned, dim=-1).min() > 0.9999
        # Forwards stays forwards: the knee is on the same side of the line from hip to ankle.
        aside = [clips[:, :, knee] - clips[:, :, hip] for clips in (world, moved)]
        ahead = line / line.norm(dim=-1, keepdim=True)
        aside = [part - (part * ahead).sum(dim=-1, keepdim=True) * ahead for part in aside]
        assert torch.cosine_similarity(*aside, dim=-1).min() > 0.99


def test_bodies_keep_their_symmetry_and_stay_within_bounds(augmentation, world, bones):
    factor = (bones(augmentation.vary_bodies(world)) / bones(world))[:, 0]
    legs = [joint - 1 for leg in augmentation.LEGS for joint in leg[1:]]
    others = [bone for bone in range(16) if bone not in legs]
    assert 0.88**2 - 1e-3 < factor[:, others].min() < 0.95
    assert 1.05 < factor[:, others].max() < 1.12**2 + 1e-3
    thighs, shins = factor[:, [1, 4]].mean(), factor[:, [2, 5]].mean()
    assert 1.05 < thighs < 1.15
    assert 0.87 < shins < 0.97
    right, left = [0, 1, 2, 13, 14, 15], [3, 4, 5, 10, 11, 12]
    torch.testing.assert_close(factor[:, right], factor[:, left], rtol=1e-3, atol=1e-3)


def test_cameras_rotate_poses_without_mirroring(augmentation, world):
    keypoints, poses = augmentation.see(world)
    assert keypoints.abs().max() <= 1.0
    assert (poses[:, :, 0] == 0.0).all()
    # Rotated, not mirrored: lengths and handedness are the world's.
    relative = world - world[:, :, :1]
    torch.testing.assert_close(poses.norm(dim=-1), relative.norm(dim=-1), rtol=1e-3, atol=1e-3)
    handedness = torch.linalg.det(relative[:, :, [4, 8, 13]])
    torch.testing.assert_close(
        torch.linalg.det(poses[:, :, [4, 8, 13]]), handedness, rtol=0.02, atol=1e-3
    )
    # Up is up: heads are above feet in the image, y pointing down, for all but steep cameras.
    upright = (poses[:, :, 10, 1] < poses[:, :, 3, 1]).float().mean()
    assert upright > 0.95


def test_mirroring_swaps_sides_in_both(augmentation, world):
    keypoints, poses = augmentation.see(world)
    seen, moved = augmentation.mirror(keypoints, poses)
    torch.testing.assert_close(seen[0, :, 4, 0], -keypoints[0, :, 1, 0])
    torch.testing.assert_close(moved[0, :, 4], poses[0, :, 1] * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(moved[-1], poses[-1])


def test_detector_errors_scale_with_the_body(augmentation, world):
    keypoints, _ = augmentation.see(world)
    seen = augmentation.detect(keypoints)
    assert torch.isfinite(seen).all()
    spread = (keypoints - keypoints.mean(dim=2, keepdim=True)).norm(dim=-1).mean()
    median = (seen - keypoints).norm(dim=-1).median()
    assert 0.002 * spread < median < 0.1 * spread
