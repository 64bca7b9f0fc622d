"""Batches of real keypoints."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hot_sdk import Pose3DEngine
from hot_sdk._base.files import sha256_of
from hot_sdk.infer.batch_job import Job
from hot_sdk.infer.inputs import EngineOptions, InputOptions


@pytest.fixture
def save(clips):
    """Write the first frames of a real clip, again and again if more are requested."""

    def write(path, frames=40):
        clip = clips["pose_1"]
        at = np.arange(frames) % len(clip)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            points=clip.points[at],
            scores=clip.scores[at],
            skeleton="h36m17",
            image_size=clip.image_size,
            fps=clip.fps,
        )

    return write


@pytest.fixture
def job(hot_file, tmp_path):
    """A job over the folder ``archive`` with results in ``results``."""
    for name in ("archive", "results"):
        (tmp_path / name).mkdir()
    return Job(
        root=str(tmp_path / "archive"),
        output=str(tmp_path / "results"),
        model=str(hot_file),
        model_sha256=sha256_of(hot_file),
        engine=EngineOptions(threads=1),
        inputs=InputOptions(),
    )


@pytest.fixture
def openings(job):
    """Return the engine, and count the calls."""
    engines = []

    def opened():
        engines.append(engines[0] if engines else job.open_engine())
        return engines[0]

    opened.engines = engines
    yield opened
    if engines:
        assert isinstance(engines[0], Pose3DEngine)
        engines[0].close()


@pytest.fixture
def changed():
    """Return a job with other options of inputs."""

    def change(job, **options):
        return dataclasses.replace(job, inputs=dataclasses.replace(job.inputs, **options))

    return change
