"""The starter model's trainer, for a few steps on real motion."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import ARRAYS, default_folder
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.reader import read_checkpoint
from hot_sdk.manifest import read_manifest
from hot_sdk.preprocessing.virtual_view import virtual_views
from hot_sdk.skeletons import H36M17

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
    held_out = {**sequence, "split": "val"}
    (folder / "index.json").write_text(json.dumps([sequence, held_out]))
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


def test_calibration_makes_intervals_hold_their_share(data, tmp_path):
    first = train(data, tmp_path, *FEW)
    assert torch.equal(first.tensors["spread_factor"], torch.ones(3))
    command = [sys.executable, str(FOLDER / "calibrate.py"), str(data), str(first.path)]
    done = subprocess.run([*command, "--steps", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "68%: 68.0%" in done.stderr
    calibrated = read_checkpoint(first.path)
    assert calibrated.training == first.training
    changed = [
        key
        for key, value in calibrated.tensors.items()
        if not torch.equal(value, first.tensors[key])
    ]
    assert changed == ["spread_factor"]


@pytest.fixture(scope="module")
def trainer():
    """The trainer's modules, by name."""
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("ablation", "bodies", "cameras", "detector", "train", "train_live")
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def world(data):
    torch.manual_seed(0)
    with np.load(data / "cmu_h36m17_60fps.npz", allow_pickle=False) as arrays:
        clip = torch.from_numpy(arrays["pos_mm"][:60:2].astype(np.float32) / 1000.0)
    return clip.expand(64, -1, -1, -1)


def bones(clips):
    """Return the lengths of all bones, (clips, frames, 16)."""
    parents = list(H36M17.parents[1:])
    return (clips[:, :, 1:] - clips[:, :, parents]).norm(dim=-1)


def bends(clips, legs):
    """Return how far knees are bent, radians, (clips, frames, 2)."""
    angles = []
    for hip, knee, ankle in legs:
        thigh, shin = clips[:, :, knee] - clips[:, :, hip], clips[:, :, ankle] - clips[:, :, knee]
        angles.append(torch.arccos(torch.cosine_similarity(thigh, shin, dim=-1).clamp(-1.0, 1.0)))
    return torch.stack(angles, dim=-1)


def test_legs_are_straightened_and_nothing_else(trainer, world):
    legs = trainer.bodies.LEGS
    moved = trainer.bodies.straighten_legs(world)
    torch.testing.assert_close(bones(moved), bones(world), rtol=0, atol=1e-5)
    before, after = bends(world, legs), bends(moved, legs)
    assert (after <= before + 1e-3).all()
    assert 0.01 < (before - after).mean() < (before - after).max() < np.deg2rad(12.0)
    below = [joint for leg in legs for joint in leg[1:]]
    others = [joint for joint in range(17) if joint not in below]
    assert torch.equal(moved[:, :, others], world[:, :, others])
    for hip, knee, ankle in legs:
        line, turned = (clips[:, :, ankle] - clips[:, :, hip] for clips in (world, moved))
        assert torch.cosine_similarity(line, turned, dim=-1).min() > 0.9999
        # Forwards stays forwards: the knee is on the same side of the line from hip to ankle.
        aside = [clips[:, :, knee] - clips[:, :, hip] for clips in (world, moved)]
        ahead = line / line.norm(dim=-1, keepdim=True)
        aside = [part - (part * ahead).sum(dim=-1, keepdim=True) * ahead for part in aside]
        assert torch.cosine_similarity(*aside, dim=-1).min() > 0.99


