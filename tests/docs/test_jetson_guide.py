"""The commands of docs/jetson.md and of the Dockerfiles, as far as a PC can check them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hot_sdk._base.jetson_files import RELEASE_FILE
from hot_sdk._base.optional import INSTALL_PYCUDA
from hot_sdk.host.jetson import INSTALL_JETPACK, _table

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "jetson.md").read_text(encoding="utf-8")
DOCKERFILES = sorted((ROOT / "examples" / "docker").glob("*.Dockerfile"))


def commands():
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL):
        yield from (line.partition("    #")[0].strip() for line in block.splitlines())


def options_of(command):
    run = subprocess.run(
        [Path(sys.executable).with_name(command), "--help"], capture_output=True, text=True
    )
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", run.stdout))


def test_every_option_exists():
    # Those of hot-benchmark are parsed by test_commands.py.
    ours = [shlex.split(line) for line in commands() if re.match("hot-[dei]", line)]
    known = {name: options_of(name) for name in {words[0] for words in ours}}
    assert len(ours) > 3
    for words in ours:
        flags = {word for word in words if word.startswith("-")}
        assert flags <= known[words[0]], words


def test_the_guide_runs_tensorrt():
    text = "\n".join(commands())
    assert "--engine tensorrt --device cuda:0 --cache-dir" in text
    assert "--engines tensorrt --devices cuda:0 --cache-dir" in text
    assert "--precision fp16" in text
    assert "hot-doctor --self-test --output" in text


def test_commands_install_what_the_board_needs():
    lines = list(commands())
    for command in INSTALL_PYCUDA.split(" && "):
        assert command in lines
    # A board that was just flashed knows no packages.
    apt = [line for line in lines if "apt install" in line]
    assert apt[0] == INSTALL_JETPACK
    assert lines.index("sudo apt update") < lines.index(INSTALL_JETPACK)
    # It would bring onnxruntime back over an onnxruntime-gpu.
    assert not [line for line in lines if "[tensorrt]" in line]
    assert [line for line in lines if "onnxruntime_gpu" in line and '"numpy<2"' in line]


def test_parts_of_the_index_are_those_of_the_table():
    parts = {row["onnxruntime"] for row in _table()["contents"].values()} - {None}
    assert parts == set(re.findall(r"`((?:jp\d|sbsa)/cu\d+)`", GUIDE))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfiles(file):
    text = file.read_text(encoding="utf-8")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = re.findall(r"[\w-]+==[\w.]+", text)
    assert pins
    assert set(pins) <= set(constraints)
    # Registries are named in words: which one a site uses is its own affair.
    assert "://" not in text
    assert re.search(r"^FROM \$\{BASE\}$", text, re.MULTILINE)
    for word in ("--system-site-packages", "CUDA_ROOT=/usr/local/cuda"):
        assert word in text


def hadolint(*arguments, **options):
    program = Path(sys.executable).with_name("hadolint")
    if not program.is_file():
        pytest.skip("hadolint has no wheel for this platform")
    run = subprocess.run(
        [program, "--no-color", *arguments], capture_output=True, text=True, check=False, **options
    )
    return run.returncode, run.stdout


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfiles_are_clean(file):
    assert hadolint(file) == (0, "")
    status, said = hadolint("-", input=f"{file.read_text()}RUN cd /tmp && pip install rich\n")
    assert status == 1
    assert {"DL3003", "DL3013"} <= set(re.findall(r"DL\d+", said))


def test_images_hold_nothing_that_an_installation_left_in_the_clone():
    """An older build folder would become part of what pip installs."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".venv", "build", "*.egg-info"} <= set(ignored)
    assert not {"hot_sdk", "engines", "README.md", "setup.py", "*.onnx"} & set(ignored)


def test_a_container_on_a_board_is_told_its_release():
    text = (ROOT / "examples" / "docker" / "jetpack6.Dockerfile").read_text(encoding="utf-8")
    assert f"--volume {RELEASE_FILE}:{RELEASE_FILE}:ro" in text
    assert f"--volume {RELEASE_FILE}:{RELEASE_FILE}:ro" in GUIDE


def test_there_are_two_dockerfiles():
    assert [file.name for file in DOCKERFILES] == [
        "jetpack6.Dockerfile",
        "x86-tensorrt.Dockerfile",
    ]
