"""The study of still people, on a small network."""

import numpy as np
import still_people
from exported_models import small_request

from hot_sdk.benchmarks.evaluation import load_starter_val
from hot_sdk.benchmarks.evaluation.corruption import with_noise
from hot_sdk.export import export_model
from hot_sdk.pose_engine import Pose3DEngine


def test_only_noise_moves_people_who_are_held(tmp_path):
    path = tmp_path / "small.safetensors"
    export_model(small_request("mixste", output=path, engine="torch", config={}))
    clip = still_people.held(load_starter_val(views=1)[0])
    assert len(clip) == still_people.FRAMES
    assert np.ptp(clip.keypoints.points, axis=0).max() == 0.0
    with Pose3DEngine(path) as engine:
        few = still_people.measure(engine, [with_noise(clip, 1.0)])
        many = still_people.measure(engine, [with_noise(clip, 4.0)])
    assert (few > 0.0).all()
    assert (many > few).all()