def test_people_are_as_those_who_were_measured(trainer):
    torch.manual_seed(0)
    drawn = trainer.bodies.Bodies().draw(4000)
    record = json.loads((FOLDER / "bodies.json").read_text())
    for place, name in enumerate(record["names"]):
        measured = np.mean([np.exp(record[sex]["mean_log"][place]) for sex in ("male", "female")])
        assert 1000.0 * drawn[name].mean() == pytest.approx(measured, rel=0.02), name
    assert 0.05 < drawn["stature"].log().std() < 0.07
    thigh_over_shin = drawn["thigh"] / drawn["shin"]
    assert 0.82 < thigh_over_shin.min() < thigh_over_shin.max() < 1.22
    # Tall people have long legs.
    together = torch.stack([drawn["stature"].log(), drawn["shin"].log()])
    assert torch.corrcoef(together)[0, 1] > 0.6


def test_bones_get_their_lengths_and_keep_their_directions(trainer, world):
    lengths = trainer.bodies.Bodies().draw(len(world))
    moved = trainer.bodies.set_lengths(world, lengths)
    joints = {"thigh": (1, 2), "shin": (5, 6), "upper_arm": (11, 12), "forearm": (15, 16)}
    joints |= {"hip_width": (1, 4), "shoulder_width": (14, 11), "thorax_head": (8, 10)}
    for name, (first, second) in joints.items():
        length = (moved[:, :, first] - moved[:, :, second]).norm(dim=-1)
        expected = lengths[name][:, None].expand_as(length)
        torch.testing.assert_close(length, expected, rtol=1e-4, atol=1e-4)
    for first, second in ((1, 2), (2, 3), (12, 13), (8, 9)):
        old, new = (clips[:, :, second] - clips[:, :, first] for clips in (world, moved))
        assert torch.cosine_similarity(old, new, dim=-1).min() > 0.9999
    shoulders = (moved[:, :, 11] + moved[:, :, 14]) / 2.0
    above = moved[:, :, 8] - shoulders
    torch.testing.assert_close(above, 0.096 * (shoulders - moved[:, :, 0]), rtol=1e-3, atol=1e-4)


def test_marks_are_where_detectors_put_them(trainer, world):
    lengths = trainer.bodies.Bodies().draw(len(world))
    moved = trainer.bodies.set_lengths(world, lengths)
    marks = trainer.bodies.mark(moved, lengths, trainer.bodies.Marks().draw(len(world)))
    # Shoulders lie above their joints, knees and hips below.
    for joint, higher in ((11, True), (14, True), (1, False), (4, False)):
        assert ((marks - moved)[:, :, joint, 1].mean() > 0.0) == higher
    apart = (marks[:, :, 1] - marks[:, :, 4]).norm(dim=-1)[:, 0]
    expected = 0.2 * lengths["stature"] / 1.69
    torch.testing.assert_close(apart, expected, rtol=0.1, atol=0.01)
    torch.testing.assert_close(marks[:, :, 0], (marks[:, :, 1] + marks[:, :, 4]) / 2.0)
    assert torch.equal(marks[:, :, 9:11], moved[:, :, 9:11])
    assert 0.005 < (marks - moved).norm(dim=-1)[:, :, 1:7].mean() < 0.04


@pytest.fixture
def view(trainer, world):
    return trainer.cameras.see(world, world, torch.full((len(world),), 1.7))


def test_cameras_rotate_poses_without_mirroring(view, world):
    assert view.keypoints.abs().max() <= 1.0
    assert (view.poses[:, :, 0] == 0.0).all()
    # Rotated, not mirrored: lengths and handedness are the world's.
    relative = world - world[:, :, :1]
    torch.testing.assert_close(view.poses.norm(dim=-1), relative.norm(dim=-1), rtol=1e-3, atol=1e-3)
    handedness = torch.linalg.det(relative[:, :, [4, 8, 13]])
    seen = torch.linalg.det(view.poses[:, :, [4, 8, 13]])
    torch.testing.assert_close(seen, handedness, rtol=0.02, atol=1e-3)
    # Up is up, y pointing down, along the direction that the view states.
    torch.testing.assert_close(
        (view.poses @ view.up[:, None, :, None])[..., 0], relative[..., 1], rtol=1e-3, atol=1e-3
    )


