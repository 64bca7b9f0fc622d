"""The model repository for Triton Inference Server."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_runs import PRUNED, failed
from exported_models import export_case

from hot_sdk import InputPolicies, Keypoints
from hot_sdk.engines import open_session
from hot_sdk.errors import UsageError, VerificationError
from hot_sdk.export.cli import main
from hot_sdk.export.triton.options import TritonOptions
from hot_sdk.export.triton.pixel_input import (
    IMAGE_SIZE,
    PIXELS,
    pixel_input_graph,
    require_same_input,
)
from hot_sdk.export.triton.repository import write_triton
from hot_sdk.manifest import KEYPOINTS, POSES, read_manifest
from hot_sdk.preprocessing import InputSpec, prepare_clip
from hot_sdk.starter import starter_model

TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32", "int64": "TYPE_INT64"}


@pytest.fixture(scope="module")
def schema():
    """The published protobuf schema of a model's configuration.

    The package around it would import gRPC, which parsing a text does not need.
    """
    package = importlib.util.find_spec("tritonclient")
    if package is None:
        pytest.skip("tritonclient is not installed (extra dev)")
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(schema, folder):
    from google.protobuf import text_format

    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def sizes_of(config, tensor):
    batch = [-1] if config.max_batch_size else []
    return [*batch, *tensor.dims]


def declared(schema, config):
    """What a configuration says of its tensors, by name."""
    return {
        tensor.name: (schema.DataType.Name(tensor.data_type), sizes_of(config, tensor))
        for tensor in (*config.input, *config.output)
    }


def held(path):
    """What a model file says of its tensors, by name."""
    with open_session(path) as session:
        return {
            spec.name: (TYPES[spec.dtype], [s if isinstance(s, int) else -1 for s in spec.shape])
            for spec in (*session.inputs, *session.outputs)
        }


def test_configurations_follow_the_schema_and_agree_with_the_files(schema, exported):
    folders = write_triton(exported.path, TritonOptions(Path("repository"), instances=3))
    configs = [parsed(schema, folder) for folder in folders]
    for folder, config in zip(folders, configs, strict=True):
        assert config.name == folder.name
    _, network, ensemble = configs
    manifest = exported.result.manifest
    assert (folders[1] / "1" / "model.onnx").read_bytes() == exported.path.read_bytes()
    for folder, config in zip(folders[:2], configs[:2], strict=True):
        assert config.backend == "onnxruntime"
        assert declared(schema, config) == held(folder / "1" / "model.onnx")
        assert [group.count for group in config.instance_group] == [3]
        assert (config.max_batch_size > 0) == (manifest.batch is None)
    most = network.max_batch_size
    assert list(network.dynamic_batching.preferred_batch_size) == ([most // 2, most] * bool(most))
    assert (ensemble.platform, ensemble.max_batch_size) == ("ensemble", most)
    assert [path.name for path in folders[2].iterdir() if path.is_dir()] == ["1"]
    # Walk the ensemble: each step's maps exist in its model, and pass on tensors of one kind.
    tensors = {t.name: declared(schema, ensemble)[t.name] for t in ensemble.input}
    for step, config in zip(ensemble.ensemble_scheduling.step, configs[:2], strict=True):
        assert step.model_name == config.name
        of_model = declared(schema, config)
        assert set(step.input_map) == {tensor.name for tensor in config.input}
        assert set(step.output_map) == {tensor.name for tensor in config.output}
        assert all(tensors[value] == of_model[key] for key, value in step.input_map.items())
        tensors |= {value: of_model[key] for key, value in step.output_map.items()}
    assert {t.name: tensors[t.name] for t in ensemble.output} == {
        t.name: declared(schema, ensemble)[t.name] for t in ensemble.output
    }
    assert sorted(path.name for path in Path("repository").iterdir()) == sorted(
        config.name for config in configs
    )


# Two channels, three, and a window of one frame.
KINDS = [
    ("mixste", "image_width"),
    ("mixste", "bounding_box"),
    ("motionagformer", "image_width"),
    ("motionagformer", "bounding_box"),
    ("motionagformer", "image_short_side"),
    ("htnet", "image_width"),
]


def smooth_keypoints(frames, size):
    random = np.random.default_rng(3)
    wide, high = size
    figure = random.uniform(0.3, 0.6, (1, 17, 2)) * (wide, high)
    swing = np.sin(np.arange(frames)[:, None, None] / 20 + random.uniform(0, 6, (1, 17, 2)))
    points = figure + 0.02 * high * swing
    scores = random.uniform(0.5, 1.0, (frames, 17))
    return Keypoints(points, scores, skeleton="h36m17", image_size=size, fps=50.0)


@pytest.mark.parametrize(("model", "normalization"), KINDS)
def test_step_from_pixels_is_the_runtimes_preprocessing(tmp_path_factory, model, normalization):
    path = export_case(model, "plain", tmp_path_factory).path
    manifest = dataclasses.replace(read_manifest(path), normalization=normalization)
    graph = pixel_input_graph(manifest, "batch")
    require_same_input(graph, manifest)
    network = InputSpec.from_manifest(manifest)
    # Wide, tall, square, and either side of where an image counts as tall.
    sizes = [(1920, 1080), (1080, 1920), (1000, 1000), (1000, 1100), (1000, 1101), (7, 8), (9, 10)]
    clips = [smooth_keypoints(manifest.frames, size) for size in sizes]
    prepared = [
        prepare_clip(clip, network, InputPolicies(), frames=manifest.frames, training_fps=50.0)
        for clip in clips
    ]
    for clip in prepared:
        assert {policy.count for policy in clip.applied if policy.unit == "joints"} == {0}
    pixels = [np.dstack([clip.points, clip.scores]) for clip in clips]
    given = {PIXELS: np.stack(pixels)[..., : network.channels].astype(np.float32)}
    if network.normalization != "bounding_box":
        given[IMAGE_SIZE] = np.array(sizes, dtype=np.int32)
    with open_session(graph.SerializeToString()) as session:
        found = session.run(given)[KEYPOINTS]
    # The runtime computes the other two in float64.
    rounding = 0.0 if network.normalization == "image_width" else 5e-7
    expected = np.stack([clip.inputs for clip in prepared])
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=rounding)


def test_step_from_pixels_agrees_on_what_is_tall():
    manifest = read_manifest(starter_model())
    wide = np.arange(1, 100_001, 37)
    tall = np.rint(1.1 * wide).astype(int)
    sizes = np.concatenate([np.stack([wide, tall + step], axis=1) for step in (-1, 0, 1)])
    sizes = sizes[sizes.min(axis=1) > 0]
    points = np.full((len(sizes), manifest.frames, 17, 2), 3.0, dtype=np.float32)
    graph = pixel_input_graph(manifest, "batch").SerializeToString()
    with open_session(graph) as session:
        found = session.run({PIXELS: points, IMAGE_SIZE: sizes.astype(np.int32)})[KEYPOINTS]
    network = InputSpec.from_manifest(manifest)
    one = points[0, :1]
    ones = np.ones((1, 17), dtype=np.float32)
    expected = [
        network.normalize(one, ones, ones > 0, tuple(map(int, size)), "pad_to_square")
        for size in sizes
    ]
    np.testing.assert_array_equal(found[:, :1], np.stack(expected))


def test_ensemble_computes_the_poses_of_the_network(schema, tmp_path_factory):
    made = export_case("mixste", "hot-17-batch-any", tmp_path_factory)
    folders = write_triton(made.path, TritonOptions(Path("repository")))
    clip = smooth_keypoints(made.result.manifest.frames, (1280, 720))
    tensors = {
        PIXELS: np.stack([clip.points] * 2),
        IMAGE_SIZE: np.array([clip.image_size] * 2, dtype=np.int32),
    }
    for step in parsed(schema, folders[2]).ensemble_scheduling.step:
        with open_session(Path("repository") / step.model_name / "1" / "model.onnx") as session:
            outputs = session.run({k: tensors[v] for k, v in step.input_map.items()})
        tensors |= {value: outputs[key] for key, value in step.output_map.items()}
    network = InputSpec.from_manifest(made.result.manifest)
    valid = np.ones(clip.scores.shape, dtype=bool)
    inputs = network.normalize(clip.points, clip.scores, valid, clip.image_size, "pad_to_square")
    with open_session(made.path) as session:
        expected = session.run({KEYPOINTS: np.stack([inputs] * 2)})[POSES]
    np.testing.assert_array_equal(tensors[POSES], expected)


def test_finds_a_wrong_step_from_pixels(tmp_path_factory):
    manifest = export_case("mixste", "plain", tmp_path_factory).result.manifest
    graph = pixel_input_graph(manifest, 1)
    node = next(node for node in graph.graph.node if node.op_type == "Greater")
    node.op_type = "Less"
    with pytest.raises(VerificationError, match="differs from the runtime's"):
        require_same_input(graph, manifest)


def test_tensorrt_runs_in_onnx_runtime_on_the_gpu(schema, tmp_path_factory):
    def network(name):
        path = export_case("mixste", name, tmp_path_factory).path
        options = TritonOptions(Path(name), instances=2, backend="tensorrt")
        return parsed(schema, write_triton(path, options)[1])

    opened, fixed = network("hot-17-batch-any"), network("hot")
    for config in (opened, fixed):
        assert config.backend == "onnxruntime"
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        assert [one.name for one in accelerators] == ["tensorrt", "cuda"]
        assert dict(accelerators[0].parameters) == {"precision_mode": "FP32"}
        assert dict(accelerators[1].parameters) == {"use_tf32": "0"}
        assert config.instance_group[0].kind == schema.ModelInstanceGroup.KIND_GPU
    # A plan of an open batch spans the sizes that were run.
    assert [sample.batch_size for sample in opened.model_warmup] == [1, opened.max_batch_size]
    assert list(opened.model_warmup[0].inputs[KEYPOINTS].dims) == [27, 17, 2]
    assert list(fixed.model_warmup) == []


def test_tensorrt_accepts_float32_only(hot_export):
    model = onnx.load(hot_export.path)
    manifest = dataclasses.replace(hot_export.result.manifest, precision="fp16")
    onnx.helper.set_model_props(model, manifest.to_metadata())
    onnx.save(model, "half.onnx")
    with pytest.raises(UsageError, match="computes in fp16"):
        write_triton(Path("half.onnx"), TritonOptions(Path("r"), backend="tensorrt"))
    assert not Path("r").exists()
    assert len(write_triton(Path("half.onnx"), TritonOptions(Path("r"), device="gpu"))) == 3


def test_gpu_without_tensorrt_computes_in_full_float32(schema, hot_export):
    options = TritonOptions(Path("repository"), device="gpu")
    normalizer, network, _ = (parsed(schema, f) for f in write_triton(hot_export.path, options))
    accelerators = network.optimization.execution_accelerators.gpu_execution_accelerator
    assert [(one.name, one.parameters["use_tf32"]) for one in accelerators] == [("cuda", "0")]
    assert network.instance_group[0].kind == schema.ModelInstanceGroup.KIND_GPU
    assert normalizer.instance_group[0].kind == schema.ModelInstanceGroup.KIND_CPU


def test_replaces_only_what_hot_export_wrote(hot_export):
    options = TritonOptions(Path("repository"))
    folders = write_triton(hot_export.path, options)
    (folders[0] / "1" / "model.onnx").write_bytes(b"old")
    assert write_triton(hot_export.path, options) == folders
    assert (folders[0] / "1" / "model.onnx").stat().st_size > 100
    (folders[1] / "labels.txt").write_text("mine")
    with pytest.raises(UsageError, match="hot-export did not write"):
        write_triton(hot_export.path, options)
    assert (folders[1] / "labels.txt").read_text() == "mine"
    (folders[1] / "labels.txt").unlink()
    (folders[2] / "config.pbtxt").write_text('name: "mine"\n')
    with pytest.raises(UsageError, match="hot-export did not write"):
        write_triton(hot_export.path, options)
    assert len(list(Path("repository").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--triton-instances", "2"], "Give --triton DIR too"),
        (["--triton", "r", "--triton-instances", "0"], "1 to 1024"),
        (["--triton", "r", "--triton-device", "cuda"], "expected one of cpu, gpu"),
        (["--triton", "r", "--triton-backend", "trt"], "expected one of onnxruntime, tensorrt"),
        (["--triton", "r", "--triton-backend", "tensorrt", "--triton-device", "cpu"], "TensorRT"),
        (["--triton", "no/such"], "mkdir -p no"),
        (["--triton", "file"], "'file' is not a folder"),
        (["--triton", ".", "-o", "mine.onnx"], "'mine' holds files that hot-export did not write"),
    ],
)
def test_rejects_wrong_arguments_before_the_export(capsys, arguments, said):
    Path("file").touch()
    Path("mine").mkdir()
    Path("mine", "notes.txt").touch()
    assert said in failed(capsys, [*PRUNED, "--random-weights", *arguments], 2)


@pytest.mark.usefixtures("equal_networks_traced_once")
def test_from_the_command_line(capsys):
    arguments = [*PRUNED, "--random-weights", "--triton", "repository", "-o", "a b+c.onnx"]
    assert main([*arguments, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["triton"] == "repository"
    assert not Path("repository").exists()
    assert main([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["triton"] == [f"repository/a_b_c{part}" for part in ("_normalize", "", "_pixels")]
    text = Path("repository/a_b_c/config.pbtxt").read_text()
    assert "random weights: the poses mean nothing" in text
    assert "max_batch_size: 0" in text
