import dataclasses
import multiprocessing
import os
import threading

import numpy as np
import pytest

from hot_sdk import Keypoints, Pose3DEngine, list_skeletons
from hot_sdk.engines import open_session
from hot_sdk.errors import (
    EngineError,
    HotSDKError,
    KeypointsError,
    ManifestError,
    MissingDependencyError,
    UsageError,
)
from hot_sdk.export import export_model
from hot_sdk.manifest import RANDOM_WEIGHTS_WARNING
from hot_sdk.preprocessing.normalization import by_image_width
from hot_sdk.skeletons import H36M17, skeleton_format


@pytest.fixture
def clip(clips):
    """A clip at the models' rate, so that frames go into windows as they are."""
    clip = clips["pose_1"]
    return dataclasses.replace(clip, scores=None, fps=50.0)


def windows_of(clip, starts, channels=2, frames=27):
    normalized = by_image_width(clip.points, clip.image_size, "published")
    if channels == 3:
        normalized = np.concatenate([normalized, np.ones((len(clip), 17, 1), np.float32)], axis=-1)
    return np.stack([normalized[start : start + frames] for start in starts])


def lifted_by_session(path, windows):
    """Poses of adjacent windows from the session alone, the root at 0."""
    with open_session(path) as session:
        size = session.inputs[0].shape[0]
        size = size if isinstance(size, int) else 1
        runs = [
            session.run({"keypoints_2d": np.repeat(window[None], size, axis=0)})
            for window in windows
        ]
    poses = np.stack([run["poses_3d"][0] for run in runs])
    poses[:, :, 0] = 0.0
    return poses, [run.get("token_index") for run in runs]


@pytest.mark.parametrize("given", ["clip.npz", np.zeros((3, 17, 2), np.float32), None])
def test_rejects_inputs_that_are_not_keypoints(given):
    with Pose3DEngine(threads=1) as engine, pytest.raises(UsageError, match="from Keypoints, not"):
        engine(given)


def test_every_model_lifts_a_clip(model_file, clips):
    with Pose3DEngine(model_file, threads=1) as engine:
        result = engine(clips["pose_1"])
        assert result.poses.shape == (120, 17, 3)
        assert result.poses.dtype == np.float32
        assert np.isfinite(result.poses).all()
        assert (result.poses[:, 0] == 0.0).all()
        assert result.unit == engine.manifest.unit
        assert result.axes == "camera: x right, y down, z forward"
        assert result.model == model_file.name
        assert RANDOM_WEIGHTS_WARNING in result.warnings
        np.testing.assert_allclose(result.timestamps, np.arange(120) / 30.0)
        assert result.latency.inference.count > 0


def test_adjacent_windows_equal_the_sessions_output(model_file, clip):
    with Pose3DEngine(model_file, threads=1) as engine:
        frames, channels = engine.manifest.frames, engine.manifest.channels
        if engine.manifest.output_frames < frames:
            pytest.skip("returns the center frame of each window; see the next tests")
    cut = dataclasses.replace(clip, points=clip.points[: 3 * frames])
    with Pose3DEngine(model_file, threads=1, windows="hot_centered_edge") as engine:
        found = engine(cut).poses
    starts = (0, frames, 2 * frames)
    expected, _ = lifted_by_session(model_file, windows_of(cut, starts, channels, frames))
    np.testing.assert_allclose(found, expected.reshape(-1, 17, 3), atol=1e-5)


def test_center_frame_models_return_the_center(tpc_file, clip):
    cut = dataclasses.replace(clip, points=clip.points[:40])
    with Pose3DEngine(tpc_file, threads=1) as engine:
        result = engine(cut)
    poses, kept = lifted_by_session(tpc_file, windows_of(cut, range(14)))
    expected = [pose[list(index[0]).index(13)] for pose, index in zip(poses, kept, strict=True)]
    np.testing.assert_allclose(result.poses[13:27], expected, atol=1e-5)
    assert result.latency.windows == 40


def test_center_frame_of_a_model_that_flips_in_the_graph(tmp_path_factory, clip):
    from exported_models import export_case

    path = export_case("mixste", "tpc-flip-batch-2", tmp_path_factory).path
    cut = dataclasses.replace(clip, points=clip.points[:40])
    with Pose3DEngine(path, threads=1) as engine:
        result = engine(cut)
    poses, kept = lifted_by_session(path, windows_of(cut, range(14)))
    for index in kept:
        # Only so are the same frames averaged.
        np.testing.assert_array_equal(index[0, 0], index[0, 1])
    expected = [pose[list(index[0, 0]).index(13)] for pose, index in zip(poses, kept, strict=True)]
    np.testing.assert_allclose(result.poses[13:27], expected, atol=1e-5)