def test_mirroring_swaps_sides_in_everything(trainer, view):
    moved, sign = trainer.cameras.mirror(view), torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(moved.keypoints[0, :, 4], view.keypoints[0, :, 1] * sign[:2])
    torch.testing.assert_close(moved.poses[0, :, 4], view.poses[0, :, 1] * sign)
    torch.testing.assert_close(moved.up[0], view.up[0] * sign)
    torch.testing.assert_close(moved.poses[-1], view.poses[-1])


def test_detector_errors_scale_with_the_body(trainer, view):
    keypoints = view.keypoints
    seen = trainer.detector.detect(keypoints)
    assert torch.isfinite(seen).all()
    spread = (keypoints - keypoints.mean(dim=2, keepdim=True)).norm(dim=-1).mean()
    median = (seen - keypoints).norm(dim=-1).median()
    assert 0.002 * spread < median < 0.1 * spread


def test_joints_are_missing_in_every_second_clip(trainer):
    torch.manual_seed(0)
    gone = trainer.detector.lose(torch.zeros(400, 60, 17, 2)).isnan()
    assert torch.equal(gone[..., 0], gone[..., 1])
    share = gone.float().mean(dim=(1, 2, 3))
    with_gaps = share > 0.0
    assert 0.4 < with_gaps.float().mean() < 0.6
    assert 0.12 < share[with_gaps].mean() < 0.2
    begins = gone[:, 1:, :, 0] & ~gone[:, :-1, :, 0]
    assert 3.0 < gone[:, 1:, :, 0].sum() / begins.sum() < 10.0


def test_a_live_network_is_shown_what_the_runtime_feeds_it(trainer, data, monkeypatch):
    live = trainer.train_live
    scenes = live.LiveScenes(trainer.train.Motion(data), None, None)
    monkeypatch.setattr(trainer.train, "detect", lambda keypoints: keypoints)
    walk = scenes.clips(2, 30)[..., :2]
    monkeypatch.setattr(live, "lose", lambda keypoints: keypoints)
    torch.testing.assert_close(scenes.detected(walk), walk, rtol=0, atol=0)
    gap = walk.clone()
    gap[0, 10:15, 16] = torch.nan
    monkeypatch.setattr(live, "lose", lambda keypoints: gap)
    filled = scenes.detected(walk)
    torch.testing.assert_close(filled.nan_to_num(9.0) == walk, ~gap.isnan())
    # The wrist moves with the elbow.
    moved, elbow = (
        clip[0, 10:15, joint] - clip[0, 9, joint] for clip, joint in ((filled, 16), (walk, 15))
    )
    assert (moved - elbow).norm(dim=-1).max() < 0.6 * elbow.norm(dim=-1).max()


def test_what_is_known_agrees_with_the_views(trainer, view):
    keypoints, conditions, poses = trainer.cameras.inform(view.keypoints, view)
    intrinsics, gravity, pitch, stated, height = conditions[:, 0].unbind(1)
    for share in (intrinsics, gravity, stated):
        assert 0.2 < share.mean() < 0.8
    assert (gravity <= intrinsics).all()
    assert ((pitch != 0.0) == (gravity == 1.0)).all()
    assert ((height != 0.0) == (stated == 1.0)).all()
    known = intrinsics == 1.0
    assert torch.equal(keypoints[~known], view.keypoints[~known])
    # A virtual camera looks at the person.
    assert (
        keypoints[known].mean(dim=2).abs().max() < 0.02 < keypoints[~known].mean(dim=2).abs().max()
    )
    # Poses of upright views stand upright, leaning by the pitch alone, up to its error.
    upright = gravity == 1.0
    turns = torch.stack([torch.zeros_like(pitch), -(1.0 - pitch**2).sqrt(), pitch], dim=1)
    heights = (poses @ turns[:, None, :, None])[..., 0]
    expected = (view.poses @ view.up[:, None, :, None])[..., 0]
    assert (heights - expected)[upright].abs().mean() < 0.03


