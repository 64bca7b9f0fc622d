"""Every name, argument and flag that our code uses exists in the binding of each TensorRT release.

The bindings are NVIDIA's own, imported in child processes on libraries that do nothing. What that
does not show: how anything behaves. What the code uses is found in the code.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from downloads import cache_folder, download, made_once

HERE = Path(__file__).parent

# JetPack 6.1 and 6.2, 7.1, about 7.2, and the newest.
RELEASES = {
    "10.3.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu13-bindings",
    "10.16.1.11": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A folder with empty libraries under the names that the bindings load."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("nvinfer")
    source = HERE / "fake_tensorrt" / "nvinfer.c"
    for major in (10, 11):
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            library = folder / f"lib{name}.so.{major}"
            command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library]
            subprocess.run([*command, source], check=True)
    return folder


@pytest.fixture(scope="module")
def answers(libraries):
    """Results of the checks of a release, each run once."""
    results = {}

    def ask(version):
        if version not in results:
            results[version] = run_checks(version, libraries)
        return results[version]

    return ask


def run_checks(version, libraries):
    folder = cache_folder(f"tensorrt-bindings-{version}")
    with made_once(folder) as missing:
        if missing:
            wheel = download(f"{RELEASES[version]}=={version}", folder)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(libraries),
        "PYTHONPATH": str(folder),
    }
    command = [sys.executable, str(HERE / "tensorrt_binding_checks.py"), "TF32", "FP16", "NOSUCH"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("version", RELEASES)
def test_binding_has_everything_that_is_used(answers, version):
    answer = answers(version)
    assert answer["version"] == version
    assert answer["missing"] == []
    # From our classes that derive from the binding's.
    assert answer["answers"] == ["one two", "it gives no reason", True]


@pytest.mark.parametrize("version", RELEASES)
def test_finds_what_a_release_lacks(answers, version):
    weakly_typed = version.startswith("10.")
    assert answers(version)["absent"] == (["NOSUCH"] if weakly_typed else ["FP16", "NOSUCH"])
    assert answers(version)["controls"] == [True, False]


def test_finds_what_the_code_uses(answers):
    used = answers("10.3.0")["used"]
    assert "NetworkDefinitionCreationFlag.STRONGLY_TYPED" in used
    assert "IExecutionContext.execute_async_v3" in used
    assert "IBuilderConfig.progress_monitor" in used
    assert len(used) > 50
    assert not [name for name in used if re.search("INT8|FP16|BF16|alibrat|binding", name)]