def test_flip_outside_the_graph_equals_flip_inside(tmp_path_factory, clip):
    from exported_models import export_case

    inside = export_case("mixste", "hot-flip-batch-any", tmp_path_factory).path
    with Pose3DEngine(inside, threads=1) as engine:
        poses = engine(clip).poses
        again = Pose3DEngine(inside, threads=1, flip=True)(clip).poses
    np.testing.assert_array_equal(poses, again)


def test_the_largest_batch_bounds_each_run(tmp_path_factory, clip, capsys):
    from exported_models import export_case

    from hot_sdk.infer.cli import main

    path = export_case("mixste", "hot-flip-batch-any", tmp_path_factory).path
    sizes = []
    for largest in (None, 2):
        with Pose3DEngine(path, threads=1, largest_batch=largest) as engine:
            run = engine._session.run
            engine._session.run = lambda arrays, run=run: (
                sizes.append(len(next(iter(arrays.values())))) or run(arrays)
            )
            result = engine(clip)
    whole = sizes.index(2) if 2 in sizes else len(sizes)
    windows = result.latency.windows
    assert windows > 2
    assert sizes[:whole] == [windows]
    assert sizes[whole:] == [2] * (windows // 2) + [1] * (windows % 2)
    with pytest.raises(UsageError, match="largest_batch is 2, but the model has a fixed batch"):
        Pose3DEngine(threads=1, largest_batch=2)
    result_file = tmp_path_factory.mktemp("clip") / "clip.npz"
    np.savez(result_file, points=clip.points, skeleton="h36m17", image_size=clip.image_size, fps=50)
    assert main([str(result_file), "--model", str(path), "--largest-batch", "0"]) == 2
    assert "largest_batch is 0" in capsys.readouterr().err
    assert main([str(result_file), "--largest-batch", "2"]) == 2
    assert "--largest-batch" in capsys.readouterr().err


def test_flip_averages_with_the_mirror_image(hot_file, clip):
    straight = Pose3DEngine(hot_file, threads=1, windows="hot_centered_edge")
    mirrored = clip.points[:, list(H36M17.mirror)].copy()
    mirrored[..., 0] = clip.image_size[0] - mirrored[..., 0]
    other = straight(dataclasses.replace(clip, points=mirrored)).poses[:, list(H36M17.mirror)]
    expected = (straight(clip).poses + other * np.float32([-1, 1, 1])) / 2
    flipping = Pose3DEngine(hot_file, threads=1, windows="hot_centered_edge", flip=True)
    result = flipping(clip)
    np.testing.assert_allclose(result.poses, expected, atol=2e-4)
    assert result.latency.inference.count == 2 * result.latency.windows


def test_flip_of_center_frames_is_refused_outside_the_graph(tpc_file):
    with pytest.raises(UsageError, match="same frames of the mirror image") as caught:
        Pose3DEngine(tpc_file, flip=True)
    assert "hot-export --flip" in caught.value.hint


def test_flip_of_fixed_center_frames_equals_flip_inside(tmp_path, clip):
    from exported_models import small_request

    poses = []
    for flip in (False, True):
        path = tmp_path / f"{flip}.safetensors"
        options = {"variant": "tpc", "ratio": 0.3, "selector": "uniform", "engine": "torch"}
        export_model(small_request("mixste", output=path, flip=flip, **options))
        with Pose3DEngine(path, threads=1, flip=True) as engine:
            assert engine.manifest.token_index
            poses.append(engine(clip).poses)
    np.testing.assert_allclose(*poses, atol=1e-6)


def test_several_people_are_lifted_as_if_alone(model_file, clips):
    people = [dataclasses.replace(clip, track_id=name) for name, clip in clips.items()]
    with Pose3DEngine(model_file, threads=1) as engine:
        together = engine.lift(people)
        assert [result.track_id for result in together] == list(clips)
        for person, result in zip(people, together, strict=True):
            assert len(result.poses) == len(person)
            np.testing.assert_allclose(result.poses, engine(person).poses, atol=1e-5)
        assert engine.lift([]) == ()


@pytest.mark.parametrize("frames", [1, 2, 26, 27, 28, 120])
def test_clips_of_any_length(hot_engine, clips, frames):
    clip = clips["pose_1"]
    cut = dataclasses.replace(clip, points=clip.points[:frames], scores=clip.scores[:frames])
    result = hot_engine(cut)
    assert result.poses.shape == (frames, 17, 3)
    assert (result.seams is None) == (result.latency.windows == 1)


def test_portrait_video_is_lifted(hot_engine, clips):
    clip = dataclasses.replace(clips["pose_squats"])
    assert clip.image_size == (720, 1280)
    assert "portrait" in {record.name for record in hot_engine(clip).policies}


@pytest.mark.parametrize("skeleton", list_skeletons())
def test_every_skeleton_is_lifted(hot_engine, skeleton):
    joints = len(skeleton_format(skeleton).joints)
    points = np.random.default_rng(3).uniform(100, 400, (30, joints, 2))
    result = hot_engine(Keypoints(points, skeleton=skeleton, image_size=(640, 480), fps=30.0))
    assert np.isfinite(result.poses).all()


def test_latency_names_engine_and_device(hot_engine, clip):
    report = hot_engine(clip).latency
    assert report.engine.startswith("onnxruntime ")
    assert (report.device, report.precision, report.kind) == ("cpu", "fp32", "clip")
    assert report.frames == 120
    assert report.inference.count == report.windows == 6
    stages = report.preparation.mean * report.preparation.count
    stages += report.inference.mean * report.inference.count
    stages += report.stitching.mean * report.stitching.count
    assert report.total.count == 1
    assert stages <= report.total.mean
    assert report.first_inference_ms is not None


def test_latency_of_all_calls(hot_file, clip):
    with Pose3DEngine(hot_file) as engine:
        assert engine.latency().total is None
        totals = [engine(clip).latency.total.mean for _ in range(3)]
        report = engine.latency()
    assert (report.total.count, report.windows, report.frames) == (3, 18, 360)
    assert report.total.mean == pytest.approx(np.mean(totals))
    with pytest.raises(EngineError, match="closed"):
        engine.latency()


def test_runs_from_several_threads(hot_engine, clips):
    expected = {name: hot_engine(clip).poses for name, clip in clips.items()}
    wrong = []

    def lift(name):
        for _ in range(3):
            if not np.allclose(hot_engine(clips[name]).poses, expected[name], atol=1e-5):
                wrong.append(name)

    threads = [threading.Thread(target=lift, args=(name,)) for name in clips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def _lift_in_fork(engine, clip, pipe):
    try:
        engine(clip)
        pipe.send("lifted")
    except HotSDKError as error:
        pipe.send(f"{type(error).__name__}: {error}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_is_detected_and_explained(hot_engine, clip):
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_lift_in_fork, args=(hot_engine, clip, theirs))
    child.start()
    assert mine.poll(60)
    said = mine.recv()
    child.join()
    assert said.startswith("EngineError: The model was loaded in process")
    assert "'spawn'" in said


def test_closed_engine_raises(hot_file, clip):
    engine = Pose3DEngine(hot_file)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine(clip)
    with pytest.raises(EngineError, match="closed"):
        engine.stream()


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"windows": "overlapp"}, UsageError, "Did you mean 'overlap'"),
        ({"overlap": 27}, UsageError, "expected 0 to 26"),
        ({"windows": "mhformer_center", "overlap": 3}, UsageError, "have a fixed overlap"),
        ({"engine": "onnxruntim"}, UsageError, "Did you mean 'onnxruntime'"),
        ({"device": "tpu"}, UsageError, "Unknown device 'tpu'"),
        ({"device": "cuda"}, (EngineError, MissingDependencyError), "(?i)cuda"),
    ],
)
def test_rejects_options_that_cannot_be_used(hot_file, arguments, kind, said):
    with pytest.raises(kind, match=said):
        Pose3DEngine(hot_file, **arguments)


def test_rejects_missing_model():
    with pytest.raises(EngineError, match=r"no model file at 'nowhere\.onnx'"):
        Pose3DEngine("nowhere.onnx")


def test_center_frame_models_reject_other_windows(tpc_file):
    with pytest.raises(UsageError, match="returns only the center frame of a window"):
        Pose3DEngine(tpc_file, windows="overlap")


def test_static_file_cannot_end_with_a_short_window(hot_file, clip):
    engine = Pose3DEngine(hot_file, windows="motionbert_tail_short")
    with pytest.raises(UsageError, match="shorter than 27 frames"):
        engine(clip)
    cut = dataclasses.replace(clip, points=clip.points[:54])
    assert len(engine(cut).poses) == 54


def test_rejects_foreign_model(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx makes the foreign model")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    same = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [same])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "f.onnx"
    )
    with pytest.raises(ManifestError, match="no manifest"):
        Pose3DEngine(tmp_path / "f.onnx")


def test_rejects_clip_without_keypoints(hot_engine, clip):
    with pytest.raises(KeypointsError, match="shows a joint"):
        hot_engine(dataclasses.replace(clip, points=np.full((5, 17, 2), np.nan)))