@pytest.mark.parametrize("gravity", [True, False])
def test_views_turn_as_the_runtime_turns_them(trainer, gravity):
    torch.manual_seed(3)
    slopes = 0.3 * torch.randn(1, 50, 17, 2) + 0.5 * torch.randn(1, 50, 1, 2)
    up = torch.nn.functional.normalize(torch.randn(1, 50, 3), dim=2)
    upright = torch.full((1, 50), gravity)
    keypoints, turns, pitch = trainer.cameras.turn_views(slopes, up, upright)
    centers = slopes[0].mean(dim=1).double().numpy()
    views = virtual_views(centers, up[0].double().numpy() if gravity else None)
    np.testing.assert_allclose(turns[0], views.rotations, atol=2e-6)
    np.testing.assert_allclose(pitch[0], views.pitch, atol=1e-6)
    ahead = (np.dstack([slopes[0], np.ones((50, 17))]) @ views.rotations.transpose(0, 2, 1))[
        ..., 2
    ].min(axis=1)
    usual = ahead > 0.3
    assert usual.sum() > 20
    runtime = views.turned(slopes[0].double().numpy())
    np.testing.assert_allclose(keypoints[0].numpy()[usual], runtime[usual], atol=1e-5)


def test_limbs_of_others_keep_their_lengths_and_their_turn_to_the_body(trainer, world):
    torch.manual_seed(0)
    clips = zip(world, range(len(world)), strict=True)
    world = torch.stack([clip.roll(by, dims=0) for clip, by in clips])
    mixed = trainer.ablation.recombine(world)
    for first, second in ((1, 2), (2, 3), (14, 15), (15, 16), (11, 12), (12, 13)):
        lengths = (world[:, :, second] - world[:, :, first]).norm(dim=-1)
        changed = (mixed[:, :, second] - mixed[:, :, first]).norm(dim=-1)
        # Each is one of the lengths of the batch.
        gaps = (changed[:, None] - lengths[None]).abs().amax(dim=2).amin(dim=1)
        assert gaps.max() < 1e-4
    kept = [0, 1, 4, 7, 8, 9, 10, 11, 14]
    assert torch.equal(mixed[:, :, kept], world[:, :, kept])
    assert not torch.equal(mixed, world)


def test_reprojection_is_zero_for_the_truth_only(trainer, world):
    loss = trainer.ablation.reprojection_loss
    poses = world - world[:, :, :1]
    assert float(loss(poses, poses)) == 0.0
    assert float(loss(poses + 0.01 * torch.randn_like(poses), poses)) > 1e-3


def test_the_spread_is_checked_on_people_whom_it_was_not_calibrated_on(data, tmp_path):
    first = train(data, tmp_path, *FEW)
    index = json.loads((data / "index.json").read_text())
    both = [
        {**index[0], "name": name, "skeleton": name, "split": "train"} for name in ("asf", "bvh31")
    ]
    (data / "index.json").write_text(json.dumps([*both, index[1]]))
    command = [sys.executable, str(FOLDER / "check_spread.py"), str(data), str(first.path)]
    done = subprocess.run([*command, "--steps", "1"], capture_output=True, text=True, check=False)
    (data / "index.json").write_text(json.dumps(index))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.count(".") >= 5]
    assert len(rows) == 7
    assert all(float(row.split()[-5]) > 0.0 for row in rows)


def test_the_ablation_trains_and_measures_a_variant(data, tmp_path):
    first = train(data, tmp_path, *FEW)
    output = tmp_path / "variants"
    command = [sys.executable, str(FOLDER / "ablation.py"), str(data), str(output)]
    command += ["--start", str(first.path), "--steps", "2", "--batch", "64", "--only", "limbs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("and limbs"))
    assert len(row.split()[5:]) == 9
    (made,) = output.iterdir()
    tensors = read_checkpoint(made).tensors
    assert not torch.equal(tensors["stem.guess.weight"], first.tensors["stem.guess.weight"])
    assert not tensors["head.1.weight"].any()
