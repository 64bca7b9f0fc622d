from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hot_sdk

# Listed once: a test that looks for a misspelled module cannot fail.
EXPORT_ONLY = ("torch", "onnx", "onnxscript", "safetensors", "hot_sdk.export")
OPTIONAL = ("cv2", "matplotlib", "tensorrt", "pycuda", "openvino", "ray")
RUNTIME_MODULES = sorted(
    f"hot_sdk.{path.stem}"
    for path in Path(hot_sdk.__file__).parent.glob("*.py")
    if path.stem != "__init__"
)


def imported_by(statement, watched):
    code = f"import sys\n{statement}\nprint(*[name for name in {watched!r} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    return run.stdout.split()


def test_probe_sees_imports():
    assert imported_by("import json", ("json", "torch")) == ["json"]


def test_importing_the_package_imports_nothing():
    watched = (*EXPORT_ONLY, *OPTIONAL, "onnxruntime", "numpy", "hot_sdk.engines")
    assert imported_by("import hot_sdk", watched) == []


def test_runtime_imports_only_numpy_until_a_model_is_loaded():
    watched = (*EXPORT_ONLY, *OPTIONAL, "onnxruntime", "rich")
    assert imported_by("from hot_sdk import *; Pose3DEngine, Keypoints", watched) == []


def test_a_start_imports_no_part_that_few_programs_need():
    rare = ("streams", "root", "readers.text_files", "engines.auto", "drawing", "ros")
    watched = tuple(f"hot_sdk.{name}" for name in rare)
    program = "from hot_sdk import Keypoints, Pose3DEngine; import hot_sdk.infer.cli"
    assert imported_by(program, watched) == []
    assert imported_by("import hot_sdk.streams, hot_sdk.drawing, hot_sdk.ros", watched) != []


def test_a_first_clip_imports_no_library_that_takes_as_long_as_lifting_it():
    rare = ("numpy.ma", "hashlib", "secrets", "importlib.metadata", "difflib", "hot_sdk.live")
    # NumPy 1 imports some of them itself.
    always = imported_by("import numpy", rare)
    clip = Path(__file__).parents[2] / "examples" / "data" / "jump_mediapipe33.npz"
    program = (
        "import contextlib, io, tempfile\nfrom hot_sdk.infer.cli import main\n"
        "with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert main([{str(clip)!r}, '-o', folder, '--engine', 'onnxruntime']) == 0"
    )
    assert imported_by(program, rare) == always
    assert imported_by("import numpy.ma, hot_sdk.live, secrets, difflib", rare) != []


@pytest.mark.parametrize("name", hot_sdk.__all__)
def test_every_public_name_exists(name):
    assert getattr(hot_sdk, name) is not None


def test_dir_shows_exactly_the_public_names():
    assert dir(hot_sdk) == sorted(hot_sdk.__all__)
    assert {"CameraPose", "H36M17", "HotSDKError", "Intrinsics"} <= set(dir(hot_sdk))


def test_doctor_starts_without_numpy():
    code = "import sys; sys.modules['numpy'] = None; import hot_sdk.doctor.cli as d; d.main(['-h'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage: hot-doctor")


def test_rejects_other_names():
    with pytest.raises(AttributeError, match="no attribute 'Pose4DEngine'"):
        _ = hot_sdk.Pose4DEngine


def test_manifest_needs_no_engine_until_it_reads_a_model():
    watched = (*EXPORT_ONLY, *OPTIONAL, "onnxruntime")
    assert imported_by("import hot_sdk.manifest", watched) == []


def test_runtime_needs_no_package_of_the_export():
    assert "hot_sdk.manifest" in RUNTIME_MODULES
    assert imported_by(f"import {', '.join(RUNTIME_MODULES)}", (*EXPORT_ONLY, *OPTIONAL)) == []


def test_version_has_the_usual_form():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", hot_sdk.__version__)
