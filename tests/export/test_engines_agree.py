"""Every installed engine gives PyTorch's poses: of each family, and of the model that ships."""

import numpy as np
import onnx
import pytest
from exported_models import cases, export_case

from hot_sdk import Keypoints, Pose3DEngine
from hot_sdk.engines import list_engines, open_session
from hot_sdk.engines.registry import ONNX
from hot_sdk.errors import MissingDependencyError
from hot_sdk.export import ExportRequest, export_model
from hot_sdk.export.checkpoints.loading import random_state_dict
from hot_sdk.export.graph.wrapper import build_lifter
from hot_sdk.export.models import build, list_models
from hot_sdk.export.options import resolve_request
from hot_sdk.export.verification.clips import real_clips, verification_windows
from hot_sdk.export.verification.compare import compare, require_parity
from hot_sdk.export.verification.neighbors import neighbors_exposed
from hot_sdk.manifest import POSES, TOKEN_INDEX, read_manifest
from hot_sdk.model_inputs import feeds
from hot_sdk.starter import FAMILY

pytestmark = pytest.mark.usefixtures("one_thread")

PRUNED = "hot-17-batch-any"


@pytest.fixture(params=list_engines(opens=ONNX))
def engine(request):
    """Every engine of ONNX files whose library is installed."""
    try:
        open_session(b"", engine=request.param)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    except Exception:  # Installed, and refuses the empty file.
        return request.param


@pytest.mark.parametrize("model", list_models())
def test_engine_computes_each_family_s_poses_and_frames(model, engine, tmp_path_factory):
    case = PRUNED if (model, PRUNED) in cases() else "plain"
    exported = export_case(model, case, tmp_path_factory)
    spec = resolve_request(exported.request)
    network = build(spec)
    network.load_state_dict(random_state_dict(network))
    reference = build_lifter(spec, network.state_dict(), flip=False)
    with neighbors_exposed(onnx.load(exported.path), reference) as exposed:
        content = exposed.SerializeToString()
    with open_session(content, engine=engine) as session:
        results = compare(reference, session, spec, verification_windows(spec))
    require_parity(results)
    assert {result.frames_shared for result in results} == {None if spec.tokens is None else 1.0}


@pytest.fixture(scope="module")
def starter_files(tmp_path_factory):
    """The model that ships, with its kept frames, as ONNX and for PyTorch."""
    folder = tmp_path_factory.mktemp("starter")
    files = {}
    for name, suffix in (("onnxruntime", ".onnx"), ("torch", ".safetensors")):
        files[name] = folder / f"starter{suffix}"
        export_model(
            ExportRequest(FAMILY, ratio=0.5, token_index=True, output=files[name], engine=name)
        )
    return files


@pytest.fixture(scope="module")
def clip():
    """Somebody real, in pixels."""
    found = real_clips()[0]
    return Keypoints(
        found.points, found.scores, skeleton="h36m17", image_size=found.size, fps=found.fps
    )


def test_engine_computes_the_starter_s_frames_and_poses(starter_files, engine):
    with (
        open_session(starter_files["torch"], engine="torch") as reference,
        open_session(starter_files["onnxruntime"], engine=engine) as session,
    ):
        spec = resolve_request(ExportRequest(FAMILY, random_weights=True, frames=81))
        manifest = read_manifest(starter_files["onnxruntime"])
        windows, equal = verification_windows(spec), 0
        for window in windows:
            arrays = feeds(manifest, window.keypoints[np.newaxis])
            expected, found = reference.run(arrays), session.run(arrays)
            shared = np.intersect1d(found[TOKEN_INDEX], expected[TOKEN_INDEX]).size
            if shared == expected[TOKEN_INDEX].size:
                np.testing.assert_allclose(found[POSES], expected[POSES], atol=1e-4, rtol=0)
                equal += 1
            else:
                # Two frames that are as good to the last bits of float32 may change places.
                assert shared == expected[TOKEN_INDEX].size - 1
                assert np.linalg.norm(found[POSES] - expected[POSES], axis=-1).mean() < 1e-3
        assert equal >= 0.8 * len(windows)


def test_whole_clip_is_the_same_to_a_tenth_of_a_millimeter(starter_files, engine, clip):
    with Pose3DEngine(starter_files["torch"], engine="torch") as reference:
        expected = reference(clip)
    with Pose3DEngine(starter_files["onnxruntime"], engine=engine) as other:
        found = other(clip)
        assert other.latency().engine.startswith(f"{engine} ")
    assert expected.latency.engine.startswith("torch ")
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-4, rtol=0)


def test_report_names_the_engine_that_auto_chose(starter_files, clip, tmp_path):
    with Pose3DEngine(
        starter_files["onnxruntime"], engine="auto", cache_dir=tmp_path / "cache"
    ) as chosen:
        named = chosen(clip).latency.engine.partition(" ")[0]
    assert named in list_engines(opens=ONNX)
