"""The script that makes the clips that ship, on a small source of the same layout."""

import json
import subprocess
import sys

import make_starter_val
import numpy as np
import pytest

from hot_sdk.benchmarks.evaluation.data_sets.starter_val import load_starter_val


@pytest.fixture
def source(tmp_path):
    """Three sequences of which the middle one is for training; whole millimetres."""
    random = np.random.default_rng(0)
    steps = random.integers(-9, 10, (150, 17, 3))
    body = random.integers(-400, 400, (17, 3))
    body[:, 1] += 900
    positions = (body + np.cumsum(steps, axis=0)).astype(np.int16)
    glitch = np.zeros(150, dtype=bool)
    glitch[[0, 1, 100]] = True
    np.savez(tmp_path / "cmu_h36m17_60fps.npz", pos_mm=positions, glitch=glitch)
    entries = [
        {"name": "14_01", "subject": "14", "text": "walk, sit", "start": 0, "frames": 61},
        {"name": "02_01", "subject": "02", "text": "run", "start": 61, "frames": 39},
        {"name": "14_02", "subject": "14", "text": "jump", "start": 100, "frames": 50},
    ]
    splits = ("val", "train", "val")
    index = [entry | {"split": split} for entry, split in zip(entries, splits, strict=True)]
    for entry, skeleton in zip(index, ("daz", "asf", "bvh31"), strict=True):
        entry["skeleton"] = skeleton
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "correction.json").write_text(json.dumps({"body_mm": {"stature": 1691.24}}))
    return tmp_path, positions


def make(folder, out):
    out.mkdir()
    command = [sys.executable, make_starter_val.__file__, folder, out]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keeps_held_out_sequences_at_half_the_rate(source, tmp_path):
    folder, positions = source
    assert make(folder, tmp_path / "out").returncode == 0
    clips = load_starter_val(tmp_path / "out")
    assert [clip.name for clip in clips] == [
        f"{name}-{view}" for name in ("14_01", "14_02") for view in (1, 2, 3, 4)
    ]
    assert [clip.action for clip in clips[::4]] == ["walk", "jump"]
    # The height of a body that is not the retargeted one is not known.
    assert [clip.height_m for clip in clips] == 4 * [1.6912] + 4 * [None]
    for clip, kept in ((clips[0], positions[2:61:2]), (clips[7], positions[101:150:2])):
        assert len(clip) == len(kept)
        # Distances between joints are those of the source, for every camera.
        spans = np.linalg.norm(clip.truth[:, :, None] - clip.truth[:, None], axis=-1)
        world = kept / 1000.0
        expected = np.linalg.norm(world[:, :, None] - world[:, None], axis=-1)
        np.testing.assert_allclose(spans, expected, atol=1e-5)


def test_same_source_gives_the_same_files(source, tmp_path):
    folder, _ = source
    made = []
    for name in ("one", "two"):
        assert make(folder, tmp_path / name).returncode == 0
        made.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert made[0] == made[1]


def test_glitch_in_the_middle_is_refused(source, tmp_path):
    folder, positions = source
    glitch = np.zeros(150, dtype=bool)
    glitch[30] = True
    np.savez(folder / "cmu_h36m17_60fps.npz", pos_mm=positions, glitch=glitch)
    run = make(folder, tmp_path / "out")
    assert run.returncode == 1
    assert "14_01 has a glitch in its middle" in run.stderr
